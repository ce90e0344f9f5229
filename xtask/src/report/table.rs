// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a terminal: results by test and checkout, findings, and the result of the run
//! in the last line. If the text is longer than a screen, the first line has it, too.
//!
//! Colours have no information that is not in the text.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use patchbed_host::process::quote;

use super::escape::one_line;
use super::input::{LABELS, Report, count_differing, count_tests, name, outcome};
use super::mutants;
use super::rate::{rate, repetitions};
use super::rows::{Entry, Grid, Mark, Row};
use super::self_checks;
use super::wrap::{columns, item, shorten, wrap};
use crate::engine::program;
use crate::result::{JobResult, MutantStatus, PatchResult, RunResult, Tally};
use selftests::expectation::Expected;
use selftests::status::Status;

/// The time of day in `2026-01-31T18:42:10+01:00`.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
/// Minimum width of the column of names.
const NAME_COLUMNS_MIN: usize = 24;
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
pub fn colours() -> Vec<String> {
    let begin = [BAD, CHANGED, GOOD, PASS, QUIET].map(|style| style.to_string());
    let end = format!("{BAD:#}");
    begin.into_iter().chain([end]).collect()
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub(crate) columns: usize,
    pub(crate) colour: bool,
    /// Whether every row and every finding is shown.
    pub all: bool,
}

impl Look {
    fn paint(self, text: &str, style: Style) -> String {
        if self.colour && !text.trim().is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Returns the table, the findings and the result of the run.
pub fn text(report: &Report<'_>, look: Look) -> String {
    let result = report.result;
    let grids = Grid::all(&result.jobs, look.all);
    let mut text: String = grids.iter().map(|grid| table(grid, look) + "\n").collect();
    text += &cached(result);
    text += &skips(result);
    text += &findings(report, look);
    text += &mutants::findings(result, report.run, report.options);
    text += &self_checks::findings(result);
    text += &patches(result, look);
    text += &notes(result, look);
    text += &self_checks::text(result);
    text += &summary(result);
    let last = last_lines(report, look);
    if text.lines().count() > LINES_OF_A_SCREEN {
        text.insert_str(
            0,
            &format!("{}\n\n", last.lines().next().unwrap_or_default()),
        );
    }
    text += &last;
    let folded = grids
        .iter()
        .flat_map(|grid| &grid.rows)
        .any(|row| row.count > 1);
    if folded || report.findings().count() > FINDINGS_SHOWN && !look.all {
        text += &format!(
            "all rows: {} report {} --all-rows\n",
            program::name(),
            quote(report.run)
        );
    }
    text
}

/// Returns the legend for reused results, if there are any.
fn cached(result: &RunResult) -> String {
    let mut times: Vec<&str> = result
        .jobs
        .iter()
        .filter_map(|job| job.cached.as_ref())
        .map(|cached| cached.at.get(TIME_OF_DAY).unwrap_or(&cached.at))
        .collect();
    times.sort_unstable();
    let when = match times.as_slice() {
        [] => return String::new(),
        [first, .., last] if first != last => format!("between {first} and {last}"),
        [first, ..] => format!("at {first}"),
    };
    format!("=: cached, ran {when}; build, test and machine are unchanged\n\n")
}

/// The length of the marks in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Long,
    /// Used if the table is too wide.
    Short,
}

impl Words {
    const fn of(self, mark: Mark) -> &'static str {
        match (self, mark) {
            (_, Mark::None) => "",
            (_, Mark::Xfail) => "xfail",
            (_, Mark::Xpass) => "XPASS",
            (Self::Long, Mark::NotAsserted) => "not asserted",
            (Self::Long, Mark::Changed) => "CHANGED",
            (Self::Long, Mark::Unexpected) => "UNEXPECTED",
            (Self::Short, Mark::NotAsserted) => "-",
            (Self::Short, Mark::Changed) => "DIFF",
            (Self::Short, Mark::Unexpected) => "BAD",
        }
    }

    const fn meaning(mark: Mark) -> &'static str {
        match mark {
            Mark::None => "",
            Mark::NotAsserted => "not asserted: a later patch changes this result",
            Mark::Xfail => "expected failure",
            Mark::Changed => "differs from its snapshot",
            Mark::Xpass => "unexpected pass",
            Mark::Unexpected => "not as expected",
        }
    }
}

/// Returns the table of one config, with long marks if they fit.
fn table(grid: &Grid<'_>, look: Look) -> String {
    let names = grid.rows.iter().map(|row| columns(&label(row)));
    let longest = names.max().unwrap_or(0).max(columns(grid.config) + 7);
    let room = |widths: &[usize]| {
        look.columns
            .saturating_sub(widths.iter().map(|width| width + 2).sum())
    };
    let mut words = Words::Long;
    let mut widths = widths(grid, words, ENTRY_COLUMNS_MIN);
    if room(&widths) < longest {
        widths = self::widths(grid, words, 0);
    }
    if room(&widths) < longest {
        words = Words::Short;
        widths = self::widths(grid, words, 0);
    }
    let first = longest.min(room(&widths).max(NAME_COLUMNS_MIN));
    let head: String = grid
        .checkouts
        .iter()
        .zip(&widths)
        .map(|(checkout, width)| format!("  {checkout:<width$}"))
        .collect();
    let title = format!("config {}", grid.config);
    let mut text = format!("{}\n", format!("{title:<first$}{head}").trim_end());
    for row in &grid.rows {
        text += &line(row, first, &widths, words, look);
    }
    text + &legend(grid, words, look)
}

/// Returns the meaning of the short marks in a table.
fn legend(grid: &Grid<'_>, words: Words, look: Look) -> String {
    let entries = grid
        .rows
        .iter()
        .flat_map(|row| row.entries.iter().flatten());
    let marks: BTreeSet<Mark> = entries.map(|entry| entry.mark).collect();
    let marks = marks.into_iter().filter(|mark| *mark != Mark::None);
    let meanings: Vec<String> = marks
        .map(|mark| format!("{}: {}", words.of(mark), Words::meaning(mark)))
        .collect();
    match words {
        Words::Short if !meanings.is_empty() => wrap(&meanings.join("; "), look.columns, 0),
        _ => String::new(),
    }
}

fn widths(grid: &Grid<'_>, words: Words, least: usize) -> Vec<usize> {
    let width = |(at, checkout): (usize, &&str)| {
        let places = grid.rows.iter().filter_map(|row| row.entries[at].as_ref());
        let widest = places.map(|entry| columns(&entry_text(entry, words))).max();
        widest.unwrap_or(0).max(columns(checkout)).max(least)
    };
    grid.checkouts.iter().enumerate().map(width).collect()
}

fn line(row: &Row, first: usize, widths: &[usize], words: Words, look: Look) -> String {
    let mut text = format!("{:<first$}", shorten(&label(row), first));
    let last = row.entries.iter().rposition(Option::is_some);
    for (at, (entry, width)) in row.entries.iter().zip(widths).enumerate() {
        let Some(entry) = entry else {
            text += &" ".repeat(width + 2);
            continue;
        };
        let entry_text = entry_text(entry, words);
        text += &format!("  {}", look.paint(&entry_text, style(entry)));
        text += &" ".repeat(width - columns(&entry_text));
        if Some(at) == last {
            break;
        }
    }
    format!("{}\n", text.trim_end())
}

fn label(row: &Row) -> String {
    match (row.name.as_str(), row.count) {
        ("", count) => format!("... {}", more_tests(count)),
        (name, 1) => name.to_owned(),
        (name, count) => format!("{name} ({count})"),
    }
}

fn more_tests(count: usize) -> String {
    match count {
        1 => "1 more test".to_owned(),
        count => format!("{count} more tests"),
    }
}

/// Returns an entry of the table: status and mark.
fn entry_text(entry: &Entry, words: Words) -> String {
    let status = format!("{}{}", entry.status, if entry.cached { "=" } else { "" });
    let mark = words.of(entry.mark);
    let text = match words {
        Words::Long => format!("{status:<5} {mark}"),
        Words::Short => format!("{status} {mark}"),
    };
    text.trim_end().to_owned()
}

fn style(entry: &Entry) -> Style {
    match entry.mark {
        Mark::Unexpected | Mark::Xpass => BAD,
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
        let checkouts = places
            .entry((&job.config, &job.test, &job.reason))
            .or_default();
        if !checkouts.contains(&job.checkout.as_str()) {
            checkouts.push(&job.checkout);
        }
    }
    if places.is_empty() {
        return String::new();
    }
    let mut text = "skipped:\n".to_owned();
    for ((config, name, reason), checkouts) in places {
        let checkouts = checkouts.join(", ");
        text += &format!("  {name} on {checkouts} ({config}): {}\n", one_line(reason));
    }
    text + "\n"
}

/// Returns the findings with reason, cause, log and the command that reproduces them.
fn findings(report: &Report<'_>, look: Look) -> String {
    let shown = if look.all { usize::MAX } else { FINDINGS_SHOWN };
    let findings = first_of_each(report);
    let mut text: String = findings
        .iter()
        .take(shown)
        .map(|job| finding(report, job))
        .collect();
    let left = findings.len().saturating_sub(shown);
    if left > 0 {
        text += &format!("... and {left} more findings\n\n");
    }
    text
}

/// Returns the findings, without further repetitions of the same job.
fn first_of_each<'a>(report: &Report<'a>) -> Vec<&'a JobResult> {
    let mut jobs: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut findings: Vec<&JobResult> = Vec::new();
    for job in report.findings() {
        if jobs.insert((&job.test, &job.checkout, &job.config)) {
            findings.push(job);
        }
    }
    findings
}

fn finding(report: &Report<'_>, job: &JobResult) -> String {
    let mut text = format!(
        "{}: {}\n  {}\n",
        name(job),
        outcome(job),
        one_line(&job.reason)
    );
    if let Some(cause) = job.cause {
        text += &format!("  {}{}\n", LABELS.cause, cause.word());
    }
    let mut repeat = String::new();
    let all = repetitions(report.result, job, &job.checkout).len();
    if all > 1 {
        text += &format!("  {}{}\n", LABELS.pass_rate, rate(report.result, job));
        repeat = format!(" --repeat {all}");
    }
    let difference = job.snapshot_difference.iter();
    for line in difference.flat_map(|difference| difference.lines()) {
        text += &format!("    {}\n", one_line(line));
    }
    text += &format!("  {}{}/{}/\n", LABELS.log, report.run, job.artifacts);
    let command = report.command(job);
    text + &format!("  {}{command}{repeat}\n\n", LABELS.reproduce)
}

/// Returns the results that each patch changes, a paragraph for each patch.
fn patches(result: &RunResult, look: Look) -> String {
    let sentence = |patch: &PatchResult| wrap(&one_line(&patch.sentence), look.columns, 0);
    let text: String = result.patches.iter().map(sentence).collect();
    if text.is_empty() { text } else { text + "\n" }
}

/// Returns notes: prerequisites that are not in the kernels, and, if the last line reports a
/// finding, the part of the series that is not tested.
fn notes(result: &RunResult, look: Look) -> String {
    let notes = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    let notes = notes.map(|note| format!("note: {note}"));
    let beside = result
        .not_tested()
        .filter(|_| result.only_not_tested().is_none());
    let all = notes.chain(beside.map(str::to_owned));
    let text: String = all
        .map(|note| wrap(&one_line(&note), look.columns, 0))
        .collect();
    if text.is_empty() { text } else { text + "\n" }
}

fn summary(result: &RunResult) -> String {
    let count =
        |test: &dyn Fn(&JobResult) -> bool| result.jobs.iter().filter(|job| test(job)).count();
    let skipped = count(&JobResult::is_skipped);
    let good = count(&JobResult::is_good);
    let changed = count(&|job| job.snapshot_difference.is_some());
    let mut text = format!("{good} of {} results as expected", result.jobs.len());
    if skipped > 0 {
        text += &format!(", {skipped} skipped");
    }
    if changed > 0 {
        text += &format!(", {}", count_differing(changed));
    }
    // If no job is expected to fail, the run has no checkout without the series.
    if count(&|job| job.expectation == Expected::Fail) > 0 {
        let tests = result.tests.iter();
        let failing = tests.filter(|test| test.fails_without_series).count();
        let verb = if failing == 1 { "fails" } else { "fail" };
        let all = count_tests(result.tests.len());
        text += &format!("; {failing} of {all} {verb} without the series");
    }
    text.push('\n');
    text += &mutants::summary(result);
    text += &format!("{} on {}\n", result.series, result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!("every checkout has {}\n", result.prerequisites.join(", "));
    }
    text
}

/// Returns the reason for the exit code if no job needs attention.
fn reason_without_job(result: &RunResult) -> String {
    let missed_fault = result.self_checks.iter().find(|one| one.is_finding());
    let mutant = |status: MutantStatus| {
        let mut mutants = result.mutants.iter();
        mutants.find(|one| one.needs_attention() && one.status == status)
    };
    let missed = mutant(MutantStatus::Missed);
    let disproved = mutant(MutantStatus::Equivalent);
    let inconclusive = mutant(MutantStatus::Inconclusive);
    // A finding decides the exit code, so findings precede inconclusive mutants.
    match (missed_fault, missed.or(disproved).or(inconclusive)) {
        (Some(one), _) => format!(
            "self-check: injected fault {} MISSED on {} ({})",
            one.name, one.checkout, one.config
        ),
        (None, Some(mutant)) => {
            let tally = Tally::of(&result.mutants);
            let more = match tally.missed + tally.inconclusive + tally.disproved {
                0 | 1 => String::new(),
                some => format!(" (the first of {some})"),
            };
            format!("mutant `{}` is {}{more}", mutant.name, mutant.word())
        }
        (None, None) if result.jobs.iter().all(JobResult::is_skipped) => {
            "all tests were skipped".to_owned()
        }
        (None, None) if !result.mutants.is_empty() => {
            "no mutant was run: each has the same code as the series or does not compile".to_owned()
        }
        (None, None) => "see above".to_owned(),
    }
}

/// Returns the last lines: the result of the run, and the command that reproduces it.
fn last_lines(report: &Report<'_>, look: Look) -> String {
    let result = report.result;
    if let Some(why) = result.only_not_tested() {
        let (word, why) = why.split_once(':').unwrap_or(("not tested", why));
        return format!("{}:{}\n", look.paint(word, BAD), one_line(why));
    }
    // With exit code 1, the last line names a finding (of a test, self-check or mutant), not
    // an inconclusive job.
    let decides = |job: &&JobResult| result.exit_code != 1 || !job.is_inconclusive();
    let first = report.findings().find(decides);
    let (word, style) = match result.exit_code {
        0 => ("OK", GOOD),
        1 => ("FINDING", BAD),
        _ => ("INCONCLUSIVE", BAD),
    };
    let Some(first) = first else {
        let reason = match result.exit_code {
            0 => "every result is as expected".to_owned(),
            _ => reason_without_job(result),
        };
        return format!("{}: {reason}\n", look.paint(word, style));
    };
    let is_same_kind = |job: &&JobResult| job.is_inconclusive() == first.is_inconclusive();
    let more = match report.findings().filter(is_same_kind).count() {
        0 | 1 => String::new(),
        some => format!(" (the first of {some})"),
    };
    let reason = one_line(&first.reason);
    let text = format!("{}: {}{more}: {reason}", name(first), outcome(first));
    let label = format!("{word}: ");
    let line = item(&label, &text, usize::MAX);
    let painted = look.paint(word, style) + &line[word.len()..];
    format!("{painted}reproduce: {}\n", report.command(first))
}

#[cfg(test)]
mod tests;
