// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits C source into tokens. Comments and white space are skipped, and a preprocessor
//! directive is one token. Any bytes are accepted.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Number,
    /// A string or a character.
    Text,
    /// An operator, a bracket, or any other byte.
    Mark,
    /// A preprocessor directive with its continuation lines.
    Directive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) place: Range<usize>,
    /// The line of its first byte, counted from 0.
    pub(crate) line: usize,
    pub(crate) is_at_margin: bool,
}

/// Operators of several bytes, longest first.
const MARKS: [&[u8]; 22] = [
    b"<<=", b">>=", b"...", b"->", b"++", b"--", b"<<", b">>", b"<=", b">=", b"==", b"!=", b"&&",
    b"||", b"+=", b"-=", b"*=", b"/=", b"%=", b"&=", b"|=", b"^=",
];

pub(crate) fn tokens(source: &[u8]) -> Vec<Token> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 0,
        line_begins: 0,
        is_line_empty: true,
    };
    std::iter::from_fn(|| lexer.next_token()).collect()
}

pub(crate) fn token_texts(source: &[u8]) -> Vec<&[u8]> {
    let tokens = tokens(source).into_iter();
    tokens.map(|token| &source[token.place]).collect()
}

struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
    line: usize,
    line_begins: usize,
    /// Whether the line has no token so far.
    is_line_empty: bool,
}

impl Lexer<'_> {
    fn next_token(&mut self) -> Option<Token> {
        self.skip_space();
        let (start, line) = (self.at, self.line);
        let first = *self.source.get(start)?;
        let is_at_margin = start == self.line_begins;
        let kind = match first {
            b'#' if self.is_line_empty => {
                self.directive();
                Kind::Directive
            }
            b'"' | b'\'' => {
                self.text(first);
                Kind::Text
            }
            b'0'..=b'9' => {
                self.advance_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
                Kind::Number
            }
            _ if is_of_word(first) => {
                self.advance_while(is_of_word);
                Kind::Word
            }
            _ => {
                let rest = &self.source[start..];
                let mark = MARKS.iter().find(|mark| rest.starts_with(mark));
                self.at += mark.map_or(1, |mark| mark.len());
                Kind::Mark
            }
        };
        self.is_line_empty = kind == Kind::Directive;
        Some(Token {
            kind,
            place: start..self.at,
            line,
            is_at_margin,
        })
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some(b'\n') {
            self.line += 1;
            self.line_begins = self.at + 1;
            self.is_line_empty = true;
        }
        self.at += 1;
    }

    fn advance_while(&mut self, is_part: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&is_part) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => self.comment(),
                (Some(b'/'), Some(b'/')) => {
                    // A backslash at the end of the line continues the comment; gcc ignores
                    // spaces behind it.
                    while let Some(byte) = self.peek(0) {
                        let before = &self.source[..self.at];
                        if byte == b'\n' && !before.trim_ascii_end().ends_with(b"\\") {
                            break;
                        }
                        self.step();
                    }
                }
                (Some(byte), _) if byte.is_ascii_whitespace() => self.step(),
                (Some(b'\\'), Some(b'\n')) => self.step(),
                _ => return,
            }
        }
    }

    /// Skips a comment; without an end, the rest of the file.
    fn comment(&mut self) {
        self.at += 2;
        while let Some(byte) = self.peek(0) {
            if byte == b'*' && self.peek(1) == Some(b'/') {
                self.at += 2;
                return;
            }
            self.step();
        }
    }

    /// Skips a string or character literal; without an end, the rest of the line.
    fn text(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            if byte == b'\n' {
                return;
            }
            if byte == b'\\' && self.peek(1).is_some() {
                self.step();
            }
            self.step();
            if byte == quote {
                return;
            }
        }
    }

    fn directive(&mut self) {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'\n', _) => return,
                (b'\\', Some(b'\n')) => {
                    self.step();
                    self.step();
                }
                (b'/', Some(b'*')) => self.comment(),
                _ => self.step(),
            }
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source.as_bytes())
            .into_iter()
            .map(|token| &source[token.place])
            .collect()
    }

    #[test]
    fn tokens_skips_comments_and_joins_operators() {
        let source = "a->b /* x; */ <= 0x1fUL; // y\n--c << \"/* \\\" */\" '\\''";
        assert_eq!(
            texts(source),
            [
                "a",
                "->",
                "b",
                "<=",
                "0x1fUL",
                ";",
                "--",
                "c",
                "<<",
                "\"/* \\\" */\"",
                "'\\''"
            ]
        );
    }

    #[test]
    fn tokens_continues_a_line_comment_behind_a_backslash() {
        assert_eq!(texts("// x \\\ny;\nz;"), ["z", ";"]);
        assert_eq!(texts("// x \\ \ny;\nz;"), ["z", ";"]);
    }

    #[test]
    fn tokens_returns_a_directive_as_one_token() {
        let source = "x\n#define A(b) \\\n\tdo { } /* \n */ while (0)\n y # z\n";
        let found = tokens(source.as_bytes());
        let kinds: Vec<Kind> = found.iter().map(|token| token.kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::Word,
                Kind::Directive,
                Kind::Word,
                Kind::Mark,
                Kind::Word
            ]
        );
        let lines: Vec<usize> = found.iter().map(|token| token.line).collect();
        assert_eq!(lines, [0, 1, 4, 4, 4]);
        assert!(found[0].is_at_margin && !found[2].is_at_margin);
    }

    #[test]
    fn tokens_ends_open_literals_and_comments() {
        assert_eq!(texts("\"a\nb"), ["\"a", "b"]);
        assert_eq!(texts("a /* b"), ["a"]);
        assert_eq!(texts("'\\"), ["'\\"]);
        assert_eq!(texts("#\\"), ["#\\"]);
    }
}
