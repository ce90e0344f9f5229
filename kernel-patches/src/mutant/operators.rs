// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mutation operators: changes of statements that a series changed, and of the locks
//! and conditions around them.

use std::ops::Range;

use super::change::{Change, Edit, kebab};
use super::reach::{Held, Reach, held, reaches};
use super::syntax::{Function, Kind, Source, Statement};
use crate::lexer::Kind as TokenKind;

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
            line: self.line(at),
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

/// The effect of an expression statement.
#[derive(Clone, Copy, Debug)]
struct Effect<'a> {
    /// The called function or the assigned variable.
    name: &'a [u8],
    sets: bool,
}

impl<'a> Effect<'a> {
    fn of(source: &Source<'a>, statement: &Statement) -> Self {
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
fn deletions(site: &Site<'_>) -> Vec<Change> {
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
    let own = &site.statement.own;
    site.change(own.start, operator, title, own, ";")
}

/// Deletes a guard.
fn delete_guard(site: &Site<'_>, instead: &str) -> Change {
    let (source, own) = (site.source, &site.statement.own);
    let operator = format!("drop-{}", kebab(source.text(own.start)));
    let title = format!("delete lock {}", quote(source.text_of(own)));
    site.change(own.start, operator, title, own, instead)
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
        changes.push(site.change(
            at,
            format!("strip-{}", kebab(name)),
            format!("remove warning of {}", quote(source.text_of(&all))),
            &all,
            source.text_of(&(at + 1..close + 1)),
        ));
    }
    changes
}

/// Returns whether a function with this name gets or puts a reference.
fn is_reference(name: &[u8]) -> bool {
    let words: Vec<&[u8]> = name.split(|&byte| byte == b'_').collect();
    let counts = |word: &&[u8]| matches!(*word, b"get" | b"put" | b"kref" | b"refcount");
    words.iter().any(counts)
}

/// Returns the changes of the condition of an `if`.
fn conditions(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    // The tokens between the parentheses.
    let inner = own.start + 2..own.end.saturating_sub(1);
    if inner.is_empty() {
        return Vec::new();
    }
    let source = site.source;
    let text = source.text_of(&inner);
    let quoted = quote(text);
    let change = |operator: &str, title: String, before: &str, after: &str| {
        let text = [before.as_bytes(), text, after.as_bytes()].concat();
        site.change(own.start, operator, title, &inner, text)
    };
    let title = format!("negate condition {quoted}");
    let mut changes = vec![change("negate", title, "!(", ")")];
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
        let call = at..close + 1;
        let quoted = quote(source.text_of(&call));
        let title = format!("replace reference count change {quoted} by {value}");
        changes.push(site.change(at, format!("drop-{}", kebab(name)), title, &call, value));
    }
    changes
}

/// Replacements of comparison and logical operators.
const REPLACEMENTS: [(&[u8], &str); 8] = [
    (b"==", "!="),
    (b"!=", "=="),
    (b"<", "<="),
    (b"<=", "<"),
    (b">", ">="),
    (b">=", ">"),
    (b"&&", "||"),
    (b"||", "&&"),
];

/// Returns the changes of values and comparisons in a statement's own part.
fn values(site: &Site<'_>) -> Vec<Change> {
    match site.statement.kind {
        Kind::Return => return_values(site),
        Kind::If | Kind::Expression => within(site, site.statement.own.clone()),
        _ => Vec::new(),
    }
}

/// Returns the changes of a return value.
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

/// Returns the changes of single tokens.
fn within(site: &Site<'_>, tokens: std::ops::Range<usize>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    for at in tokens {
        let text = source.text(at);
        let shown = String::from_utf8_lossy(text);
        let replacement = REPLACEMENTS.iter().find(|(old, _)| *old == text);
        let (operator, other) = match (replacement, source.tokens[at].kind, text) {
            (Some((_, other)), ..) => ("compare", (*other).to_owned()),
            (_, TokenKind::Number, b"0") => ("constant", "1".to_owned()),
            (_, TokenKind::Number, b"1") => ("constant", "0".to_owned()),
            (_, TokenKind::Number, _) => ("constant", format!("({shown} + 1)")),
            (_, TokenKind::Word, b"true") => ("constant", "false".to_owned()),
            (_, TokenKind::Word, b"false") => ("constant", "true".to_owned()),
            _ => continue,
        };
        let statement = quote(source.text_of(&site.statement.own));
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
    let calls = |statement: &Statement| {
        let mut tokens = statement.own.clone();
        tokens.any(|at| source.text(at) == b"(")
    };
    let is_plain = |statement: &Statement| matches!(statement.kind, Kind::Expression | Kind::Guard);
    if !is_plain(first) || !is_plain(second) || !(calls(first) || calls(second)) {
        return None;
    }
    let between = source.between(first.own.end);
    let (first_text, second_text) = (source.text_of(&first.own), source.text_of(&second.own));
    let name = |statement| kebab(Effect::of(source, statement).name);
    Some(site.change(
        first.own.start,
        format!("swap-{}-{}", name(first), name(second)),
        format!("swap {} and {}", quote(first_text), quote(second_text)),
        &(first.own.start..second.own.end),
        [second_text, between, first_text].concat(),
    ))
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
