// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges the program of one boot by its output and its exit status, and checks that it ran
//! the test and all steps of this boot. The console log is not read here.

use super::{Cause, Judgement, Status, Subject, cause, kselftest};
use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::generate::INTERLEAVING;
use crate::ktap::{Report, Test, TestStatus};
use crate::scenario::{Action, Scenario, Step};

/// Returns the failure of the first boot that failed.
pub(super) fn failed_boot(subject: Subject<'_>, evidence: &Evidence<'_>) -> Option<Judgement> {
    for (index, boot) in evidence.boots.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(boot.output);
        if let Some(mut judgement) = failure_of(subject, number, boot, &report) {
            let ran = matches!(subject, Subject::Kselftest(_)) || !report.leaves().is_empty();
            judgement.reason = format!("boot {number}: {}", judgement.reason);
            return Some(
                judgement
                    .in_time(boot.started && ran)
                    .with_host_time(evidence),
            );
        }
        let is_last = number == evidence.boots.len();
        if skip_reason(subject, boot, &report).is_some() && is_last {
            // The later boots depend on this boot, and were not started.
            return None;
        }
    }
    let (ran, all) = (evidence.boots.len(), subject.boot_count());
    (ran != all && !matches!(evidence.ending, Ending::Refused { .. }))
        .then(|| Judgement::new(Status::Fail, format!("{ran} of {all} boots ran")))
}

fn failure_of(
    subject: Subject<'_>,
    number: usize,
    boot: &BootEvidence<'_>,
    report: &Report,
) -> Option<Judgement> {
    if !boot.started {
        return Some(Judgement::new(Status::Error, "the program was not started"));
    }
    match subject {
        Subject::Kselftest(_) => {
            let (status, reason) = kselftest::failed(boot, report)?;
            Some(Judgement::new(status, reason))
        }
        Subject::Scenario(scenario) => scenario_failure(scenario, number, boot, report)
            .map(|mut judgement| {
                judgement.reason = with_step(scenario, number, &judgement.reason);
                judgement
            })
            .or_else(|| {
                let reason = other_program(scenario, number, boot, report)?;
                Some(Judgement::new(Status::Fail, reason).with_cause(Cause::Test))
            }),
    }
}

impl Judgement {
    /// Adds the withheld CPU time to the reason if the guest was starved, because an event
    /// that the test waited for may only have been late. A missed interleaving then has the
    /// cause infrastructure.
    fn with_host_time(mut self, evidence: &Evidence<'_>) -> Self {
        if !cause::is_starved(&evidence.host_time) {
            return self;
        }
        self.reason += &format!("; note: {}", cause::withheld(&evidence.host_time));
        match self.cause {
            Some(Cause::Test) if self.status == Status::Error => {
                self.with_cause(Cause::Infrastructure)
            }
            _ => self,
        }
    }
}

fn scenario_failure(
    scenario: &Scenario,
    number: usize,
    boot: &BootEvidence<'_>,
    report: &Report,
) -> Option<Judgement> {
    let of_test =
        |status, reason: String| Some(Judgement::new(status, reason).with_cause(Cause::Test));
    let leaves = report.leaves();
    // No level may have failed; the innermost test has the most precise message.
    if let Some(test) = leaves
        .iter()
        .chain(&report.all())
        .find(|test| !matches!(test.status, TestStatus::Passed | TestStatus::Skipped(_)))
    {
        return match missed_interleaving(scenario, number, &test.diagnostics) {
            Some(missed) => of_test(Status::Error, missed.to_owned()),
            None => Some(Judgement::new(Status::Fail, failure(test))),
        };
    }
    if boot.output_cut {
        return of_test(
            Status::Fail,
            "the program's output exceeds the size limit".to_owned(),
        );
    }
    if let Some(problem) = report.problems.first() {
        return of_test(Status::Fail, format!("invalid test output: {problem}"));
    }
    if report.skip_all.is_none() && !leaves.is_empty() && !report.has_totals {
        // The harness always prints a totals line after its results.
        let problem = "invalid test output: no totals line";
        return of_test(Status::Fail, problem.to_owned());
    }
    match boot.exit {
        Some(ExitKind::Code(0)) if leaves.is_empty() && report.skip_all.is_none() => {
            of_test(Status::Error, "the program ran no test".to_owned())
        }
        Some(ExitKind::Code(0)) => None,
        Some(ExitKind::Code(4)) if is_skip(boot, report) => None,
        Some(ExitKind::Code(code)) => {
            of_test(Status::Fail, format!("the program exited with code {code}"))
        }
        Some(ExitKind::Signal(signal)) => of_test(
            Status::Fail,
            format!("the program was killed by signal {signal}"),
        ),
        Some(ExitKind::TimedOut) | None => Some(Judgement::new(
            Status::Error,
            "the program's exit status is unknown",
        )),
    }
}

/// Returns why a passed program is not the test of this boot with all of its steps.
fn other_program(
    scenario: &Scenario,
    number: usize,
    boot: &BootEvidence<'_>,
    report: &Report,
) -> Option<String> {
    let planned = scenario.boots.iter().find(|boot| boot.number == number)?;
    if is_skip(boot, report) {
        return None;
    }
    let name = scenario.test_name(number);
    let leaves = report.leaves();
    let [test] = leaves.as_slice() else {
        return Some(format!(
            "the program ran {} tests, not `{name}`",
            leaves.len()
        ));
    };
    if test.name != name {
        return Some(format!("the program ran `{}`, not `{name}`", test.name));
    }
    let is_done = |step: usize| {
        let label = format!("# step {step}: ");
        test.diagnostics.iter().any(|line| line.starts_with(&label))
    };
    let mut steps = planned.steps.iter();
    let missing = steps.find(|step| !is_done(step.number))?;
    let missing = step_in_words(scenario, missing);
    Some(format!("`{name}` passed, but did not run {missing}"))
}

/// Describes a step by its number, its operation and its place in the scenario file.
fn step_in_words(scenario: &Scenario, step: &Step) -> String {
    let (number, action) = (step.number, &step.action);
    let (scenario_file, line) = (&scenario.scenario_file, step.place.line);
    format!("step {number}: {action} ({scenario_file}.yaml:{line})")
}

/// Replaces `step N` in a message of a program by the description of the step.
fn with_step(scenario: &Scenario, boot_number: usize, message: &str) -> String {
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
        let boot = boots.find(|boot| boot.number == boot_number)?;
        let step = boot.all_steps().find(|step| step.number == number)?;
        Some((step, rest))
    };
    match found() {
        Some((step, rest)) => format!("{before}{}{rest}", step_in_words(scenario, step)),
        None => message.to_owned(),
    }
}

/// Returns whether the harness or the runner killed a test at its time limit.
pub(super) fn timed_out(report: &Report) -> bool {
    report.all().iter().any(|test| {
        let mut lines = test.diagnostics.iter();
        test.status == TestStatus::TimedOut
            || lines.any(|line| line.ends_with(": Test terminated by timeout"))
    })
}

/// Returns the first failed check of a test, or its status.
pub(super) fn failure(test: &Test) -> String {
    let fallback = match test.status {
        TestStatus::Crashed => "has no result",
        TestStatus::TimedOut => "timed out",
        _ => "failed",
    };
    first_failed_check(&test.diagnostics).unwrap_or_else(|| format!("`{}` {fallback}", test.name))
}

/// Returns the message of the first failed check. The harness prints the compared values
/// first, and the test then prints its expectation.
fn first_failed_check(diagnostics: &[String]) -> Option<String> {
    let mut failed = diagnostics.iter().filter_map(|line| failed_check(line));
    let compared = failed.next()?;
    match failed.next() {
        Some(expectation) if !expectation.starts_with("Expected ") => {
            Some(format!("{expectation} ({compared})"))
        }
        _ => Some(compared.to_owned()),
    }
}

/// Returns the message of a failed interleaving check, unless an earlier check failed for
/// a reason that the interleaving cannot have caused.
///
/// From the moment a task is held until it is released, a step may have waited for the
/// time limit of the sync point instead of the released task. Checks that failed in that
/// time are therefore no evidence against the kernel. Checks before the task was held are.
pub(super) fn missed_interleaving<'a>(
    scenario: &Scenario,
    number: usize,
    diagnostics: &'a [String],
) -> Option<&'a str> {
    let is_missed = |text: &&str| text.starts_with(INTERLEAVING);
    let at = |line: &String| failed_check(line).filter(is_missed).is_some();
    let missed = diagnostics.iter().position(at)?;
    let labels = |is_wanted: fn(&Action) -> bool| -> Vec<String> {
        let boots = scenario.boots.iter().filter(|boot| boot.number == number);
        boots
            .flat_map(|boot| &boot.steps)
            .filter(|step| is_wanted(&step.action))
            .map(|step| format!("# step {}: ", step.number))
            .collect()
    };
    let holds = labels(|action| matches!(action, Action::Hold { .. }));
    let releases = labels(|action| matches!(action, Action::Release(_)));
    let has = |labels: &[String], line: &String| labels.iter().any(|label| line.starts_with(label));
    // A release prints its label only if the task was held up to it.
    let held = diagnostics[..missed]
        .iter()
        .rposition(|line| has(&holds, line))
        .filter(|&at| {
            !diagnostics[at..missed]
                .iter()
                .any(|line| has(&releases, line))
        });
    // The compared values are printed directly before the message.
    let before = held.unwrap_or(missed.saturating_sub(1));
    let mut earlier = diagnostics[..before].iter();
    if earlier.any(|line| failed_check(line).is_some()) {
        return None;
    }
    failed_check(&diagnostics[missed])
}

/// Returns the text after `# file.c:line:test:`, the prefix of TH_LOG.
pub(crate) fn failed_check(line: &str) -> Option<&str> {
    let mut parts = line.strip_prefix("# ")?.splitn(4, ':');
    let (file, number, _test, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (file.ends_with(".c") && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn is_skip(boot: &BootEvidence<'_>, report: &Report) -> bool {
    boot.started
        && (report.skip_all.is_some()
            || report
                .leaves()
                .iter()
                .any(|test| matches!(test.status, TestStatus::Skipped(_))))
}

/// Returns the reason of a skipped boot.
fn skip_reason(subject: Subject<'_>, boot: &BootEvidence<'_>, report: &Report) -> Option<String> {
    match subject {
        Subject::Kselftest(_) => kselftest::skipped(boot, report),
        Subject::Scenario(_) => is_skip(boot, report).then(|| {
            let leaves = report.leaves();
            let mut reasons = leaves.iter().filter_map(|test| match &test.status {
                TestStatus::Skipped(reason) => Some(reason),
                _ => None,
            });
            let reason = reasons.next().or(report.skip_all.as_ref());
            reason.cloned().unwrap_or_default()
        }),
    }
}

/// Returns the first skipped boot.
pub(super) fn skipped_boot(subject: Subject<'_>, evidence: &Evidence<'_>) -> Option<Judgement> {
    let mut boots = evidence.boots.iter().enumerate();
    boots.find_map(|(index, boot)| {
        let reason = skip_reason(subject, boot, &Report::parse(boot.output))?;
        let reason = format!("boot {}: {reason}", index + 1);
        Some(Judgement::new(Status::Skip, reason))
    })
}
