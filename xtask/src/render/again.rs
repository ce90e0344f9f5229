// SPDX-License-Identifier: GPL-2.0-only
//! The command that shows something again, to be pasted into a shell.

use testbed_host::process::quote;

use crate::result::CellResult;

/// Returns the command that runs these scenarios and tests, or all where none is named, on
/// these stacks and profiles. `options` are what follows, as it is typed.
pub(super) fn command<'a>(
    tests: impl IntoIterator<Item = &'a str>,
    stacks: &[&str],
    profiles: &[&str],
    options: &str,
) -> String {
    let mut command = "cargo xtask test".to_owned();
    for test in tests {
        // Only tests of the tree's own are named by their TARGET as well.
        let flag = if test.contains(':') {
            " --kselftest"
        } else {
            ""
        };
        command += &format!("{flag} {}", quote(test));
    }
    for (flag, names) in [("--stacks", stacks), ("--profile", profiles)] {
        if !names.is_empty() {
            command += &format!(" {flag} {}", quote(&names.join(",")));
        }
    }
    command + options
}

/// Returns the command that runs a cell.
pub(super) fn of_cell(cell: &CellResult, options: &str) -> String {
    let CellResult {
        scenario,
        stack,
        profile,
        ..
    } = cell;
    command([scenario.as_str()], &[stack], &[profile], options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_for_something_else_is_quoted() {
        assert_eq!(command([], &[], &[], ""), "cargo xtask test");
        assert_eq!(
            command(["a", "pci:b c"], &["base", "x"], &["fast"], " --kernel K"),
            "cargo xtask test a --kselftest 'pci:b c' --stacks base,x --profile fast --kernel K"
        );
    }
}
