// SPDX-License-Identifier: GPL-2.0-only
//! Which statements take a lock, and which give it back.

use std::collections::HashMap;

use super::syntax::{Function, Kind, Source};

/// More are not looked at for one lock.
const UNLOCKS_MAX: usize = 32;

/// A call that takes a lock, and those after it that give the same back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The statement, by index.
    pub(super) taken: usize,
    /// The statements, by index.
    pub(super) given_back: Vec<usize>,
}

/// Returns the locks that a function takes by a call and gives back by others.
pub(super) fn held(source: &Source<'_>, function: &Function) -> Vec<Held> {
    let calls: Vec<(usize, &[u8], &[u8])> = function
        .statements
        .iter()
        .enumerate()
        .filter(|(_, one)| one.kind == Kind::Expression)
        .filter_map(|(index, one)| {
            let open = one.own.start + 1;
            let close = source.closing(open)?;
            let is_all = close + 2 == one.own.end && source.text(open) == b"(";
            is_all.then(|| {
                let name = source.text(one.own.start);
                (index, name, source.text_of(&(open..close + 1)))
            })
        })
        .collect();
    let mut unlocks: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, _, what) in calls.iter().filter(|(_, name, _)| is_unlock(name)) {
        unlocks.entry(what).or_default().push(*index);
    }
    let takes = calls.iter().filter(|(_, name, _)| is_lock(name));
    takes
        .map(|&(taken, _, what)| {
            let all = unlocks.get(what).map_or(&[][..], Vec::as_slice);
            let later = all.partition_point(|&index| index < taken);
            let given_back = all[later..].iter().take(UNLOCKS_MAX).copied().collect();
            Held { taken, given_back }
        })
        .filter(|held| !held.given_back.is_empty())
        .collect()
}

/// Returns whether a function of this name takes a lock.
pub(super) fn is_lock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    let takes = words.any(|word| matches!(word, b"lock" | b"down"));
    takes && !is_unlock(name) && !name.ends_with(b"_init") && !name.starts_with(b"lockdep")
}

/// Returns whether a function of this name gives a lock back.
pub(super) fn is_unlock(name: &[u8]) -> bool {
    let mut words = name.split(|&byte| byte == b'_');
    words.any(|word| matches!(word, b"unlock" | b"up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_locks() {
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
    fn a_lock_is_given_back_where_the_same_is_named() {
        let code = "void f(void)\n{\n\tmutex_lock(&a);\n\tmutex_lock(&b);\n\tif (c) {\n\t\t\
            mutex_unlock(&a);\n\t\treturn;\n\t}\n\tmutex_unlock(&a);\n\tdown_read(&never);\n}\n";
        let source = Source::of(code.as_bytes());
        let found = held(&source, &source.functions[0]);
        let given_back = vec![4, 6];
        assert_eq!(
            found,
            [Held {
                taken: 0,
                given_back
            }]
        );
    }
}
