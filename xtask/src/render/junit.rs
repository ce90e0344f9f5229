// SPDX-License-Identifier: GPL-2.0-only
//! JUnit's XML, for CI systems: a suite for each checkout and config, a case for each job.
//!
//! It knows of no failure that has to be. One that is as expected is a passing case
//! here, which says so in its output and in a property of its suite; Jenkins' schema has
//! no properties for cases.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report as Document, TestCase, TestCaseStatus};
use quick_junit::{SerializeError, TestSuite};

use super::report::{Report, head, what_came};
use crate::result::JobResult;

/// Viewers load all of it; no case needs more, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Returns the document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn text(report: &Report<'_>) -> Result<String, SerializeError> {
    let mut document = Document::new(format!("flb-testbed {}", report.result.series));
    for (checkout, config) in report.kernels() {
        document.add_test_suite(suite(report, checkout, config));
    }
    document.set_time(total(&report.result.jobs));
    let text = document.to_string()?;
    // The sum of those skipped is in every suite; on the document, no schema has it.
    let sum = format!(" skipped=\"{}\"", document.skipped);
    Ok(text.replacen(&sum, "", 1))
}

fn total<'a>(jobs: impl IntoIterator<Item = &'a JobResult>) -> Duration {
    let each = jobs.into_iter().map(|job| job.duration_ms);
    // A run folder may say anything.
    Duration::from_millis(each.fold(0, u64::saturating_add))
}

fn suite(report: &Report<'_>, checkout: &str, config: &str) -> TestSuite {
    let result = report.result;
    let is_here = |job: &&JobResult| job.checkout == checkout && job.config == config;
    let jobs: Vec<&JobResult> = result.jobs.iter().filter(is_here).collect();
    let mut suite = TestSuite::new(format!("{checkout} ({config})"));
    suite.set_time(total(jobs.iter().copied()));
    let started = result.provenance.started.as_str();
    if !started.is_empty() {
        suite.extra.insert("timestamp".into(), started.into());
    }
    let kernel = result.provenance.kernel(checkout, config);
    let facts = [
        ("tree", result.tree.as_str()),
        ("series", &result.series),
        ("prerequisites", &result.prerequisites.join(", ")),
        ("kernel", kernel.map_or("", |kernel| &kernel.release)),
        ("command", &result.provenance.command),
    ];
    let known = facts.iter().filter(|(_, value)| !value.is_empty());
    suite.add_properties(known.map(|(name, value)| Property::new(*name, *value)));
    for job in jobs {
        if is_due(job) {
            let name = format!("expected failure: {}", case_name(job));
            suite.add_property(Property::new(name, &job.reason));
        }
        suite.add_test_case(case(report, job));
    }
    suite
}

/// Returns whether it failed, and had to.
fn is_due(job: &JobResult) -> bool {
    job.expectation == "fail" && !job.is_finding()
}

fn case_name(job: &JobResult) -> String {
    match job.repetition {
        1 => job.test.clone(),
        more => format!("{} #{more}", job.test),
    }
}

fn case(report: &Report<'_>, job: &JobResult) -> TestCase {
    let mut case = TestCase::new(case_name(job), status(report, job));
    case.set_classname(format!("{}.{}", job.config, job.checkout));
    case.set_time(Duration::from_millis(job.duration_ms));
    if is_due(job) {
        let splats = report.splats_of(job);
        let text = format!("{}: {}\n{splats}", what_came(job), job.reason);
        case.set_system_out(head(&text, TEXT_BYTES_MAX));
    }
    case
}

fn status(report: &Report<'_>, job: &JobResult) -> TestCaseStatus {
    let kind = match job.status.as_str() {
        "error" => NonSuccessKind::Error,
        _ if job.is_finding() => NonSuccessKind::Failure,
        "skip" => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&job.reason);
            return status;
        }
        _ => return TestCaseStatus::success(),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(&job.status);
    status.set_message(format!("{}: {}", what_came(job), job.reason));
    let difference = job.snapshot_difference.as_deref().unwrap_or_default();
    let text = format!(
        "{}\n{difference}\n{}\nsee:   {}/{}/\nagain: {}\n",
        job.reason,
        report.splats_of(job),
        report.run,
        job.artifacts,
        report.command(job),
    );
    status.set_description(head(&text, TEXT_BYTES_MAX));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{hostile, result};

    #[test]
    fn an_expected_failure_passes_and_says_so() {
        let result = result();
        let mut report = Report::new(&result, "RUN", "");
        let splat = "KASAN (kernel 1): use-after-free in f\n  BUG: KASAN\n";
        report
            .splats
            .insert("fast/series/kexec".into(), splat.into());
        insta::assert_snapshot!(text(&report).unwrap());
    }

    #[test]
    fn times_that_nobody_waited_are_no_end() {
        let mut result = result();
        for job in &mut result.jobs {
            job.duration_ms = u64::MAX;
        }
        assert_eq!(total(&result.jobs), Duration::from_millis(u64::MAX));
        assert!(text(&Report::new(&result, "RUN", "")).is_ok());
    }

    #[test]
    fn hostile_text_stays_text() {
        let result = hostile();
        let text = text(&Report::new(&result, "RUN", "")).unwrap();
        let back = Document::deserialize_from_str(&text).unwrap();
        assert_eq!(back.test_suites.len(), 1);
        assert_eq!(back.test_suites[0].test_cases.len(), 1);
        assert!(!text.contains('\u{1b}') && !text.contains('\0'), "{text}");
    }
}
