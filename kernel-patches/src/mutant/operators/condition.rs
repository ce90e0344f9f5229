// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators that negate a condition or make it always true or false.

use std::ops::Range;

use super::left_out::is_reference;
use super::{Site, quote};
use crate::mutant::change::{Change, Edit, kebab};
use crate::mutant::reach::Reach;
use crate::mutant::syntax::Kind;

/// Returns the changes of the condition of an `if`.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    // The tokens between the parentheses.
    let inner = own.start + 2..own.end.saturating_sub(1);
    if inner.is_empty() {
        return Vec::new();
    }
    let source = site.source;
    let text = source.text_of(&inner);
    let quoted = quote(text);
    let change = |operator: &str, title: String, before: &str, after: &str| Change {
        operator: operator.to_owned(),
        title,
        line: site.line(own.start),
        edits: vec![Edit::new(
            source.place(&inner),
            [before.as_bytes(), text, after.as_bytes()].concat(),
        )],
    };
    let mut changes = vec![change(
        "negate",
        format!("negate condition {quoted}"),
        "!(",
        ")",
    )];
    let leaves = leaves(site);
    let title = match leaves {
        true => format!("never exit if {quoted}"),
        false => format!("make condition {quoted} always false"),
    };
    // `(c) && 0` keeps the side effects of `c`.
    changes.push(change("never", title, "(", ") && 0"));
    if !leaves && site.reach == Reach::Changed {
        let title = format!("make condition {quoted} always true");
        changes.push(change("always", title, "(", ") || 1"));
    }
    changes.extend(references(site, &inner));
    changes
}

/// Returns whether the last statement of the `if` branch is a `return` or a jump.
fn leaves(site: &Site<'_>) -> bool {
    let statements = &site.function.statements;
    let then = site.index + 1;
    let Some(first) = statements.get(then) else {
        return false;
    };
    let end = first.whole.end;
    let inside = statements.iter().skip(then);
    let last = inside
        .take_while(|one| one.whole.start < end)
        .filter(|one| first.kind != Kind::Block || one.parent == Some(then))
        .last();
    last.is_some_and(|one| matches!(one.kind, Kind::Return | Kind::Jump))
}

/// Deletes calls that change a reference count from a condition.
fn references(site: &Site<'_>, inner: &Range<usize>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    for at in inner.clone() {
        let name = source.text(at);
        if !source.is_word(at) || source.text(at + 1) != b"(" || !is_reference(name) {
            continue;
        }
        let Some(close) = source.closing(at + 1) else {
            continue;
        };
        let is_put = name.windows(3).any(|part| part == b"put" || part == b"dec");
        // `put` returns true for the last reference, `get` on success.
        let value = if is_put { "0" } else { "1" };
        changes.push(Change {
            operator: format!("drop-{}", kebab(name)),
            title: format!(
                "replace reference count change {} by {value}",
                quote(source.text_of(&(at..close + 1)))
            ),
            line: site.line(at),
            edits: vec![Edit::new(source.place(&(at..close + 1)), value)],
        });
    }
    changes
}
