// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators of loop heads: rounds too many or too few. Heads that are macros, such as
//! `list_for_each_entry_safe`, are replaced by the module `replacements`.

use std::ops::Range;

use super::change::Change;
use super::site::{Site, quote};
use super::syntax::Kind;

/// Comparisons in the condition of a loop, and the effect of the replacement.
const BOUNDS: [(&[u8], &str, &str, &str); 4] = [
    (b"<", "<=", "loop-more", "run one round too many"),
    (b"<=", "<", "loop-less", "leave out the last round"),
    (b">", ">=", "loop-more", "run one round too many"),
    (b">=", ">", "loop-less", "leave out the last round"),
];

/// Returns the changes of the head of a loop.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    if site.statement.kind != Kind::Body {
        return Vec::new();
    }
    let inside = own.start + 2..own.end.saturating_sub(1);
    match site.source.text(own.start) {
        b"for" => {
            let parts = site.source.split(inside, b";");
            let [start, condition, _] = parts.as_slice() else {
                return Vec::new();
            };
            let mut changes = Vec::from_iter(first_round(site, start));
            changes.extend(bounds(site, own, condition));
            changes
        }
        b"while" => {
            let mut changes = bounds(site, own, &inside);
            changes.extend(last_round(site, &inside));
            changes
        }
        b"do" => {
            let Some(body) = site.function.statements.get(site.index + 1) else {
                return Vec::new();
            };
            let tail = body.whole.end..site.statement.whole.end;
            // `while`, `(`, the condition, `)` and `;`.
            bounds(site, &tail, &(tail.start + 2..tail.end.saturating_sub(2)))
        }
        _ => Vec::new(),
    }
}

fn bounds(site: &Site<'_>, head: &Range<usize>, condition: &Range<usize>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    for at in source.outermost(condition.clone()) {
        let text = source.text(at);
        let Some((_, other, operator, effect)) = BOUNDS.iter().find(|(old, ..)| *old == text)
        else {
            continue;
        };
        let title = format!(
            "{effect}: replace `{}` by `{other}` in {}",
            String::from_utf8_lossy(text),
            site.quote(head)
        );
        changes.push(site.change(at, *operator, title, &(at..at + 1), *other));
    }
    changes
}

/// Changes the start value: `i = 0` to `i = 1`, and `i = n - 1` to `i = n`. With several start
/// values, it is unknown which of them counts the rounds.
fn first_round(site: &Site<'_>, start: &Range<usize>) -> Option<Change> {
    let source = site.source;
    let last = start.end.checked_sub(1).filter(|_| start.len() >= 3)?;
    if source.split(start.clone(), b",").len() > 1 {
        return None;
    }
    let is_operand = |at: usize| source.is_word(at) || matches!(source.text(at), b")" | b"]");
    let (text, effect) = match (source.text(last - 1), source.text(last)) {
        (b"=", b"0") => ("1", "leave out the first round"),
        (b"=", b"1") => ("0", "run one round too many"),
        (b"-", b"1") if is_operand(last - 2) => ("", "start one too high"),
        _ => return None,
    };
    let (tokens, text) = match text {
        "" => (last - 2..last + 1, source.text(last - 2)),
        _ => (last..last + 1, text.as_bytes()),
    };
    let kept = source.place(start).start..source.place(&tokens).start;
    let new = [&source.bytes[kept], text].concat();
    let (old, head) = (site.quote(start), site.quote(&site.statement.own));
    let title = format!("{effect}: replace {old} by {} in {head}", quote(&new));
    Some(site.change(last, "loop-start", title, &tokens, text))
}

/// Changes `while (n--)` to `while (--n)`, which leaves out the round of 0.
fn last_round(site: &Site<'_>, condition: &Range<usize>) -> Option<Change> {
    let source = site.source;
    let last = condition.end.checked_sub(1)?;
    let variable = condition.start..last;
    let is_part = |at: usize| source.is_word(at) || matches!(source.text(at), b"->" | b".");
    if source.text(last) != b"--" || variable.is_empty() || !variable.clone().all(is_part) {
        return None;
    }
    let text = [b"--", source.text_of(&variable)].concat();
    let title = format!(
        "leave out the round of 0: replace {} by {} in {}",
        site.quote(condition),
        quote(&text),
        site.quote(&site.statement.own)
    );
    Some(site.change(condition.start, "loop-last", title, condition, text))
}
