// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output of a check command for `b4 review`: a JSON list of results, each with `tool`,
//! `status` (`pass`, `warn` or `fail`), `summary` and `details`. The details are a JSON list in
//! a string; b4 prints a line for each entry.

use serde_json::{Value, json};

use super::input::Report;
use super::words::{self, name, outcome};
use crate::engine::program;
use crate::result::{Cause, JobResult, PatchResult, StatusChange};
use crate::text::one_line;

const TOOL: &str = "patchbed";
/// b4 prints all details on one screen.
const LINES_MAX: usize = 50;

/// A status of b4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum B4Status {
    Pass,
    Warn,
    Fail,
}

impl B4Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Returns the result for the whole series.
pub fn series(report: &Report<'_>) -> String {
    let status = of_run(report);
    output(status, &summary(report), &findings(report))
}

/// Returns the result for one patch, by its number in the series from 1.
pub fn patch(report: &Report<'_>, number: usize) -> String {
    let patches = &report.result.patches;
    let of = patches
        .iter()
        .find(|patch| (patch.first..=patch.last).contains(&number));
    match of {
        // The checkouts before and after this patch were tested.
        Some(patch) if patch.first == patch.last => {
            let status = if patch.changes.iter().any(|change| is_bad(report, change)) {
                B4Status::Fail
            } else {
                // Findings elsewhere in the series are at most a warning for this patch.
                of_run(report).min(B4Status::Warn)
            };
            output(status, &one_line(&patch.sentence), &changes(report, patch))
        }
        _ => {
            let summary = format!("whole series: {}", summary(report));
            output(of_run(report), &summary, &findings(report))
        }
    }
}

/// Returns the result for a patch that no run contains.
pub fn unknown() -> String {
    let details = format!(
        "b4 am MESSAGE-ID\n{} test --series FILE.mbx --checkouts each\n\
         then press [R] in `b4 review` to read the result\n",
        program::name()
    );
    output(B4Status::Warn, "no result yet", &details)
}

fn output(status: B4Status, summary: &str, details: &str) -> String {
    let output = json!([{
        "tool": TOOL,
        "status": status.word(),
        "summary": summary,
        "details": details,
    }]);
    format!("{output:#}\n")
}

fn details<'a, T: 'a>(entries: impl Iterator<Item = &'a T>, line: impl Fn(&T) -> Value) -> String {
    match entries.take(LINES_MAX).map(line).collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        lines => Value::from(lines).to_string(),
    }
}

/// Only an unexpected result that is caused by the kernel fails the series. Other causes and
/// differences from the snapshot are warnings.
fn of_run(report: &Report<'_>) -> B4Status {
    match report.findings().map(of_finding).max() {
        Some(worst) => worst,
        None if report.result.exit_code == 0 => B4Status::Pass,
        None => B4Status::Warn,
    }
}

fn of_finding(job: &JobResult) -> B4Status {
    let is_kernel = matches!(job.cause, None | Some(Cause::Kernel));
    let is_unexpected = !job.is_inconclusive() && !job.expected;
    if is_kernel && is_unexpected {
        B4Status::Fail
    } else {
        B4Status::Warn
    }
}

fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    if let Some(not_tested) = result.only_not_tested() {
        return one_line(not_tested);
    }
    let mut text = words::summary(result);
    if result.exit_code == 3 {
        text += "; inconclusive: the tool or the host failed";
    }
    if let Some(not_tested) = result.not_tested() {
        text += &format!("; {}", one_line(not_tested));
    }
    text
}

fn findings(report: &Report<'_>) -> String {
    details(report.findings(), |job| {
        json!({
            "status": of_finding(job).word(),
            "context": one_line(&name(job)),
            "state": one_line(&outcome(job)),
            "description": one_line(&job.reason),
        })
    })
}

/// Returns whether a change from pass to another status needs attention.
fn is_bad(report: &Report<'_>, change: &StatusChange) -> bool {
    let matches = |job: &JobResult| job.test == change.test && job.config == change.config;
    change.from == "pass" && change.to != "pass" && report.findings().any(matches)
}

fn changes(report: &Report<'_>, patch: &PatchResult) -> String {
    details(patch.changes.iter(), |change: &StatusChange| {
        let status = match is_bad(report, change) {
            true => B4Status::Fail,
            false => B4Status::Pass,
        };
        json!({
            "status": status.word(),
            "context": one_line(&format!("{} ({})", change.test, change.config)),
            "state": one_line(&format!("{} to {}", change.from, change.to)),
            "description": one_line(&change.reason),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{NOT_TESTED, not_tested, result, run};
    use crate::result::tests::job;

    fn parts(output: &str) -> (String, String) {
        let output: Value = serde_json::from_str(output).unwrap();
        let text = |key: &str| output[0][key].as_str().unwrap().to_owned();
        (text("status"), text("summary"))
    }

    #[test]
    fn series_fails_only_if_the_cause_is_the_kernel() {
        let bad = result();
        insta::assert_snapshot!(series(&Report::new(&bad, "RUN", "")));
        let good = run(vec![job("a", "series", "pass", "pass")]);
        assert_eq!(parts(&series(&Report::new(&good, "RUN", ""))).0, "pass");
        let skipped = run(vec![job("t:a", "series", "skip", "pass")]);
        assert_eq!(parts(&series(&Report::new(&skipped, "RUN", ""))).0, "warn");
        let mut both = job("a", "series", "hang", "pass");
        both.snapshot_difference = Some("-a".to_owned());
        let both = run(vec![both]);
        assert_eq!(parts(&series(&Report::new(&both, "RUN", ""))).0, "fail");
        let mut slow = job("a", "series", "hang", "pass");
        slow.cause = Some(Cause::Infrastructure);
        let slow = run(vec![slow]);
        assert_eq!(parts(&series(&Report::new(&slow, "RUN", ""))).0, "warn");
    }

    #[test]
    fn series_and_patch_warn_if_the_series_is_not_in_the_kernels() {
        let result = not_tested();
        let report = Report::new(&result, "RUN", "");
        let warn = |summary: &str| ("warn".to_owned(), summary.to_owned());
        assert_eq!(parts(&series(&report)), warn(NOT_TESTED));
        let of_patch = "patch 1 is not tested: not in any kernel that was run: drivers/w/a.c";
        assert_eq!(parts(&patch(&report, 1)), warn(of_patch));
    }

    #[test]
    fn patch_reports_its_own_changes_or_the_whole_series() {
        let mut result = run(vec![job("a", "patch-1", "crash", "pass")]);
        let change = |from: &str, to: &str| StatusChange {
            test: "a".to_owned(),
            config: "fast".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason: "why".to_owned(),
            is_expected: false,
        };
        let patch_of = |number, from, to| PatchResult {
            first: number,
            last: number,
            subject: "one".to_owned(),
            sentence: format!("patch {number} changes `a`"),
            changes: vec![change(from, to)],
        };
        result.patches = vec![patch_of(1, "pass", "crash"), patch_of(2, "crash", "pass")];
        let report = Report::new(&result, "RUN", "");
        let of_patch = |number| parts(&patch(&report, number));
        assert_eq!(
            of_patch(1),
            ("fail".to_owned(), "patch 1 changes `a`".to_owned())
        );
        assert_eq!(
            of_patch(2).0,
            "warn",
            "the patch is good but the series has findings"
        );
        let third = (
            "fail".to_owned(),
            "whole series: 0 of 1 results as expected".to_owned(),
        );
        assert_eq!(of_patch(3), third);
    }
}
