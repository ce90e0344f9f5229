// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a terminal: results by test and checkout, findings, and the result of the run
//! in the last line. If the text is longer than a screen, the first line has it, too.
//!
//! Colours have no information that is not in the text.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use patchbed_host::process::quote;

use super::grid::{Entry, Grid};
use super::input::Report;
use super::proofs;
use super::words::{self, CAUSE, Conclusion, LOG, PASS_RATE, REPRODUCE, name, outcome};
use crate::engine::program;
use crate::result::{JobResult, Mark, RunResult};
use crate::text::{distinct, one_line, wrap};
use selftests::status::Status;

/// Assumed width of a terminal.
const COLUMNS: usize = 80;
/// Narrower terminals get a table of this width.
const COLUMNS_MIN: usize = 40;
/// The time of day in `2026-01-31T18:42:10+01:00`.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
/// Width of `crash xfail`, so that tables of several configs have the same columns.
const ENTRY_COLUMNS_MIN: usize = 11;
/// A longer text may be scrolled off the screen.
const LINES_OF_A_SCREEN: usize = 24;
/// At most this many findings are printed without `--all-rows`.
const FINDINGS_SHOWN: usize = 10;

const BAD: Style = AnsiColor::Red.on_default().bold();
const CHANGED: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const PASS: Style = AnsiColor::Green.on_default();
const QUIET: Style = Style::new().dimmed();

/// Returns the terminal sequences that a table contains.
pub(crate) fn colours() -> Vec<String> {
    let begin = [BAD, CHANGED, GOOD, PASS, QUIET].map(|style| style.to_string());
    let end = format!("{BAD:#}");
    begin.into_iter().chain([end]).collect()
}

pub(crate) fn has_colours() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) columns: usize,
    pub(crate) colour: bool,
    /// Whether every row and every finding is shown.
    pub(crate) all: bool,
}

impl Look {
    /// Returns colours and width of the terminal; without a terminal, the default width and no
    /// colours.
    pub(crate) fn of_terminal(all: bool) -> Self {
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        let columns = match size.map_or(0, |size| usize::from(size.ws_col)) {
            0 => COLUMNS,
            wide => wide.max(COLUMNS_MIN),
        };
        Self {
            columns,
            colour: has_colours(),
            all,
        }
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.colour && !text.trim().is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Returns paragraphs, each with line breaks at the width of the terminal, and an empty
    /// line behind them if there are any.
    fn paragraphs<T: AsRef<str>>(self, texts: impl IntoIterator<Item = T>) -> String {
        let wrap = |text: T| wrap(&one_line(text.as_ref()), self.columns, "", 0);
        section(texts.into_iter().map(wrap).collect())
    }
}

/// Adds an empty line to a text that is not empty.
fn section(text: String) -> String {
    if text.is_empty() { text } else { text + "\n" }
}

/// Returns the table, the findings and the result of the run.
pub(crate) fn text(report: &Report<'_>, look: Look) -> String {
    let result = report.result;
    let grids = Grid::all(&report.matrix, look.all);
    let findings = first_of_each(report);
    let last = last_lines(report, look);
    let mut text: String = grids.iter().map(|grid| table(grid, look) + "\n").collect();
    text += &cached(result);
    text += &skips(result);
    text += &details(report, &findings, look);
    text += &proofs::mutant_findings(report);
    text += &proofs::self_check_findings(result);
    text += &look.paragraphs(words::patches(result));
    text += &notes(result, look);
    text += &proofs::self_checks(result);
    text += &format!("{}\n", words::summary(result));
    text += &proofs::mutants(result);
    text += &format!("{}\n", words::subject(result, "\n"));
    if text.lines().count() > LINES_OF_A_SCREEN {
        let result = last.lines().next().unwrap_or_default();
        text.insert_str(0, &format!("{result}\n\n"));
    }
    text += &last;
    let mut rows = grids.iter().flat_map(|grid| &grid.rows);
    if rows.any(|row| row.count > 1) || findings.len() > FINDINGS_SHOWN && !look.all {
        let run = quote(report.run);
        text += &format!("all rows: {} report {run} --all-rows\n", program::name());
    }
    text
}

fn cached(result: &RunResult) -> String {
    let cached = result.jobs.iter().filter_map(|job| job.cached.as_ref());
    let times = cached.map(|cached| cached.at.get(TIME_OF_DAY).unwrap_or(&cached.at));
    let times: BTreeSet<&str> = times.collect();
    let when = match (times.first(), times.last()) {
        (Some(first), Some(last)) if first != last => format!("between {first} and {last}"),
        (Some(first), _) => format!("at {first}"),
        (None, _) => return String::new(),
    };
    format!("=: cached, ran {when}; build, test, machine and snapshot are unchanged\n\n")
}

/// Returns the table of one config, with long marks if they fit.
fn table(grid: &Grid<'_>, look: Look) -> String {
    let long = |entry: Option<&Entry>| {
        entry_text(entry, |status, mark| format!("{status:<5} {}", mark.word()))
    };
    let short = |entry: Option<&Entry>| {
        entry_text(entry, |status, mark| {
            format!("{status} {}", short_mark(mark))
        })
    };
    let paint = |entry: &Entry, text: String| look.paint(&text, style(entry));
    for least in [ENTRY_COLUMNS_MIN, 0] {
        let widths = grid.widths(least, &long);
        if grid.fits(look.columns, &widths) {
            return grid.lines(look.columns, &widths, &long, &paint);
        }
    }
    let widths = grid.widths(0, &short);
    grid.lines(look.columns, &widths, &short, &paint) + &legend(grid, look)
}

/// Returns the mark for a table that is too wide.
const fn short_mark(mark: Mark) -> &'static str {
    match mark {
        Mark::NotAsserted => "-",
        Mark::Changed => "DIFF",
        Mark::Inconclusive => "?",
        Mark::Unexpected => "BAD",
        Mark::None | Mark::Xfail | Mark::Xpass => mark.word(),
    }
}

fn legend(grid: &Grid<'_>, look: Look) -> String {
    let marks: BTreeSet<Mark> = grid.entries().map(|entry| entry.mark).collect();
    let meaning = |mark: Mark| {
        let meaning = match mark {
            Mark::None => return None,
            Mark::NotAsserted => "not asserted: a later patch changes this result",
            Mark::Xfail => "expected failure",
            Mark::Changed => "differs from its snapshot",
            Mark::Inconclusive => "inconclusive",
            Mark::Xpass => "unexpected pass",
            Mark::Unexpected => "not as expected",
        };
        Some(format!("{}: {meaning}", short_mark(mark)))
    };
    let meanings: Vec<String> = marks.into_iter().filter_map(meaning).collect();
    match meanings.is_empty() {
        true => String::new(),
        false => wrap(&meanings.join("; "), look.columns, "", 0),
    }
}

fn entry_text(entry: Option<&Entry>, text: impl Fn(&str, Mark) -> String) -> String {
    let Some(entry) = entry else {
        return String::new();
    };
    let cached = if entry.cached { "=" } else { "" };
    let status = format!("{}{cached}", entry.status);
    text(&status, entry.mark).trim_end().to_owned()
}

fn style(entry: &Entry) -> Style {
    match entry.mark {
        Mark::Unexpected | Mark::Xpass | Mark::Inconclusive => BAD,
        Mark::Changed => CHANGED,
        Mark::NotAsserted | Mark::Xfail => QUIET,
        Mark::None if entry.status == Status::Pass.word() => PASS,
        Mark::None => QUIET,
    }
}

/// Returns the skipped tests with their reasons, a line for each test and reason.
fn skips(result: &RunResult) -> String {
    let mut places: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for job in result.jobs.iter().filter(|job| job.is_skipped()) {
        let place = (job.config.as_str(), job.test.as_str(), job.reason.as_str());
        places.entry(place).or_default().push(&job.checkout);
    }
    let line = |((config, name, reason), checkouts): ((&str, &str, &str), Vec<&str>)| {
        let checkouts = distinct(checkouts).join(", ");
        format!("  {name} on {checkouts} ({config}): {}\n", one_line(reason))
    };
    match places.is_empty() {
        true => String::new(),
        false => {
            section("skipped:\n".to_owned() + &places.into_iter().map(line).collect::<String>())
        }
    }
}

/// Returns the findings, without further repetitions of the same job.
fn first_of_each<'a>(report: &Report<'a>) -> Vec<&'a JobResult> {
    let (mut places, mut findings) = (BTreeSet::new(), Vec::new());
    for job in report.findings() {
        if places.insert((&job.test, &job.checkout, &job.config)) {
            findings.push(job);
        }
    }
    findings
}

fn details(report: &Report<'_>, findings: &[&JobResult], look: Look) -> String {
    let shown = if look.all { usize::MAX } else { FINDINGS_SHOWN };
    let shown_findings = findings.iter().take(shown);
    let mut text: String = shown_findings.map(|job| finding(report, job)).collect();
    let left = findings.len().saturating_sub(shown);
    if left > 0 {
        text += &format!("... and {left} more findings\n\n");
    }
    text
}

fn finding(report: &Report<'_>, job: &JobResult) -> String {
    let reason = one_line(&job.reason);
    let mut text = format!("{}: {}\n  {reason}\n", name(job), outcome(job));
    if let Some(cause) = job.cause {
        text += &format!("  {}{}\n", CAUSE, cause.word());
    }
    let group = report.matrix.get(&job.test, &job.config, &job.checkout);
    let repeat = match group.map_or(1, |group| group.jobs().len()) {
        0 | 1 => String::new(),
        all => {
            let rate = report.matrix.rate(&job.test, &job.config);
            text += &format!("  {}{rate}\n", PASS_RATE);
            format!(" --repeat {all}")
        }
    };
    let difference = job.snapshot_difference.iter();
    for line in difference.flat_map(|difference| difference.lines()) {
        text += &format!("    {}\n", one_line(line));
    }
    text += &format!("  {}{}/{}/\n", LOG, report.run, job.artifacts);
    let command = report.command(job);
    text + &format!("  {}{command}{repeat}\n\n", REPRODUCE)
}

/// Returns notes: prerequisites that are not in the kernels, and, if the last line reports a
/// finding, the part of the series that is not tested.
fn notes(result: &RunResult, look: Look) -> String {
    let notes = words::notes(result).map(|note| format!("note: {note}"));
    let is_last = result.only_not_tested().is_some();
    let beside = result.not_tested().filter(|_| !is_last);
    look.paragraphs(notes.chain(beside.map(str::to_owned)))
}

fn last_lines(report: &Report<'_>, look: Look) -> String {
    let conclusion = Conclusion::of(report.result);
    let style = match conclusion {
        Conclusion::AsExpected => GOOD,
        Conclusion::Finding | Conclusion::Inconclusive | Conclusion::NotTested => BAD,
    };
    let label = look.paint(conclusion.label(), style);
    let line = format!("{label}: {}\n", words::last_line(report));
    match words::decisive(report) {
        Some(job) if conclusion != Conclusion::NotTested => {
            line + &format!("reproduce: {}\n", report.command(job))
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests;
