// SPDX-License-Identifier: GPL-2.0-only
//! One boot of a test of the tree's own, by kselftest's conventions: the exit code
//! is the result, and the results that it printed, where it printed any, must say
//! the same. Knows nothing of the console.

use super::Status;
use super::boot::failure;
use crate::evidence::{BootEvidence, ExitKind};
use crate::ktap::{Report, TestStatus};
use crate::text;

/// Exit codes of kselftest.
const PASS: i32 = 0;
const XFAIL: i32 = 2;
const SKIP: i32 = 4;
/// Of what a program wrote, so much of its end is looked at for its last line, and
/// so much of that line is shown, in bytes.
const TAIL_BYTES: usize = 4096;
const LINE_BYTES: usize = 200;

/// What is wrong with a boot, if anything is.
pub(super) fn trouble(boot: &BootEvidence<'_>, report: &Report) -> Option<(Status, String)> {
    let fail = |what: String| Some((Status::Fail, what));
    if let Some(what) = bad_result(report) {
        return fail(what);
    }
    let code = match boot.exit {
        Some(ExitKind::Code(code)) => code,
        Some(ExitKind::Signal(signal)) => {
            return fail(format!("signal {signal} ended the program"));
        }
        Some(ExitKind::TimedOut) | None => {
            let what = "nothing is known of the program's end".to_owned();
            return Some((Status::Error, what));
        }
    };
    if !matches!(code, PASS | XFAIL | SKIP) {
        return fail(match last_line(boot.output) {
            Some(line) => format!("the program exited with code {code}, saying \"{line}\""),
            None => format!("the program exited with code {code}"),
        });
    }
    if boot.output_cut {
        return fail("the program wrote more than is kept".to_owned());
    }
    if code != PASS || !report.is_tap {
        return None;
    }
    if let Some(problem) = report.problems.first() {
        return fail(format!("the results are not whole: {problem}"));
    }
    (report.leaves().is_empty() && report.skip_all.is_none())
        .then(|| (Status::Fail, "the program ran no test".to_owned()))
}

/// Why the boot as a whole proves nothing: it was skipped, or failed as it is known
/// to. A few results that were skipped among others do not make it so.
pub(super) fn skipped(boot: &BootEvidence<'_>, report: &Report) -> Option<String> {
    let leaves = report.leaves();
    let reason = leaves.iter().find_map(|test| match &test.status {
        TestStatus::Skipped(reason) => Some(reason),
        _ => None,
    });
    let said = || {
        let said = reason.or(report.skip_all.as_ref());
        let said = said.filter(|said| !said.is_empty()).cloned();
        said.or_else(|| last_line(boot.output))
            .unwrap_or_else(|| "the program does not say why".to_owned())
    };
    match boot.exit {
        Some(ExitKind::Code(SKIP)) => Some(said()),
        Some(ExitKind::Code(XFAIL)) => Some("it failed as it is known to (exit code 2)".to_owned()),
        Some(ExitKind::Code(PASS)) => {
            let all = leaves
                .iter()
                .all(|test| matches!(test.status, TestStatus::Skipped(_)));
            let none_ran = report.skip_all.is_some() || (all && !leaves.is_empty());
            none_ran.then(said)
        }
        _ => None,
    }
}

/// What a boot that is all right came to, for people.
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
        (_, None) => format!("{passed} results, all good"),
        (_, Some(first)) => format!("{passed} results good, {} skipped: {first}", skips.len()),
    }
}

/// The first result that is bad. Those that are missing say least: why the program
/// gave up goes before them.
fn bad_result(report: &Report) -> Option<String> {
    let mut tests = report.leaves();
    tests.extend(report.all());
    tests.retain(|test| is_bad(&test.status));
    let said = tests.iter().find(|test| test.status != TestStatus::Crashed);
    if let Some(test) = said {
        return Some(failure(test));
    }
    let test = tests.first()?;
    let mut problems = report.problems.iter();
    let gave_up = problems.find(|problem| problem.starts_with("bailed out"));
    Some(gave_up.cloned().unwrap_or_else(|| failure(test)))
}

const fn is_bad(status: &TestStatus) -> bool {
    !matches!(
        status,
        TestStatus::Passed | TestStatus::Skipped(_) | TestStatus::ExpectedFailure(_)
    )
}

/// The last line that says something.
fn last_line(output: &[u8]) -> Option<String> {
    let tail = &output[output.len().saturating_sub(TAIL_BYTES)..];
    let lines = tail.split(|byte| *byte == b'\n');
    let mut texts = lines.map(|line| text::clean(line, LINE_BYTES));
    texts.rfind(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests;
