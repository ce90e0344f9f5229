// SPDX-License-Identifier: GPL-2.0-only
//! The only place that prints: data on standard output, the rest on standard error.

mod again;
pub(crate) mod b4;
pub(crate) mod bench;
pub(crate) mod comparison;
mod escape;
mod github;
pub(crate) mod html;
mod junit;
mod kcidb;
mod lore;
pub(crate) mod mutants;
pub(crate) mod plan;
pub(crate) mod progress;
mod rate;
pub(crate) mod report;
mod rows;
mod self_checks;
pub(crate) mod table;
pub(crate) mod watch;
mod wrap;

pub(crate) use github::{annotations, is_reading as is_read_by_runner, summary, unread};

use std::io::Write;

use self::report::Report;
use crate::cli::{Format, ShowArgs};
use crate::comparison::Comparison;

/// What every terminal has.
const COLUMNS: usize = 80;
/// In fewer, no table has room.
const COLUMNS_MIN: usize = 40;

/// Prints a block of text for people on standard output; in what strangers wrote, no
/// terminal finds an order. A reader that went away (`| head`) is no error.
///
/// # Errors
/// When the text cannot be written for any other reason, such as a full disk.
pub(crate) fn to_stdout(text: &str) -> std::io::Result<()> {
    let own = if has_colours() {
        table::colours()
    } else {
        Vec::new()
    };
    data_to_stdout(&escape::harmless(text, &own))
}

/// Prints a text in a format that has escapes of its own on standard output, as it is.
///
/// # Errors
/// As `to_stdout`.
pub(crate) fn data_to_stdout(text: &str) -> std::io::Result<()> {
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

/// Returns what a run came to in a format.
///
/// # Errors
/// When it cannot be put into that format.
pub(crate) fn text(report: &Report<'_>, show: &ShowArgs, format: Format) -> anyhow::Result<String> {
    let result = report.result;
    Ok(match format {
        // A page is made from more than a report; beside it, people get the table.
        Format::Table | Format::Html => table::text(report, look(show.all_rows)),
        Format::Json => serde_json::to_string_pretty(result)? + "\n",
        Format::Junit => junit::text(report)?,
        Format::Kcidb => kcidb::text(report, &show.origin),
        Format::Lore => lore::text(report),
        Format::Github => github::summary(report),
        Format::B4 => b4::series(report),
    })
}

/// Returns how standard output is looked at: in colours on a terminal that has them, and
/// as wide as that is; elsewhere as on the narrowest.
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

/// Returns what changed since an earlier run, whose name is `before`; nothing in a format
/// that has no words for it.
///
/// # Errors
/// When it cannot be put into that format.
pub(crate) fn compared(
    comparison: &Comparison,
    before: &str,
    format: Format,
) -> anyhow::Result<Option<String>> {
    Ok(match format {
        Format::Json => Some(serde_json::to_string_pretty(comparison)? + "\n"),
        Format::Table | Format::Html => Some(comparison::text(comparison, before)),
        _ => None,
    })
}

/// Prints a line on standard error; when nobody can read it, there is nobody to tell.
pub(crate) fn line_to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", for_stderr(text));
}

/// Returns a text in which neither a terminal nor a runner of workflows finds an order.
fn for_stderr(text: &str) -> String {
    let text = escape::harmless(text, &[]);
    if github::is_reading() {
        github::without_commands(&text)
    } else {
        text
    }
}

/// Prints an error on standard error.
pub(crate) fn error_to_stderr(text: &str) {
    line_to_stderr(&format!("error: {text}"));
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::result::tests::{job, nothing, provenance};
    use crate::result::{JobResult, PatchResult, RunResult};

    /// What every format says of [`not_tested`].
    pub(crate) const NOT_TESTED: &str = "not tested: nothing of the series is in this kernel: \
        drivers/w/a.c; the images with and without the series are equal";

    /// A run in which all passed, of a series that is in no kernel.
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
        result.with_coverage(Some(nothing()))
    }

    /// A run with one of each kind.
    pub(crate) fn result() -> RunResult {
        let mut changed = job("recorded", "series", "pass", "pass");
        changed.snapshot_difference = Some("-a\n+b".to_owned());
        let mut broken = job("broken", "base", "error", "pass");
        broken.boot_mode = String::new();
        let mut due = job("held-object", "base", "crash", "fail");
        due.splats = vec!["KASAN: use-after-free in ltd_get".to_owned()];
        run(vec![
            due,
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

    /// A run of which every text wants to be something else.
    pub(crate) fn hostile() -> RunResult {
        let evil = "]]>\u{1b}[31m</failure>\0::error::x%0A<b>|`a`\n::set-output name=x::y\n## @x";
        let mut one = job("kexec", "series", "crash", "pass");
        one.reason = evil.to_owned();
        one.snapshot_difference = Some(evil.to_owned());
        one.splats = vec![evil.to_owned()];
        run(vec![one])
    }
}
