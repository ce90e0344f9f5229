// SPDX-License-Identifier: MIT OR Apache-2.0
//! JUnit XML, for CI systems: a suite for each checkout and config, a case for each job.
//!
//! JUnit has no expected failures. Here, an expected failure is a passing case with a note in
//! its output and in a property of its suite; Jenkins' schema has no properties for cases.

use askama::Template;
use std::time::Duration;

use super::input::Report;
use super::words::{LOG, REPRODUCE, outcome};
use crate::result::JobResult;
use crate::text::{head, is_harmful};
use selftests::expectation::Expected;
use selftests::status::Status;

/// Limit for the text of a case, because viewers load the whole file; in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A longer control sequence is not one.
const SEQUENCE_MAX: usize = 32;

/// The document. A series that is not in the kernels is an error in a suite of its own,
/// because no other case reports it.
#[derive(Template)]
#[template(path = "junit.xml", whitespace = "preserve")]
struct Document<'a> {
    series: String,
    started: &'a str,
    counts: Counts,
    time: String,
    suites: Vec<Suite>,
    not_tested: Option<String>,
}

struct Suite {
    name: String,
    counts: Counts,
    time: String,
    /// Its sources, and its expected failures.
    properties: Vec<(String, String)>,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    class: String,
    time: String,
    problem: Option<Problem>,
    status: Status,
    message: String,
    details: String,
    output: Option<String>,
}

/// The element of a case that did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Error,
    Failure,
    Skipped,
}

impl Problem {
    fn of(job: &JobResult) -> Option<Self> {
        match job.status {
            Status::Error => Some(Self::Error),
            _ if job.needs_attention() => Some(Self::Failure),
            Status::Skip => Some(Self::Skipped),
            _ => None,
        }
    }

    const fn element(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    tests: usize,
    errors: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn of(jobs: &[&JobResult]) -> Self {
        let count = |problem| {
            jobs.iter()
                .filter(|job| Problem::of(job) == Some(problem))
                .count()
        };
        Self {
            tests: jobs.len(),
            errors: count(Problem::Error),
            failures: count(Problem::Failure),
            skipped: count(Problem::Skipped),
        }
    }
}

/// Returns the document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn text(report: &Report<'_>) -> askama::Result<String> {
    let result = report.result;
    let jobs: Vec<&JobResult> = result.jobs.iter().collect();
    let mut counts = Counts::of(&jobs);
    if result.not_tested().is_some() {
        counts.tests += 1;
        counts.errors += 1;
    }
    let kernels = report.matrix.kernels().into_iter();
    let document = Document {
        series: printable(&result.series),
        started: &result.provenance.started,
        counts,
        time: seconds(total(&jobs)),
        suites: kernels
            .map(|(checkout, config)| suite(report, checkout, config))
            .collect(),
        not_tested: result.not_tested().map(printable),
    };
    document.render()
}

/// Returns a text without the control sequences of terminals, and without the characters
/// that XML 1.0 does not allow, not even escaped.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                // Parameters, then intermediate bytes (ECMA-48, 5.4).
                let mut left = SEQUENCE_MAX;
                for part in ['0'..='?', ' '..='/'] {
                    while left > 0 && rest.next_if(|next| part.contains(next)).is_some() {
                        left -= 1;
                    }
                }
                rest.next_if(|next| matches!(next, '@'..='~'));
            }
            '\t' | '\n' | '\r' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other if is_harmful(other) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

fn total(jobs: &[&JobResult]) -> Duration {
    let each = jobs.iter().map(|job| job.duration_ms);
    // A damaged result may have any duration.
    Duration::from_millis(each.fold(0, u64::saturating_add))
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn suite(report: &Report<'_>, checkout: &str, config: &str) -> Suite {
    let is_here = |job: &&JobResult| job.checkout == checkout && job.config == config;
    let jobs: Vec<&JobResult> = report.result.jobs.iter().filter(is_here).collect();
    let result = report.result;
    let kernel = result.provenance.kernel(checkout, config);
    let facts = [
        ("tree", result.tree.as_str()),
        ("series", &result.series),
        ("prerequisites", &result.prerequisites.join(", ")),
        ("kernel", kernel.map_or("", |kernel| &kernel.release)),
        ("command", &result.provenance.command),
    ]
    .map(|(name, value)| (name.to_owned(), printable(value)));
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    let xfails = jobs.iter().filter(|job| is_xfail(job)).map(|job| {
        let name = format!("expected failure: {}", case_name(job));
        (name, printable(&job.reason))
    });
    Suite {
        name: printable(&format!("{checkout} ({config})")),
        counts: Counts::of(&jobs),
        time: seconds(total(&jobs)),
        properties: known.chain(xfails).collect(),
        cases: jobs.iter().map(|job| case(report, job)).collect(),
    }
}

fn is_xfail(job: &JobResult) -> bool {
    job.expectation == Expected::Fail && !job.needs_attention()
}

fn case_name(job: &JobResult) -> String {
    let test = printable(&job.test);
    match job.repetition {
        1 => test,
        more => format!("{test} #{more}"),
    }
}

fn case(report: &Report<'_>, job: &JobResult) -> Case {
    let (splats, reason) = (report.splats_of(job), &job.reason);
    let outcome = format!("{}: {reason}", outcome(job));
    let problem = Problem::of(job);
    let difference = job.snapshot_difference.as_deref().unwrap_or_default();
    let details = format!(
        "{reason}\n{difference}\n{splats}\n{}{}/{}/\n{}{}\n",
        LOG,
        report.run,
        job.artifacts,
        REPRODUCE,
        report.command(job),
    );
    let output = format!("{outcome}\n{splats}");
    Case {
        name: case_name(job),
        class: printable(&format!("{}.{}", job.config, job.checkout)),
        time: seconds(Duration::from_millis(job.duration_ms)),
        problem,
        status: job.status,
        message: match problem {
            Some(Problem::Skipped) => printable(reason),
            _ => printable(&outcome),
        },
        details: printable(&head(&details, TEXT_BYTES_MAX)),
        output: is_xfail(job).then(|| printable(&head(&output, TEXT_BYTES_MAX))),
    }
}

#[cfg(test)]
mod tests {
    use quick_xml::events::Event;

    use super::*;
    use crate::report::tests::{hostile, result};

    /// Returns the number of elements of a name in a well-formed document.
    fn elements(text: &str, name: &str) -> usize {
        let mut reader = quick_xml::Reader::from_str(text);
        let mut count = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) | Event::Empty(tag) => {
                    assert!(tag.attributes().all(|attribute| attribute.is_ok()));
                    count += usize::from(tag.name().as_ref() == name.as_bytes());
                }
                Event::Eof => return count,
                _ => {}
            }
        }
    }

    #[test]
    fn printable_drops_terminal_sequences_and_control_characters() {
        let text = "a\u{1b}[1;31mb\u{1b}[0m\tc\n\0\u{8}\u{ffff}d\u{1b}\u{e9}\u{1b}[";
        assert_eq!(printable(text), "ab\tc\nd\u{e9}");
    }

    #[test]
    fn text_has_a_passing_case_with_a_note_for_an_expected_failure() {
        let result = result();
        let mut report = Report::new(&result, "RUN", "");
        let splat = "KASAN (kernel 1): use-after-free in f\n  BUG: KASAN\n";
        report
            .splats
            .insert("fast/series/kexec".into(), splat.into());
        insta::assert_snapshot!(text(&report).unwrap());
    }

    #[test]
    fn text_has_an_error_if_the_series_is_not_in_the_kernels() {
        let result = crate::report::tests::not_tested();
        let text = text(&Report::new(&result, "RUN", "")).unwrap();
        let suites = text
            .lines()
            .find(|line| line.starts_with("<testsuites"))
            .unwrap();
        for count in [r#"tests="3""#, r#"errors="1""#, r#"failures="0""#] {
            assert!(suites.contains(count), "{suites}");
        }
        let error = format!(
            r#"<error message="{}" type="not-tested"/>"#,
            crate::report::tests::NOT_TESTED
        );
        assert!(text.contains(&error), "{text}");
    }

    #[test]
    fn total_of_huge_durations_saturates() {
        let mut result = result();
        for job in &mut result.jobs {
            job.duration_ms = u64::MAX;
        }
        assert_eq!(
            total(&result.jobs.iter().collect::<Vec<_>>()),
            Duration::from_millis(u64::MAX)
        );
        assert!(text(&Report::new(&result, "RUN", "")).is_ok());
    }

    #[test]
    fn text_escapes_markup_and_drops_control_characters() {
        let result = hostile();
        let text = text(&Report::new(&result, "RUN", "")).unwrap();
        assert_eq!(elements(&text, "testsuite"), 1);
        assert_eq!(elements(&text, "testcase"), 1);
        assert!(!text.contains('\u{1b}') && !text.contains('\0'), "{text}");
    }
}
