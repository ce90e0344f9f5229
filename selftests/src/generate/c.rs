// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small syntax tree of C, and its printer in kernel style: tabs, at most 100 columns,
//! arguments aligned with the open parenthesis, block comments. Independent of scenarios.

/// Maximal width of a line of code, as checked by checkpatch.
const CODE_COLUMNS: usize = 100;
/// Width of comment lines.
const COMMENT_COLUMNS: usize = 80;
const TAB: usize = 8;

/// A piece of a C file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// An empty line.
    Blank,
    /// A block comment; paragraphs are separated by empty lines.
    Comment(String),
    /// A line of code, without indentation.
    Line(String),
    /// A call that ends in a semicolon.
    Call(Call),
    /// The message of a failed check.
    Log(Message),
    /// A line or a call, and a block in braces.
    Block {
        head: Head,
        body: Vec<Node>,
        tail: &'static str,
    },
}

/// The message of a failed check: a text, and optionally the observed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    text: String,
    /// The conversion of the observed value, such as `%d`, and the value.
    value: Option<(String, String)>,
}

impl Message {
    /// The text followed by `, got VALUE`.
    pub(super) fn with_value(text: &str, conversion: &str, value: &str) -> Self {
        Self {
            text: format!("{text}, got "),
            value: Some((conversion.to_owned(), value.to_owned())),
        }
    }

    /// The text followed by the name of the result `value`, such as `, got -EBUSY`.
    pub(super) fn with_result(text: &str, value: &str) -> Self {
        Self::with_value(text, "%s", &format!("lu_result({value})"))
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text, value: None }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// The head of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// The brace on its own line, as after the head of a function.
    Own(String),
    /// The brace at the end of the line.
    Inline(String),
    /// The brace at the end of a call, as after the macros of the harness.
    Call(Call),
    /// `if` with alternatives, joined by `||`.
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

    /// Assigns the value of the call to `target`.
    pub(super) fn assigned_to(mut self, target: &str) -> Self {
        self.prefix = format!("{target} = ");
        self
    }

    /// Returns the value of the call from the function.
    pub(super) fn returned(mut self) -> Self {
        "return ".clone_into(&mut self.prefix);
        self
    }

    /// Returns the call on one line.
    pub(super) fn text(&self) -> String {
        let arguments = self.arguments.join(", ");
        format!("{}{}({arguments})", self.prefix, self.function)
    }

    fn print(&self, indent: usize, suffix: &str, out: &mut String) {
        let head = format!("{}{}(", self.prefix, self.function);
        let column = indent * TAB + head.len();
        let mut line = format!("{}{head}", "\t".repeat(indent));
        let mut used = column;
        for (index, argument) in self.arguments.iter().enumerate() {
            let last = index + 1 == self.arguments.len();
            let end = if last { 1 + suffix.len() } else { 1 };
            let space = usize::from(index > 0);
            if index > 0 && used + space + argument.len() + end > CODE_COLUMNS {
                out.extend([&line, "\n"]);
                line = padding(column);
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
                // Align the rest with the first argument of the inner call.
                let inner = used - before.len() + before.find('(').map_or(0, |at| at + 1);
                out.extend([&line, "\n"]);
                line = padding(inner) + after;
                used = inner + after.len();
            }
            if !last {
                line.push(',');
                used += 1;
            }
        }
        out.extend([&line, ")", suffix, "\n"]);
    }
}

/// Splits the text of a call at the last comma between arguments within `room` columns.
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

/// Returns code in braces.
pub(super) fn block(head: Head, body: impl IntoIterator<Item = Node>) -> Node {
    let (body, tail) = (body.into_iter().collect(), "");
    Node::Block { head, body, tail }
}

/// Returns data in braces, which end in a semicolon.
pub(super) fn data(head: Head, body: impl IntoIterator<Item = Node>) -> Node {
    let (body, tail) = (body.into_iter().collect(), ";");
    Node::Block { head, body, tail }
}

/// Returns tabs and blanks up to a column.
fn padding(column: usize) -> String {
    "\t".repeat(column / TAB) + &" ".repeat(column % TAB)
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
            // Always three digits, so that a following digit is not part of the escape.
            0..=31 | 127.. => literal.extend(["\\", &format!("{byte:03o}")]),
            // Prevents trigraphs.
            b'?' if literal.ends_with('?') => literal.push_str("\\?"),
            _ => literal.push(char::from(byte)),
        }
    }
    literal.push('"');
    literal
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

/// Prints a message as one literal, so that it can be searched for. If the line would be
/// too long, the literal goes to a line of its own, where checkpatch accepts any length.
fn print_log(message: &Message, indent: usize, out: &mut String) {
    let conversion = message.value.as_ref().map_or("", |(text, _)| text);
    let value = message.value.iter().map(|(_, value)| value.clone());
    let format = format!("{}{conversion}", message.text.replace('%', "%%"));
    let whole = Call::new("TH_LOG", [string(&format)].into_iter().chain(value.clone()));
    if indent * TAB + whole.text().len() < CODE_COLUMNS {
        return whole.print(indent, ";", out);
    }
    let literals = [string(&format!("%s{conversion}")), string(&message.text)];
    Call::new("TH_LOG", literals.into_iter().chain(value)).print(indent, ";", out);
}

fn print_comment(text: &str, indent: usize, out: &mut String) {
    let tabs = "\t".repeat(indent);
    let tabs = tabs.as_str();
    // The text must not end the comment.
    let is_bad = |c: char| c.is_control() && c != '\n';
    let text = text.trim().replace(is_bad, " ");
    let text = text.replace("/*", "/ *").replace("*/", "* /");
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

/// Returns the words of a paragraph in lines of at most `columns`.
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
    fn string_escapes_quotes_bytes_and_trigraphs() {
        assert_eq!(string("a\"b\\c\n"), r#""a\"b\\c\n""#);
        assert_eq!(string("é1"), r#""\303\2511""#);
        assert_eq!(string("??="), r#""?\?=""#);
    }

    #[test]
    fn log_prints_text_and_observed_value() {
        let log = |message: Message| print(&[Node::Log(message)]);
        assert_eq!(log("100%".into()), "TH_LOG(\"100%%\");\n");
        assert_eq!(
            log(Message::with_result("100% expected", "ret")),
            "TH_LOG(\"100%% expected, got %s\", lu_result(ret));\n"
        );
        let long = "x".repeat(CODE_COLUMNS);
        assert_eq!(
            log(Message::with_value(&long, "%d", "ret")),
            format!("TH_LOG(\"%s%d\",\n       \"{long}, got \",\n       ret);\n")
        );
    }

    #[test]
    fn print_aligns_long_calls_with_the_parenthesis() {
        let long = "x".repeat(60);
        let call = Call::new("function", [long.as_str(), "short", &long]).assigned_to("ret");
        let mut out = String::new();
        call.print(1, ";", &mut out);
        let rows: Vec<_> = out.lines().collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[1].starts_with("\t\t       x"), "{:?}", rows[1]);
    }

    #[test]
    fn print_comment_escapes_the_end_of_a_comment() {
        let printed = print(&[Node::Comment("rm /tmp/*/ and more".to_owned())]);
        assert_eq!(printed, "/* rm /tmp/ * / and more */\n");
        let printed = print(&[Node::Comment("a\u{1b}[31mb".to_owned())]);
        assert_eq!(printed, "/* a [31mb */\n");
    }
}
