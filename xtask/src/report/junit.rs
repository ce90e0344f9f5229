// SPDX-License-Identifier: MIT OR Apache-2.0
//! JUnit XML, for CI systems: a suite for each checkout and config, a case for each job.
//!
//! JUnit has no expected failures. Here, an expected failure is a passing case with a note in
//! its output and in a property of its suite; Jenkins' schema has no properties for cases.

use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::ElementWriter;

use super::escape::is_direction;
use super::input::{LABELS, Report, head, outcome};
use crate::result::JobResult;
use selftests::expectation::Expected;

/// Limit for the text of a case, because viewers load the whole file; in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A longer control sequence is not one.
const SEQUENCE_MAX: usize = 32;

type Xml = Writer<Vec<u8>>;

/// Returns the document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn text(report: &Report<'_>) -> io::Result<String> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 4);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let not_tested = report.result.not_tested();
    let mut counts = Counts::of(&report.result.jobs);
    if not_tested.is_some() {
        counts.tests += 1;
        counts.errors += 1;
    }
    let attributes = [
        ("name", format!("patchbed {}", report.result.series)),
        ("tests", counts.tests.to_string()),
        // Schemas allow `skipped` for suites, but not for the document.
        ("failures", counts.failures.to_string()),
        ("errors", counts.errors.to_string()),
        ("time", seconds(total(&report.result.jobs))),
    ];
    element(&mut xml, "testsuites", attributes).write_inner_content(|xml| {
        let mut kernels = report.kernels().into_iter();
        kernels.try_for_each(|(checkout, config)| write_suite(xml, report, checkout, config))?;
        not_tested.map_or(Ok(()), |why| write_not_tested(xml, why))
    })?;
    xml.write_indent()?;
    String::from_utf8(xml.into_inner()).map_err(io::Error::other)
}

/// Starts an element with attributes.
fn element<'a, 'b, V: AsRef<str>>(
    xml: &'a mut Xml,
    name: &'static str,
    attributes: impl IntoIterator<Item = (&'b str, V)>,
) -> ElementWriter<'a, Vec<u8>> {
    attributes
        .into_iter()
        .fold(xml.create_element(name), |element, (key, value)| {
            element.with_attribute((key, printable(value.as_ref()).as_str()))
        })
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
            other if other.is_control() || is_direction(other) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Writes a suite with one error for a series that is not in the kernels; other cases do not
/// report it.
fn write_not_tested(xml: &mut Xml, why: &str) -> io::Result<()> {
    let suite = [
        ("name", "series"),
        ("tests", "1"),
        ("skipped", "0"),
        ("errors", "1"),
        ("failures", "0"),
        ("time", "0.000"),
    ];
    let case = [
        ("name", "the series is in the kernels"),
        ("classname", "series"),
        ("time", "0.000"),
    ];
    element(xml, "testsuite", suite).write_inner_content(|xml| {
        element(xml, "testcase", case).write_inner_content(|xml| {
            let attributes = [("message", why), ("type", "not-tested")];
            element(xml, "error", attributes).write_empty()?;
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

fn total<'a>(jobs: impl IntoIterator<Item = &'a JobResult>) -> Duration {
    let each = jobs.into_iter().map(|job| job.duration_ms);
    // A damaged result may have any duration.
    Duration::from_millis(each.fold(0, u64::saturating_add))
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
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
        match job.status.word() {
            "error" => Some(Self::Error),
            _ if job.needs_attention() => Some(Self::Failure),
            "skip" => Some(Self::Skipped),
            _ => None,
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
    fn of<'a>(jobs: impl IntoIterator<Item = &'a JobResult>) -> Self {
        let mut counts = Self::default();
        for job in jobs {
            counts.tests += 1;
            match Problem::of(job) {
                Some(Problem::Error) => counts.errors += 1,
                Some(Problem::Failure) => counts.failures += 1,
                Some(Problem::Skipped) => counts.skipped += 1,
                None => {}
            }
        }
        counts
    }
}

fn write_suite(xml: &mut Xml, report: &Report<'_>, checkout: &str, config: &str) -> io::Result<()> {
    let is_here = |job: &&JobResult| job.checkout == checkout && job.config == config;
    let jobs: Vec<&JobResult> = report.result.jobs.iter().filter(is_here).collect();
    let counts = Counts::of(jobs.iter().copied());
    let mut attributes = vec![
        ("name", format!("{checkout} ({config})")),
        ("tests", counts.tests.to_string()),
        ("skipped", counts.skipped.to_string()),
        ("errors", counts.errors.to_string()),
        ("failures", counts.failures.to_string()),
        ("time", seconds(total(jobs.iter().copied()))),
    ];
    let started = &report.result.provenance.started;
    if !started.is_empty() {
        attributes.push(("timestamp", started.clone()));
    }
    let properties = properties(report, checkout, config, &jobs);
    element(xml, "testsuite", attributes).write_inner_content(|xml| {
        if !properties.is_empty() {
            xml.create_element("properties")
                .write_inner_content(|xml| {
                    for (name, value) in &properties {
                        let attributes = [("name", name), ("value", value)];
                        element(xml, "property", attributes).write_empty()?;
                    }
                    Ok(())
                })?;
        }
        let mut jobs = jobs.iter();
        jobs.try_for_each(|job| write_case(xml, report, job))
    })?;
    Ok(())
}

/// Returns properties of a suite: its sources, and its expected failures.
fn properties(
    report: &Report<'_>,
    checkout: &str,
    config: &str,
    jobs: &[&JobResult],
) -> Vec<(String, String)> {
    let result = report.result;
    let kernel = result.provenance.kernel(checkout, config);
    let facts = [
        ("tree", result.tree.as_str()),
        ("series", &result.series),
        ("prerequisites", &result.prerequisites.join(", ")),
        ("kernel", kernel.map_or("", |kernel| &kernel.release)),
        ("command", &result.provenance.command),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    let xfails = jobs.iter().filter(|job| is_xfail(job)).map(|job| {
        let name = format!("expected failure: {}", case_name(job));
        (name, job.reason.clone())
    });
    known.chain(xfails).collect()
}

fn is_xfail(job: &JobResult) -> bool {
    job.expectation == Expected::Fail && !job.needs_attention()
}

fn case_name(job: &JobResult) -> String {
    match job.repetition {
        1 => job.test.clone(),
        more => format!("{} #{more}", job.test),
    }
}

fn write_case(xml: &mut Xml, report: &Report<'_>, job: &JobResult) -> io::Result<()> {
    let attributes = [
        ("name", case_name(job)),
        ("classname", format!("{}.{}", job.config, job.checkout)),
        ("time", seconds(Duration::from_millis(job.duration_ms))),
    ];
    let problem = Problem::of(job);
    let case = element(xml, "testcase", attributes);
    if problem.is_none() && !is_xfail(job) {
        case.write_empty()?;
        return Ok(());
    }
    case.write_inner_content(|xml| {
        if let Some(problem) = problem {
            write_problem(xml, report, job, problem)?;
        }
        if is_xfail(job) {
            let splats = report.splats_of(job);
            let text = format!("{}: {}\n{splats}", outcome(job), job.reason);
            let text = printable(&head(&text, TEXT_BYTES_MAX));
            xml.create_element("system-out")
                .write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn write_problem(
    xml: &mut Xml,
    report: &Report<'_>,
    job: &JobResult,
    problem: Problem,
) -> io::Result<()> {
    let name = match problem {
        Problem::Error => "error",
        Problem::Failure => "failure",
        Problem::Skipped => {
            element(xml, "skipped", [("message", &job.reason)]).write_empty()?;
            return Ok(());
        }
    };
    let attributes = [
        ("message", format!("{}: {}", outcome(job), job.reason)),
        ("type", job.status.to_string()),
    ];
    let difference = job.snapshot_difference.as_deref().unwrap_or_default();
    let text = format!(
        "{}\n{difference}\n{}\n{}{}/{}/\n{}{}\n",
        job.reason,
        report.splats_of(job),
        LABELS.log,
        report.run,
        job.artifacts,
        LABELS.reproduce,
        report.command(job),
    );
    let text = printable(&head(&text, TEXT_BYTES_MAX));
    element(xml, name, attributes).write_text_content(BytesText::new(&text))?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(total(&result.jobs), Duration::from_millis(u64::MAX));
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
