// SPDX-License-Identifier: GPL-2.0-only
//! Functions and their statements, as far as changing them needs it.
//!
//! Not a compiler: types and macros are unknown, and a function whose brackets do not
//! fit, or that is nested too deeply, has no statements. What is taken for something
//! else than it is does not compile when it is changed, and that is told.

mod parser;

use std::ops::Range;

use super::lexer::{Kind as TokenKind, Token, tokens};

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `if (...)`; its own tokens are those, without what follows.
    If,
    /// `while`, `for`, `do`, `switch`, or a macro with a body, such as a loop over a list.
    Body,
    /// `scoped_guard(...)` and relatives: a lock held for what follows.
    ScopedGuard,
    /// `{ ... }`.
    Block,
    Declaration,
    /// `guard(...)(...);`: a lock held to the end of the block.
    Guard,
    Return,
    /// `goto`, `break` and `continue`.
    Jump,
    Label,
    /// A call or an assignment.
    Expression,
    Empty,
    /// What cannot be made sense of.
    Odd,
}

/// A statement of a function. Ranges are of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) kind: Kind,
    /// With its body and its last `;` or `}`.
    pub(super) whole: Range<usize>,
    /// Without its body.
    pub(super) own: Range<usize>,
    /// The statement around it, by index.
    pub(super) parent: Option<usize>,
    /// The one before it in the same block, by index.
    pub(super) before: Option<usize>,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// From its type to before the `{`.
    pub(super) head: Range<usize>,
    /// Statements, each after the one around it.
    pub(super) statements: Vec<Statement>,
}

/// A source file, looked into.
#[derive(Debug)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    pub(super) tokens: Vec<Token>,
    /// Of an opening bracket the closing one, by token.
    closing: Vec<Option<usize>>,
    pub(super) functions: Vec<Function>,
}

impl<'a> Source<'a> {
    /// Looks into a source file.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let tokens = tokens(bytes);
        let mut source = Self {
            closing: brackets(bytes, &tokens),
            bytes,
            tokens,
            functions: Vec::new(),
        };
        source.functions = source.find_functions();
        source
    }

    /// Returns the whole text.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the tokens that begin in these lines.
    pub(super) fn tokens_in(&self, lines: &Range<usize>) -> Range<usize> {
        let first = |line| self.tokens.partition_point(|token| token.line < line);
        first(lines.start)..first(lines.end)
    }

    /// Returns the name of the function that a token is in.
    pub(super) fn function_at(&self, token: usize) -> Option<&str> {
        let after = self
            .functions
            .partition_point(|one| one.head.start <= token);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let is_in = token <= self.closing(function.head.end)?;
        is_in.then_some(function.name.as_str())
    }

    /// Returns the text of a token; empty past the end.
    pub(super) fn text(&self, token: usize) -> &'a [u8] {
        match self.tokens.get(token) {
            Some(token) => &self.bytes[token.place.clone()],
            None => b"",
        }
    }

    /// Returns the bytes that tokens take, with what is between them.
    pub(super) fn place(&self, tokens: &Range<usize>) -> Range<usize> {
        match self.tokens.get(tokens.clone()) {
            Some([first, .., last]) => first.place.start..last.place.end,
            Some([only]) => only.place.clone(),
            _ => 0..0,
        }
    }

    /// Returns the text of tokens, with what is between them.
    pub(super) fn text_of(&self, tokens: &Range<usize>) -> &'a [u8] {
        &self.bytes[self.place(tokens)]
    }

    /// Returns the bytes before a token that belong to none.
    pub(super) fn between(&self, token: usize) -> &'a [u8] {
        match self.tokens.get(token.wrapping_sub(1)..=token) {
            Some([one, other]) => &self.bytes[one.place.end..other.place.start],
            _ => b"",
        }
    }

    /// Returns the token that closes the bracket at `open`.
    pub(super) fn closing(&self, open: usize) -> Option<usize> {
        self.closing.get(open).copied().flatten()
    }

    pub(super) fn is_word(&self, token: usize) -> bool {
        matches!(self.tokens.get(token), Some(token) if token.kind == TokenKind::Word)
    }

    fn find_functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        let (mut at, mut item) = (0, 0);
        while at < self.tokens.len() {
            match self.text(at) {
                b";" => item = at + 1,
                b"{" => {
                    // A body that has no end is no function, nor is what follows it.
                    let Some(end) = self.closing(at) else {
                        break;
                    };
                    if let Some(name) = self.name_of_function(item..at) {
                        functions.push(Function {
                            name,
                            head: item..at,
                            statements: self.statements(at, end).unwrap_or_default(),
                        });
                    }
                    (at, item) = (end, end + 1);
                }
                _ if self.tokens[at].kind == TokenKind::Directive => item = at + 1,
                _ => {}
            }
            at += 1;
        }
        functions
    }

    /// Returns the name when these tokens, with a `{` after them, begin a function.
    fn name_of_function(&self, head: Range<usize>) -> Option<String> {
        if head.is_empty() || head.clone().any(|at| self.text(at) == b"=") {
            return None;
        }
        let mut at = head.start;
        while at + 1 < head.end {
            if self.text(at + 1) == b"(" && self.is_word(at) {
                let word = self.text(at);
                if !word.starts_with(b"__attribute") {
                    return Some(String::from_utf8_lossy(word).into_owned());
                }
                at = self.closing(at + 1)?;
            }
            at += 1;
        }
        None
    }

    /// Returns the statements between the brackets of a function; nothing where they
    /// cannot be told.
    fn statements(&self, open: usize, close: usize) -> Option<Vec<Statement>> {
        let is_open = |at: usize| matches!(self.text(at), b"(" | b"[" | b"{");
        if (open..close).any(|at| is_open(at) && self.closing(at).is_none()) {
            return None;
        }
        parser::statements(self, open + 1, close)
    }
}

/// Returns of each opening bracket the closing one. A `}` at the margin ends a function
/// whatever is open, so that one that does not fit harms no other.
fn brackets(bytes: &[u8], tokens: &[Token]) -> Vec<Option<usize>> {
    let mut closing = vec![None; tokens.len()];
    let mut open: Vec<(usize, u8)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let byte = match &bytes[token.place.clone()] {
            [byte] if token.kind == TokenKind::Mark => *byte,
            _ => continue,
        };
        match byte {
            b'(' => open.push((at, b')')),
            b'[' => open.push((at, b']')),
            b'{' => open.push((at, b'}')),
            b'}' if token.is_at_margin => {
                let outermost = open.iter().find(|(_, wanted)| *wanted == b'}');
                if let Some(&(begun, _)) = outermost {
                    closing[begun] = Some(at);
                }
                open.clear();
            }
            b')' | b']' | b'}' => {
                if let Some((begun, _)) = open.pop_if(|(_, wanted)| *wanted == byte) {
                    closing[begun] = Some(at);
                }
            }
            _ => {}
        }
    }
    closing
}

#[cfg(test)]
mod tests;
