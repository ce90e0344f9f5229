// SPDX-License-Identifier: GPL-2.0-only
//! Where a run went wrong, and whether that is where the scenario has its teeth.
//!
//! A scenario that fails for another reason than the one it is about proves
//! nothing, so a failure that is expected must begin at a step that says so.

use super::Subject;
use super::failed_check;
use crate::evidence::{Ending, Evidence, ExitKind, StageEvidence};
use crate::klog::{Phase, Splat};
use crate::ktap::Report;
use crate::scenario::{Scenario, Stage};

/// Returns whether a splat of a kernel that has not yet come to its stage is where the
/// scenario has its teeth: at the first step of that stage, which is not begun then.
pub(super) fn bites_at_boot(subject: Subject<'_>, splat: &Splat) -> bool {
    let Subject::Scenario(scenario) = subject else {
        return false;
    };
    let of_kernel = scenario.stages.iter().find(|one| one.number == splat.boot);
    let first = of_kernel.and_then(|stage| stage.steps.first());
    splat.boot > 1 && splat.phase == Phase::Before && first.is_some_and(|step| step.teeth)
}

/// Returns whether the first step that went wrong is one with teeth.
pub(super) fn is_at_teeth(scenario: &Scenario, evidence: &Evidence<'_>) -> bool {
    let Some((stage, number)) = first_bad_step(scenario, evidence) else {
        return false;
    };
    scenario
        .stages
        .iter()
        .filter(|one| one.number == stage)
        .flat_map(Stage::all_steps)
        .any(|step| step.number == number && step.teeth)
}

/// Returns stage and number of the first step with a failed check, or of the
/// step that was under way when a program died.
fn first_bad_step(scenario: &Scenario, evidence: &Evidence<'_>) -> Option<(usize, usize)> {
    for (index, stage) in evidence.stages.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(stage.output);
        let name = scenario.test_name(number);
        let leaves = report.leaves();
        let test = leaves.iter().find(|test| test.name == name)?;
        match first_complaint(&test.diagnostics) {
            FailedCheck::OfStep(step) => return Some((number, step)),
            FailedCheck::OfNoStep => return None,
            FailedCheck::None { done } if died(stage, &test.diagnostics) => {
                return Some((number, after(scenario, number, done)?));
            }
            FailedCheck::None { .. } if stage.exit == Some(ExitKind::Code(0)) => {}
            // It failed, and does not say at what.
            FailedCheck::None { .. } => return None,
        }
    }
    // All went well, but for a kernel that did not come up.
    let next = scenario.stages.get(evidence.stages.len())?;
    let first = next.steps.first()?;
    matches!(evidence.ending, Ending::GuestGone { .. }).then_some((next.number, first.number))
}

/// The step that a stage comes to after one: a variant may leave some out.
fn after(scenario: &Scenario, stage: usize, done: usize) -> Option<usize> {
    let stage = scenario.stages.iter().find(|one| one.number == stage)?;
    let mut later = stage.steps.iter().map(|step| step.number);
    later.find(|number| *number > done)
}

/// What the first failed check of a test is about.
enum FailedCheck {
    OfStep(usize),
    /// Such as a count that could not be read.
    OfNoStep,
    None {
        /// The last step that came to its end.
        done: usize,
    },
}

fn first_complaint(diagnostics: &[String]) -> FailedCheck {
    let mut done = 0;
    let mut compared = false;
    for line in diagnostics {
        match failed_check(line) {
            // What was compared; the next such line says for which step.
            Some(text) if text.starts_with("Expected ") && !compared => compared = true,
            Some(text) => {
                return step_number(text).map_or(FailedCheck::OfNoStep, FailedCheck::OfStep);
            }
            None => {
                let step = line.strip_prefix("# ").and_then(step_number);
                done = step.unwrap_or(done);
            }
        }
    }
    if compared {
        FailedCheck::OfNoStep
    } else {
        FailedCheck::None { done }
    }
}

/// Whether the program, or the test's process in it, died at work. An exit code says
/// that it went on to its end.
fn died(stage: &StageEvidence<'_>, diagnostics: &[String]) -> bool {
    let mut said = diagnostics.iter();
    matches!(stage.exit, None | Some(ExitKind::Signal(_)))
        || said.any(|line| line.contains(": Test terminated unexpectedly by signal "))
}

/// Reads the number in `step 6: close vm`.
fn step_number(text: &str) -> Option<usize> {
    text.strip_prefix("step ")?.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\nfails_without: [x]\n\
        stages: [{steps: [{rescan: pci}, {rescan: pci, teeth: true}]}]\n";

    fn at_teeth(output: &str, exit: Option<ExitKind>) -> bool {
        let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
        let stage = StageEvidence {
            boot_id: "a",
            started: true,
            output: output.as_bytes(),
            output_cut: false,
            exit,
        };
        let evidence = Evidence {
            stages: vec![stage],
            ending: Ending::Orderly,
            serial: b"",
            hang: None,
            host_time: Default::default(),
        };
        is_at_teeth(&scenario, &evidence)
    }

    fn output(steps: &str, result: &str) -> String {
        format!("TAP version 13\n1..1\n#  RUN           small.stage_1 ...\n{steps}{result}")
    }

    #[test]
    fn only_the_step_that_says_so_has_teeth() {
        let check = |step: u32| format!("# a.c:7:stage_1:step {step}: must succeed\n");
        let failed = Some(ExitKind::Code(1));
        let result = "not ok 1 small.stage_1\n";
        assert!(at_teeth(&output(&check(2), result), failed));
        assert!(!at_teeth(&output(&check(1), result), failed));
        let both = check(1) + &check(2);
        assert!(
            !at_teeth(&output(&both, result), failed),
            "the first counts"
        );
    }

    #[test]
    fn a_kernel_that_dies_dies_in_the_step_under_way() {
        assert!(at_teeth(&output("# step 1: rescan -> ok\n", ""), None));
        assert!(!at_teeth(&output("", ""), None));
        assert!(!at_teeth("", None), "nobody knows what was under way");
        let done = "# step 1: rescan -> ok\n";
        assert!(at_teeth(&output(done, ""), Some(ExitKind::Signal(9))));
        let killed = format!("{done}# stage_1: Test terminated unexpectedly by signal 9\n");
        let result = "not ok 1 small.stage_1\n";
        assert!(at_teeth(&output(&killed, result), Some(ExitKind::Code(1))));
    }

    #[test]
    fn an_exit_code_alone_does_not_bite() {
        let done = "# step 1: rescan -> ok\n";
        for said in [
            "ok 1 small.stage_1\n",
            "# stage_1: Test terminated by timeout\nnot ok 1 small.stage_1\n",
            "# stage_1: Test failed\nnot ok 1 small.stage_1\n",
        ] {
            assert!(
                !at_teeth(&output(done, said), Some(ExitKind::Code(1))),
                "{said}"
            );
            assert!(
                !at_teeth(&output(done, said), Some(ExitKind::TimedOut)),
                "{said}"
            );
        }
    }

    #[test]
    fn what_cannot_be_counted_does_not_bite() {
        let result = "not ok 1 small.stage_1\n";
        let compared = "# a.c:6:stage_1:Expected 0 (0) <= n (-5)\n";
        let uncounted = "# a.c:7:stage_1:calls cannot be counted\n";
        let check = "# a.c:8:stage_1:step 2: must succeed\n";
        let bites = |lines: &[&str]| {
            let lines = format!("# step 1: rescan -> ok\n{}", lines.concat());
            at_teeth(&output(&lines, result), Some(ExitKind::Code(1)))
        };
        assert!(bites(&[compared, check]));
        assert!(!bites(&[compared, uncounted]));
        assert!(!bites(&[compared, uncounted, compared, check]));
        assert!(!bites(&[compared, compared, check]));
        assert!(!bites(&[uncounted, check]));
    }

    #[test]
    fn another_program_does_not_bite() {
        let check = "# a.c:8:stage_1:step 2: must succeed\n";
        let own = output(check, "not ok 1 small.stage_1\n");
        assert!(at_teeth(&own, Some(ExitKind::Code(1))));
        let other = own.replace("small.", "other.");
        assert!(!at_teeth(&other, Some(ExitKind::Code(1))));
    }

    #[test]
    fn a_program_that_finds_nothing_wrong_does_not_bite() {
        let steps = "# step 1: rescan -> ok\n# step 2: rescan -> ok\n";
        assert!(!at_teeth(
            &output(steps, "ok 1 small.stage_1\n"),
            Some(ExitKind::Code(0))
        ));
    }
}
