// SPDX-License-Identifier: GPL-2.0-only
//! What a person sees in a terminal: scenarios against checkouts, what to look at, and the
//! verdict, which stands at the end, and at the beginning too when that has scrolled away.
//!
//! Colours only repeat what words say.

use std::collections::{BTreeMap, BTreeSet};

use super::mutants;
use super::self_checks;
use anstyle::{AnsiColor, Style};
use patchbed_host::process::quote;

use super::escape::one_line;
use super::rate::{rate, repetitions};
use super::report::{Report, name, what_came};
use super::rows::{Entry, Grid, Mark, Row};
use super::wrap::{columns, item, shorten, wrap};
use crate::program;
use crate::result::{JobResult, MutantStatus, PatchResult, RunResult, Tally};

/// The time of day in `2026-01-31T18:42:10+01:00`.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;
/// A name with fewer columns is none any more.
const NAME_COLUMNS_MIN: usize = 24;
/// A place with a short status is so wide, so that tables of several configs agree.
const PLACE_COLUMNS_MIN: usize = 18;
/// A smaller screen is not one that anybody has.
const LINES_OF_A_SCREEN: usize = 24;
/// More of them are not read to the end.
const FINDINGS_SHOWN: usize = 10;

const BAD: Style = AnsiColor::Red.on_default().bold();
const CHANGED: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const PASS: Style = AnsiColor::Green.on_default();
const QUIET: Style = Style::new().dimmed();

/// Returns the sequences that a table has of its own.
pub(crate) fn colours() -> Vec<String> {
    let begin = [BAD, CHANGED, GOOD, PASS, QUIET].map(|style| style.to_string());
    let end = format!("{BAD:#}");
    begin.into_iter().chain([end]).collect()
}

/// How it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) columns: usize,
    pub(crate) colour: bool,
    /// Whether every row and every finding is shown.
    pub(crate) all: bool,
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

/// Returns all that there is to see.
pub(crate) fn text(report: &Report<'_>, look: Look) -> String {
    let result = report.result;
    let grids = Grid::all(&result.jobs, look.all);
    let mut text: String = grids.iter().map(|grid| table(grid, look) + "\n").collect();
    text += &cached(result);
    text += &skips(result);
    text += &findings(report, look);
    text += &mutants::findings(result, report.run, report.again);
    text += &self_checks::findings(result);
    text += &patches(result, look);
    text += &notes(result, look);
    text += &self_checks::text(result);
    text += &summary(result);
    let verdict = verdict(report, look);
    if text.lines().count() > LINES_OF_A_SCREEN {
        text.insert_str(
            0,
            &format!("{}\n\n", verdict.lines().next().unwrap_or_default()),
        );
    }
    text += &verdict;
    let folded = grids
        .iter()
        .flat_map(|grid| &grid.rows)
        .any(|row| row.count > 1);
    if folded || report.findings().count() > FINDINGS_SHOWN && !look.all {
        text += &format!(
            "all of it: {} report {} --all-rows\n",
            program::name(),
            quote(report.run)
        );
    }
    text
}

/// Explains the mark of jobs that did not run now, when there are any.
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
    format!("= ran {when}; nothing that it rests on has changed since\n\n")
}

/// How the marks of a table are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Whole,
    /// Where there is no room.
    Short,
}

impl Words {
    const fn of(self, mark: Mark) -> &'static str {
        match (self, mark) {
            (_, Mark::None) => "",
            (Self::Whole, Mark::Between) => "mid-series",
            (Self::Whole, Mark::Due) => "as expected",
            (Self::Whole, Mark::Changed) => "CHANGED",
            (Self::Whole, Mark::Unexpected) => "UNEXPECTED",
            (Self::Short, Mark::Between) => "mid",
            (Self::Short, Mark::Due) => "ok",
            (Self::Short, Mark::Changed) => "NEW",
            (Self::Short, Mark::Unexpected) => "BAD",
        }
    }
}

/// The table of one config, in words as long as there is room for.
fn table(grid: &Grid<'_>, look: Look) -> String {
    let names = grid.rows.iter().map(|row| columns(&label(row)));
    let longest = names.max().unwrap_or(0).max(columns(grid.config) + 10);
    let room = |widths: &[usize]| {
        look.columns
            .saturating_sub(widths.iter().map(|width| width + 2).sum())
    };
    let mut words = Words::Whole;
    let mut widths = widths(grid, words, PLACE_COLUMNS_MIN);
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
    if words == Words::Short
        && grid
            .rows
            .iter()
            .flat_map(|row| row.entries.iter().flatten())
            .any(|entry| entry.mark != Mark::None)
    {
        text += "ok: fails as expected; BAD: not as expected; NEW: not as recorded\n";
    }
    text
}

fn widths(grid: &Grid<'_>, words: Words, least: usize) -> Vec<usize> {
    let width = |(at, checkout): (usize, &&str)| {
        let places = grid.rows.iter().filter_map(|row| row.entries[at].as_ref());
        let widest = places.map(|entry| columns(&place(entry, words))).max();
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
        let place = place(entry, words);
        text += &format!("  {}", look.paint(&place, style(entry)));
        text += &" ".repeat(width - columns(&place));
        if Some(at) == last {
            break;
        }
    }
    format!("{}\n", text.trim_end())
}

fn label(row: &Row) -> String {
    match (row.name.as_str(), row.count) {
        ("", count) => format!("... {count} more scenarios"),
        (name, 1) => name.to_owned(),
        (name, count) => format!("{name} ({count})"),
    }
}

/// One place in the table: the status, and whether it is as it should be.
fn place(entry: &Entry, words: Words) -> String {
    let status = format!("{}{}", entry.status, if entry.cached { "=" } else { "" });
    let mark = words.of(entry.mark);
    let text = match words {
        Words::Whole => format!("{status:<5} {mark}"),
        Words::Short => format!("{status} {mark}"),
    };
    text.trim_end().to_owned()
}

fn style(entry: &Entry) -> Style {
    match entry.mark {
        Mark::Unexpected => BAD,
        Mark::Changed => CHANGED,
        Mark::Between | Mark::Due => QUIET,
        Mark::None if entry.status == "pass" => PASS,
        Mark::None => QUIET,
    }
}

/// Returns what was skipped and why, what went alike on several checkouts in one line.
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

/// Returns the findings, each with what, why, where, and the command to see it again.
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

/// The findings; of the repetitions of a job the first that is one.
fn first_of_each<'a>(report: &Report<'a>) -> Vec<&'a JobResult> {
    let mut told: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut findings: Vec<&JobResult> = Vec::new();
    for job in report.findings() {
        if told.insert((&job.test, &job.checkout, &job.config)) {
            findings.push(job);
        }
    }
    findings
}

fn finding(report: &Report<'_>, job: &JobResult) -> String {
    let mut text = format!(
        "{}: {}\n  {}\n",
        name(job),
        what_came(job),
        one_line(&job.reason)
    );
    if let Some(cause) = job.cause {
        text += &format!("  fault: {}\n", cause.word());
    }
    let mut repeat = String::new();
    let all = repetitions(report.result, job, &job.checkout).len();
    if all > 1 {
        text += &format!("  rate:  {}\n", rate(report.result, job));
        repeat = format!(" --repeat {all}");
    }
    let difference = job.snapshot_difference.iter();
    for line in difference.flat_map(|difference| difference.lines()) {
        text += &format!("    {}\n", one_line(line));
    }
    text += &format!("  see:   {}/{}/\n", report.run, job.artifacts);
    text += &format!("  again: {}{repeat}\n\n", report.command(job));
    text
}

/// Returns what each patch changes, a paragraph for each.
fn patches(result: &RunResult, look: Look) -> String {
    let sentence = |patch: &PatchResult| wrap(&one_line(&patch.sentence), look.columns, 0);
    let text: String = result.patches.iter().map(sentence).collect();
    if text.is_empty() { text } else { text + "\n" }
}

/// Returns what is to be known of the kernels: prerequisites that are in none, and, beside
/// a finding, that the series is not tested.
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
    let good = count(&|job| job.expected) - skipped;
    let changed = count(&|job| job.snapshot_difference.is_some());
    let fails_without_series = result
        .tests
        .iter()
        .filter(|one| one.fails_without_series)
        .count();
    let mut text = format!("{good} of {} verdicts as expected", result.jobs.len());
    if skipped > 0 {
        text += &format!(", {skipped} skipped");
    }
    if changed > 0 {
        text += &format!(", {changed} not as recorded");
    }
    // Without a checkout that should be bad, there is nothing to first_failure.
    if count(&|job| job.expectation == "fail") > 0 {
        text += &format!(
            "; {fails_without_series} of {} scenarios have fails_without_series",
            result.tests.len()
        );
    }
    text.push('\n');
    text += &mutants::summary(result);
    text += &format!("{} on {}\n", result.series, result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!("every checkout has {}\n", result.prerequisites.join(", "));
    }
    text
}

/// Why all is not well, though each job came to what it should.
fn why_not(result: &RunResult) -> String {
    let blind = result.self_checks.iter().find(|one| one.is_finding());
    let mutant = |status: MutantStatus| {
        let mut mutants = result.mutants.iter();
        mutants.find(|one| one.is_finding() && one.status == status)
    };
    let missed = mutant(MutantStatus::Missed).map(|one| (one, "caught by no scenario"));
    let inconclusive = mutant(MutantStatus::Inconclusive).map(|one| (one, "not proven"));
    let disproved = mutant(MutantStatus::Equivalent).map(|one| (one, "caught, though equivalent"));
    // A finding decides the exit code, so it is what the last line names.
    match (blind, missed.or(disproved).or(inconclusive)) {
        (Some(one), _) => format!(
            "the self_check of {} is blind on {} ({}), so a pass proves nothing of that kind",
            one.name, one.checkout, one.config
        ),
        (None, Some((mutant, what))) => {
            let tally = Tally::of(&result.mutants);
            let more = match tally.missed + tally.inconclusive + tally.disproved {
                0 | 1 => String::new(),
                some => format!(", the first of {some} to look at"),
            };
            format!("the mutant `{}` is {what}{more}", mutant.name)
        }
        (None, None) if result.jobs.iter().all(JobResult::is_skipped) => {
            "nothing could do its work".to_owned()
        }
        (None, None) => "see above".to_owned(),
    }
}

/// Returns the last lines: the verdict in one, and what to type next.
fn verdict(report: &Report<'_>, look: Look) -> String {
    let result = report.result;
    if let Some(why) = result.only_not_tested() {
        let (word, why) = why.split_once(':').unwrap_or(("not tested", why));
        return format!("{}:{}\n", look.paint(word, BAD), one_line(why));
    }
    // With exit code 1 a finding decides, be it of a test, a self_check or a mutant: an
    // inconclusive job is never named in its place.
    let decides = |job: &&JobResult| result.exit_code != 1 || !job.is_inconclusive();
    let first = report.findings().find(decides);
    let (word, style) = match result.exit_code {
        0 => ("OK", GOOD),
        1 => ("FINDING", BAD),
        _ => ("NOT PROVEN", BAD),
    };
    let Some(first) = first else {
        let what = match result.exit_code {
            0 => "every verdict as expected".to_owned(),
            _ => why_not(result),
        };
        return format!("{}: {what}\n", look.paint(word, style));
    };
    let alike = |job: &&JobResult| job.is_inconclusive() == first.is_inconclusive();
    let more = match report.findings().filter(alike).count() {
        0 | 1 => String::new(),
        some => format!(" (the first of {some})"),
    };
    let reason = one_line(&first.reason);
    let what = format!("{}: {}{more}: {reason}", name(first), what_came(first));
    let label = format!("{word}: ");
    let line = item(&label, &what, usize::MAX);
    let painted = look.paint(word, style) + &line[word.len()..];
    format!("{painted}again: {}\n", report.command(first))
}

#[cfg(test)]
mod tests;
