// SPDX-License-Identifier: GPL-2.0-only
//! Where a run went wrong, and whether that is where the scenario has its fails_first.
//!
//! A scenario that fails for another reason than the one it is about proves
//! nothing, so a failure that is expected must begin at a step that says so.

use super::Subject;
use super::failed_check;
use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::klog::{Phase, Splat};
use crate::ktap::Report;
use crate::scenario::{Boot, Scenario};

/// Returns whether a splat of a kernel that has not yet come to its boot is where the
/// scenario has its fails_first: at the first step of that boot, which is not begun then.
pub(super) fn fails_at_boot(subject: Subject<'_>, splat: &Splat) -> bool {
    let Subject::Scenario(scenario) = subject else {
        return false;
    };
    let of_kernel = scenario.boots.iter().find(|one| one.number == splat.boot);
    let first = of_kernel.and_then(|boot| boot.steps.first());
    splat.boot > 1 && splat.phase == Phase::Before && first.is_some_and(|step| step.fails_first)
}

/// Returns whether the first step that went wrong is one with fails_first.
pub(super) fn is_at_first_failure(scenario: &Scenario, evidence: &Evidence<'_>) -> bool {
    let Some((boot, number)) = first_bad_step(scenario, evidence) else {
        return false;
    };
    scenario
        .boots
        .iter()
        .filter(|one| one.number == boot)
        .flat_map(Boot::all_steps)
        .any(|step| step.number == number && step.fails_first)
}

/// Returns boot and number of the first step with a failed check, or of the
/// step that was under way when a program died.
fn first_bad_step(scenario: &Scenario, evidence: &Evidence<'_>) -> Option<(usize, usize)> {
    for (index, boot) in evidence.boots.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(boot.output);
        let name = scenario.test_name(number);
        let leaves = report.leaves();
        let test = leaves.iter().find(|test| test.name == name)?;
        match first_report(&test.diagnostics) {
            FailedCheck::OfStep(step) => return Some((number, step)),
            FailedCheck::OfNoStep => return None,
            FailedCheck::None { done } if died(boot, &test.diagnostics) => {
                return Some((number, after(scenario, number, done)?));
            }
            FailedCheck::None { .. } if boot.exit == Some(ExitKind::Code(0)) => {}
            // It failed, and does not say at what.
            FailedCheck::None { .. } => return None,
        }
    }
    // All went well, but for a kernel that did not come up.
    let next = scenario.boots.get(evidence.boots.len())?;
    let first = next.steps.first()?;
    matches!(evidence.ending, Ending::GuestGone { .. }).then_some((next.number, first.number))
}

/// The step that a boot comes to after one: a variant may leave some out.
fn after(scenario: &Scenario, boot: usize, done: usize) -> Option<usize> {
    let boot = scenario.boots.iter().find(|one| one.number == boot)?;
    let mut later = boot.steps.iter().map(|step| step.number);
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

fn first_report(diagnostics: &[String]) -> FailedCheck {
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
fn died(boot: &BootEvidence<'_>, diagnostics: &[String]) -> bool {
    let mut said = diagnostics.iter();
    matches!(boot.exit, None | Some(ExitKind::Signal(_)))
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
        boots: [{steps: [{rescan: pci}, {rescan: pci, fails_first: true}]}]\n";

    fn at_first_failure(output: &str, exit: Option<ExitKind>) -> bool {
        let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
        let boot = BootEvidence {
            boot_id: "a",
            started: true,
            output: output.as_bytes(),
            output_cut: false,
            exit,
        };
        let evidence = Evidence {
            boots: vec![boot],
            ending: Ending::Orderly,
            serial: b"",
            hang: None,
            host_time: Default::default(),
        };
        is_at_first_failure(&scenario, &evidence)
    }

    fn output(steps: &str, result: &str) -> String {
        format!("TAP version 13\n1..1\n#  RUN           small.boot_1 ...\n{steps}{result}")
    }

    #[test]
    fn only_the_step_that_says_so_has_first_failure() {
        let check = |step: u32| format!("# a.c:7:boot_1:step {step}: must succeed\n");
        let failed = Some(ExitKind::Code(1));
        let result = "not ok 1 small.boot_1\n";
        assert!(at_first_failure(&output(&check(2), result), failed));
        assert!(!at_first_failure(&output(&check(1), result), failed));
        let both = check(1) + &check(2);
        assert!(
            !at_first_failure(&output(&both, result), failed),
            "the first counts"
        );
    }

    #[test]
    fn a_kernel_that_dies_dies_in_the_step_under_way() {
        assert!(at_first_failure(
            &output("# step 1: rescan -> ok\n", ""),
            None
        ));
        assert!(!at_first_failure(&output("", ""), None));
        assert!(
            !at_first_failure("", None),
            "nobody knows what was under way"
        );
        let done = "# step 1: rescan -> ok\n";
        assert!(at_first_failure(
            &output(done, ""),
            Some(ExitKind::Signal(9))
        ));
        let killed = format!("{done}# boot_1: Test terminated unexpectedly by signal 9\n");
        let result = "not ok 1 small.boot_1\n";
        assert!(at_first_failure(
            &output(&killed, result),
            Some(ExitKind::Code(1))
        ));
    }

    #[test]
    fn an_exit_code_alone_does_not_bite() {
        let done = "# step 1: rescan -> ok\n";
        for said in [
            "ok 1 small.boot_1\n",
            "# boot_1: Test terminated by timeout\nnot ok 1 small.boot_1\n",
            "# boot_1: Test failed\nnot ok 1 small.boot_1\n",
        ] {
            assert!(
                !at_first_failure(&output(done, said), Some(ExitKind::Code(1))),
                "{said}"
            );
            assert!(
                !at_first_failure(&output(done, said), Some(ExitKind::TimedOut)),
                "{said}"
            );
        }
    }

    #[test]
    fn what_cannot_be_counted_does_not_bite() {
        let result = "not ok 1 small.boot_1\n";
        let compared = "# a.c:6:boot_1:Expected 0 (0) <= n (-5)\n";
        let uncounted = "# a.c:7:boot_1:calls cannot be counted\n";
        let check = "# a.c:8:boot_1:step 2: must succeed\n";
        let fails_first = |lines: &[&str]| {
            let lines = format!("# step 1: rescan -> ok\n{}", lines.concat());
            at_first_failure(&output(&lines, result), Some(ExitKind::Code(1)))
        };
        assert!(fails_first(&[compared, check]));
        assert!(!fails_first(&[compared, uncounted]));
        assert!(!fails_first(&[compared, uncounted, compared, check]));
        assert!(!fails_first(&[compared, compared, check]));
        assert!(!fails_first(&[uncounted, check]));
    }

    #[test]
    fn another_program_does_not_bite() {
        let check = "# a.c:8:boot_1:step 2: must succeed\n";
        let own = output(check, "not ok 1 small.boot_1\n");
        assert!(at_first_failure(&own, Some(ExitKind::Code(1))));
        let other = own.replace("small.", "other.");
        assert!(!at_first_failure(&other, Some(ExitKind::Code(1))));
    }

    #[test]
    fn a_program_that_finds_nothing_wrong_does_not_bite() {
        let steps = "# step 1: rescan -> ok\n# step 2: rescan -> ok\n";
        assert!(!at_first_failure(
            &output(steps, "ok 1 small.boot_1\n"),
            Some(ExitKind::Code(0))
        ));
    }
}
