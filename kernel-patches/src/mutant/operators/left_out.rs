// SPDX-License-Identifier: GPL-2.0-only
//! Something is forgotten: a call, an assignment, a reference, a lock, a warning.

use super::{Site, quote};
use crate::mutant::change::{Change, Edit, kebab};
use crate::mutant::reach::Reach;
use crate::mutant::syntax::{Kind, Source, Statement};

/// What a plain statement does.
#[derive(Clone, Copy, Debug)]
pub(super) struct What<'a> {
    /// The function called, or what is set.
    pub(super) name: &'a [u8],
    sets: bool,
}

impl<'a> What<'a> {
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

/// Returns the changes that leave something of a statement out.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    match site.statement.kind {
        Kind::Expression => {
            changes.push(statement(site));
            changes.extend(both_ends(site));
        }
        Kind::Guard => changes.push(lock(site, ";")),
        Kind::ScopedGuard => changes.push(lock(site, "")),
        _ => {}
    }
    if site.reach == Reach::Changed {
        changes.extend(warnings(site));
    }
    changes
}

/// Leaves a plain statement out.
fn statement(site: &Site<'_>) -> Change {
    let what = What::of(site.source, site.statement);
    let text = quote(site.source.text_of(&site.statement.own));
    let name = kebab(what.name);
    let (operator, title) = match what.sets {
        true => (format!("drop-set-{name}"), format!("{text} is left out")),
        false if is_reference(what.name) => (
            format!("drop-{name}"),
            format!("{text}, which counts a user, is left out"),
        ),
        false => (
            format!("drop-{name}"),
            format!("the call {text} is left out"),
        ),
    };
    Change {
        operator,
        title,
        line: site.line(site.statement.own.start),
        edits: vec![Edit::new(site.source.place(&site.statement.own), ";")],
    }
}

/// Leaves a lock out that is held for a block.
fn lock(site: &Site<'_>, instead: &str) -> Change {
    let source = site.source;
    let own = &site.statement.own;
    Change {
        operator: format!("drop-{}", kebab(source.text(own.start))),
        title: format!("the lock {} is left out", quote(source.text_of(own))),
        line: site.line(own.start),
        edits: vec![Edit::new(source.place(own), instead)],
    }
}

/// Leaves both out, the call that takes a lock and those that give it back.
fn both_ends(site: &Site<'_>) -> Option<Change> {
    let held = site.held?;
    let own = &site.statement.own;
    let indexes = std::iter::once(&held.taken).chain(&held.given_back);
    let place = |&index: &usize| site.source.place(&site.function.statements[index].own);
    Some(Change {
        operator: format!("drop-both-{}", kebab(site.source.text(own.start))),
        title: format!(
            "the lock {} is neither taken nor given back",
            quote(site.source.text_of(own))
        ),
        line: site.line(own.start),
        edits: indexes.map(|index| Edit::new(place(index), ";")).collect(),
    })
}

/// Strips warnings off the conditions that they warn of.
fn warnings(site: &Site<'_>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    // A statement that only warns is left out as a whole.
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
            title: format!("{} does not warn", quote(source.text_of(&all))),
            line: site.line(at),
            edits: vec![Edit::new(
                source.place(&all),
                source.text_of(&(at + 1..close + 1)),
            )],
        });
    }
    changes
}

/// Returns whether a function of this name takes a reference or gives one back.
pub(super) fn is_reference(name: &[u8]) -> bool {
    let words: Vec<&[u8]> = name.split(|&byte| byte == b'_').collect();
    let counts = |word: &&[u8]| matches!(*word, b"get" | b"put" | b"kref" | b"refcount");
    words.iter().any(counts)
}
