// SPDX-License-Identifier: MIT OR Apache-2.0
//! All output: data on standard output, everything else on standard error.

pub mod b4;
pub mod changes;
pub mod comparison;
mod escape;
pub mod evidence;
pub mod format;
mod github;
pub mod html;
pub mod input;
mod junit;
mod kcidb;
mod lore;
pub mod mutants;
pub mod plan;
pub mod progress;
mod rate;
mod reproduce;
mod rows;
mod self_checks;
pub mod table;
pub mod watch;
mod wrap;

pub use github::{annotations, is_github_actions, summary, with_commands_disabled};

use std::io::Write;

use self::format::{Format, ShowArgs};
use self::input::Report;
use crate::report::comparison::Comparison;

/// Assumed width of a terminal.
const COLUMNS: usize = 80;
/// Narrower terminals get a table of this width.
const COLUMNS_MIN: usize = 40;

/// Prints a text on standard output, with escaped control characters: guests and patches can
/// contain terminal sequences. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// When the text cannot be written for another reason, such as a full disk.
pub fn to_stdout(text: &str) -> std::io::Result<()> {
    let own = if has_colours() {
        table::colours()
    } else {
        Vec::new()
    };
    data_to_stdout(&escape::harmless(text, &own))
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

/// Returns a run in a format.
///
/// # Errors
/// When it cannot be converted to the format.
pub fn text(report: &Report<'_>, show: &ShowArgs, format: Format) -> anyhow::Result<String> {
    let result = report.result;
    Ok(match format {
        // The HTML report needs more than `report` and is written elsewhere; the table is
        // printed in addition.
        Format::Table | Format::Html => table::text(report, look(show.all_rows)),
        Format::Json => serde_json::to_string_pretty(result)? + "\n",
        Format::Junit => junit::text(report)?,
        Format::Kcidb => kcidb::text(report, &show.origin),
        Format::Lore => lore::text(report),
        Format::Github => github::summary(report),
        Format::B4 => b4::series(report),
    })
}

/// Returns colours and width of the terminal; without a terminal, the default width and no
/// colours.
fn look(all: bool) -> table::Look {
    let out = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&out);
    let wide = size.map_or(0, |size| usize::from(size.ws_col));
    table::Look {
        columns: if wide == 0 {
            COLUMNS
        } else {
            wide.max(COLUMNS_MIN)
        },
        colour: has_colours(),
        all,
    }
}

fn has_colours() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Returns the changes since an earlier run, whose name is `before`; `None` for a format that
/// cannot express them.
///
/// # Errors
/// When they cannot be converted to the format.
pub fn compared(
    comparison: &Comparison,
    before: &str,
    format: Format,
) -> anyhow::Result<Option<String>> {
    Ok(match format {
        Format::Json => Some(serde_json::to_string_pretty(comparison)? + "\n"),
        Format::Table | Format::Html => Some(changes::text(comparison, before)),
        _ => None,
    })
}

/// Prints a line on standard error and ignores errors.
pub fn line_to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", for_stderr(text));
}

/// Returns a text without terminal sequences and without commands of GitHub's runner.
fn for_stderr(text: &str) -> String {
    let text = escape::harmless(text, &[]);
    if github::is_github_actions() {
        github::without_commands(&text)
    } else {
        text
    }
}

/// Prints an error on standard error.
pub fn error_to_stderr(text: &str) {
    line_to_stderr(&format!("error: {text}"));
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::result::tests::{job, not_in_kernel, provenance};
    use crate::result::{JobResult, PatchResult, RunResult};

    /// The sentence that every format has for [`not_tested`].
    pub(crate) const NOT_TESTED: &str = "not tested: the series is not in any kernel that was run: \
        drivers/w/a.c; the kernels with and without the series have the same code";

    /// A run in which all tests passed, of a series that is not in the kernels.
    pub(crate) fn not_tested() -> RunResult {
        let mut result = run(vec![
            job("kexec", "base", "pass", "pass"),
            job("kexec", "series", "pass", "pass"),
        ]);
        result.patches = vec![PatchResult {
            first: 1,
            last: 1,
            subject: "one".to_owned(),
            sentence: "patch 1 changes no status".to_owned(),
            changes: Vec::new(),
        }];
        result.with_coverage(Some(not_in_kernel()))
    }

    /// A run with one result of each kind.
    pub(crate) fn result() -> RunResult {
        let mut changed = job("recorded", "series", "pass", "pass");
        changed.snapshot_difference = Some("-a\n+b".to_owned());
        let mut broken = job("broken", "base", "error", "pass");
        broken.boot_mode = None;
        let mut xfail = job("held-object", "base", "crash", "fail");
        xfail.splats = vec!["KASAN: use-after-free in ltd_get".to_owned()];
        run(vec![
            xfail,
            job("held-object", "series", "pass", "pass"),
            job("kexec", "base", "pass", "pass"),
            job("kexec", "series", "hang", "pass"),
            changed,
            broken,
            job("t:a", "series", "skip", "pass"),
        ])
    }

    pub(crate) fn run(jobs: Vec<JobResult>) -> RunResult {
        let below = vec!["a".to_owned()];
        RunResult {
            provenance: provenance(),
            ..RunResult::new("the tree".into(), "s".into(), below, jobs)
        }
    }

    /// A run whose texts contain markup and commands.
    pub(crate) fn hostile() -> RunResult {
        let evil = "]]>\u{1b}[31m</failure>\0::error::x%0A<b>|`a`\n::set-output name=x::y\n## @x";
        let mut job = job("kexec", "series", "crash", "pass");
        job.reason = evil.to_owned();
        job.snapshot_difference = Some(evil.to_owned());
        job.splats = vec![evil.to_owned()];
        run(vec![job])
    }
}
