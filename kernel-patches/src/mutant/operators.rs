// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mutation operators: changes of statements that a series changed, and of the locks
//! and conditions around them.

use std::ops::Range;

use super::change::{Change, Edit, kebab};
use super::reach::{Held, Reach, held, reaches};
use super::syntax::{Function, Kind, Source, Statement};
use crate::error::cut;
use crate::lexer::Kind as TokenKind;

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
    fn quote(&self, tokens: &Range<usize>) -> String {
        quote(self.source.text_of(tokens))
    }

    /// Returns the tokens of the calls in `tokens` whose functions have a matching name.
    fn calls(
        &self,
        tokens: Range<usize>,
        is_match: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = (&[u8], Range<usize>)> {
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
    fn change(
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
}

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
        }
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

fn is_reference(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    words.any(|word| matches!(word, b"get" | b"put" | b"kref" | b"refcount"))
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
    changes.extend(references(site, inner));
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

/// Deletes calls that change a reference count from a condition.
fn references(site: &Site<'_>, inner: Range<usize>) -> Vec<Change> {
    let delete = |(name, call): (&[u8], Range<usize>)| {
        let is_put = name.windows(3).any(|part| part == b"put" || part == b"dec");
        // `put` returns true for the last reference, `get` on success.
        let value = if is_put { "0" } else { "1" };
        let quoted = site.quote(&call);
        let title = format!("replace reference count change {quoted} by {value}");
        let operator = format!("drop-{}", kebab(name));
        site.change(call.start, operator, title, &call, value)
    };
    site.calls(inner, is_reference).map(delete).collect()
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
        Kind::If | Kind::Expression => within(site, site.statement.own.clone()),
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
        changes.extend(within(site, value));
    }
    changes
}

fn within(site: &Site<'_>, tokens: Range<usize>) -> Vec<Change> {
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
        changes.push(site.change(at, operator, title, &(at..at + 1), other));
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

/// Returns source text in one line and in backquotes, cut after 60 characters.
fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    format!("`{}`", cut(&words.join(" "), 60))
}
