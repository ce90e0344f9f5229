// SPDX-License-Identifier: GPL-2.0-only
//! The answer of a check command to `b4 review`: a JSON list of results, each with
//! `tool`, `status` (`pass`, `warn` or `fail`), `summary` and `details`; the details are a
//! JSON list in a string, of which b4 shows a line each.

use serde_json::{Value, json};

use super::escape::one_line;
use super::report::{Report, name, what_came};
use crate::program;
use crate::result::{Blame, CellResult, PatchResult, Turn, Verdict};

const TOOL: &str = "patchbed";
/// b4 shows all of them on one screen.
const LINES_MAX: usize = 50;

/// What b4 makes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Pass,
    Warn,
    Fail,
}

impl Status {
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
            let status = if patch.turns.iter().any(|turn| is_bad(report, turn)) {
                Status::Fail
            } else {
                // It may be well, but a run that is not proves nothing.
                of_run(report).min(Status::Warn)
            };
            answer(status, &one_line(&patch.sentence), &turns(report, patch))
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
        "b4 am MESSAGE-ID\n{} test --series FILE.mbx --stacks each\n\
         then [R] in b4 asks again\n",
        program::name()
    );
    let answer = json!([{
        "tool": TOOL,
        "status": Status::Warn.word(),
        "summary": "not judged yet",
        "details": details,
    }]);
    format!("{answer:#}\n")
}

fn answer(status: Status, summary: &str, lines: &[Value]) -> String {
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
fn of_run(report: &Report<'_>) -> Status {
    match report.findings().map(of_finding).max() {
        Some(worst) => worst,
        None if report.result.exit_code == 0 => Status::Pass,
        None => Status::Warn,
    }
}

fn of_finding(cell: &CellResult) -> Status {
    let is_kernel = matches!(cell.blame, None | Some(Blame::Kernel));
    let is_sure = cell.outcome != "error" && cell.verdict == Verdict::Unexpected;
    if is_kernel && is_sure {
        Status::Fail
    } else {
        Status::Warn
    }
}

fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    let all = result.cells.len();
    let good = result
        .cells
        .iter()
        .filter(|cell| !cell.is_finding())
        .count();
    let teeth = result.scenarios.iter().filter(|one| one.teeth).count();
    let mut text = format!("{good} of {all} verdicts as expected");
    if teeth > 0 {
        text += &format!(", {teeth} with teeth");
    }
    if result.exit_code == 3 {
        text += ", but the host failed";
    }
    text
}

fn findings(report: &Report<'_>) -> Vec<Value> {
    let line = |cell: &CellResult| {
        json!({
            "status": of_finding(cell).word(),
            "context": one_line(&name(cell)),
            "state": one_line(&what_came(cell)),
            "description": one_line(&cell.reason),
        })
    };
    report.findings().take(LINES_MAX).map(line).collect()
}

/// A change for the worse that nobody expected.
fn is_bad(report: &Report<'_>, turn: &Turn) -> bool {
    let is_it = |cell: &CellResult| cell.scenario == turn.scenario && cell.profile == turn.profile;
    turn.from == "pass" && turn.to != "pass" && report.findings().any(is_it)
}

fn turns(report: &Report<'_>, patch: &PatchResult) -> Vec<Value> {
    let line = |turn: &Turn| {
        let status = if is_bad(report, turn) {
            Status::Fail
        } else {
            Status::Pass
        };
        json!({
            "status": status.word(),
            "context": one_line(&format!("{} ({})", turn.scenario, turn.profile)),
            "state": one_line(&format!("{} to {}", turn.from, turn.to)),
            "description": one_line(&turn.reason),
        })
    };
    patch.turns.iter().take(LINES_MAX).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{result, run};
    use crate::result::tests::cell;

    fn parts(answer: &str) -> (String, String) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let text = |key: &str| answer[0][key].as_str().unwrap().to_owned();
        (text("status"), text("summary"))
    }

    #[test]
    fn a_series_fails_by_what_the_kernel_did() {
        let bad = result();
        insta::assert_snapshot!(series(&Report::new(&bad, "RUN", "")));
        let good = run(vec![cell("a", "series", "pass", "pass")]);
        assert_eq!(parts(&series(&Report::new(&good, "RUN", ""))).0, "pass");
        let skipped = run(vec![cell("t:a", "series", "skip", "pass")]);
        assert_eq!(parts(&series(&Report::new(&skipped, "RUN", ""))).0, "warn");
        let mut both = cell("a", "series", "hang", "pass");
        both.snapshot_difference = Some("-a".to_owned());
        let both = run(vec![both]);
        assert_eq!(parts(&series(&Report::new(&both, "RUN", ""))).0, "fail");
        let mut slow = cell("a", "series", "hang", "pass");
        slow.blame = Some(Blame::Host);
        let slow = run(vec![slow]);
        assert_eq!(parts(&series(&Report::new(&slow, "RUN", ""))).0, "warn");
    }

    #[test]
    fn a_patch_answers_for_itself_where_it_ran_by_itself() {
        let mut result = run(vec![cell("a", "patch-1", "crash", "pass")]);
        let turn = |from: &str, to: &str| Turn {
            scenario: "a".to_owned(),
            profile: "fast".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason: "why".to_owned(),
            is_expected: false,
        };
        let patch_of = |number, from, to| PatchResult {
            first: number,
            last: number,
            subject: "one".to_owned(),
            sentence: format!("patch {number} turns `a`"),
            turns: vec![turn(from, to)],
        };
        result.patches = vec![patch_of(1, "pass", "crash"), patch_of(2, "crash", "pass")];
        let report = Report::new(&result, "RUN", "");
        let said = |number| parts(&patch(&report, number));
        assert_eq!(said(1), ("fail".to_owned(), "patch 1 turns `a`".to_owned()));
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
