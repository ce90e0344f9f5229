// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reply for the mailing list: plain text of 72 columns, to be edited and sent by the user.
//! It has no tag, because only the user can give a tag.

use super::escape::{ascii, one_line};
use super::input::{Report, count_tests, name, outcome};
use super::reproduce;
use super::rows::{Entry, Grid, Mark, Row};
use super::wrap::{columns, item, shorten, wrap};
use crate::engine::checkouts::{BASE, SERIES};
use crate::result::{JobResult, RunResult, SelfCheckResult, Tally, TestResult};
use selftests::status::Status;

const WIDTH: usize = 72;
/// At most this many findings are listed in a mail.
const FINDINGS_MAX: usize = 10;
/// Minimum width of the column of names.
const NAME_COLUMNS_MIN: usize = 24;

/// Returns a text in ASCII on one line.
fn plain(text: &str) -> String {
    ascii(&one_line(text))
}

/// Returns the mail.
pub(crate) fn text(report: &Report<'_>) -> String {
    let result = report.result;
    let parts = [
        headers(result),
        wrap(&what_ran(report), WIDTH, 0),
        wrap(&plain(&summary(report)), WIDTH, 0),
        Grid::all(&result.jobs, false)
            .iter()
            .map(table)
            .collect::<Vec<_>>()
            .join("\n"),
        patches(result),
        findings(report),
        reports(result),
        commands(report),
        tag(result),
    ];
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Returns the place for a tag, unless the run does not test the series.
fn tag(result: &RunResult) -> String {
    match result.not_tested() {
        Some(_) => String::new(),
        None => wrap(
            "[ Add your Tested-by: tag here. This tool does not add one. ]",
            WIDTH,
            0,
        ),
    }
}

/// Returns the `In-Reply-To:` header, if the message-id is known; the mailer adds the subject.
fn headers(result: &RunResult) -> String {
    let judged = result.provenance.judged.as_ref();
    let id = judged.and_then(|series| series.message_id.as_ref());
    // Other characters could add a header line.
    let is_valid = |id: &&String| {
        let fits = |c: char| c.is_ascii_graphic() && c != '<' && c != '>';
        !id.is_empty() && id.chars().all(fits)
    };
    let id = id.filter(is_valid);
    id.map_or_else(String::new, |id| format!("In-Reply-To: <{id}>\n"))
}

fn what_ran(report: &Report<'_>) -> String {
    let result = report.result;
    let provenance = &result.provenance;
    let tests: std::collections::BTreeSet<&str> =
        result.jobs.iter().map(|job| job.test.as_str()).collect();
    let mut text = format!("I tested {} on {}", result.series, result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!(" with {} applied first", result.prerequisites.join(", "));
    }
    text += &format!(": {} on {}", count_tests(tests.len()), trees(report));
    if !provenance.qemu.is_empty() {
        text += &format!(", in QEMU {}", provenance.qemu);
    }
    if !provenance.toolchain.is_empty() {
        text += &format!(", built with {}", provenance.toolchain);
    }
    text.push('.');
    let notes = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    for note in provenance.notes.iter().chain(notes) {
        text += &format!(" Note: {note}.");
    }
    plain(&text)
}

/// Returns the checkouts with their patches, as a part of a sentence.
fn trees(report: &Report<'_>) -> String {
    let mut checkouts: Vec<&str> = Vec::new();
    for (checkout, _) in report.kernels() {
        if !checkouts.contains(&checkout) {
            checkouts.push(checkout);
        }
    }
    let of = |checkout: &&str| match (*checkout, checkout.strip_prefix("patch-")) {
        (BASE, _) => "base (without the series)".to_owned(),
        (SERIES, _) => "series (with the whole series)".to_owned(),
        (_, Some("1")) => "patch-1 (with patch 1)".to_owned(),
        (_, Some(number)) => format!("{checkout} (with patches 1 to {number})"),
        (other, None) => other.to_owned(),
    };
    let trees: Vec<String> = checkouts.iter().map(of).collect();
    match trees.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        all => all.concat(),
    }
}

fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    if let Some(not_tested) = result.only_not_tested() {
        return format!("{not_tested}.") + &mutants(result);
    }
    let all = result.jobs.len();
    let fixed = result.tests.iter().filter(|test| is_fixed(result, test));
    let inconclusive = report.inconclusive();
    let unexpected = report.findings().count() - inconclusive;
    let skipped = result.jobs.iter().filter(|job| job.is_skipped()).count();
    let as_expected = match (all, skipped) {
        (1, 0) => "The result is as expected".to_owned(),
        (all, 0) => format!("All {all} results are as expected"),
        (all, skipped) => {
            let good = result.jobs.iter().filter(|job| job.is_good()).count();
            format!("{good} of {all} results are as expected, {skipped} skipped")
        }
    };
    let mut text = match (result.exit_code, unexpected) {
        (0, _) => as_expected,
        (1, 0) if result.jobs.iter().all(JobResult::is_skipped) => {
            "Inconclusive: all tests were skipped".to_owned()
        }
        (1, 0) if inconclusive > 0 => {
            format!("Incomplete: no result for {inconclusive} of {all} test runs")
        }
        (1, 0) => as_expected,
        (1, some) => format!("{some} of {all} results are NOT as expected (see below)"),
        // Only mutants are inconclusive.
        (_, 0) if inconclusive == 0 => as_expected,
        _ => format!("Incomplete: no result for {inconclusive} of {all} test runs"),
    };
    if result.exit_code == 1 && unexpected > 0 && inconclusive > 0 {
        text += &match inconclusive {
            1 => ", and 1 test run has no result".to_owned(),
            count => format!(", and {count} test runs have no result"),
        };
    }
    if result.self_checks.iter().any(SelfCheckResult::is_finding) {
        text += ". The self-check of a kernel missed an injected fault";
    }
    match fixed.count() {
        0 => {}
        1 => text += ". 1 test fails on base and passes with the series",
        count => {
            text += &format!(". {count} tests fail on base and pass with the series");
        }
    }
    if let Some(not_tested) = result.not_tested() {
        text += &format!("; {not_tested}");
    }
    text + "." + &mutants(result)
}

/// Returns whether a test fails on `base` as expected and always passes with the series.
fn is_fixed(result: &RunResult, test: &TestResult) -> bool {
    let with_series = |job: &&JobResult| job.test == test.name && job.checkout == SERIES;
    let mut jobs = result.jobs.iter().filter(with_series).peekable();
    test.fails_without_series
        && test.failed_on.iter().any(|checkout| checkout == BASE)
        && jobs.peek().is_some()
        && jobs.all(|job| job.status == Status::Pass)
}

/// Returns the result of the mutation testing, a sentence.
fn mutants(result: &RunResult) -> String {
    let tally = Tally::of(&result.mutants);
    let inconclusive = match tally.inconclusive {
        0 => String::new(),
        some => format!(", {some} inconclusive"),
    };
    match tally.testable() + tally.inconclusive {
        0 => String::new(),
        all => format!(
            " Mutation testing: the tests caught {} of {all} deliberate errors in the \
             series{inconclusive}.",
            tally.caught
        ),
    }
}

fn table(grid: &Grid<'_>) -> String {
    let widths: Vec<usize> = (0..grid.checkouts.len())
        .map(|at| width(grid, at))
        .collect();
    let taken: usize = widths.iter().map(|width| width + 2).sum();
    let room = WIDTH.saturating_sub(taken).max(NAME_COLUMNS_MIN);
    let names = grid.rows.iter().map(|row| columns(&label(row)));
    let first = names
        .max()
        .unwrap_or(0)
        .max(columns(grid.config) + 7)
        .min(room);
    let line = |name: &str, places: &[String]| {
        let name = &plain(name);
        let places = places.iter().zip(&widths);
        let places: String = places
            .map(|(place, width)| format!("  {place:<width$}"))
            .collect();
        let text = format!("{:<first$}{places}", shorten(name, first));
        format!("{}\n", text.trim_end())
    };
    let heads: Vec<String> = grid
        .checkouts
        .iter()
        .map(|checkout| (*checkout).to_owned())
        .collect();
    let mut text = line(&format!("config {}", grid.config), &heads);
    for row in &grid.rows {
        let places: Vec<String> = row.entries.iter().map(place).collect();
        text += &line(&label(row), &places);
    }
    let has = |mark: Mark| {
        let mut entries = grid
            .rows
            .iter()
            .flat_map(|row| row.entries.iter().flatten());
        entries.any(|entry| entry.mark == mark)
    };
    if has(Mark::Xfail) {
        text += "(*) expected failure: the fix is not applied to this checkout\n";
    }
    if has(Mark::Changed) {
        text += "CHANGED: the timeline differs from the recorded snapshot\n";
    }
    if has(Mark::NotAsserted) {
        text += "(-) not asserted: a later patch of the series changes this result\n";
    }
    text
}

fn width(grid: &Grid<'_>, at: usize) -> usize {
    let places = grid
        .rows
        .iter()
        .map(|row| columns(&place(&row.entries[at])));
    places.max().unwrap_or(0).max(columns(grid.checkouts[at]))
}

fn label(row: &Row) -> String {
    match (row.name.as_str(), row.count) {
        ("", count) => format!("... {count} more tests"),
        (name, 1) => name.to_owned(),
        (name, count) => format!("{name} ({count})"),
    }
}

fn place(entry: &Option<Entry>) -> String {
    let Some(entry) = entry else {
        return "-".to_owned();
    };
    let mark = match entry.mark {
        Mark::None => "",
        Mark::NotAsserted => " (-)",
        Mark::Xfail => " (*)",
        Mark::Changed => " CHANGED",
        Mark::Xpass => " XPASS",
        Mark::Unexpected => " UNEXPECTED",
    };
    format!("{}{mark}", entry.status)
}

fn patches(result: &RunResult) -> String {
    if result.patches.is_empty() {
        return String::new();
    }
    let sentence = |patch: &crate::result::PatchResult| item("  ", &plain(&patch.sentence), WIDTH);
    let sentences: String = result.patches.iter().map(sentence).collect();
    format!("Results that each patch changes:\n\n{sentences}")
}

fn findings(report: &Report<'_>) -> String {
    let mut text = String::new();
    for job in report.findings().take(FINDINGS_MAX) {
        let finding = format!("{}: {}. {}", name(job), outcome(job), job.reason);
        text += &item("  - ", &plain(&finding), WIDTH);
    }
    if text.is_empty() {
        return text;
    }
    let left = report.findings().count().saturating_sub(FINDINGS_MAX);
    if left > 0 {
        text += &format!("  - {left} more\n");
    }
    format!("Needs attention:\n\n{text}")
}

/// Returns the titles of kernel reports on checkouts with patches of the series. Reports on
/// `base` are not caused by the series.
fn reports(result: &RunResult) -> String {
    let is_of_series = |job: &&JobResult| job.checkout != BASE && job.needs_attention();
    let mut titles: Vec<&str> = Vec::new();
    for job in result.jobs.iter().filter(is_of_series) {
        for title in &job.splats {
            if !titles.contains(&title.as_str()) {
                titles.push(title);
            }
        }
    }
    if titles.is_empty() {
        return String::new();
    }
    let titles = titles.iter().take(FINDINGS_MAX);
    let titles: String = titles
        .map(|title| item("  ", &plain(title), WIDTH))
        .collect();
    format!("Kernel reports:\n\n{titles}")
}

/// Returns the commands that reproduce the run and the first finding.
fn commands(report: &Report<'_>) -> String {
    let provenance = &report.result.provenance;
    let mut text = if reproduce::is_safe(&provenance.command) {
        shell(&provenance.command)
    } else {
        shell(&reproduce::command([], &[], &[], report.options))
    };
    if let Some(job) = report.findings().next() {
        text += &format!(
            "\nTo reproduce only the first unexpected result:\n\n{}",
            shell(&report.command(job))
        );
    }
    let version = match provenance.tool.as_str() {
        "" => String::new(),
        tool => format!(" (patchbed {tool})"),
    };
    format!("To reproduce{version}:\n\n{text}")
}

/// Wraps a command between its words, with a backslash at the end of each line.
fn shell(command: &str) -> String {
    let mut lines = vec!["  ".to_owned()];
    for word in words(&plain(command)) {
        let line = lines
            .last_mut()
            .expect("there is a line from the beginning");
        let is_first = line.trim().is_empty();
        if !is_first && columns(line) + columns(&word) + 3 > WIDTH {
            line.push_str(" \\");
            lines.push(format!("      {word}"));
        } else {
            if !is_first {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines.join("\n") + "\n"
}

/// Splits at blanks outside of quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        if character == ' ' && !quoted {
            words.push(String::new());
            continue;
        }
        quoted ^= character == '\'';
        words
            .last_mut()
            .expect("there is a word from the beginning")
            .push(character);
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{hostile, result};
    use crate::result::PatchResult;

    /// A long word that cannot be wrapped may have its own line.
    fn is_mail(text: &str) {
        assert!(text.is_ascii());
        for line in text.lines() {
            let is_alone = line.split_whitespace().count() <= 2;
            assert!(line.len() <= WIDTH || is_alone, "too long: {line}");
        }
    }

    #[test]
    fn text_is_a_reply_of_72_columns() {
        let mut result = result();
        result.patches = vec![PatchResult {
            first: 1,
            last: 1,
            subject: "one".to_owned(),
            sentence:
                "patch 1 changes `held-object` from crash (KASAN: use-after-free in ltd_get) to pass"
                    .to_owned(),
            changes: Vec::new(),
        }];
        let text = text(&Report::new(&result, "RUN", " --tree '/my trees/linux'"));
        is_mail(&text);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn text_has_no_tag_if_the_series_is_not_in_the_kernels() {
        let result = crate::report::tests::not_tested();
        let text = text(&Report::new(&result, "RUN", ""));
        is_mail(&text);
        let plain = text.replace('\n', " ");
        assert!(plain.contains(crate::report::tests::NOT_TESTED), "{text}");
        for bad in ["as expected", "Tested-by", "changes no status"] {
            assert!(!plain.contains(bad), "{bad}: {text}");
        }
    }

    #[test]
    fn headers_and_commands_ignore_unsafe_values_of_a_run_folder() {
        let mut result = result();
        assert_eq!(headers(&result), "In-Reply-To: <s@example.org>\n");
        for bad in ["x@y>\nBcc: everyone@example.org", "a b@c", "", "\u{e9}@x"] {
            result.provenance.judged.as_mut().unwrap().message_id = Some(bad.to_owned());
            assert_eq!(headers(&result), "", "{bad}");
        }
        "cargo xtask test; curl evil | sh".clone_into(&mut result.provenance.command);
        let text = text(&Report::new(&result, "RUN", " --tree K"));
        assert!(text.contains("  cargo xtask test --tree K\n"), "{text}");
        assert!(!text.contains("curl"), "{text}");
    }

    #[test]
    fn summary_has_a_sentence_on_mutants() {
        use crate::result::MutantStatus;
        use crate::result::tests::{job, mutant, one_of_each};
        let judged = crate::report::tests::run(vec![job("s", "series", "pass", "pass")]);
        let judged = judged.with_mutants(one_of_each());
        let text = summary(&Report::new(&judged, "RUN", ""));
        assert_eq!(
            text,
            "The result is as expected. Mutation testing: the tests caught 1 of 2 deliberate \
             errors in the series."
        );
        let mut mutants = one_of_each();
        mutants.push(mutant("g", MutantStatus::Inconclusive));
        let inconclusive = judged.clone().with_mutants(mutants);
        let text = summary(&Report::new(&inconclusive, "RUN", ""));
        assert!(
            text.ends_with(
                "the tests caught 1 of 3 deliberate errors in the series, 1 inconclusive."
            ),
            "{text}"
        );
        let none = judged.with_mutants(Vec::new());
        let text = summary(&Report::new(&none, "RUN", ""));
        assert_eq!(text, "The result is as expected.");
    }

    #[test]
    fn text_of_a_hostile_run_is_ascii_of_72_columns() {
        let result = hostile();
        let text = text(&Report::new(&result, "RUN", &" --prereq 'a b'".repeat(20)));
        is_mail(&text);
        let command = format!("--config fast{}\n", " --prereq 'a b'".repeat(20));
        assert!(text.replace(" \\\n     ", "").contains(&command), "{text}");
    }
}
