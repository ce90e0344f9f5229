// SPDX-License-Identifier: GPL-2.0-only
//! The answer of a check command to `b4 review`: a JSON list of results, each with
//! `tool`, `status` (`pass`, `warn` or `fail`), `summary` and `details`; the details are a
//! JSON list in a string, of which b4 shows a line each.

use serde_json::{Value, json};

use super::escape::one_line;
use super::report::{Report, name, what_came};
use crate::program;
use crate::result::{Cause, JobResult, PatchResult, StatusChange};

const TOOL: &str = "patchbed";
/// b4 shows all of them on one screen.
const LINES_MAX: usize = 50;

/// What b4 makes of a result.
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

/// Returns the answer for the whole series.
pub(crate) fn series(report: &Report<'_>) -> String {
    let status = of_run(report);
    answer(status, &summary(report), &findings(report))
}

/// Returns the answer for one patch, by its number in the series from 1.
pub(crate) fn patch(report: &Report<'_>, number: usize) -> String {
    let patches = &report.result.patches;
    let of = patches
        .iter()
        .find(|patch| (patch.first..=patch.last).contains(&number));
    match of {
        // A patch that was run by itself answers for itself.
        Some(patch) if patch.first == patch.last => {
            let status = if patch.changes.iter().any(|change| is_bad(report, change)) {
                B4Status::Fail
            } else {
                // It may be well, but a run that is not proves nothing.
                of_run(report).min(B4Status::Warn)
            };
            answer(status, &one_line(&patch.sentence), &changes(report, patch))
        }
        _ => {
            let summary = format!("with its whole series: {}", summary(report));
            answer(of_run(report), &summary, &findings(report))
        }
    }
}

/// Returns the answer for a patch that no run has judged.
pub(crate) fn unknown() -> String {
    let details = format!(
        "b4 am MESSAGE-ID\n{} test --series FILE.mbx --checkouts each\n\
         then [R] in b4 asks again\n",
        program::name()
    );
    let answer = json!([{
        "tool": TOOL,
        "status": B4Status::Warn.word(),
        "summary": "not judged yet",
        "details": details,
    }]);
    format!("{answer:#}\n")
}

fn answer(status: B4Status, summary: &str, lines: &[Value]) -> String {
    let details = match lines {
        [] => String::new(),
        lines => Value::from(lines.to_vec()).to_string(),
    };
    let answer = json!([{
        "tool": TOOL,
        "status": status.word(),
        "summary": summary,
        "details": details,
    }]);
    format!("{answer:#}\n")
}

/// What the kernel did is the series' business; what the test, the tool or the host did,
/// and what is only not as recorded, is somebody else's.
fn of_run(report: &Report<'_>) -> B4Status {
    match report.findings().map(of_finding).max() {
        Some(worst) => worst,
        None if report.result.exit_code == 0 => B4Status::Pass,
        None => B4Status::Warn,
    }
}

fn of_finding(job: &JobResult) -> B4Status {
    let is_kernel = matches!(job.cause, None | Some(Cause::Kernel));
    let is_sure = job.status != "error" && !job.expected;
    if is_kernel && is_sure {
        B4Status::Fail
    } else {
        B4Status::Warn
    }
}

fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    let all = result.jobs.len();
    let good = result.jobs.iter().filter(|job| !job.is_finding()).count();
    let fails_without_series = result
        .tests
        .iter()
        .filter(|one| one.fails_without_series)
        .count();
    if let Some(not_tested) = result.only_not_tested() {
        return one_line(not_tested);
    }
    let mut text = format!("{good} of {all} verdicts as expected");
    if fails_without_series > 0 {
        text += &format!(", {fails_without_series} with fails_without_series");
    }
    if result.exit_code == 3 {
        text += ", but the host failed";
    }
    if let Some(not_tested) = result.not_tested() {
        text += &format!("; {}", one_line(not_tested));
    }
    text
}

fn findings(report: &Report<'_>) -> Vec<Value> {
    let line = |job: &JobResult| {
        json!({
            "status": of_finding(job).word(),
            "context": one_line(&name(job)),
            "state": one_line(&what_came(job)),
            "description": one_line(&job.reason),
        })
    };
    report.findings().take(LINES_MAX).map(line).collect()
}

/// A change for the worse that nobody expected.
fn is_bad(report: &Report<'_>, change: &StatusChange) -> bool {
    let is_it = |job: &JobResult| job.test == change.test && job.config == change.config;
    change.from == "pass" && change.to != "pass" && report.findings().any(is_it)
}

fn changes(report: &Report<'_>, patch: &PatchResult) -> Vec<Value> {
    let line = |change: &StatusChange| {
        let status = if is_bad(report, change) {
            B4Status::Fail
        } else {
            B4Status::Pass
        };
        json!({
            "status": status.word(),
            "context": one_line(&format!("{} ({})", change.test, change.config)),
            "state": one_line(&format!("{} to {}", change.from, change.to)),
            "description": one_line(&change.reason),
        })
    };
    patch.changes.iter().take(LINES_MAX).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{NOT_TESTED, not_tested, result, run};
    use crate::result::tests::job;

    fn parts(answer: &str) -> (String, String) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let text = |key: &str| answer[0][key].as_str().unwrap().to_owned();
        (text("status"), text("summary"))
    }

    #[test]
    fn a_series_fails_by_what_the_kernel_did() {
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
    fn series_and_patch_warn_where_the_series_is_in_no_kernel() {
        let result = not_tested();
        let report = Report::new(&result, "RUN", "");
        let warn = |summary: &str| ("warn".to_owned(), summary.to_owned());
        assert_eq!(parts(&series(&report)), warn(NOT_TESTED));
        let of_patch = "patch 1 is not tested: in no kernel that was run: drivers/w/a.c";
        assert_eq!(parts(&patch(&report, 1)), warn(of_patch));
    }

    #[test]
    fn a_patch_answers_for_itself_where_it_ran_by_itself() {
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
        let said = |number| parts(&patch(&report, number));
        assert_eq!(
            said(1),
            ("fail".to_owned(), "patch 1 changes `a`".to_owned())
        );
        assert_eq!(
            said(2).0,
            "warn",
            "it is well itself, and its series is not"
        );
        let third = (
            "fail".to_owned(),
            "with its whole series: 0 of 1 verdicts as expected".to_owned(),
        );
        assert_eq!(said(3), third);
    }
}
