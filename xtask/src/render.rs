// SPDX-License-Identifier: GPL-2.0-only
//! The only place that prints: data on standard output, the rest on standard error.

pub(crate) mod bench;
pub(crate) mod comparison;
pub(crate) mod html;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod watch;

use std::io::Write;

use crate::cli::Format;
use crate::comparison::Comparison;
use crate::result::RunResult;

/// Prints a block of text on standard output. A reader that went away
/// (`| head`) is no error.
///
/// # Errors
/// When the text cannot be written for any other reason, such as a full disk.
pub(crate) fn to_stdout(text: &str) -> std::io::Result<()> {
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

/// Prints what a run came to: the table with its findings, or JSON.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn result(
    result: &RunResult,
    format: Format,
    run: &str,
    again: &str,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(result)?,
        Format::Table | Format::Html => {
            table::text(result) + &table::skips(result) + &table::findings(result, run, again)
        }
    };
    Ok(to_stdout(&text)?)
}

/// Prints what changed since an earlier run, whose name is `before`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn comparison(
    comparison: &Comparison,
    format: Format,
    before: &str,
) -> anyhow::Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(comparison)?,
        Format::Table | Format::Html => comparison::text(comparison, before),
    };
    Ok(to_stdout(&text)?)
}

/// Prints a line on standard error; when nobody can read it, there is nobody to tell.
pub(crate) fn line_to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an error on standard error.
pub(crate) fn error_to_stderr(text: &str) {
    line_to_stderr(&format!("error: {text}"));
}
