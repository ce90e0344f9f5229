// SPDX-License-Identifier: GPL-2.0-only
//! Two statements in the wrong order.

use super::left_out::What;
use super::{Site, quote};
use crate::mutant::change::{Change, Edit, kebab};
use crate::mutant::syntax::{Kind, Statement};

/// Returns the statement swapped with the one before it; one of them is a call, since
/// nobody can tell two assignments apart while a lock is held.
pub(super) fn change(site: &Site<'_>) -> Option<Change> {
    let second = site.statement;
    let first = &site.function.statements[second.before?];
    let source = site.source;
    let calls = |one: &Statement| one.own.clone().any(|at| source.text(at) == b"(");
    let is_plain = |one: &Statement| one.kind == Kind::Expression || one.kind == Kind::Guard;
    if !is_plain(first) || !is_plain(second) || !(calls(first) || calls(second)) {
        return None;
    }
    let place = source.place(&(first.own.start..second.own.end));
    let between = source.between(first.own.end);
    let (one_text, other_text) = (source.text_of(&first.own), source.text_of(&second.own));
    let name = |one| kebab(What::of(source, one).name);
    Some(Change {
        operator: format!("swap-{}-{}", name(first), name(second)),
        title: format!("{} and {} are swapped", quote(one_text), quote(other_text)),
        line: site.line(first.own.start),
        edits: vec![Edit::new(place, [other_text, between, one_text].concat())],
    })
}
