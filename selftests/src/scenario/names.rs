// SPDX-License-Identifier: MIT OR Apache-2.0
//! Valid names in scenarios. Names become C identifiers, which must not be reserved, nor
//! collide with identifiers that the test harness generates.

/// Identifiers that the compiler, its headers or the harness define.
const RESERVED: &[&str] = &[
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "errno", "extern", "float", "for", "global", "goto", "if", "inline", "int", "linux",
    "long", "main", "register", "restrict", "return", "self", "short", "signed", "sizeof",
    "static", "stderr", "stdin", "stdout", "struct", "switch", "typedef", "typeof", "union",
    "unix", "unsigned", "variant", "void", "volatile", "while", "true", "false", "bool", "assert",
    "asm", "i386", "against", "close", "fd", "i", "ret",
];

/// Files and folders of a kselftest folder, which a program must not replace.
const FILES: &[&str] = &["config", "settings", "test_modules"];

/// Maximal number of virtual functions of a device.
const FUNCTIONS_MAX: u32 = 64;

/// Maximal length of a path.
const PATH_MAX: usize = 200;

/// Returns why `name` is not a valid name of an object, or `None` if it is valid.
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
            "`{name}` is not a valid identifier: use at most 40 lower-case letters, digits and \
             single `_`"
        ));
    }
    if RESERVED.contains(&name) || name.starts_with("kt_") {
        return Some(format!("`{name}` is reserved in C or in the test harness"));
    }
    None
}

/// Returns why `name` is not a valid name of a scenario, or `None` if it is valid.
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
    // The harness generates `NAME_setup`, `NAME_teardown` and `NAME_boot_1` for a fixture.
    let identifier = name.replace('-', "_");
    if identifier.ends_with("_setup")
        || identifier.ends_with("_teardown")
        || identifier.contains("_boot_")
    {
        return Some(format!(
            "`{name}` would collide with identifiers of the test harness"
        ));
    }
    if identifier.starts_with("kt_") || RESERVED.contains(&identifier.as_str()) {
        return Some(format!("`{name}` is reserved in C or in the test harness"));
    }
    if FILES.contains(&identifier.as_str()) {
        return Some(format!(
            "`{name}` is the name of another file of the kselftest folder"
        ));
    }
    None
}

/// Returns whether `name` is a valid name of a kernel function.
pub(super) fn is_kernel_function(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 48
}

/// Returns whether `name` is a valid name of a driver.
pub(super) fn is_driver(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 60 && name.chars().all(fits)
}

/// Returns whether `text` is a valid absolute path.
pub(super) fn is_path(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_graphic() && !"{}%\"\\".contains(c);
    text.starts_with('/')
        && text.len() <= PATH_MAX
        && !text.contains("/../")
        && text.chars().all(fits)
}

/// Returns whether `word` is a valid parameter value. Values become parts of names.
pub(super) fn is_value(word: &str) -> bool {
    word.len() <= 30
        && word.split('-').all(|part| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            !part.is_empty() && part.chars().all(is_plain)
        })
}

/// Splits the name of a device, such as `endpoint0.vf1`, into slot and virtual function.
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
    fn bad_identifier_and_bad_scenario_name_reject_invalid_c_names() {
        for bad in ["register", "Dev", "2nd", "a__b", "kt_x", "", "a-b", "linux"] {
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
    fn device_parts_splits_slot_and_virtual_function() {
        assert_eq!(device_parts("endpoint1"), Some(("endpoint1", None)));
        assert_eq!(device_parts("nic.vf2"), Some(("nic", Some(2))));
        assert_eq!(device_parts("nic.pf"), None);
        assert_eq!(device_parts("nic.vf99"), None);
    }
}
