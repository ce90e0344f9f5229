// SPDX-License-Identifier: GPL-2.0-only
//! JUnit's XML, for CI systems: a suite for each stack and profile, a case for each cell.
//!
//! It knows of no failure that has to be. One that is as expected is a passing case
//! here, which says so in its output and in a property of its suite; Jenkins' schema has
//! no properties for cases.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report as Document, TestCase, TestCaseStatus};
use quick_junit::{SerializeError, TestSuite};

use super::report::{Report, head, what_came};
use crate::result::CellResult;

/// Viewers load all of it; no case needs more, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Returns the document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn text(report: &Report<'_>) -> Result<String, SerializeError> {
    let mut document = Document::new(format!("patchbed {}", report.result.series));
    for (stack, profile) in report.kernels() {
        document.add_test_suite(suite(report, stack, profile));
    }
    document.set_time(total(&report.result.cells));
    let text = document.to_string()?;
    // The sum of those skipped is in every suite; on the document, no schema has it.
    let sum = format!(" skipped=\"{}\"", document.skipped);
    Ok(text.replacen(&sum, "", 1))
}

fn total<'a>(cells: impl IntoIterator<Item = &'a CellResult>) -> Duration {
    let each = cells.into_iter().map(|cell| cell.duration_ms);
    // A run folder may say anything.
    Duration::from_millis(each.fold(0, u64::saturating_add))
}

fn suite(report: &Report<'_>, stack: &str, profile: &str) -> TestSuite {
    let result = report.result;
    let is_here = |cell: &&CellResult| cell.stack == stack && cell.profile == profile;
    let cells: Vec<&CellResult> = result.cells.iter().filter(is_here).collect();
    let mut suite = TestSuite::new(format!("{stack} ({profile})"));
    suite.set_time(total(cells.iter().copied()));
    let started = result.setting.started.as_str();
    if !started.is_empty() {
        suite.extra.insert("timestamp".into(), started.into());
    }
    let kernel = result.setting.kernel(stack, profile);
    let facts = [
        ("tree", result.tree.as_str()),
        ("series", &result.series),
        ("prerequisites", &result.prerequisites.join(", ")),
        ("kernel", kernel.map_or("", |kernel| &kernel.release)),
        ("command", &result.setting.command),
    ];
    let known = facts.iter().filter(|(_, value)| !value.is_empty());
    suite.add_properties(known.map(|(name, value)| Property::new(*name, *value)));
    for cell in cells {
        if is_due(cell) {
            let name = format!("expected failure: {}", case_name(cell));
            suite.add_property(Property::new(name, &cell.reason));
        }
        suite.add_test_case(case(report, cell));
    }
    suite
}

/// Returns whether it failed, and had to.
fn is_due(cell: &CellResult) -> bool {
    cell.expected == "fail" && !cell.is_finding()
}

fn case_name(cell: &CellResult) -> String {
    match cell.repetition {
        1 => cell.scenario.clone(),
        more => format!("{} #{more}", cell.scenario),
    }
}

fn case(report: &Report<'_>, cell: &CellResult) -> TestCase {
    let mut case = TestCase::new(case_name(cell), status(report, cell));
    case.set_classname(format!("{}.{}", cell.profile, cell.stack));
    case.set_time(Duration::from_millis(cell.duration_ms));
    if is_due(cell) {
        let splats = report.splats_of(cell);
        let text = format!("{}: {}\n{splats}", what_came(cell), cell.reason);
        case.set_system_out(head(&text, TEXT_BYTES_MAX));
    }
    case
}

fn status(report: &Report<'_>, cell: &CellResult) -> TestCaseStatus {
    let kind = match cell.outcome.as_str() {
        "error" => NonSuccessKind::Error,
        _ if cell.is_finding() => NonSuccessKind::Failure,
        "skip" => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&cell.reason);
            return status;
        }
        _ => return TestCaseStatus::success(),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(&cell.outcome);
    status.set_message(format!("{}: {}", what_came(cell), cell.reason));
    let difference = cell.snapshot_difference.as_deref().unwrap_or_default();
    let text = format!(
        "{}\n{difference}\n{}\nsee:   {}/{}/\nagain: {}\n",
        cell.reason,
        report.splats_of(cell),
        report.run,
        cell.artifacts,
        report.command(cell),
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
        for cell in &mut result.cells {
            cell.duration_ms = u64::MAX;
        }
        assert_eq!(total(&result.cells), Duration::from_millis(u64::MAX));
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
