// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mutation operators: changes of statements that a series changed, and of the locks,
//! conditions, loops and jumps around them. This module deletes, negates and swaps; the other operators
//! are in modules of their own.

use std::ops::Range;

use super::change::{Change, Edit, kebab};
use super::reach::{Reach, held, reaches};
use super::references::is_reference;
use super::site::{Site, quote};
use super::syntax::{Function, Kind, Source, Statement};
use super::{jumps, locks, loops, references, replacements};
use crate::lexer::Kind as TokenKind;

/// Returns all changes of a function near lines with `is_changed`, in source order.
pub(super) fn changes(
    source: &Source<'_>,
    function: &Function,
    is_changed: &dyn Fn(usize) -> bool,
) -> Vec<Change> {
    let held = held(source, function);
    let reaches = reaches(source, function, &held, is_changed);
    let mut changes = Vec::new();
    for (index, statement) in function.statements.iter().enumerate() {
        let held_at = held.binary_search_by_key(&index, |held| held.acquired);
        let site = Site {
            source,
            function,
            statement,
            index,
            reach: reaches[index],
            held: held_at.ok().map(|at| &held[at]),
        };
        let before = statement.before.map(|before| reaches[before]);
        if before.max(Some(site.reach)) == Some(Reach::Changed) {
            changes.extend(swap(&site));
        }
        if site.reach == Reach::Far {
            continue;
        }
        changes.extend(deletions(&site));
        if statement.kind == Kind::If {
            changes.extend(conditions(&site));
        }
        if site.reach == Reach::Changed {
            changes.extend(values(&site));
            changes.extend(references::in_value(&site));
        }
        changes.extend(jumps::changes(&site));
        changes.extend(loops::changes(&site));
        changes.extend(locks::changes(&site));
        changes.extend(replacements::changes(&site));
    }
    changes
}

/// Returns the called function or the assigned variable of an expression statement, and
/// whether it is an assignment.
fn effect<'a>(source: &Source<'a>, statement: &Statement) -> (&'a [u8], bool) {
    let Range { start, end } = statement.own;
    let mut name: &[u8] = b"";
    let mut at = start;
    while at < end {
        match source.text(at) {
            b"(" if at > start && source.is_word(at - 1) => return (name, false),
            b"=" | b"+=" | b"-=" | b"*=" | b"/=" | b"%=" | b"|=" | b"&=" | b"^=" | b"<<="
            | b">>=" => break,
            b"[" => at = source.closing(at).unwrap_or(at),
            text if source.is_word(at) => name = text,
            _ => {}
        }
        at += 1;
    }
    (name, true)
}

fn deletions(site: &Site<'_>) -> Vec<Change> {
    let mut changes = match site.statement.kind {
        Kind::Expression => vec![delete_statement(site)],
        Kind::Guard => vec![delete_guard(site, ";")],
        Kind::ScopedGuard => vec![delete_guard(site, "")],
        _ => Vec::new(),
    };
    changes.extend(delete_lock_and_unlocks(site));
    if site.reach == Reach::Changed {
        changes.extend(strip_warnings(site));
    }
    changes
}

fn delete_statement(site: &Site<'_>) -> Change {
    let (name, is_assignment) = effect(site.source, site.statement);
    let own = &site.statement.own;
    let (operator, kind) = match is_assignment {
        true => ("drop-set", "assignment"),
        false if is_reference(name) => ("drop", "reference count change"),
        false => ("drop", "call"),
    };
    let operator = format!("{operator}-{}", kebab(name));
    let title = format!("delete {kind} {}", site.quote(own));
    site.change(own.start, operator, title, own, ";")
}

fn delete_guard(site: &Site<'_>, instead: &str) -> Change {
    let own = &site.statement.own;
    let operator = format!("drop-{}", kebab(site.source.text(own.start)));
    let title = format!("delete lock {}", site.quote(own));
    site.change(own.start, operator, title, own, instead)
}

/// Deletes the call that acquires a lock and the calls that release it.
fn delete_lock_and_unlocks(site: &Site<'_>) -> Option<Change> {
    let held = site.held?;
    let own = &site.statement.own;
    let operator = format!("drop-both-{}", kebab(site.source.text(own.start)));
    let title = format!("delete lock {} and its unlocks", site.quote(own));
    let mut change = site.change(own.start, operator, title, own, ";");
    let released = held.released.iter().map(|&index| {
        let unlock = &site.function.statements[index];
        Edit::new(site.source.place(&unlock.own), ";")
    });
    change.edits.extend(released);
    Some(change)
}

/// Replaces `WARN_ON(condition)` by `(condition)`.
fn strip_warnings(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    // `delete_statement` deletes a statement that only warns.
    let first = own.start + usize::from(site.statement.kind == Kind::Expression);
    let is_warning = |name: &[u8]| matches!(name, b"WARN_ON" | b"WARN_ON_ONCE");
    let strip = |(name, call): (&[u8], Range<usize>)| {
        let condition = site.source.text_of(&(call.start + 1..call.end));
        let operator = format!("strip-{}", kebab(name));
        let title = format!("remove warning of {}", site.quote(&call));
        site.change(call.start, operator, title, &call, condition)
    };
    let warnings = site.calls(first..own.end, is_warning);
    warnings.map(strip).collect()
}

fn conditions(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    // The tokens between the parentheses.
    let inner = own.start + 2..own.end.saturating_sub(1);
    if inner.is_empty() {
        return Vec::new();
    }
    let text = site.source.text_of(&inner);
    let quoted = quote(text);
    let change = |operator: &str, title: String, before: &str, after: &str| {
        let text = [before.as_bytes(), text, after.as_bytes()].concat();
        site.change(own.start, operator, title, &inner, text)
    };
    let leaves = leaves(site);
    let never = match leaves {
        true => format!("never exit if {quoted}"),
        false => format!("make condition {quoted} always false"),
    };
    let mut changes = vec![
        change("negate", format!("negate condition {quoted}"), "!(", ")"),
        // `(c) && 0` keeps the side effects of `c`.
        change("never", never, "(", ") && 0"),
    ];
    if !leaves && site.reach == Reach::Changed {
        let title = format!("make condition {quoted} always true");
        changes.push(change("always", title, "(", ") || 1"));
    }
    changes.extend(references::in_condition(site, inner));
    changes
}

/// Returns whether the last statement of the `if` branch is a `return` or a jump.
fn leaves(site: &Site<'_>) -> bool {
    let statements = &site.function.statements;
    let then = site.index + 1;
    let Some(first) = statements.get(then) else {
        return false;
    };
    let inside = statements[then..].iter();
    let inside = inside.take_while(|one| one.whole.start < first.whole.end);
    let last = inside.filter(|one| first.kind != Kind::Block || one.parent == Some(then));
    let last = last.last();
    last.is_some_and(|one| matches!(one.kind, Kind::Return | Kind::Jump))
}

const REPLACEMENTS: [(&[u8], &str, &str); 12] = [
    (b"==", "compare", "!="),
    (b"!=", "compare", "=="),
    (b"<", "compare", "<="),
    (b"<=", "compare", "<"),
    (b">", "compare", ">="),
    (b">=", "compare", ">"),
    (b"&&", "compare", "||"),
    (b"||", "compare", "&&"),
    (b"0", "constant", "1"),
    (b"1", "constant", "0"),
    (b"true", "constant", "false"),
    (b"false", "constant", "true"),
];

/// Returns the changes of values and comparisons in a statement's own part.
fn values(site: &Site<'_>) -> Vec<Change> {
    match site.statement.kind {
        Kind::Return => return_values(site),
        Kind::If | Kind::Expression => within(site, site.statement.own.clone(), ""),
        Kind::Declaration => initialisers(site),
        _ => Vec::new(),
    }
}

fn return_values(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    let value = own.start + 1..own.end - 1;
    if value.is_empty() {
        return Vec::new();
    }
    let source = site.source;
    let text = source.text_of(&value);
    let is_errno = value.len() == 2
        && source.text(value.start) == b"-"
        && source.text(value.start + 1).first() == Some(&b'E');
    let others: &[&str] = match text {
        b"0" => &["-EINVAL"],
        b"true" => &["false"],
        b"false" => &["true"],
        b"NULL" => &[],
        b"-EINVAL" => &["0", "-EIO"],
        _ if is_errno => &["0", "-EINVAL"],
        _ => &["0"],
    };
    let change = |other: &&str| {
        let operator = format!("return-{}", other.trim_start_matches('-').to_lowercase());
        let title = format!("return {other} instead of {}", quote(text));
        site.change(own.start, operator, title, &value, *other)
    };
    let mut changes: Vec<Change> = others.iter().map(change).collect();
    if value.len() > 2 {
        changes.extend(within(site, value, ""));
    }
    changes
}

/// Returns the changes of the initialisers of local variables.
fn initialisers(site: &Site<'_>) -> Vec<Change> {
    let source = site.source;
    let own = &site.statement.own;
    // The initialiser of a static variable must be constant.
    if matches!(source.text(own.start), b"static" | b"extern" | b"typedef") {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for part in source.split(own.start..own.end - 1, b",") {
        let set = source
            .outermost(part.clone())
            .find(|&at| source.text(at) == b"=");
        let Some(set) = set else {
            continue;
        };
        let value = set + 1..part.end;
        let has_braces = value.clone().any(|at| source.text(at) == b"{");
        let is_pointer = (part.start..set).any(|at| source.text(at) == b"*");
        let is_null = is_pointer && value.len() == 1;
        if !has_braces && !is_null {
            changes.extend(within(site, value, "init-"));
        }
    }
    changes
}

/// Returns the changes of comparisons and constants in `tokens`.
fn within(site: &Site<'_>, tokens: Range<usize>, prefix: &str) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    for at in tokens {
        let text = source.text(at);
        let shown = String::from_utf8_lossy(text);
        let replacement = REPLACEMENTS.iter().find(|(old, ..)| *old == text);
        let (operator, other) = match replacement {
            Some((_, operator, other)) => (*operator, (*other).to_owned()),
            None if source.tokens[at].kind == TokenKind::Number => {
                ("constant", format!("({shown} + 1)"))
            }
            None => continue,
        };
        let statement = site.quote(&site.statement.own);
        let title = format!("replace `{shown}` by `{other}` in {statement}");
        changes.push(site.change(
            at,
            format!("{prefix}{operator}"),
            title,
            &(at..at + 1),
            other,
        ));
    }
    changes
}

/// Returns a swap of the statement and its predecessor. Two assignments are not swapped,
/// since their order is not observable while a lock is held.
fn swap(site: &Site<'_>) -> Option<Change> {
    let second = site.statement;
    let first = &site.function.statements[second.before?];
    let source = site.source;
    let calls = |statement: &Statement| statement.own.clone().any(|at| source.text(at) == b"(");
    let is_plain = |statement: &Statement| matches!(statement.kind, Kind::Expression | Kind::Guard);
    if !is_plain(first) || !is_plain(second) || !(calls(first) || calls(second)) {
        return None;
    }
    let between = source.between(first.own.end);
    let (first_text, second_text) = (source.text_of(&first.own), source.text_of(&second.own));
    let name = |statement| kebab(effect(source, statement).0);
    Some(site.change(
        first.own.start,
        format!("swap-{}-{}", name(first), name(second)),
        format!("swap {} and {}", quote(first_text), quote(second_text)),
        &(first.own.start..second.own.end),
        [second_text, between, first_text].concat(),
    ))
}
