// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the statements of a function body.

use super::{Kind, Source, Statement};
use crate::mutant::lexer::{Kind as TokenKind, Token};

/// Limit of nesting; deeper functions are not parsed.
const DEPTH_MAX: usize = 100;

/// Returns the statements between the tokens `from` and `end`, the end of the function;
/// `None` if they cannot be parsed.
pub(super) fn statements(source: &Source<'_>, from: usize, end: usize) -> Option<Vec<Statement>> {
    let mut parser = Parser {
        source,
        end,
        statements: Vec::new(),
    };
    parser.list(from, end, None, 0)?;
    Some(parser.statements)
}

struct Parser<'a> {
    source: &'a Source<'a>,
    /// The closing bracket of the function.
    end: usize,
    statements: Vec<Statement>,
}

impl Parser<'_> {
    /// Parses statements up to the token `end`.
    fn list(&mut self, from: usize, end: usize, parent: Option<usize>, depth: usize) -> Option<()> {
        let (mut at, mut before) = (from, None);
        while at < end {
            if self.source.tokens[at].kind == TokenKind::Directive {
                at += 1;
                continue;
            }
            let index = self.statements.len();
            at = self.statement(at, parent, before, depth)?;
            before = Some(index);
        }
        Some(())
    }

    /// Parses the statement at a token and returns the token after it.
    fn statement(
        &mut self,
        at: usize,
        parent: Option<usize>,
        before: Option<usize>,
        depth: usize,
    ) -> Option<usize> {
        if depth > DEPTH_MAX || at >= self.end {
            return None;
        }
        let index = self.statements.len();
        self.statements.push(Statement {
            kind: Kind::Odd,
            whole: at..at,
            own: at..at,
            parent,
            before,
        });
        let (kind, own_end, next) = self.read(at, index, depth)?;
        let statement = &mut self.statements[index];
        statement.kind = kind;
        statement.whole = at..next;
        statement.own = at..own_end;
        Some(next)
    }

    /// Returns the kind of the statement at a token, and the ends of its own tokens and of
    /// all its tokens.
    fn read(&mut self, at: usize, index: usize, depth: usize) -> Option<(Kind, usize, usize)> {
        let source = self.source;
        let inside = (Some(index), None, depth + 1);
        let body = |parser: &mut Self, from| parser.statement(from, inside.0, inside.1, inside.2);
        match source.text(at) {
            b";" => Some((Kind::Empty, at + 1, at + 1)),
            b"{" => {
                let close = source.closing(at)?;
                self.list(at + 1, close, Some(index), depth + 1)?;
                Some((Kind::Block, at, close + 1))
            }
            b"if" => {
                let own = self.past_brackets(at + 1)?;
                let mut next = body(self, own)?;
                if source.text(next) == b"else" {
                    next = body(self, next + 1)?;
                }
                Some((Kind::If, own, next))
            }
            b"while" | b"for" | b"switch" => {
                let own = self.past_brackets(at + 1)?;
                Some((Kind::Body, own, body(self, own)?))
            }
            b"do" => {
                let next = body(self, at + 1)?;
                Some((Kind::Body, at + 1, self.to_semicolon(next)?.1))
            }
            b"case" | b"default" => {
                let mut colons = at..self.end;
                let colon = colons.find(|&at| source.text(at) == b":")?;
                Some((Kind::Label, colon + 1, colon + 1))
            }
            _ if source.is_word(at) && source.text(at + 1) == b":" => {
                Some((Kind::Label, at + 2, at + 2))
            }
            _ => match self.past_macro_with_body(at) {
                Some(own) => {
                    let kind = match source.text(at).starts_with(b"scoped_") {
                        true => Kind::ScopedGuard,
                        false => Kind::Body,
                    };
                    Some((kind, own, body(self, own)?))
                }
                None => {
                    let (is_plain, next) = self.to_semicolon(at)?;
                    let kind = if is_plain {
                        self.simple(at, next)
                    } else {
                        Kind::Odd
                    };
                    Some((kind, next, next))
                }
            },
        }
    }

    /// Returns the token after the parentheses that open at a token.
    fn past_brackets(&self, open: usize) -> Option<usize> {
        match self.source.text(open) {
            b"(" => Some(self.source.closing(open)? + 1),
            _ => None,
        }
    }

    /// Returns the start of the body if the call at a token is a macro with a body.
    fn past_macro_with_body(&self, at: usize) -> Option<usize> {
        if !self.source.is_word(at) {
            return None;
        }
        let next = self.past_brackets(at + 1)?;
        let has_body =
            next < self.end && (self.source.text(next) == b"{" || self.source.is_word(next));
        has_body.then_some(next)
    }

    /// Returns whether a statement without a body ends with `;` and has no directives, and
    /// the token after it.
    fn to_semicolon(&self, from: usize) -> Option<(bool, usize)> {
        let (mut at, mut is_plain) = (from, true);
        while at < self.end {
            match self.source.text(at) {
                b";" => return Some((is_plain, at + 1)),
                b"(" | b"[" | b"{" => {
                    let close = self.source.closing(at)?;
                    let is_directive = |token: &Token| token.kind == TokenKind::Directive;
                    is_plain &= !self.source.tokens[at..close].iter().any(is_directive);
                    at = close;
                }
                // End of the block: a macro without `;`.
                b"}" => return Some((false, at)),
                _ => is_plain &= self.source.tokens[at].kind != TokenKind::Directive,
            }
            at += 1;
        }
        Some((false, at))
    }

    /// Returns the kind of a statement without a body.
    fn simple(&self, at: usize, next: usize) -> Kind {
        match self.source.text(at) {
            b"return" => Kind::Return,
            b"goto" | b"break" | b"continue" => Kind::Jump,
            b"guard" if self.source.text(at + 1) == b"(" => Kind::Guard,
            b"asm" | b"__asm__" | b"else" => Kind::Odd,
            _ if self.is_declaration(at, next) => Kind::Declaration,
            _ => Kind::Expression,
        }
    }

    fn is_declaration(&self, at: usize, next: usize) -> bool {
        const BEGINNINGS: [&[u8]; 24] = [
            b"struct",
            b"union",
            b"enum",
            b"const",
            b"static",
            b"extern",
            b"unsigned",
            b"signed",
            b"int",
            b"char",
            b"bool",
            b"void",
            b"long",
            b"short",
            b"float",
            b"double",
            b"volatile",
            b"register",
            b"typedef",
            b"typeof",
            b"__auto_type",
            b"CLASS",
            b"LIST_HEAD",
            b"auto",
        ];
        let text = |at| self.source.text(at);
        let first = text(at);
        if BEGINNINGS.contains(&first)
            || first.starts_with(b"DEFINE_")
            || first.starts_with(b"DECLARE_")
        {
            return true;
        }
        if !self.source.is_word(at) {
            return false;
        }
        // `type name` and `type *name`; a multiplication as a statement has no effect.
        let mut second = at + 1;
        while second < next && text(second) == b"*" {
            second += 1;
        }
        self.source.is_word(second)
            && (second == at + 1 || matches!(text(second + 1), b";" | b"=" | b"," | b"["))
    }
}
