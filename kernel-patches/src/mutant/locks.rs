// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the statements that acquire and release locks.

use std::collections::HashMap;

use super::syntax::{Function, Kind, Source};

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
