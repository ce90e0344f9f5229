// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules for the program of each boot: its output and its exit status, and whether it
//! ran the test and all steps of this boot. The console log is not read here.

use super::facts::{BootFacts, Facts};
use super::steps::{Check, failed_checks, missed_interleaving, step_in_words, with_step};
use crate::evidence::{Ending, ExitKind};
use crate::generate::INTERLEAVING;
use crate::judgement::{Cause, Judgement, Status};
use crate::ktap::{Report, Test, TestStatus};
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::text;

/// Exit codes of kselftest, see tools/testing/selftests/kselftest.h.
const PASS: i32 = 0;
const XFAIL: i32 = 2;
const SKIP: i32 = 4;
/// The last line of an output is searched in its last `TAIL_BYTES` bytes, and cut to
/// `LINE_BYTES` bytes.
const TAIL_BYTES: usize = 4096;
const LINE_BYTES: usize = 200;

/// The program of every boot must pass, and every boot must run.
pub(super) fn failed_boot(facts: &Facts<'_>) -> Option<Judgement> {
    for boot in facts.boots() {
        let number = boot.number;
        if let Some(mut judgement) = failure_of(facts.subject, boot) {
            let has_result = !boot.report.leaves().is_empty();
            let ran = has_result || matches!(facts.subject, Subject::Kselftest(_));
            judgement.reason = format!("boot {number}: {}", judgement.reason);
            let judgement = judgement.in_time(boot.recorded.started && ran);
            return Some(with_host_time(judgement, facts));
        }
        let is_last = number == facts.evidence.boots.len();
        if skip_reason(facts.subject, boot).is_some() && is_last {
            // The later boots depend on this boot, and were not started.
            return None;
        }
    }
    let (ran, all) = (facts.evidence.boots.len(), facts.subject.boot_count());
    (ran != all && !matches!(facts.evidence.ending, Ending::Refused { .. }))
        .then(|| Judgement::new(Status::Fail, format!("{ran} of {all} boots ran")))
}

/// No boot may be skipped.
pub(super) fn skipped_boot(facts: &Facts<'_>) -> Option<Judgement> {
    facts.boots().find_map(|boot| {
        let reason = skip_reason(facts.subject, boot)?;
        let reason = format!("boot {}: {reason}", boot.number);
        Some(Judgement::new(Status::Skip, reason))
    })
}

fn failure_of(subject: Subject<'_>, boot: BootFacts<'_>) -> Option<Judgement> {
    if !boot.recorded.started {
        return Some(Judgement::new(Status::Error, "the program was not started"));
    }
    match subject {
        Subject::Kselftest(_) => kselftest_failure(boot),
        Subject::Scenario(scenario) => match scenario_failure(scenario, boot) {
            Some(mut judgement) => {
                judgement.reason = with_step(scenario, boot.number, &judgement.reason);
                Some(judgement)
            }
            None => {
                let reason = other_program(scenario, boot)?;
                Some(Judgement::new(Status::Fail, reason).with_cause(Cause::Test))
            }
        },
    }
}

/// Adds the withheld CPU time to the reason if the guest was starved, because an event that
/// the test waited for may only have been late. A missed interleaving then has the cause
/// infrastructure.
fn with_host_time(mut judgement: Judgement, facts: &Facts<'_>) -> Judgement {
    if !facts.is_starved() {
        return judgement;
    }
    judgement.reason += &format!("; note: {}", facts.withheld());
    match judgement.cause {
        Some(Cause::Test) if judgement.status == Status::Error => {
            judgement.with_cause(Cause::Infrastructure)
        }
        _ => judgement,
    }
}

/// Returns the reason of a skipped boot.
fn skip_reason(subject: Subject<'_>, boot: BootFacts<'_>) -> Option<String> {
    match subject {
        Subject::Kselftest(_) => kselftest_skip(boot),
        Subject::Scenario(_) => is_skip(boot).then(|| {
            let reason = first_skipped(boot.report).or(boot.report.skip_all.as_ref());
            reason.cloned().unwrap_or_default()
        }),
    }
}

fn is_skip(boot: BootFacts<'_>) -> bool {
    boot.recorded.started
        && (boot.report.skip_all.is_some() || first_skipped(boot.report).is_some())
}

/// Returns the reason of the first skipped test.
fn first_skipped(report: &Report) -> Option<&String> {
    report
        .leaves()
        .into_iter()
        .find_map(|test| match &test.status {
            TestStatus::Skipped(reason) => Some(reason),
            _ => None,
        })
}

/// Returns the failure of the program of a scenario.
fn scenario_failure(scenario: &Scenario, boot: BootFacts<'_>) -> Option<Judgement> {
    let BootFacts {
        number,
        recorded,
        report,
    } = boot;
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
            Some(missed) => of_test(Status::Error, missed),
            None => Some(Judgement::new(Status::Fail, failure(test))),
        };
    }
    let skipped = first_skipped(report).filter(|reason| reason.starts_with(INTERLEAVING));
    if let Some(reason) = skipped {
        let mut checks = leaves
            .iter()
            .filter_map(|test| missed_interleaving(scenario, number, &test.diagnostics));
        return of_test(
            Status::Error,
            checks.next().unwrap_or_else(|| reason.clone()),
        );
    }
    if recorded.output_cut {
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
    match recorded.exit {
        Some(ExitKind::Code(0)) if leaves.is_empty() && report.skip_all.is_none() => {
            of_test(Status::Error, "the program ran no test".to_owned())
        }
        Some(ExitKind::Code(0)) => None,
        Some(ExitKind::Code(4)) if is_skip(boot) => None,
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
fn other_program(scenario: &Scenario, boot: BootFacts<'_>) -> Option<String> {
    let mut boots = scenario.boots.iter();
    let planned = boots.find(|planned| planned.number == boot.number)?;
    if is_skip(boot) {
        return None;
    }
    let name = scenario.test_name(boot.number);
    let leaves = boot.report.leaves();
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

/// Returns the failure of the program of a kselftest: the exit code is the result, and the
/// printed results, if there are any, must agree with it.
fn kselftest_failure(boot: BootFacts<'_>) -> Option<Judgement> {
    let BootFacts {
        recorded, report, ..
    } = boot;
    let fail = |reason: String| Some(Judgement::new(Status::Fail, reason));
    if let Some(reason) = bad_result(report) {
        return fail(reason);
    }
    let code = match recorded.exit {
        Some(ExitKind::Code(code)) => code,
        Some(ExitKind::Signal(signal)) => {
            return fail(format!("the program was killed by signal {signal}"));
        }
        Some(ExitKind::TimedOut) | None => {
            let reason = "the program's exit status is unknown";
            return Some(Judgement::new(Status::Error, reason));
        }
    };
    if !matches!(code, PASS | XFAIL | SKIP) {
        return fail(match last_line(recorded.output) {
            Some(line) => format!("the program exited with code {code}; last line: \"{line}\""),
            None => format!("the program exited with code {code}"),
        });
    }
    if recorded.output_cut {
        return fail("the program's output exceeds the size limit".to_owned());
    }
    if code != PASS || !report.is_tap {
        return None;
    }
    if let Some(problem) = report.problems.first() {
        return fail(format!("invalid test output: {problem}"));
    }
    (report.leaves().is_empty() && report.skip_all.is_none())
        .then(|| Judgement::new(Status::Fail, "the program ran no test"))
}

/// Returns the reason of a kselftest's boot that was skipped, or failed with XFAIL. A boot
/// with some skipped and some other results is not skipped.
fn kselftest_skip(boot: BootFacts<'_>) -> Option<String> {
    let BootFacts {
        recorded, report, ..
    } = boot;
    let reason = || {
        let reason = first_skipped(report).or(report.skip_all.as_ref());
        let reason = reason.filter(|reason| !reason.is_empty()).cloned();
        reason
            .or_else(|| last_line(recorded.output))
            .unwrap_or_else(|| "skipped without a reason".to_owned())
    };
    match recorded.exit {
        Some(ExitKind::Code(SKIP)) => Some(reason()),
        Some(ExitKind::Code(XFAIL)) => Some("expected failure (exit code 2)".to_owned()),
        Some(ExitKind::Code(PASS)) => {
            let leaves = report.leaves();
            let all = leaves
                .iter()
                .all(|test| matches!(test.status, TestStatus::Skipped(_)));
            let none_ran = report.skip_all.is_some() || (all && !leaves.is_empty());
            none_ran.then(reason)
        }
        _ => None,
    }
}

/// Summarises the results of a kselftest that passed.
pub(super) fn kselftest_summary(report: &Report) -> String {
    let leaves = report.leaves();
    let skips = leaves.iter().filter_map(|test| match &test.status {
        TestStatus::Skipped(reason) => Some(reason.as_str()),
        _ => None,
    });
    let skips: Vec<&str> = skips.collect();
    let passed = leaves.len() - skips.len();
    match (passed, skips.first()) {
        (0, _) => "the program exited with code 0".to_owned(),
        (_, None) => format!("{passed} of {passed} tests passed"),
        (_, Some(first)) => format!(
            "{passed} of {} tests passed, {} skipped: {first}",
            leaves.len(),
            skips.len()
        ),
    }
}

/// Returns the first failed result. Failed results come before a bail-out, and a bail-out
/// comes before missing results.
fn bad_result(report: &Report) -> Option<String> {
    let mut tests = report.leaves();
    tests.extend(report.all());
    tests.retain(|test| is_bad(&test.status));
    let printed = tests.iter().find(|test| test.status != TestStatus::Crashed);
    if let Some(test) = printed {
        return Some(failure(test));
    }
    let test = tests.first()?;
    let mut problems = report.problems.iter();
    let bail_out = problems.find(|problem| problem.starts_with("bailed out"));
    Some(bail_out.cloned().unwrap_or_else(|| failure(test)))
}

const fn is_bad(status: &TestStatus) -> bool {
    !matches!(
        status,
        TestStatus::Passed | TestStatus::Skipped(_) | TestStatus::ExpectedFailure(_)
    )
}

/// Returns the last line that is not empty.
fn last_line(output: &[u8]) -> Option<String> {
    let tail = &output[output.len().saturating_sub(TAIL_BYTES)..];
    let lines = tail.split(|byte| *byte == b'\n');
    let mut texts = lines.map(|line| text::clean(line, LINE_BYTES));
    texts.rfind(|line| !line.trim().is_empty())
}

/// Returns the first failed check of a test, or its status.
fn failure(test: &Test) -> String {
    let fallback = match test.status {
        TestStatus::Crashed => "has no result",
        TestStatus::TimedOut => "timed out",
        _ => "failed",
    };
    first_failed_check(&test.diagnostics).unwrap_or_else(|| format!("`{}` {fallback}", test.name))
}

/// Returns the message of the first failed check, with the number of its step.
fn first_failed_check(diagnostics: &[String]) -> Option<String> {
    failed_checks(diagnostics).first().map(Check::message)
}
