// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators that delete a call, an assignment, a reference, a lock or a warning.

use super::{Site, quote};
use crate::mutant::change::{Change, Edit, kebab};
use crate::mutant::reach::Reach;
use crate::mutant::syntax::{Kind, Source, Statement};

/// The effect of an expression statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect<'a> {
    /// The called function or the assigned variable.
    pub(super) name: &'a [u8],
    sets: bool,
}

impl<'a> Effect<'a> {
    pub(super) fn of(source: &Source<'a>, statement: &Statement) -> Self {
        let tokens = statement.own.clone();
        let mut name: &[u8] = b"";
        let mut at = tokens.start;
        while at < tokens.end {
            match source.text(at) {
                b"(" if source.is_word(at.saturating_sub(1)) && at > tokens.start => {
                    return Self { name, sets: false };
                }
                b"=" | b"+=" | b"-=" | b"*=" | b"/=" | b"%=" | b"|=" | b"&=" | b"^=" | b"<<="
                | b">>=" => return Self { name, sets: true },
                b"[" => at = source.closing(at).unwrap_or(at),
                text if source.is_word(at) => name = text,
                _ => {}
            }
            at += 1;
        }
        Self { name, sets: true }
    }
}

/// Returns the changes that delete a part of a statement.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    match site.statement.kind {
        Kind::Expression => {
            changes.push(delete_statement(site));
            changes.extend(delete_lock_and_unlocks(site));
        }
        Kind::Guard => changes.push(delete_guard(site, ";")),
        Kind::ScopedGuard => changes.push(delete_guard(site, "")),
        _ => {}
    }
    if site.reach == Reach::Changed {
        changes.extend(strip_warnings(site));
    }
    changes
}

fn delete_statement(site: &Site<'_>) -> Change {
    let effect = Effect::of(site.source, site.statement);
    let text = quote(site.source.text_of(&site.statement.own));
    let name = kebab(effect.name);
    let (operator, title) = match effect.sets {
        true => (
            format!("drop-set-{name}"),
            format!("delete assignment {text}"),
        ),
        false if is_reference(effect.name) => (
            format!("drop-{name}"),
            format!("delete reference count change {text}"),
        ),
        false => (format!("drop-{name}"), format!("delete call {text}")),
    };
    Change {
        operator,
        title,
        line: site.line(site.statement.own.start),
        edits: vec![Edit::new(site.source.place(&site.statement.own), ";")],
    }
}

/// Deletes a guard.
fn delete_guard(site: &Site<'_>, instead: &str) -> Change {
    let source = site.source;
    let own = &site.statement.own;
    Change {
        operator: format!("drop-{}", kebab(source.text(own.start))),
        title: format!("delete lock {}", quote(source.text_of(own))),
        line: site.line(own.start),
        edits: vec![Edit::new(source.place(own), instead)],
    }
}

/// Deletes the call that acquires a lock and the calls that release it.
fn delete_lock_and_unlocks(site: &Site<'_>) -> Option<Change> {
    let held = site.held?;
    let own = &site.statement.own;
    let indexes = std::iter::once(&held.acquired).chain(&held.released);
    let place = |&index: &usize| site.source.place(&site.function.statements[index].own);
    Some(Change {
        operator: format!("drop-both-{}", kebab(site.source.text(own.start))),
        title: format!(
            "delete lock {} and its unlocks",
            quote(site.source.text_of(own))
        ),
        line: site.line(own.start),
        edits: indexes.map(|index| Edit::new(place(index), ";")).collect(),
    })
}

/// Replaces `WARN_ON(condition)` by `(condition)`.
fn strip_warnings(site: &Site<'_>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    // `delete_statement` deletes a statement that only warns.
    let first = site.statement.own.start + usize::from(site.statement.kind == Kind::Expression);
    for at in first..site.statement.own.end {
        let name = source.text(at);
        if !matches!(name, b"WARN_ON" | b"WARN_ON_ONCE") || source.text(at + 1) != b"(" {
            continue;
        }
        let Some(close) = source.closing(at + 1) else {
            continue;
        };
        let all = at..close + 1;
        changes.push(Change {
            operator: format!("strip-{}", kebab(name)),
            title: format!("remove warning of {}", quote(source.text_of(&all))),
            line: site.line(at),
            edits: vec![Edit::new(
                source.place(&all),
                source.text_of(&(at + 1..close + 1)),
            )],
        });
    }
    changes
}

/// Returns whether a function with this name gets or puts a reference.
pub(super) fn is_reference(name: &[u8]) -> bool {
    let words: Vec<&[u8]> = name.split(|&byte| byte == b'_').collect();
    let counts = |word: &&[u8]| matches!(*word, b"get" | b"put" | b"kref" | b"refcount");
    words.iter().any(counts)
}
