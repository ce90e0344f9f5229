// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the statements of a function that are near lines that a series changed.

use super::locks::Held;
use super::syntax::{Function, Kind, Source};

/// The distance of a statement from a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// No relation to a change.
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
    let has_changed = |tokens: &std::ops::Range<usize>| {
        let mut tokens = source.tokens[tokens.clone()].iter();
        tokens.any(|token| is_changed(token.line))
    };
    let is_whole = has_changed(&function.head);
    let statements = &function.statements;
    let mut reaches: Vec<Reach> = statements
        .iter()
        .map(|statement| match is_whole || has_changed(&statement.own) {
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

/// Returns the statements that acquire or release a lock that is held for a changed
/// statement.
fn locks(function: &Function, held: &[Held], changed: &[usize]) -> Vec<usize> {
    let statements = &function.statements;
    let mut found = Vec::new();
    let last = changed
        .last()
        .map_or(0, |&index| statements[index].whole.start);
    let guards = statements.iter().enumerate();
    found.extend(
        guards
            .filter(|(_, guard)| guard.kind == Kind::Guard && guard.whole.start < last)
            .map(|(index, _)| index),
    );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutant::locks::held;

    /// Returns the statements near lines that end with `//+`.
    fn near(code: &str) -> Vec<(String, Reach)> {
        let source = Source::of(code.as_bytes());
        let lines: Vec<&str> = code.lines().collect();
        let mut near = Vec::new();
        for function in &source.functions {
            let reaches = reaches(&source, function, &held(&source, function), &|line| {
                lines[line].ends_with("//+")
            });
            for (statement, reach) in function.statements.iter().zip(reaches) {
                if reach != Reach::Far {
                    let text = String::from_utf8_lossy(source.text_of(&statement.own));
                    near.push((text.into_owned(), reach));
                }
            }
        }
        near
    }

    #[test]
    fn reaches_includes_locks_and_the_innermost_condition() {
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
