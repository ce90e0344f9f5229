// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small syntax tree of C, and its printer in kernel style: tabs, at most 100 columns,
//! arguments aligned with the open parenthesis, block comments. Independent of scenarios.

/// Maximal width of a line of code, as checked by checkpatch.
const CODE_COLUMNS: usize = 100;
/// Width of comment lines.
const COMMENT_COLUMNS: usize = 80;
const TAB: usize = 8;

/// A step of a scenario, for the lines of its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the step.
    pub(super) step: usize,
    /// The label that is printed once the calls in these lines have returned `times` times.
    pub(super) label: Option<String>,
    pub(super) times: u64,
}

/// The lines of a step in a C file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) mark: Mark,
    /// The first and the last line, from 1.
    pub(super) first: usize,
    pub(super) last: usize,
}

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
    /// The code of a step. Its place in the text is returned with the text.
    Step { mark: Mark, body: Vec<Node> },
    /// A line or a call, and a block in braces.
    Block {
        head: Head,
        body: Vec<Node>,
        tail: &'static str,
    },
}

/// The head of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// The brace on its own line, as after the head of a function.
    Own(String),
    /// The brace at the end of the line.
    Inline(String),
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

    /// Returns the call as an argument of another call, such as a check of the harness.
    pub(super) fn within(self, function: &str, expected: &str) -> Self {
        Self::new(function, [expected.to_owned(), self.text()])
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
        let text = self.text() + suffix;
        let mut line = "\t".repeat(indent);
        let mut column = indent * TAB;
        // The columns behind the open parentheses and braces.
        let mut open: Vec<usize> = Vec::new();
        let pieces = pieces(&text);
        for (index, piece) in pieces.iter().enumerate() {
            // A list in braces is on one line, or begins a line.
            let is_list = piece.contains('{') && !piece.contains('}');
            let is_end = |piece: &&str| piece.contains('}');
            let rest = pieces[index..].iter();
            let list = rest.clone().position(is_end).map_or(1, |end| end + 1);
            let together = if is_list { list } else { 1 };
            let length: usize = rest.take(together).map(|piece| piece.len()).sum();
            let room = length - usize::from(pieces[index + together - 1].ends_with(' '));
            if let Some(&start) = open.last()
                && column + room > CODE_COLUMNS
                && !(is_list && column == start)
            {
                out.extend([line.trim_end(), "\n"]);
                line = padding(start);
                column = start;
            }
            let mut quoted = Quoted::default();
            for (at, c) in piece.char_indices() {
                match c {
                    _ if quoted.contains(c) => {}
                    '(' => open.push(column + at + 1),
                    '{' => open.push(column + at + 2),
                    ')' | '}' => drop(open.pop()),
                    _ => {}
                }
            }
            line.push_str(piece);
            column += piece.len();
        }
        out.extend([&line, "\n"]);
    }
}

/// Whether a character is in a string literal; to be asked for each character in turn.
#[derive(Default)]
struct Quoted {
    is_inside: bool,
    is_escaped: bool,
}

impl Quoted {
    fn contains(&mut self, c: char) -> bool {
        match c {
            _ if self.is_escaped => self.is_escaped = false,
            '\\' => self.is_escaped = true,
            '"' => self.is_inside = !self.is_inside,
            _ => {}
        }
        self.is_inside || c == '"'
    }
}

/// Splits code behind each comma between arguments.
fn pieces(text: &str) -> Vec<&str> {
    let mut quoted = Quoted::default();
    let mut pieces = Vec::new();
    let mut begin = 0;
    for (at, c) in text.char_indices() {
        let is_code = !quoted.is_inside;
        quoted.contains(c);
        if is_code && text[..at].ends_with(", ") {
            pieces.push(&text[begin..at]);
            begin = at;
        }
    }
    pieces.push(&text[begin..]);
    pieces
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

/// Returns the text of a C file, and the lines of its steps.
pub(super) fn print(nodes: &[Node]) -> (String, Vec<Lines>) {
    let mut printer = Printer::default();
    printer.print_all(nodes, 0);
    (printer.out, printer.lines)
}

#[derive(Default)]
struct Printer {
    out: String,
    lines: Vec<Lines>,
}

impl Printer {
    fn line(&self) -> usize {
        self.out.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn print_all(&mut self, nodes: &[Node], indent: usize) {
        for node in nodes {
            self.print_one(node, indent);
        }
    }

    fn print_one(&mut self, node: &Node, indent: usize) {
        let tabs = "\t".repeat(indent);
        let tabs = tabs.as_str();
        match node {
            Node::Blank => self.out.push('\n'),
            Node::Comment(text) => print_comment(text, indent, &mut self.out),
            Node::Line(text) => self.out.extend([tabs, text, "\n"]),
            Node::Call(call) => call.print(indent, ";", &mut self.out),
            Node::Step { mark, body } => {
                let (mark, first, at) = (mark.clone(), self.line(), self.lines.len());
                self.print_all(body, indent);
                let last = self.line() - 1;
                // Steps within this step come after it.
                self.lines.insert(at, Lines { mark, first, last });
            }
            Node::Block { head, body, tail } => {
                match head {
                    Head::Own(text) => self.out.extend([tabs, text, "\n", tabs, "{\n"]),
                    Head::Inline(text) => self.out.extend([tabs, text, " {\n"]),
                }
                self.print_all(body, indent + 1);
                self.out.extend([tabs, "}", tail, "\n"]);
            }
        }
    }
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
    fn print_returns_the_lines_of_steps() {
        let mark = |step| Mark {
            step,
            label: None,
            times: 1,
        };
        let step = |number, body| Node::Step {
            mark: mark(number),
            body,
        };
        let inner = step(2, vec![line("b();")]);
        let nodes = [
            line("x();"),
            step(1, vec![line("a();"), inner, line("c();")]),
        ];
        let (text, lines) = print(&nodes);
        assert_eq!(text, "x();\na();\nb();\nc();\n");
        let lines = lines.iter().map(|it| (it.mark.step, it.first, it.last));
        assert_eq!(lines.collect::<Vec<_>>(), [(1, 2, 4), (2, 3, 3)]);
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
        let (printed, _) = print(&[Node::Comment("rm /tmp/*/ and more".to_owned())]);
        assert_eq!(printed, "/* rm /tmp/ * / and more */\n");
        let (printed, _) = print(&[Node::Comment("a\u{1b}[31mb".to_owned())]);
        assert_eq!(printed, "/* a [31mb */\n");
    }
}
