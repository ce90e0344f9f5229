// SPDX-License-Identifier: MIT OR Apache-2.0
//! A statement to mutate, and the helpers that the operators share.

use std::ops::Range;

use super::change::{Change, Edit};
use super::reach::{Held, Reach};
use super::syntax::{Function, Source, Statement};
use crate::error::cut;

#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) function: &'a Function,
    pub(super) statement: &'a Statement,
    pub(super) index: usize,
    pub(super) reach: Reach,
    /// The lock that it acquires, if it is such a call.
    pub(super) held: Option<&'a Held>,
}

impl<'a> Site<'a> {
    pub(super) fn quote(&self, tokens: &Range<usize>) -> String {
        quote(self.source.text_of(tokens))
    }

    /// Returns the tokens of the calls in `tokens` whose functions have a matching name.
    pub(super) fn calls(
        &self,
        tokens: Range<usize>,
        is_match: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = (&'a [u8], Range<usize>)> {
        let source = self.source;
        tokens.filter_map(move |at| {
            let (name, is_call) = (source.text(at), source.text(at + 1) == b"(");
            let close = source
                .closing(at + 1)
                .filter(|_| is_call && source.is_word(at))?;
            is_match(name).then_some((name, at..close + 1))
        })
    }

    /// Returns the change that replaces `tokens` by `text`, at the line of the token `at`.
    pub(super) fn change(
        &self,
        at: usize,
        operator: impl Into<String>,
        title: impl Into<String>,
        tokens: &Range<usize>,
        text: impl Into<Vec<u8>>,
    ) -> Change {
        Change {
            operator: operator.into(),
            title: title.into(),
            line: self.source.tokens.get(at).map_or(0, |token| token.line),
            edits: vec![Edit::new(self.source.place(tokens), text)],
        }
    }

    /// Returns the texts of the arguments of a call.
    pub(super) fn arguments(&self, call: &Range<usize>) -> Vec<&'a [u8]> {
        let inside = call.start + 2..call.end.saturating_sub(1);
        let parts = self.source.split(inside, b",").into_iter();
        parts.map(|part| self.source.text_of(&part)).collect()
    }

    /// Returns the nearest statement around it of which `is_match` holds.
    pub(super) fn around(&self, is_match: impl Fn(&Statement) -> bool) -> Option<&'a Statement> {
        let mut at = self.statement.parent;
        while let Some(index) = at {
            let outer = &self.function.statements[index];
            if is_match(outer) {
                return Some(outer);
            }
            at = outer.parent;
        }
        None
    }
}

/// Returns source text in one line and in backquotes, cut after 60 characters.
pub(super) fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    format!("`{}`", cut(&words.join(" "), 60))
}

/// Returns the rows `OLD -> NEW` of a table, each with its effect: the line above that begins
/// with `# `.
pub(super) fn rows(table: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut effect = "";
    table.lines().filter_map(move |line| {
        if let Some(text) = line.strip_prefix("# ") {
            effect = text;
        }
        let (old, new) = line.split_once(" ->")?;
        Some((old, new.trim_start(), effect))
    })
}
