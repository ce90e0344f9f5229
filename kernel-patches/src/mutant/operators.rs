// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mutation operators: changes of statements that a series changed, and of the locks
//! and conditions around them.

mod condition;
mod constant;
mod left_out;
mod swap;

use super::change::Change;
use super::locks::{self, Held};
use super::reach::{Reach, reaches};
use super::syntax::{Function, Kind, Source, Statement};

/// A statement and its context.
#[derive(Clone, Copy, Debug)]
struct Site<'a> {
    source: &'a Source<'a>,
    function: &'a Function,
    statement: &'a Statement,
    index: usize,
    reach: Reach,
    /// The lock that it acquires, if it is such a call.
    held: Option<&'a Held>,
}

impl Site<'_> {
    /// Returns the line of a token.
    fn line(&self, token: usize) -> usize {
        self.source.tokens.get(token).map_or(0, |token| token.line)
    }
}

/// Returns all changes of a function near lines with `is_changed`, in source order.
pub(super) fn changes(
    source: &Source<'_>,
    function: &Function,
    is_changed: &dyn Fn(usize) -> bool,
) -> Vec<Change> {
    let held = locks::held(source, function);
    let reaches = reaches(source, function, &held, is_changed);
    let mut changes = Vec::new();
    for (index, statement) in function.statements.iter().enumerate() {
        let site = Site {
            source,
            function,
            statement,
            index,
            reach: reaches[index],
            held: (held.binary_search_by_key(&index, |held| held.acquired).ok())
                .map(|at| &held[at]),
        };
        let before = statement
            .before
            .map_or(Reach::Far, |before| reaches[before]);
        if before.max(site.reach) == Reach::Changed {
            changes.extend(swap::change(&site));
        }
        if site.reach == Reach::Far {
            continue;
        }
        changes.extend(left_out::changes(&site));
        if statement.kind == Kind::If {
            changes.extend(condition::changes(&site));
        }
        if site.reach == Reach::Changed {
            changes.extend(constant::changes(&site));
        }
    }
    changes
}

/// Returns source text in one line and in backquotes, cut after [`CHARS_MAX`].
fn quote(text: &[u8]) -> String {
    const CHARS_MAX: usize = 60;
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("`{}...`", &line[..end]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests;
