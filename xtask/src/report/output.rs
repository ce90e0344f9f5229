// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes to standard output and standard error. Guests and patches can contain sequences of
//! terminals and commands of GitHub's runner, which executes commands in the output of a step;
//! neither is printed.

use std::io::Write;

use super::table;
use crate::text::harmless;

/// Prints a text on standard output, with escaped control characters. A closed pipe (`| head`)
/// is not an error.
///
/// # Errors
/// When the text cannot be written for another reason, such as a full disk.
pub fn to_stdout(text: &str) -> std::io::Result<()> {
    let own = match table::has_colours() {
        true => table::colours(),
        false => Vec::new(),
    };
    data_to_stdout(&harmless(text, &own))
}

/// Prints a text on standard output unchanged, for formats with their own escapes.
///
/// # Errors
/// As `to_stdout`.
pub fn data_to_stdout(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a line on standard error and ignores errors.
pub fn line_to_stderr(text: &str) {
    let text = harmless(text, &[]);
    let text = match is_github_actions() {
        true => without_commands(&text),
        false => text,
    };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an error on standard error.
pub fn error_to_stderr(text: &str) {
    line_to_stderr(&format!("error: {text}"));
}

/// Returns whether GitHub's runner executes commands in the output.
pub fn is_github_actions() -> bool {
    std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Returns a text in which the runner finds no commands, by blanks within the markers.
fn without_commands(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("##[", "# #[");
        let text = line.trim_start();
        match text.strip_prefix("::") {
            Some(rest) => format!("{}: :{rest}", &line[..line.len() - text.len()]),
            None => line,
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a text between two commands that disable commands in it; `token` must not be
/// known to the author of the text.
pub fn with_commands_disabled(text: &str, token: &str) -> String {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("::stop-commands::{token}\n{text}{end}::{token}::\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_commands_breaks_every_marker() {
        assert_eq!(without_commands("a::b::c\n\td\n"), "a::b::c\n\td\n");
        assert_eq!(
            without_commands("::error::x\n \t::stop-commands::y\nat ##[error]z"),
            ": :error::x\n \t: :stop-commands::y\nat # #[error]z"
        );
    }
}
