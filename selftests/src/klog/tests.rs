// SPDX-License-Identifier: GPL-2.0-only
//! Logs made by hand, and what must be found in them.

mod hostile;
mod interleaved;
mod kinds;

use super::Log;

/// What is found behind the banner of a kernel that puts nothing before its lines.
fn bare(text: &str) -> Log {
    Log::parse(format!("Linux version 7.3.4\n{text}").as_bytes())
}

/// Class and title of each splat.
fn titles(text: &str) -> Vec<String> {
    let splats = bare(text).splats;
    let titles = splats.iter();
    titles
        .map(|splat| format!("{}: {}", splat.class.word(), splat.title))
        .collect()
}
