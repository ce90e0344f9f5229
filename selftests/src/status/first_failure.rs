// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the first failed step of a run, and whether the scenario marks it `fails_first`.
//!
//! A failure is only an expected failure if it begins at a marked step. A failure at
//! another step has a different reason.

use super::Subject;
use super::failed_check;
use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::klog::{Phase, Splat};
use crate::ktap::Report;
use crate::scenario::{Boot, Scenario};

/// Returns whether a splat before the program of a boot counts as a failure at a step marked
/// `fails_first`. It counts for the first step of that boot.
pub(super) fn fails_at_boot(subject: Subject<'_>, splat: &Splat) -> bool {
    let Subject::Scenario(scenario) = subject else {
        return false;
    };
    let of_kernel = scenario.boots.iter().find(|boot| boot.number == splat.boot);
    let first = of_kernel.and_then(|boot| boot.steps.first());
    splat.boot > 1 && splat.phase == Phase::Before && first.is_some_and(|step| step.fails_first)
}

/// Returns whether the first failed step is marked `fails_first`.
pub(super) fn is_at_first_failure(scenario: &Scenario, evidence: &Evidence<'_>) -> bool {
    let Some((boot_number, number)) = first_failed_step(scenario, evidence) else {
        return false;
    };
    scenario
        .boots
        .iter()
        .filter(|boot| boot.number == boot_number)
        .flat_map(Boot::all_steps)
        .any(|step| step.number == number && step.fails_first)
}

/// Returns boot and number of the first step with a failed check, or of the step that was
/// running when the program died.
fn first_failed_step(scenario: &Scenario, evidence: &Evidence<'_>) -> Option<(usize, usize)> {
    for (index, boot) in evidence.boots.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(boot.output);
        let name = scenario.test_name(number);
        let leaves = report.leaves();
        let test = leaves.iter().find(|test| test.name == name)?;
        match first_failed_check(&test.diagnostics) {
            FailedCheck::OfStep(step) => return Some((number, step)),
            FailedCheck::OfNoStep => return None,
            FailedCheck::None { done } if died(boot, &test.diagnostics) => {
                return Some((number, after(scenario, number, done)?));
            }
            FailedCheck::None { .. } if boot.exit == Some(ExitKind::Code(0)) => {}
            // The program failed without naming a step.
            FailedCheck::None { .. } => return None,
        }
    }
    // All boots passed, and the next kernel did not start.
    let next = scenario.boots.get(evidence.boots.len())?;
    let first = next.steps.first()?;
    matches!(evidence.ending, Ending::GuestGone { .. }).then_some((next.number, first.number))
}

/// Returns the next step of a boot after the step `done`. A variant may omit steps.
fn after(scenario: &Scenario, boot: usize, done: usize) -> Option<usize> {
    let boot = scenario.boots.iter().find(|other| other.number == boot)?;
    let mut later = boot.steps.iter().map(|step| step.number);
    later.find(|number| *number > done)
}

/// The first failed check of a test.
enum FailedCheck {
    OfStep(usize),
    /// A check that belongs to no step, such as reading a call counter.
    OfNoStep,
    None {
        /// The last completed step.
        done: usize,
    },
}

fn first_failed_check(diagnostics: &[String]) -> FailedCheck {
    let mut done = 0;
    let mut compared = false;
    for line in diagnostics {
        match failed_check(line) {
            // The compared values; the next line has the step.
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

/// Returns whether the program, or the test's process in it, was killed. A program with an
/// exit code ran to its end.
fn died(boot: &BootEvidence<'_>, diagnostics: &[String]) -> bool {
    let mut lines = diagnostics.iter();
    matches!(boot.exit, None | Some(ExitKind::Signal(_)))
        || lines.any(|line| line.contains(": Test terminated unexpectedly by signal "))
}

/// Reads the number in `step 6: close vm`.
pub(crate) fn step_number(text: &str) -> Option<usize> {
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
    fn is_at_first_failure_accepts_only_the_marked_step() {
        let check = |step: u32| format!("# a.c:7:boot_1:step {step}: must succeed\n");
        let failed = Some(ExitKind::Code(1));
        let result = "not ok 1 small.boot_1\n";
        assert!(at_first_failure(&output(&check(2), result), failed));
        assert!(!at_first_failure(&output(&check(1), result), failed));
        let both = check(1) + &check(2);
        assert!(
            !at_first_failure(&output(&both, result), failed),
            "the first failed check decides"
        );
    }

    #[test]
    fn is_at_first_failure_takes_the_running_step_when_the_program_dies() {
        assert!(at_first_failure(
            &output("# step 1: rescan -> ok\n", ""),
            None
        ));
        assert!(!at_first_failure(&output("", ""), None));
        assert!(!at_first_failure("", None), "the running step is unknown");
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
    fn is_at_first_failure_rejects_a_failure_without_a_failed_check() {
        let done = "# step 1: rescan -> ok\n";
        for result in [
            "ok 1 small.boot_1\n",
            "# boot_1: Test terminated by timeout\nnot ok 1 small.boot_1\n",
            "# boot_1: Test failed\nnot ok 1 small.boot_1\n",
        ] {
            assert!(
                !at_first_failure(&output(done, result), Some(ExitKind::Code(1))),
                "{result}"
            );
            assert!(
                !at_first_failure(&output(done, result), Some(ExitKind::TimedOut)),
                "{result}"
            );
        }
    }

    #[test]
    fn is_at_first_failure_rejects_a_failed_check_without_a_step() {
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
    fn is_at_first_failure_rejects_another_program() {
        let check = "# a.c:8:boot_1:step 2: must succeed\n";
        let own = output(check, "not ok 1 small.boot_1\n");
        assert!(at_first_failure(&own, Some(ExitKind::Code(1))));
        let other = own.replace("small.", "other.");
        assert!(!at_first_failure(&other, Some(ExitKind::Code(1))));
    }

    #[test]
    fn is_at_first_failure_rejects_a_program_that_passes() {
        let steps = "# step 1: rescan -> ok\n# step 2: rescan -> ok\n";
        assert!(!at_first_failure(
            &output(steps, "ok 1 small.boot_1\n"),
            Some(ExitKind::Code(0))
        ));
    }
}
