// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with constructed logs.

mod hostile;
mod interleaved;
mod kinds;

use super::Log;

/// Parses a log of a kernel that prints no prefixes.
fn bare(text: &str) -> Log {
    Log::parse(format!("Linux version 7.3.4\n{text}").as_bytes())
}

/// Returns class and title of each splat.
fn titles(text: &str) -> Vec<String> {
    let splats = bare(text).splats;
    let titles = splats.iter();
    titles
        .map(|splat| format!("{}: {}", splat.class.word(), splat.title))
        .collect()
}
