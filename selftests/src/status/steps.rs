// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a scenario in the output of its program: the first failed step and whether
//! the scenario marks it `fails_first`, and the steps that messages name.
//!
//! A failure is only an expected failure if it begins at a marked step. A failure at
//! another step has a different reason.

use nix::errno::Errno;

use super::facts::{BootFacts, Facts};
use crate::evidence::{BootEvidence, Ending, ExitKind};
use crate::generate::INTERLEAVING;
use crate::klog::{Phase, Splat};
use crate::scenario::{Action, Boot, Scenario, Step};
use crate::subject::Subject;

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
pub(super) fn is_at_first_failure(facts: &Facts<'_>) -> bool {
    let Subject::Scenario(scenario) = facts.subject else {
        return false;
    };
    let Some((boot, number)) = first_failed_step(scenario, facts) else {
        return false;
    };
    let boots = scenario.boots.iter().filter(|other| other.number == boot);
    let mut steps = boots.flat_map(Boot::all_steps);
    steps.any(|step| step.number == number && step.fails_first)
}

/// Returns boot and number of the first step with a failed check, or of the step that was
/// running when the program died.
fn first_failed_step(scenario: &Scenario, facts: &Facts<'_>) -> Option<(usize, usize)> {
    for BootFacts {
        number,
        recorded,
        report,
    } in facts.boots()
    {
        let name = scenario.test_name(number);
        let leaves = report.leaves();
        let test = leaves.iter().find(|test| test.name == name)?;
        match first_failed_check(&test.diagnostics) {
            FailedCheck::OfStep(step) => return Some((number, step)),
            FailedCheck::OfNoStep => return None,
            FailedCheck::None { done } if died(recorded, &test.diagnostics) => {
                return Some((number, after(scenario, number, done)?));
            }
            FailedCheck::None { .. } if recorded.exit == Some(ExitKind::Code(0)) => {}
            // The program failed without naming a step.
            FailedCheck::None { .. } => return None,
        }
    }
    // All boots passed, and the next kernel did not start.
    let next = scenario.boots.get(facts.evidence.boots.len())?;
    let first = next.steps.first()?;
    matches!(facts.evidence.ending, Ending::GuestGone { .. }).then_some((next.number, first.number))
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
    if let Some(check) = failed_checks(diagnostics).first() {
        return match check.step {
            Some(step) if !check.is_of_test() => FailedCheck::OfStep(step),
            _ => FailedCheck::OfNoStep,
        };
    }
    let mut lines = diagnostics.iter().rev();
    let done = lines.find_map(|line| step_number(line.strip_prefix("# ")?));
    FailedCheck::None {
        done: done.unwrap_or_default(),
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

/// Describes a step by its number, its operation and its place in the scenario file.
pub(super) fn step_in_words(scenario: &Scenario, step: &Step) -> String {
    let (number, action) = (step.number, &step.action);
    let (scenario_file, line) = (&scenario.scenario_file, step.place.line);
    format!("step {number}: {action} ({scenario_file}.yaml:{line})")
}

/// Replaces `step N` in a message of a program by the description of the step.
pub(super) fn with_step(scenario: &Scenario, boot: usize, message: &str) -> String {
    let (before, rest) = match message.strip_prefix(INTERLEAVING) {
        Some(rest) => (INTERLEAVING, rest),
        None => ("", message),
    };
    let found = || {
        let rest = rest.strip_prefix("step ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        let number: usize = number.parse().ok()?;
        let mut boots = scenario.boots.iter();
        let boot = boots.find(|other| other.number == boot)?;
        let step = boot.all_steps().find(|step| step.number == number)?;
        Some((step, rest))
    };
    match found() {
        Some((step, rest)) => format!("{before}{}{rest}", step_in_words(scenario, step)),
        None => message.to_owned(),
    }
}

/// Returns the message of a failed interleaving check, unless an earlier check failed for
/// a reason that the interleaving cannot have caused.
///
/// From the moment a task is held until it is released, a step may have waited for the
/// time limit of the sync point instead of the released task. Checks that failed in that
/// time are therefore no evidence against the kernel. Checks before the task was held are.
pub(super) fn missed_interleaving(
    scenario: &Scenario,
    number: usize,
    diagnostics: &[String],
) -> Option<String> {
    let checks = failed_checks(diagnostics);
    let missed = checks
        .iter()
        .find(|check| check.text.starts_with(INTERLEAVING))?;
    let labels = |is_wanted: fn(&Action) -> bool| -> Vec<String> {
        let boots = scenario.boots.iter().filter(|boot| boot.number == number);
        boots
            .flat_map(|boot| &boot.steps)
            .filter(|step| is_wanted(&step.action))
            .filter(|step| missed.step != Some(step.number))
            .map(|step| format!("# step {}: ", step.number))
            .collect()
    };
    let holds = labels(|action| matches!(action, Action::Hold { .. }));
    // The step that releases the task reports afterwards that it was held up to then.
    let releases = labels(|action| matches!(action, Action::Release(_)));
    let has = |labels: &[String], line: &String| labels.iter().any(|label| line.starts_with(label));
    let held = diagnostics[..missed.at]
        .iter()
        .rposition(|line| has(&holds, line))
        .filter(|&at| {
            !diagnostics[at..missed.at]
                .iter()
                .any(|line| has(&releases, line))
        });
    let before = held.unwrap_or(missed.at);
    if checks.iter().any(|check| check.at < before) {
        return None;
    }
    Some(missed.message())
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check<'a> {
    /// Its line in the diagnostics.
    pub(crate) at: usize,
    /// The step that it belongs to.
    pub(crate) step: Option<usize>,
    /// The message.
    pub(crate) text: &'a str,
}

impl Check<'_> {
    /// Returns whether the check is about what the test can observe, and not about the kernel.
    fn is_of_test(&self) -> bool {
        self.text.contains("kt_cannot_")
    }

    /// Returns the message with the number of the step, and the names of errors.
    pub(crate) fn message(&self) -> String {
        let text = with_error_names(self.text);
        let Some(step) = self.step.filter(|_| !self.is_of_test()) else {
            return text;
        };
        match text.strip_prefix(INTERLEAVING) {
            Some(rest) => format!("{INTERLEAVING}step {step}: {rest}"),
            None => format!("step {step}: {text}"),
        }
    }
}

/// Replaces negative numbers in parentheses, as in `(-16)`, by the names of errors.
fn with_error_names(text: &str) -> String {
    let name = |number: &str| {
        let error = Errno::from_raw(number.parse().ok()?);
        (error != Errno::UnknownErrno).then(|| format!("(-{error:?})"))
    };
    let mut pieces = text.split("(-");
    let mut named = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let number = piece.split_once(')');
        match number.and_then(|(number, rest)| Some((name(number)?, rest))) {
            Some((name, rest)) => named.extend([&name, rest]),
            None => named.extend(["(-", piece]),
        }
    }
    named
}

/// Returns the failed checks of a test. A line `# at step N` is printed before the check.
pub(crate) fn failed_checks(diagnostics: &[String]) -> Vec<Check<'_>> {
    let step = |at: usize| {
        let before = diagnostics.get(at.checked_sub(1)?)?;
        before.strip_prefix("# at step ")?.parse().ok()
    };
    let lines = diagnostics.iter().enumerate();
    let checks = lines.filter_map(|(at, line)| {
        let text = failed_check(line)?;
        let step = step(at);
        Some(Check { at, step, text })
    });
    checks.collect()
}

/// Returns the text after `# file.c:line:test:`, the prefix of TH_LOG.
fn failed_check(line: &str) -> Option<&str> {
    let mut parts = line.strip_prefix("# ")?.splitn(4, ':');
    let (file, number, _test, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (file.ends_with(".c") && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Evidence;
    use crate::klog::Log;
    use crate::ktap::Report;

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
        let facts = Facts {
            subject: Subject::Scenario(&scenario),
            evidence: &evidence,
            log: &Log::default(),
            reports: &[Report::parse(output.as_bytes())],
        };
        is_at_first_failure(&facts)
    }

    fn output(steps: &str, result: &str) -> String {
        format!("TAP version 13\n1..1\n#  RUN           liveupdate_pci.small ...\n{steps}{result}")
    }

    #[test]
    fn is_at_first_failure_accepts_only_the_marked_step() {
        let check =
            |step: u32| format!("# at step {step}\n# a.c:7:small:Expected 0 (0) == f() (-5)\n");
        let failed = Some(ExitKind::Code(1));
        let result = "not ok 1 liveupdate_pci.small\n";
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
        let killed = format!("{done}# small: Test terminated unexpectedly by signal 9\n");
        let result = "not ok 1 liveupdate_pci.small\n";
        assert!(at_first_failure(
            &output(&killed, result),
            Some(ExitKind::Code(1))
        ));
    }

    #[test]
    fn is_at_first_failure_rejects_a_failure_without_a_failed_check() {
        let done = "# step 1: rescan -> ok\n";
        for result in [
            "ok 1 liveupdate_pci.small\n",
            "# small: Test terminated by timeout\nnot ok 1 liveupdate_pci.small\n",
            "# small: Test failed\nnot ok 1 liveupdate_pci.small\n",
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
        let result = "not ok 1 liveupdate_pci.small\n";
        let uncounted = "# at step 2\n# a.c:7:small:Expected 0 (0) == kt_cannot_count() (-5)\n";
        let teardown = "# a.c:9:small:interleaving: kt_teardown() returned -ETIME\n";
        let check = "# at step 2\n# a.c:8:small:Expected 0 (0) == f() (-5)\n";
        let fails_first = |lines: &[&str]| {
            let lines = format!("# step 1: rescan -> ok\n{}", lines.concat());
            at_first_failure(&output(&lines, result), Some(ExitKind::Code(1)))
        };
        assert!(fails_first(&[check]));
        assert!(!fails_first(&[uncounted]));
        assert!(!fails_first(&[uncounted, check]));
        assert!(!fails_first(&[teardown, check]));
    }

    #[test]
    fn is_at_first_failure_rejects_another_program() {
        let check = "# at step 2\n# a.c:8:small:Expected 0 (0) == f() (-5)\n";
        let own = output(check, "not ok 1 liveupdate_pci.small\n");
        assert!(at_first_failure(&own, Some(ExitKind::Code(1))));
        let other = own.replace("liveupdate_pci.small", "liveupdate_pci.other");
        assert!(!at_first_failure(&other, Some(ExitKind::Code(1))));
    }

    #[test]
    fn is_at_first_failure_rejects_a_program_that_passes() {
        let steps = "# step 1: rescan -> ok\n# step 2: rescan -> ok\n";
        assert!(!at_first_failure(
            &output(steps, "ok 1 liveupdate_pci.small\n"),
            Some(ExitKind::Code(0))
        ));
    }
}
