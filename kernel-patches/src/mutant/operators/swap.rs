// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operator that swaps two statements.

use super::left_out::Effect;
use super::{Site, quote};
use crate::mutant::change::{Change, Edit, kebab};
use crate::mutant::syntax::{Kind, Statement};

/// Returns a swap of the statement and its predecessor. Two assignments are not swapped,
/// since their order is not observable while a lock is held.
pub(super) fn change(site: &Site<'_>) -> Option<Change> {
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
    let place = source.place(&(first.own.start..second.own.end));
    let between = source.between(first.own.end);
    let (first_text, second_text) = (source.text_of(&first.own), source.text_of(&second.own));
    let name = |statement| kebab(Effect::of(source, statement).name);
    Some(Change {
        operator: format!("swap-{}-{}", name(first), name(second)),
        title: format!("swap {} and {}", quote(first_text), quote(second_text)),
        line: site.line(first.own.start),
        edits: vec![Edit::new(
            place,
            [second_text, between, first_text].concat(),
        )],
    })
}
