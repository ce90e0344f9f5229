// SPDX-License-Identifier: GPL-2.0-only
//! Names that scenarios may use: what they become in C must neither be a word of
//! the language nor collide with what the test harness makes of its arguments.

/// Words that the compiler or its headers already took.
const TAKEN: &[&str] = &[
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "errno", "extern", "float", "for", "global", "goto", "if", "inline", "int", "linux",
    "long", "main", "register", "restrict", "return", "self", "short", "signed", "sizeof",
    "static", "stderr", "stdin", "stdout", "struct", "switch", "typedef", "typeof", "union",
    "unix", "unsigned", "variant", "void", "volatile", "while", "true", "false", "bool", "assert",
    "asm", "lu", "i386",
];

/// The errors that a scenario can expect.
pub(super) const ERRNOS: &[&str] = &[
    "EACCES",
    "EAGAIN",
    "EBADF",
    "EBUSY",
    "EEXIST",
    "EFAULT",
    "EFBIG",
    "EINVAL",
    "EIO",
    "EMSGSIZE",
    "ENODATA",
    "ENODEV",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "ENOTTY",
    "ENXIO",
    "EOPNOTSUPP",
    "EOVERFLOW",
    "EPERM",
    "ERANGE",
    "EUCLEAN",
];

/// Returns why `name` cannot be an object's name, or `None` when it can.
pub(super) fn bad_identifier(name: &str) -> Option<String> {
    let first = name.chars().next();
    let shape = first.is_some_and(|c| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && name.len() <= 40;
    if !shape {
        return Some(format!(
            "`{name}` is no identifier: lower-case letters, digits and single `_`, at most 40"
        ));
    }
    if TAKEN.contains(&name) || name.starts_with("lu_") {
        return Some(format!(
            "`{name}` is a word that C or the test harness already uses"
        ));
    }
    None
}

/// Returns why `name` cannot be a scenario's name, or `None` when it can.
pub(super) fn bad_scenario_name(name: &str) -> Option<String> {
    let kebab = name.split('-').all(|word| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    });
    if !kebab || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some(format!(
            "`{name}` is not in kebab-case: lower-case words with `-` between them"
        ));
    }
    if name.len() > 60 {
        return Some(format!("`{name}` is longer than 60 characters"));
    }
    // The harness makes `NAME_setup` and `NAME_stage_1` of a fixture: a name that
    // ends like one of them would be another fixture's function.
    let identifier = name.replace('-', "_");
    if identifier.ends_with("_setup")
        || identifier.ends_with("_teardown")
        || identifier.contains("_stage_")
    {
        return Some(format!(
            "`{name}` would collide with names that the test harness makes"
        ));
    }
    if identifier.starts_with("lu_") || TAKEN.contains(&identifier.as_str()) {
        return Some(format!(
            "`{name}` is a word that C or the test harness already uses"
        ));
    }
    None
}

/// Returns whether `name` can be the name of a kernel function.
pub(super) fn is_kernel_function(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 48
}

/// Returns the index in a slot's name, `endpoint3` being 3.
pub(super) fn slot_index(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("endpoint")?;
    if digits.is_empty() || digits.len() > 1 {
        return None;
    }
    digits.parse().ok().filter(|index| *index < 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_not_compile_are_refused() {
        for bad in ["register", "Dev", "2nd", "a__b", "lu_x", "", "a-b", "linux"] {
            assert!(bad_identifier(bad).is_some(), "{bad}");
        }
        assert_eq!(bad_identifier("dev_again2"), None);
        for bad in [
            "A-b",
            "a--b",
            "test-setup",
            "x-stage-1",
            "linux",
            "-a",
            "a_b",
        ] {
            assert!(bad_scenario_name(bad).is_some(), "{bad}");
        }
        assert_eq!(bad_scenario_name("live-update-kexec"), None);
    }

    #[test]
    fn slots_are_numbered_by_their_names() {
        assert_eq!(slot_index("endpoint1"), Some(1));
        assert_eq!(slot_index("endpoint"), None);
        assert_eq!(slot_index("port1"), None);
    }
}
