// SPDX-License-Identifier: GPL-2.0-only
//! Which statements of a function belong to what a series changes.

use super::locks::Held;
use super::syntax::{Function, Kind, Source};

/// How near a statement is to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Not at all.
    Far,
    /// The nearest condition around it, or a lock held for it.
    Around,
    /// The series changed it, or made the function what it is.
    Changed,
}

/// Returns of each statement of a function how near it is to a change of the lines
/// for which `is_changed`. Where the head of a function was changed, all of it is.
pub(super) fn reaches(
    source: &Source<'_>,
    function: &Function,
    held: &[Held],
    is_changed: &dyn Fn(usize) -> bool,
) -> Vec<Reach> {
    let has_changed = |tokens: &std::ops::Range<usize>| {
        let mut tokens = source.tokens[tokens.clone()].iter();
        tokens.any(|token| is_changed(token.line))
    };
    let is_whole = has_changed(&function.head);
    let statements = &function.statements;
    let mut reaches: Vec<Reach> = statements
        .iter()
        .map(|one| match is_whole || has_changed(&one.own) {
            true => Reach::Changed,
            false => Reach::Far,
        })
        .collect();
    let changed: Vec<usize> = (0..statements.len())
        .filter(|&index| reaches[index] == Reach::Changed)
        .collect();
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
    for index in locks(function, held, &changed) {
        reaches[index] = reaches[index].max(Reach::Around);
    }
    reaches
}

/// Returns the statements that take a lock which is held for one of these, and those
/// that give it back.
fn locks(function: &Function, held: &[Held], changed: &[usize]) -> Vec<usize> {
    let statements = &function.statements;
    let mut found = Vec::new();
    let last = changed
        .last()
        .map_or(0, |&index| statements[index].whole.start);
    let guards = statements.iter().enumerate();
    found.extend(
        guards
            .filter(|(_, one)| one.kind == Kind::Guard && one.whole.start < last)
            .map(|(index, _)| index),
    );
    for held in held {
        let end = held.given_back.last().copied().unwrap_or(held.taken);
        let next = changed.partition_point(|&index| index < held.taken);
        if changed.get(next).is_some_and(|&index| index <= end) {
            found.push(held.taken);
            found.extend(&held.given_back);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant::locks::held;

    /// Returns the beginnings of the statements that are near to lines with a `+`.
    fn near(code: &str) -> Vec<(String, Reach)> {
        let source = Source::of(code.as_bytes());
        let lines: Vec<&str> = code.lines().collect();
        let mut near = Vec::new();
        for function in &source.functions {
            let reaches = reaches(&source, function, &held(&source, function), &|line| {
                lines[line].ends_with("//+")
            });
            for (one, reach) in function.statements.iter().zip(reaches) {
                if reach != Reach::Far {
                    let text = String::from_utf8_lossy(source.text_of(&one.own));
                    near.push((text.into_owned(), reach));
                }
            }
        }
        near
    }

    #[test]
    fn a_change_reaches_its_locks_and_the_nearest_condition() {
        let code = "
void f(void)
{
	mutex_lock(&far);
	mutex_unlock(&far);
	mutex_lock(&c);
	guard(mutex)(&a);
	scoped_guard(mutex, &b) {
		if (outer) {
			if (inner) {
				x = 1; //+
				mutex_unlock(&c);
			}
		}
	}
	guard(mutex)(&later);
}
void g(int new) //+
{
	x = 1;
}
void h(void)
{
	x = 1;
}
";
        let near = near(code);
        let named: Vec<(&str, Reach)> = near
            .iter()
            .map(|(text, reach)| (text.as_str(), *reach))
            .collect();
        assert_eq!(
            named,
            [
                ("mutex_lock(&c);", Reach::Around),
                ("guard(mutex)(&a);", Reach::Around),
                ("scoped_guard(mutex, &b)", Reach::Around),
                ("if (inner)", Reach::Around),
                ("x = 1;", Reach::Changed),
                ("mutex_unlock(&c);", Reach::Around),
                ("x = 1;", Reach::Changed),
            ]
        );
    }
}
