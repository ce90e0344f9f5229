// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators of jumps: error paths that skip steps or run too many, and loops that are left
//! or continued by mistake.

use super::change::{Change, Edit, kebab};
use super::site::{Site, quote};
use super::syntax::{Kind, Statement};

/// Returns the changes of a `goto`, `break` or `continue`.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    if site.statement.kind != Kind::Jump || !site.function.is_searchable() {
        return Vec::new();
    }
    match site.source.text(own.start) {
        b"goto" if own.len() == 3 => goto_changes(site),
        b"break" => Vec::from_iter(break_to_continue(site)),
        b"continue" => Vec::from_iter(continue_to_break(site)),
        _ => Vec::new(),
    }
}

fn goto_changes(site: &Site<'_>) -> Vec<Change> {
    let mut changes = Vec::from_iter(delete(site));
    let wanted = site.source.text(site.statement.own.start + 1);
    let targets = labels_after(site);
    // A jump backwards may become an endless loop.
    let Some(&(_, target)) = targets.iter().find(|(name, _)| *name == wanted) else {
        return changes;
    };
    changes.extend(earlier_label(site, target));
    changes.extend(later_label(site, target));
    changes.extend(return_at_once(site, target));
    let words = site.source.body(site.function);
    let is_jump =
        |at: &usize| site.source.text(*at) == wanted && site.source.text(at - 1) == b"goto";
    let is_only_jump = words.filter(is_jump).count() == 1;
    if is_only_jump {
        // The compiler warns about a label that is not used.
        let label = site.source.place(&site.function.statements[target].own);
        for change in &mut changes {
            change.edits.push(Edit::new(label.clone(), ""));
        }
    }
    changes
}

/// Returns the name and index of each label behind the statement.
fn labels_after<'a>(site: &Site<'a>) -> Vec<(&'a [u8], usize)> {
    let statements = site.function.statements.iter().enumerate();
    let labels = statements.skip(site.index + 1).filter(|(_, one)| {
        one.kind == Kind::Label
            && one.own.len() == 2
            && site.source.text(one.own.start) != b"default"
    });
    labels
        .map(|(index, one)| (site.source.text(one.own.start), index))
        .collect()
}

/// The statements of a block from a label up to another label or a `return`.
struct Steps<'a> {
    steps: Vec<&'a Statement>,
    /// Whether it is possible to jump over a declaration without running its initialiser.
    declares: bool,
}

impl<'a> Steps<'a> {
    fn between(site: &Site<'a>, from: usize, to: usize) -> Self {
        let statements = &site.function.statements;
        let parent = statements[from].parent;
        let inside = statements[from..to].iter();
        let steps: Vec<&Statement> = inside
            .filter(|one| one.parent == parent && !matches!(one.kind, Kind::Label | Kind::Empty))
            .collect();
        let declares = |one: &&Statement| matches!(one.kind, Kind::Declaration | Kind::Guard);
        Self {
            declares: steps.iter().any(declares),
            steps,
        }
    }

    fn are_usable(&self) -> bool {
        !self.steps.is_empty() && !self.declares
    }

    /// Returns whether control flow reaches the end of the steps.
    fn fall_through(&self) -> bool {
        let leaves = |one: &&Statement| matches!(one.kind, Kind::Return | Kind::Jump);
        !self.steps.iter().any(leaves)
    }

    fn quote(&self, site: &Site<'_>) -> String {
        let texts = self.steps.iter().map(|one| site.source.text_of(&one.whole));
        quote(&texts.collect::<Vec<_>>().join(&b' '))
    }
}

/// Jumps to the next label, so that the steps before it are skipped.
fn later_label(site: &Site<'_>, target: usize) -> Option<Change> {
    let later = labels_in_block_of(site, target).find(|&label| label > target)?;
    let steps = Steps::between(site, target, later);
    steps
        .are_usable()
        .then(|| jump_to(site, later, &steps, "skip"))
}

/// Jumps to the label before, so that steps are run for an object that does not exist yet.
fn earlier_label(site: &Site<'_>, target: usize) -> Option<Change> {
    let earlier = labels_in_block_of(site, target).filter(|&label| label < target);
    let earlier = earlier.last()?;
    let steps = Steps::between(site, earlier, target);
    steps
        .are_usable()
        .then(|| jump_to(site, earlier, &steps, "also run"))
}

/// Returns the labels behind the jump that have steps of their own and are in the same block as
/// `target`. Adjacent labels are the same place.
fn labels_in_block_of(site: &Site<'_>, target: usize) -> impl Iterator<Item = usize> {
    let parent = site.function.statements[target].parent;
    let labels = labels_after(site).into_iter().map(|(_, label)| label);
    let in_block = labels.filter(move |&label| site.function.statements[label].parent == parent);
    in_block.filter(move |&label| {
        let (first, last) = (label.min(target), label.max(target));
        !Steps::between(site, first, last).steps.is_empty()
    })
}

fn jump_to(site: &Site<'_>, label: usize, steps: &Steps<'_>, effect: &str) -> Change {
    let source = site.source;
    let name = site.statement.own.start + 1;
    let other = source.text(site.function.statements[label].own.start);
    let (old, new) = (lossy(source.text(name)), lossy(other));
    let mut title = format!("jump to `{new}` instead of `{old}`");
    if steps.fall_through() {
        title += &format!(": {effect} {}", steps.quote(site));
    }
    let operator = format!("goto-{}", kebab(other));
    site.change(name, operator, title, &(name..name + 1), other)
}

/// Replaces the jump by the `return` at the end of its error path.
fn return_at_once(site: &Site<'_>, target: usize) -> Option<Change> {
    let (source, statements) = (site.source, &site.function.statements);
    let block = statements[target].parent;
    let in_block = |&index: &usize| statements[index].parent == block;
    let end = site.function.end_of_path(target);
    let text = match statements.get(end) {
        Some(one) if one.kind == Kind::Return => source.text_of(&one.own),
        None if block.is_none() && source.returns_void(site.function) => b"return;",
        _ => return None,
    };
    let passed = Steps::between(site, target, end);
    // The value may be declared between the jump and the label.
    let is_known = |&index: &usize| statements[index].kind != Kind::Declaration;
    let is_in_scope = (site.index..target)
        .filter(in_block)
        .all(|at| is_known(&at));
    if !passed.are_usable() || !is_in_scope {
        return None;
    }
    let own = &site.statement.own;
    let label = source.text(own.start + 1);
    let title = format!(
        "return without unwinding: replace {} by {}, skip {}",
        site.quote(own),
        quote(text),
        passed.quote(site)
    );
    let operator = format!("skip-{}", kebab(label));
    Some(site.change(own.start, operator, title, own, text))
}

/// Deletes a jump at the end of a branch with other statements. A branch that only jumps is
/// covered by the operators of conditions.
fn delete(site: &Site<'_>) -> Option<Change> {
    let own = &site.statement.own;
    let statements = &site.function.statements;
    let block = &statements[site.statement.parent?];
    let branch = &statements[block.parent?];
    if block.kind != Kind::Block || branch.kind != Kind::If || site.statement.before.is_none() {
        return None;
    }
    let label = kebab(site.source.text(own.start + 1));
    let title = format!("do not leave: delete jump {}", site.quote(own));
    Some(site.change(own.start, format!("drop-goto-{label}"), title, own, ";"))
}

/// Returns whether it is a loop. `do { } while (0)` is no loop, so `do` is left out.
fn is_loop(site: &Site<'_>, statement: &Statement) -> bool {
    let first = site.source.text(statement.own.start);
    let is_macro = first.windows(8).any(|part| part == b"for_each");
    statement.kind == Kind::Body && (is_macro || matches!(first, b"for" | b"while"))
}

/// Returns whether `break` leaves it; `scoped_guard` is a loop in disguise.
fn is_left_by_break(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::Body | Kind::ScopedGuard)
}

fn break_to_continue(site: &Site<'_>) -> Option<Change> {
    let around = site.around(is_left_by_break)?;
    // Without `break`, `for (;;)` and `while (1)` never end.
    let is_endless = matches!(
        site.source.text_of(&around.own),
        b"for (;;)" | b"while (1)" | b"while (true)"
    );
    let title = format!(
        "go on with {} instead of leaving it",
        site.quote(&around.own)
    );
    let is_usable = is_loop(site, around) && !is_endless;
    is_usable.then(|| replace_word(site, "break-to-continue", &title, "continue"))
}

fn continue_to_break(site: &Site<'_>) -> Option<Change> {
    let around = site.around(is_left_by_break)?;
    let title = format!(
        "leave {} instead of going on with it",
        site.quote(&around.own)
    );
    is_loop(site, around).then(|| replace_word(site, "continue-to-break", &title, "break"))
}

fn replace_word(site: &Site<'_>, operator: &str, title: &str, word: &str) -> Change {
    let at = site.statement.own.start;
    site.change(at, operator, title, &(at..at + 1), word)
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
