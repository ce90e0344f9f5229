// SPDX-License-Identifier: GPL-2.0-only
//! The only place that prints: data on standard output, the rest on standard error.
#![expect(clippy::print_stderr, reason = "renderers print")]

pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod table;

use std::io::Write;

/// Prints a block of text on standard output. A reader that went away
/// (`| head`) is no error.
pub(crate) fn to_stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints a line on standard error.
pub(crate) fn line_to_stderr(text: &str) {
    eprintln!("{text}");
}

/// Prints an error on standard error.
pub(crate) fn error_to_stderr(text: &str) {
    eprintln!("error: {text}");
}
