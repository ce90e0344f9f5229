// SPDX-License-Identifier: GPL-2.0-only
//! A small intermediate form of C, and its printer in kernel style: tabs, at most
//! 100 columns, arguments aligned with the open parenthesis, block comments.
//! Knows nothing of scenarios.

/// Columns that a line of code may have; checkpatch's limit.
const CODE_COLUMNS: usize = 100;
/// Columns that a line of comment is filled to.
const COMMENT_COLUMNS: usize = 80;
const TAB: usize = 8;

/// A piece of a C file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// An empty line.
    Blank,
    /// A block comment; paragraphs are separated by empty lines.
    Comment(String),
    /// A line as it is, without indentation.
    Line(String),
    /// A call that ends in a semicolon.
    Call(Call),
    /// What a check says when it fails.
    Log(String),
    /// A line or a call, and a block in braces.
    Block {
        head: Head,
        body: Vec<Node>,
        tail: &'static str,
    },
}

/// What stands before a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// The brace on a line of its own, as after a function's head.
    Own(String),
    /// The brace at the end of the line.
    Inline(String),
    /// The brace at the end of a call, as after the macros of the harness.
    Call(Call),
    /// `if` any of these holds.
    If(Vec<String>),
}

/// `prefix function(arguments)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    prefix: String,
    function: String,
    arguments: Vec<String>,
}

impl Call {
    pub(super) fn new<S: Into<String>>(
        function: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            prefix: String::new(),
            function: function.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// The call's value goes to `target`.
    pub(super) fn assigned_to(mut self, target: &str) -> Self {
        self.prefix = format!("{target} = ");
        self
    }

    /// The call's value is returned.
    pub(super) fn returned(mut self) -> Self {
        "return ".clone_into(&mut self.prefix);
        self
    }

    /// Returns the call on one line.
    pub(super) fn text(&self) -> String {
        format!(
            "{}{}({})",
            self.prefix,
            self.function,
            self.arguments.join(", ")
        )
    }

    fn print(&self, indent: usize, suffix: &str, out: &mut String) {
        let head = format!("{}{}(", self.prefix, self.function);
        let column = indent * TAB + head.len();
        let continuation = format!("{}{}", "\t".repeat(column / TAB), " ".repeat(column % TAB));
        let mut line = format!("{}{head}", "\t".repeat(indent));
        let mut used = column;
        for (index, argument) in self.arguments.iter().enumerate() {
            let last = index + 1 == self.arguments.len();
            let end = if last { 1 + suffix.len() } else { 1 };
            let space = usize::from(index > 0);
            if index > 0 && used + space + argument.len() + end > CODE_COLUMNS {
                out.push_str(&line);
                out.push('\n');
                line.clone_from(&continuation);
                used = column;
            } else if index > 0 {
                line.push(' ');
                used += 1;
            }
            let room = CODE_COLUMNS.saturating_sub(used + end);
            let (before, after) = match split_call(argument, room) {
                Some((before, after)) if argument.len() > room => (before, Some(after)),
                _ => (argument.as_str(), None),
            };
            line.push_str(before);
            used += before.len();
            if let Some(after) = after {
                // The rest stands below the first argument of the call within.
                let inner = used - before.len() + before.find('(').map_or(0, |at| at + 1);
                out.extend([&line, "\n"]);
                line = format!(
                    "{}{}{after}",
                    "\t".repeat(inner / TAB),
                    " ".repeat(inner % TAB)
                );
                used = inner + after.len();
            }
            if !last {
                line.push(',');
                used += 1;
            }
        }
        out.push_str(&line);
        out.push(')');
        out.push_str(suffix);
        out.push('\n');
    }
}

/// Splits the text of a call behind the last comma between its arguments that leaves
/// no more than so much before it.
fn split_call(text: &str, room: usize) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped, mut place) = (false, false, None);
    for (at, c) in text.char_indices() {
        if at >= room {
            break;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => place = Some(at + 1),
            _ => {}
        }
    }
    let (before, after) = text.split_at(place?);
    before.contains('(').then(|| (before, after.trim_start()))
}

impl From<Call> for Node {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

/// Returns `text` as a line of C.
pub(super) fn line(text: impl Into<String>) -> Node {
    Node::Line(text.into())
}

/// Returns `text` as a string literal of C.
pub(super) fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' => literal.push_str("\\\""),
            b'\\' => literal.push_str("\\\\"),
            b'\n' => literal.push_str("\\n"),
            b'\t' => literal.push_str("\\t"),
            // Three digits always, so that a digit that follows stays text.
            0..=31 | 127.. => literal.extend(["\\", &format!("{byte:03o}")]),
            // No trigraph can come of it.
            b'?' if literal.ends_with('?') => literal.push_str("\\?"),
            _ => literal.push(char::from(byte)),
        }
    }
    literal.push('"');
    literal
}

/// Returns `text` as a format string that prints it.
pub(super) fn format_string(text: &str) -> String {
    string(&text.replace('%', "%%"))
}

/// Returns the text of a C file.
pub(super) fn print(nodes: &[Node]) -> String {
    let mut out = String::new();
    print_all(nodes, 0, &mut out);
    out
}

fn print_all(nodes: &[Node], indent: usize, out: &mut String) {
    for node in nodes {
        print_one(node, indent, out);
    }
}

fn print_one(node: &Node, indent: usize, out: &mut String) {
    let tabs = "\t".repeat(indent);
    let tabs = tabs.as_str();
    match node {
        Node::Blank => out.push('\n'),
        Node::Comment(text) => print_comment(text, indent, out),
        Node::Line(text) => {
            out.extend([tabs, text, "\n"]);
        }
        Node::Call(call) => call.print(indent, ";", out),
        Node::Log(message) => print_log(message, indent, out),
        Node::Block {
            head: Head::If(any),
            body,
            ..
        } if matches!(body.as_slice(), [Node::Line(_)]) => {
            out.extend([tabs, "if (", &any.join(&format!(" ||\n{tabs}    ")), ")\n"]);
            print_all(body, indent + 1, out);
        }
        Node::Block { head, body, tail } => {
            match head {
                Head::Own(text) => out.extend([tabs, text.as_str(), "\n", tabs, "{\n"]),
                Head::Inline(text) => out.extend([tabs, text.as_str(), " {\n"]),
                Head::Call(call) => call.print(indent, " {", out),
                Head::If(any) => {
                    let next = format!(" ||\n{tabs}    ");
                    out.extend([tabs, "if (", &any.join(&next), ") {\n"]);
                }
            }
            print_all(body, indent + 1, out);
            out.extend([tabs, "}", tail, "\n"]);
        }
    }
}

/// A message stays in one piece, so that it can be searched for; a line that has
/// nothing else on it may be of any length.
fn print_log(message: &str, indent: usize, out: &mut String) {
    let whole = Call::new("TH_LOG", [format_string(message)]);
    if indent * TAB + whole.text().len() < CODE_COLUMNS {
        return whole.print(indent, ";", out);
    }
    Call::new("TH_LOG", ["\"%s\"".to_owned(), string(message)]).print(indent, ";", out);
}

fn print_comment(text: &str, indent: usize, out: &mut String) {
    let tabs = "\t".repeat(indent);
    let tabs = tabs.as_str();
    // No text can end the comment that it stands in.
    let text = text.trim().replace("/*", "/ *").replace("*/", "* /");
    let one_line = format!("{tabs}/* {text} */\n");
    if !text.contains('\n') && indent * TAB + text.len() + 6 <= COMMENT_COLUMNS {
        out.push_str(&one_line);
        return;
    }
    out.extend([tabs, "/*\n"]);
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            out.extend([tabs, " *\n"]);
        }
        for filled in fill(paragraph, COMMENT_COLUMNS - indent * TAB - 3) {
            out.extend([tabs, " * ", filled.as_str(), "\n"]);
        }
    }
    out.extend([tabs, " */\n"]);
}

/// Returns words filled into lines of at most `columns`.
pub(super) fn fill(paragraph: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_for_c() {
        assert_eq!(string("a\"b\\c\n"), r#""a\"b\\c\n""#);
        assert_eq!(string("é1"), r#""\303\2511""#);
        assert_eq!(string("??="), r#""?\?=""#);
        assert_eq!(format_string("100%"), r#""100%%""#);
    }

    #[test]
    fn long_calls_align_with_the_parenthesis() {
        let long = "x".repeat(60);
        let call = Call::new("function", [long.as_str(), "short", &long]).assigned_to("ret");
        let mut out = String::new();
        call.print(1, ";", &mut out);
        let rows: Vec<_> = out.lines().collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[1].starts_with("\t\t       x"), "{:?}", rows[1]);
    }

    #[test]
    fn a_comment_cannot_be_ended_from_inside() {
        let printed = print(&[Node::Comment("rm /tmp/*/ and more".to_owned())]);
        assert_eq!(printed, "/* rm /tmp/ * / and more */\n");
    }
}
