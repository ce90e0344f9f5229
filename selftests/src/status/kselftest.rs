// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges the program of one boot of a kselftest of the tree: the exit code is the result,
//! and the printed results, if there are any, must agree with it. The console log is not
//! read here.

use super::Status;
use super::boot::failure;
use crate::evidence::{BootEvidence, ExitKind};
use crate::ktap::{Report, TestStatus};
use crate::text;

/// Exit codes of kselftest, see tools/testing/selftests/kselftest.h.
const PASS: i32 = 0;
const XFAIL: i32 = 2;
const SKIP: i32 = 4;
/// The last line of an output is searched in its last `TAIL_BYTES` bytes, and cut to
/// `LINE_BYTES` bytes.
const TAIL_BYTES: usize = 4096;
const LINE_BYTES: usize = 200;

/// Returns the failure of a boot, if there is one.
pub(super) fn failed(boot: &BootEvidence<'_>, report: &Report) -> Option<(Status, String)> {
    let fail = |reason: String| Some((Status::Fail, reason));
    if let Some(reason) = bad_result(report) {
        return fail(reason);
    }
    let code = match boot.exit {
        Some(ExitKind::Code(code)) => code,
        Some(ExitKind::Signal(signal)) => {
            return fail(format!("the program was killed by signal {signal}"));
        }
        Some(ExitKind::TimedOut) | None => {
            let reason = "the program's exit status is unknown".to_owned();
            return Some((Status::Error, reason));
        }
    };
    if !matches!(code, PASS | XFAIL | SKIP) {
        return fail(match last_line(boot.output) {
            Some(line) => format!("the program exited with code {code}; last line: \"{line}\""),
            None => format!("the program exited with code {code}"),
        });
    }
    if boot.output_cut {
        return fail("the program's output exceeds the size limit".to_owned());
    }
    if code != PASS || !report.is_tap {
        return None;
    }
    if let Some(problem) = report.problems.first() {
        return fail(format!("invalid test output: {problem}"));
    }
    (report.leaves().is_empty() && report.skip_all.is_none())
        .then(|| (Status::Fail, "the program ran no test".to_owned()))
}

/// Returns the reason of a boot that was skipped, or failed with XFAIL. A boot with some
/// skipped and some other results is not skipped.
pub(super) fn skipped(boot: &BootEvidence<'_>, report: &Report) -> Option<String> {
    let leaves = report.leaves();
    let skipped_test = leaves.iter().find_map(|test| match &test.status {
        TestStatus::Skipped(reason) => Some(reason),
        _ => None,
    });
    let reason = || {
        let reason = skipped_test.or(report.skip_all.as_ref());
        let reason = reason.filter(|reason| !reason.is_empty()).cloned();
        reason
            .or_else(|| last_line(boot.output))
            .unwrap_or_else(|| "skipped without a reason".to_owned())
    };
    match boot.exit {
        Some(ExitKind::Code(SKIP)) => Some(reason()),
        Some(ExitKind::Code(XFAIL)) => Some("expected failure (exit code 2)".to_owned()),
        Some(ExitKind::Code(PASS)) => {
            let all = leaves
                .iter()
                .all(|test| matches!(test.status, TestStatus::Skipped(_)));
            let none_ran = report.skip_all.is_some() || (all && !leaves.is_empty());
            none_ran.then(reason)
        }
        _ => None,
    }
}

/// Summarises the results of a boot that passed.
pub(super) fn summary(report: &Report) -> String {
    let leaves = report.leaves();
    let skips = leaves.iter().filter_map(|test| match &test.status {
        TestStatus::Skipped(reason) => Some(reason.as_str()),
        _ => None,
    });
    let skips: Vec<&str> = skips.collect();
    let passed = leaves.len() - skips.len();
    match (passed, skips.first()) {
        (0, _) => "the program exited with code 0".to_owned(),
        (_, None) => format!("{passed} of {passed} tests passed"),
        (_, Some(first)) => format!(
            "{passed} of {} tests passed, {} skipped: {first}",
            leaves.len(),
            skips.len()
        ),
    }
}

/// Returns the first failed result. Failed results come before a bail-out, and a bail-out
/// comes before missing results.
fn bad_result(report: &Report) -> Option<String> {
    let mut tests = report.leaves();
    tests.extend(report.all());
    tests.retain(|test| is_bad(&test.status));
    let printed = tests.iter().find(|test| test.status != TestStatus::Crashed);
    if let Some(test) = printed {
        return Some(failure(test));
    }
    let test = tests.first()?;
    let mut problems = report.problems.iter();
    let bail_out = problems.find(|problem| problem.starts_with("bailed out"));
    Some(bail_out.cloned().unwrap_or_else(|| failure(test)))
}

const fn is_bad(status: &TestStatus) -> bool {
    !matches!(
        status,
        TestStatus::Passed | TestStatus::Skipped(_) | TestStatus::ExpectedFailure(_)
    )
}

/// Returns the last line that is not empty.
fn last_line(output: &[u8]) -> Option<String> {
    let tail = &output[output.len().saturating_sub(TAIL_BYTES)..];
    let lines = tail.split(|byte| *byte == b'\n');
    let mut texts = lines.map(|line| text::clean(line, LINE_BYTES));
    texts.rfind(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests;
