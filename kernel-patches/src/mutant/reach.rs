// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the statements of a function that are near lines that a series changed: the
//! changed statements, the conditions around them, and the locks held for them.

use std::collections::HashMap;

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
    for index in locks_around(function, held, &changed) {
        reaches[index] = reaches[index].max(Reach::Around);
    }
    reaches
}

/// Returns the statements that acquire or release a lock that is held for a changed
/// statement.
fn locks_around(function: &Function, held: &[Held], changed: &[usize]) -> Vec<usize> {
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

/// Number of release calls considered for a lock.
const UNLOCKS_MAX: usize = 32;

/// A call that acquires a lock, and the later calls that release it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Index of the acquiring statement.
    pub(super) acquired: usize,
    /// Indexes of the releasing statements.
    pub(super) released: Vec<usize>,
}

/// Returns the locks that a function acquires and releases by calls with the same
/// argument.
pub(super) fn held(source: &Source<'_>, function: &Function) -> Vec<Held> {
    let calls: Vec<(usize, &[u8], &[u8])> = function
        .statements
        .iter()
        .enumerate()
        .filter(|(_, statement)| statement.kind == Kind::Expression)
        .filter_map(|(index, statement)| {
            let open = statement.own.start + 1;
            let close = source.closing(open)?;
            let is_all = close + 2 == statement.own.end && source.text(open) == b"(";
            is_all.then(|| {
                let name = source.text(statement.own.start);
                (index, name, source.text_of(&(open..close + 1)))
            })
        })
        .collect();
    let mut unlocks: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, _, argument) in calls.iter().filter(|(_, name, _)| is_unlock(name)) {
        unlocks.entry(argument).or_default().push(*index);
    }
    let takes = calls.iter().filter(|(_, name, _)| is_lock(name));
    takes
        .map(|&(acquired, _, argument)| {
            let all = unlocks.get(argument).map_or(&[][..], Vec::as_slice);
            let later = all.partition_point(|&index| index < acquired);
            let released = all[later..].iter().take(UNLOCKS_MAX).copied().collect();
            Held { acquired, released }
        })
        .filter(|held| !held.released.is_empty())
        .collect()
}

/// Returns whether a function with this name acquires a lock.
pub(super) fn is_lock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    let takes = words.any(|word| matches!(word, b"lock" | b"down"));
    takes && !is_unlock(name) && !name.ends_with(b"_init") && !name.starts_with(b"lockdep")
}

/// Returns whether a function with this name releases a lock.
pub(super) fn is_unlock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    words.any(|word| matches!(word, b"unlock" | b"up"))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn is_lock_and_is_unlock_classify_function_names() {
        for name in ["mutex_lock", "down_read", "spin_lock_irq", "rcu_read_lock"] {
            assert!(
                is_lock(name.as_bytes()) && !is_unlock(name.as_bytes()),
                "{name}"
            );
        }
        for name in ["mutex_unlock", "up_write", "spin_unlock_irq"] {
            assert!(
                is_unlock(name.as_bytes()) && !is_lock(name.as_bytes()),
                "{name}"
            );
        }
        for name in ["update", "lockdep_assert_held", "block", "spin_lock_init"] {
            assert!(!is_lock(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn held_pairs_calls_with_the_same_argument() {
        let code = "void f(void)\n{\n\tmutex_lock(&a);\n\tmutex_lock(&b);\n\tif (c) {\n\t\t\
            mutex_unlock(&a);\n\t\treturn;\n\t}\n\tmutex_unlock(&a);\n\tdown_read(&never);\n}\n";
        let source = Source::of(code.as_bytes());
        let found = held(&source, &source.functions[0]);
        let released = vec![4, 6];
        assert_eq!(
            found,
            [Held {
                acquired: 0,
                released
            }]
        );
    }
}
