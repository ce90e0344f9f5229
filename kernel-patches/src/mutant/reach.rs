// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the statements of a function that are near lines that a series changed: the
//! changed statements, the conditions around them, and the locks held for them.

use std::collections::HashMap;
use std::ops::Range;

use super::syntax::{Function, Kind, Source, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Far,
    /// The innermost condition around a changed statement, or a lock held for it.
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
        let mut is_nearest = true;
        let mut around = statements[index].parent;
        while let Some(outer) = around {
            let kind = statements[outer].kind;
            if kind == Kind::ScopedGuard || (kind == Kind::If && is_nearest) {
                reaches[outer] = reaches[outer].max(Reach::Around);
            }
            is_nearest &= kind != Kind::If;
            around = statements[outer].parent;
        }
    }
    for index in locks_around(function, held, &changed) {
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
