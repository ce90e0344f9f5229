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

/// Virtual functions that a scenario can name.
const FUNCTIONS_MAX: u32 = 64;

/// Callbacks of the test driver that can be made to fail.
pub(super) const CALLBACKS: &[&str] = &[
    "preserve",
    "freeze",
    "retrieve",
    "can_finish",
    "flb_preserve",
    "flb_retrieve",
];

/// The errors that a scenario can expect.
pub(super) const ERRNOS: &[&str] = &[
    "EACCES",
    "EAGAIN",
    "EBADF",
    "EBUSY",
    "ECANCELED",
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
    "ESTALE",
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
    // The harness makes `NAME_setup` and `NAME_boot_1` of a fixture: a name that
    // ends like one of them would be another fixture's function.
    let identifier = name.replace('-', "_");
    if identifier.ends_with("_setup")
        || identifier.ends_with("_teardown")
        || identifier.contains("_boot_")
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

/// Returns whether `word` can be a parameter's value, which is part of names.
pub(super) fn is_value(word: &str) -> bool {
    word.len() <= 30
        && word.split('-').all(|part| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            !part.is_empty() && part.chars().all(is_plain)
        })
}

/// Returns slot and virtual function of a device's name, `endpoint0.vf1`.
pub(super) fn device_parts(name: &str) -> Option<(&str, Option<u32>)> {
    match name.split_once('.') {
        None => Some((name, None)),
        Some((slot, function)) => {
            let number = function.strip_prefix("vf")?.parse().ok()?;
            (number < FUNCTIONS_MAX).then_some((slot, Some(number)))
        }
    }
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
            "x-boot-1",
            "linux",
            "-a",
            "a_b",
        ] {
            assert!(bad_scenario_name(bad).is_some(), "{bad}");
        }
        assert_eq!(bad_scenario_name("live-update-kexec"), None);
    }

    #[test]
    fn a_device_is_a_slot_or_a_function_of_one() {
        assert_eq!(device_parts("endpoint1"), Some(("endpoint1", None)));
        assert_eq!(device_parts("nic.vf2"), Some(("nic", Some(2))));
        assert_eq!(device_parts("nic.pf"), None);
        assert_eq!(device_parts("nic.vf99"), None);
    }
}
