// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses functions and their statements for the mutation operators.
//!
//! Types and macros are unknown. A function with unbalanced brackets or too deep nesting
//! has no statements. A misparsed statement gives a mutant that does not compile, which is
//! reported as unviable.

use std::ops::Range;

use crate::lexer::{Kind as TokenKind, Token, tokens};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `if (...)`; its own tokens end with the condition.
    If,
    /// `while`, `for`, `do`, `switch`, or a macro with a body, such as a loop over a list.
    Body,
    /// `scoped_guard(...)` and similar: a lock held for the next statement.
    ScopedGuard,
    Block,
    Declaration,
    /// `guard(...)(...);`: a lock held to the end of the block.
    Guard,
    Return,
    Jump,
    Label,
    /// A call or an assignment.
    Expression,
    Empty,
    Odd,
}

/// A statement of a function. Ranges are token indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) kind: Kind,
    /// All tokens, with the body and the last `;` or `}`.
    pub(super) whole: Range<usize>,
    pub(super) own: Range<usize>,
    pub(super) parent: Option<usize>,
    /// Index of the previous statement in the same block.
    pub(super) before: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// From its type up to the `{`, exclusive.
    pub(super) head: Range<usize>,
    /// Statements; an enclosing statement comes before its parts.
    pub(super) statements: Vec<Statement>,
}

/// Limit of statements of a function that is searched once for each statement.
const SEARCHED_STATEMENTS_MAX: usize = 2000;

impl Function {
    /// Returns whether it is small enough to be searched for each of its statements.
    pub(super) fn is_searchable(&self) -> bool {
        self.statements.len() <= SEARCHED_STATEMENTS_MAX
    }

    /// Returns the index of the first `return` or jump behind a label in its block, or the
    /// number of statements.
    pub(super) fn end_of_path(&self, label: usize) -> usize {
        let block = self.statements[label].parent;
        let is_end = |&at: &usize| {
            let one = &self.statements[at];
            one.parent == block && matches!(one.kind, Kind::Return | Kind::Jump)
        };
        let mut behind = label..self.statements.len();
        behind.find(is_end).unwrap_or(self.statements.len())
    }
}

/// The type that a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    Bool,
    Int,
    Void,
    /// A pointer or another type.
    Other,
}

#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) tokens: Vec<Token>,
    /// The closing bracket of each opening bracket, by token index.
    closing: Vec<Option<usize>>,
    pub(super) functions: Vec<Function>,
    /// The heads of functions that are declared without a body.
    prototypes: Vec<(String, Range<usize>)>,
}

impl<'a> Source<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let tokens = tokens(bytes);
        let mut source = Self {
            closing: brackets(bytes, &tokens),
            bytes,
            tokens,
            functions: Vec::new(),
            prototypes: Vec::new(),
        };
        (source.functions, source.prototypes) = source.find_functions();
        source
    }

    /// Returns the type that a function of this file returns, and the tokens of its body,
    /// which are empty for a prototype.
    pub(super) fn callee(&self, name: &[u8]) -> Option<(Returned, Range<usize>)> {
        let (head, body) = self.declaration(name)?;
        Some((self.returned(&head, name), body))
    }

    /// Returns whether a function of this file has a parameter such as `struct foo **foop`.
    pub(super) fn has_pointer_to_pointer(&self, name: &[u8]) -> bool {
        let Some((head, _)) = self.declaration(name) else {
            return false;
        };
        let mut parameters = head.skip_while(|&at| self.text(at) != name);
        parameters.any(|at| self.text(at) == b"*" && self.text(at + 1) == b"*")
    }

    /// Returns the tokens of the head and of the body of a function.
    fn declaration(&self, name: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
        let is_named = |text: &str| text.as_bytes() == name;
        let defined = self.functions.iter().find(|one| is_named(&one.name));
        if let Some(function) = defined {
            return Some((function.head.clone(), self.body(function)));
        }
        let (_, head) = self.prototypes.iter().find(|(text, _)| is_named(text))?;
        Some((head.clone(), head.end..head.end))
    }

    pub(super) fn returns_void(&self, function: &Function) -> bool {
        self.returned(&function.head, function.name.as_bytes()) == Returned::Void
    }

    /// Returns the tokens of a function's body, with its braces.
    pub(super) fn body(&self, function: &Function) -> Range<usize> {
        let open = function.head.end;
        open..self.closing(open).map_or(open, |close| close + 1)
    }

    fn returned(&self, head: &Range<usize>, name: &[u8]) -> Returned {
        let mut returned = Returned::Other;
        for at in head.clone().take_while(|&at| self.text(at) != name) {
            returned = match self.text(at) {
                b"*" | b"unsigned" => return Returned::Other,
                b"bool" => Returned::Bool,
                b"int" => Returned::Int,
                b"void" => Returned::Void,
                _ => returned,
            };
        }
        returned
    }

    /// Returns the tokens that are not inside of brackets; a bracket pair counts as its
    /// opening bracket.
    pub(super) fn outermost(&self, tokens: Range<usize>) -> impl Iterator<Item = usize> {
        let Range { start, end } = tokens;
        let next = move |&at: &usize| Some(self.closing(at).unwrap_or(at) + 1);
        std::iter::successors(Some(start), next).take_while(move |&at| at < end)
    }

    /// Returns the parts of `tokens` between separators that are not inside of brackets.
    pub(super) fn split(&self, tokens: Range<usize>, separator: &[u8]) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut start = tokens.start;
        let separators = self.outermost(tokens.clone());
        for at in separators.filter(|&at| self.text(at) == separator) {
            parts.push(start..at);
            start = at + 1;
        }
        if start < tokens.end || !parts.is_empty() {
            parts.push(start..tokens.end);
        }
        parts
    }

    pub(super) fn tokens_in(&self, lines: &Range<usize>) -> Range<usize> {
        let first = |line| self.tokens.partition_point(|token| token.line < line);
        first(lines.start)..first(lines.end)
    }

    /// Returns the name of the function around a token.
    pub(super) fn function_at(&self, token: usize) -> Option<&str> {
        let functions = &self.functions;
        let after = functions.partition_point(|function| function.head.start <= token);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (token <= self.closing(function.head.end)?).then_some(function.name.as_str())
    }

    /// Returns the text of a token; empty past the end.
    pub(super) fn text(&self, token: usize) -> &'a [u8] {
        let token = self.tokens.get(token);
        token.map_or(b"", |token| &self.bytes[token.place.clone()])
    }

    pub(super) fn place(&self, tokens: &Range<usize>) -> Range<usize> {
        match self.tokens.get(tokens.clone()) {
            Some([first, .., last]) => first.place.start..last.place.end,
            Some([only]) => only.place.clone(),
            _ => 0..0,
        }
    }

    /// Returns the text of tokens, including comments and space between them.
    pub(super) fn text_of(&self, tokens: &Range<usize>) -> &'a [u8] {
        &self.bytes[self.place(tokens)]
    }

    /// Returns the bytes between a token and its predecessor.
    pub(super) fn between(&self, token: usize) -> &'a [u8] {
        match self.tokens.get(token.wrapping_sub(1)..=token) {
            Some([first, second]) => &self.bytes[first.place.end..second.place.start],
            _ => b"",
        }
    }

    pub(super) fn closing(&self, open: usize) -> Option<usize> {
        self.closing.get(open).copied().flatten()
    }

    pub(super) fn is_word(&self, token: usize) -> bool {
        matches!(self.tokens.get(token), Some(token) if token.kind == TokenKind::Word)
    }

    /// Returns the functions with a body and the prototypes.
    fn find_functions(&self) -> (Vec<Function>, Vec<(String, Range<usize>)>) {
        let (mut functions, mut prototypes) = (Vec::new(), Vec::new());
        let (mut at, mut item) = (0, 0);
        while at < self.tokens.len() {
            match self.text(at) {
                b";" => {
                    let name = self.name_of_function(item..at);
                    prototypes.extend(name.map(|name| (name, item..at)));
                    item = at + 1;
                }
                b"{" => {
                    // The rest of the file cannot be parsed.
                    let Some(end) = self.closing(at) else {
                        break;
                    };
                    let name = self.name_of_function(item..at);
                    functions.extend(name.map(|name| Function {
                        name,
                        head: item..at,
                        statements: self.statements(at, end).unwrap_or_default(),
                    }));
                    (at, item) = (end, end + 1);
                }
                _ if self.tokens[at].kind == TokenKind::Directive => item = at + 1,
                _ => {}
            }
            at += 1;
        }
        (functions, prototypes)
    }

    /// Returns the name if these tokens, followed by `{`, are the head of a function.
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

    /// Returns the statements of a function; `None` if they cannot be parsed.
    fn statements(&self, open: usize, close: usize) -> Option<Vec<Statement>> {
        let is_open = |at: usize| matches!(self.text(at), b"(" | b"[" | b"{");
        if (open..close).any(|at| is_open(at) && self.closing(at).is_none()) {
            return None;
        }
        let mut parser = Parser {
            source: self,
            end: close,
            statements: Vec::new(),
        };
        parser.list(open + 1, close, None, 0)?;
        Some(parser.statements)
    }
}

/// Returns the closing bracket of each opening bracket. A `}` in the first column ends a
/// function even with open brackets, so that an unbalanced function does not affect the
/// others.
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
                let mut open = open.drain(..);
                if let Some((outermost, _)) = open.find(|(_, wanted)| *wanted == b'}') {
                    closing[outermost] = Some(at);
                }
            }
            b')' | b']' | b'}' => {
                if let Some((opening, _)) = open.pop_if(|(_, wanted)| *wanted == byte) {
                    closing[opening] = Some(at);
                }
            }
            _ => {}
        }
    }
    closing
}

/// Limit of nesting; deeper functions are not parsed.
const DEPTH_MAX: usize = 100;

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

    /// Returns the kind of a statement, and the ends of its own and of all its tokens.
    fn read(&mut self, at: usize, index: usize, depth: usize) -> Option<(Kind, usize, usize)> {
        let source = self.source;
        let body = |parser: &mut Self, from| parser.statement(from, Some(index), None, depth + 1);
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
            word => {
                if let Some(own) = self.past_macro_with_body(at) {
                    let kind = match word.starts_with(b"scoped_") {
                        true => Kind::ScopedGuard,
                        false => Kind::Body,
                    };
                    return Some((kind, own, body(self, own)?));
                }
                let kind = match self.to_semicolon(at)? {
                    (true, next) => (self.simple(at, next), next, next),
                    (false, next) => (Kind::Odd, next, next),
                };
                Some(kind)
            }
        }
    }

    /// Returns the token after the parentheses that open at a token.
    fn past_brackets(&self, open: usize) -> Option<usize> {
        let close = self.source.closing(open)?;
        (self.source.text(open) == b"(").then_some(close + 1)
    }

    /// Returns the start of the body if the call at a token is a macro with a body.
    fn past_macro_with_body(&self, at: usize) -> Option<usize> {
        let next = self.past_brackets(at + 1)?;
        let is_body = self.source.text(next) == b"{" || self.source.is_word(next);
        (self.source.is_word(at) && next < self.end && is_body).then_some(next)
    }

    /// Returns whether a statement ends with `;` and has no directives, and the token after it.
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
        const BEGINNINGS: &str = "struct union enum const static extern unsigned signed int char \
            bool void long short float double volatile register typedef typeof __auto_type CLASS \
            LIST_HEAD auto";
        let text = |at| self.source.text(at);
        let first = text(at);
        if BEGINNINGS.split(' ').any(|word| word.as_bytes() == first)
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
