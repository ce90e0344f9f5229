// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the statements of a function that are near lines that a series changed: the
//! changed statements, the conditions and loops around them, the locks held for them, and the
//! jumps to them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::syntax::{Function, Kind, Source, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Far,
    /// The innermost condition or loop around a changed statement, a lock held for it, or a jump
    /// to a label with a changed statement on its path.
    Around,
    /// The series changed it or the head of its function.
    Changed,
}

/// Returns the distance of each statement from lines with `is_changed`. If the head of the
/// function is changed, all its statements are.
pub(super) fn reaches(
    source: &Source<'_>,
    function: &Function,
    held: &[Held],
    is_changed: &dyn Fn(usize) -> bool,
) -> Vec<Reach> {
    let has_changed = |tokens: &Range<usize>| {
        let mut tokens = source.tokens[tokens.clone()].iter();
        tokens.any(|token| is_changed(token.line))
    };
    let is_whole = has_changed(&function.head);
    let statements = &function.statements;
    let (mut reaches, mut changed) = (vec![Reach::Far; statements.len()], Vec::new());
    for (index, statement) in statements.iter().enumerate() {
        if is_whole || has_changed(&statement.own) {
            reaches[index] = Reach::Changed;
            changed.push(index);
        }
    }
    for &index in &changed {
        let (mut is_nearest, mut is_innermost) = (true, true);
        let mut around = statements[index].parent;
        while let Some(outer) = around {
            let kind = statements[outer].kind;
            let is_around = match kind {
                Kind::ScopedGuard => true,
                Kind::If => std::mem::take(&mut is_nearest),
                Kind::Body => std::mem::take(&mut is_innermost),
                _ => false,
            };
            if is_around {
                reaches[outer] = reaches[outer].max(Reach::Around);
            }
            around = statements[outer].parent;
        }
    }
    let locks = locks_around(function, held, &changed);
    for index in locks
        .into_iter()
        .chain(jumps_to(source, function, &changed))
    {
        reaches[index] = reaches[index].max(Reach::Around);
    }
    reaches
}

/// Returns the statements that acquire or release a lock held for a changed statement.
fn locks_around(function: &Function, held: &[Held], changed: &[usize]) -> Vec<usize> {
    // A statement comes before all later statements of its function.
    let before = 0..changed.last().copied().unwrap_or_default();
    let is_guard = |index: &usize| function.statements[*index].kind == Kind::Guard;
    let mut found: Vec<usize> = before.filter(is_guard).collect();
    for held in held {
        let end = held.released.last().copied().unwrap_or(held.acquired);
        let next = changed.partition_point(|&index| index < held.acquired);
        if changed.get(next).is_some_and(|&index| index <= end) {
            found.push(held.acquired);
            found.extend(&held.released);
        }
    }
    found
}

/// Returns the jumps to a label with a changed statement between it and the end of its path.
fn jumps_to(source: &Source<'_>, function: &Function, changed: &[usize]) -> Vec<usize> {
    let statements = &function.statements;
    if !function.is_searchable() {
        return Vec::new();
    }
    let name = |index: usize, at: usize| source.text(statements[index].own.start + at);
    let leads_to_changed = |&label: &usize| {
        let next = changed.partition_point(|&index| index < label);
        let end = function.end_of_path(label);
        changed.get(next).is_some_and(|&index| index <= end)
    };
    let of_kind = |kind| (0..statements.len()).filter(move |&at| statements[at].kind == kind);
    let labels = of_kind(Kind::Label).filter(leads_to_changed);
    let labels: HashSet<&[u8]> = labels.map(|label| name(label, 0)).collect();
    let is_goto = |&index: &usize| name(index, 0) == b"goto" && labels.contains(name(index, 1));
    of_kind(Kind::Jump).filter(is_goto).collect()
}

/// Number of release calls considered for a lock.
const UNLOCKS_MAX: usize = 32;

/// A call that acquires a lock, and the later calls that release it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) acquired: usize,
    pub(super) released: Vec<usize>,
}

/// Pairs calls that acquire and release a lock by their argument.
pub(super) fn held(source: &Source<'_>, function: &Function) -> Vec<Held> {
    let call = |(index, statement): (usize, &Statement)| {
        let (name, open) = (statement.own.start, statement.own.start + 1);
        let close = source.closing(open)?;
        let is_all = close + 2 == statement.own.end && source.text(open) == b"(";
        let argument = source.text_of(&(open..close + 1));
        (statement.kind == Kind::Expression && is_all).then(|| (index, source.text(name), argument))
    };
    let calls = function.statements.iter().enumerate().filter_map(call);
    let calls: Vec<(usize, &[u8], &[u8])> = calls.collect();
    let mut unlocks: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, _, argument) in calls.iter().filter(|(_, name, _)| is_unlock(name)) {
        unlocks.entry(argument).or_default().push(*index);
    }
    let mut held = Vec::new();
    for &(acquired, _, argument) in calls.iter().filter(|(_, name, _)| is_lock(name)) {
        let all = unlocks.get(argument).map_or(&[][..], Vec::as_slice);
        let later = &all[all.partition_point(|&index| index < acquired)..];
        let released: Vec<usize> = later.iter().take(UNLOCKS_MAX).copied().collect();
        if !released.is_empty() {
            held.push(Held { acquired, released });
        }
    }
    held
}

pub(super) fn is_lock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    let takes = words.any(|word| matches!(word, b"lock" | b"down"));
    takes && !is_unlock(name) && !name.ends_with(b"_init") && !name.starts_with(b"lockdep")
}

pub(super) fn is_unlock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    words.any(|word| matches!(word, b"unlock" | b"up"))
}
