// SPDX-License-Identifier: GPL-2.0-only
//! Where a run went wrong, and whether that is where the scenario has its teeth.
//!
//! A scenario that fails for another reason than the one it is about proves
//! nothing, so a failure that is expected must begin at a step that says so.

use super::failed_check;
use crate::evidence::{Evidence, ExitKind};
use crate::ktap::Report;
use crate::scenario::Scenario;

/// Returns whether the first step that went wrong is one with teeth.
pub(super) fn is_at_teeth(scenario: &Scenario, evidence: &Evidence<'_>) -> bool {
    let Some((stage, number)) = first_bad_step(evidence) else {
        return false;
    };
    scenario
        .stages
        .iter()
        .filter(|one| one.number == stage)
        .flat_map(|one| &one.steps)
        .any(|step| step.number == number && step.teeth)
}

/// Returns stage and number of the first step with a failed check, or of the
/// step that was under way when a program ended before its time.
fn first_bad_step(evidence: &Evidence<'_>) -> Option<(usize, usize)> {
    for (index, stage) in evidence.stages.iter().enumerate() {
        let report = Report::parse(stage.output);
        let mut done = 0;
        for line in report.leaves().iter().flat_map(|test| &test.diagnostics) {
            if let Some(number) = failed_check(line).and_then(step_number) {
                return Some((index + 1, number));
            }
            done = line
                .strip_prefix("# ")
                .and_then(step_number)
                .unwrap_or(done);
        }
        if stage.exit != Some(ExitKind::Code(0)) {
            return Some((index + 1, done + 1));
        }
    }
    None
}

/// Reads the number in `step 6: close vm`.
fn step_number(text: &str) -> Option<usize> {
    text.strip_prefix("step ")?.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Ending, StageEvidence};

    const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\nfails_without: [x]\n\
        stages: [{steps: [{rescan: pci}, {rescan: pci, teeth: true}]}]\n";

    fn at_teeth(output: &str, exit: Option<ExitKind>) -> bool {
        let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
        let stage = StageEvidence {
            started: true,
            output: output.as_bytes(),
            output_cut: false,
            exit,
        };
        let evidence = Evidence {
            stages: vec![stage],
            ending: Ending::Orderly,
            serial: b"",
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
