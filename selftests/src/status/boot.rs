// SPDX-License-Identifier: GPL-2.0-only
//! One boot's program: whether what it wrote and how it ended is a pass for sure,
//! and whether it is this boot's program at all. Knows nothing of the console.

use super::{Cause, Judgement, Status, Subject, cause, kselftest};
use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::generate::INTERLEAVING;
use crate::ktap::{Report, Test, TestStatus};
use crate::scenario::{Action, Scenario, Step};

/// The first boot of which something is wrong.
pub(super) fn failed_boot(subject: Subject<'_>, evidence: &Evidence<'_>) -> Option<Judgement> {
    for (index, boot) in evidence.boots.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(boot.output);
        if let Some(mut trouble) = trouble(subject, number, boot, &report) {
            let ran = matches!(subject, Subject::Kselftest(_)) || !report.leaves().is_empty();
            trouble.reason = format!("boot {number}: {}", trouble.reason);
            return Some(trouble.in_time(boot.started && ran).with_host(evidence));
        }
        let is_last = number == evidence.boots.len();
        if skip_reason(subject, boot, &report).is_some() && is_last {
            // The later boots have nothing to work on, and were not begun.
            return None;
        }
    }
    let (ran, all) = (evidence.boots.len(), subject.boot_count());
    (ran != all && !matches!(evidence.ending, Ending::Refused { .. }))
        .then(|| Judgement::new(Status::Fail, format!("{ran} of {all} boots ran")))
}

fn trouble(
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
            let (status, what) = kselftest::trouble(boot, report)?;
            Some(Judgement::new(status, what))
        }
        Subject::Scenario(scenario) => boot_trouble(scenario, number, boot, report)
            .map(|mut judgement| {
                judgement.reason = with_words(scenario, number, &judgement.reason);
                judgement
            })
            .or_else(|| {
                let what = other_program(scenario, number, boot, report)?;
                Some(Judgement::new(Status::Fail, what).with_cause(Cause::Test))
            }),
    }
}

impl Judgement {
    /// Says so where the host kept the guest waiting: what did not come in time then
    /// may have come later. Tasks that did not meet may have been kept from it.
    fn with_host(mut self, evidence: &Evidence<'_>) -> Self {
        if !cause::kept_waiting(&evidence.host_time) {
            return self;
        }
        self.reason += &format!("; mind that {}", cause::withheld(&evidence.host_time));
        match self.cause {
            Some(Cause::Test) if self.status == Status::Error => {
                self.with_cause(Cause::Infrastructure)
            }
            _ => self,
        }
    }
}

fn boot_trouble(
    scenario: &Scenario,
    number: usize,
    boot: &BootEvidence<'_>,
    report: &Report,
) -> Option<Judgement> {
    let of_test = |status, what: String| Some(Judgement::new(status, what).with_cause(Cause::Test));
    let leaves = report.leaves();
    // The innermost says most, but no level may have failed.
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
            "the program wrote more than is kept".to_owned(),
        );
    }
    if let Some(problem) = report.problems.first() {
        return of_test(
            Status::Fail,
            format!("the results are not whole: {problem}"),
        );
    }
    if report.skip_all.is_none() && !leaves.is_empty() && !report.has_totals {
        // The harness leaves them out only with what it never began.
        let problem = "the results are not whole: there are no totals";
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
        Some(ExitKind::Signal(signal)) => {
            of_test(Status::Fail, format!("signal {signal} ended the program"))
        }
        Some(ExitKind::TimedOut) | None => Some(Judgement::new(
            Status::Error,
            "nothing is known of the program's end",
        )),
    }
}

/// What was run instead of the boot's own test and all of its steps, if that passed.
fn other_program(
    scenario: &Scenario,
    number: usize,
    boot: &BootEvidence<'_>,
    report: &Report,
) -> Option<String> {
    let planned = scenario.boots.iter().find(|one| one.number == number)?;
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
        let said = format!("# step {step}: ");
        test.diagnostics.iter().any(|line| line.starts_with(&said))
    };
    let mut steps = planned.steps.iter();
    let missing = steps.find(|step| !is_done(step.number))?;
    let missing = step_in_words(scenario, missing);
    Some(format!("`{name}` passed without {missing}"))
}

/// A step by its number, its sentence, and where it is written.
fn step_in_words(scenario: &Scenario, step: &Step) -> String {
    let (number, action) = (step.number, &step.action);
    let (scenario_file, line) = (&scenario.scenario_file, step.place.line);
    format!("step {number}: {action} ({scenario_file}.yaml:{line})")
}

/// What a program says of a step by its number, with the step's own words.
fn with_words(scenario: &Scenario, boot: usize, said: &str) -> String {
    let (before, rest) = match said.strip_prefix(INTERLEAVING) {
        Some(rest) => (INTERLEAVING, rest),
        None => ("", said),
    };
    let found = || {
        let rest = rest.strip_prefix("step ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        let number: usize = number.parse().ok()?;
        let boot = scenario.boots.iter().find(|one| one.number == boot)?;
        let step = boot.all_steps().find(|step| step.number == number)?;
        Some((step, rest))
    };
    match found() {
        Some((step, rest)) => format!("{before}{}{rest}", step_in_words(scenario, step)),
        None => said.to_owned(),
    }
}

/// Returns whether the harness ended a test that took too long.
pub(super) fn timed_out(report: &Report) -> bool {
    report.all().iter().any(|test| {
        let mut said = test.diagnostics.iter();
        test.status == TestStatus::TimedOut
            || said.any(|line| line.ends_with(": Test terminated by timeout"))
    })
}

/// The first thing that a test says was wrong.
pub(super) fn failure(test: &Test) -> String {
    let fallback = match test.status {
        TestStatus::Crashed => "has no result",
        TestStatus::TimedOut => "timed out",
        _ => "failed",
    };
    first_report(&test.diagnostics).unwrap_or_else(|| format!("`{}` {fallback}", test.name))
}

/// The text of the first check that failed: the harness prints what was compared,
/// and the test then says what it wanted.
fn first_report(diagnostics: &[String]) -> Option<String> {
    let mut failed = diagnostics.iter().filter_map(|line| failed_check(line));
    let compared = failed.next()?;
    match failed.next() {
        Some(wanted) if !wanted.starts_with("Expected ") => Some(format!("{wanted} ({compared})")),
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
    let holds: Vec<String> = scenario
        .boots
        .iter()
        .filter(|boot| boot.number == number)
        .flat_map(|boot| &boot.steps)
        .filter(|step| matches!(step.action, Action::Hold { .. }))
        .map(|step| format!("# step {}: ", step.number))
        .collect();
    let is_held = |line: &String| holds.iter().any(|step| line.starts_with(step));
    let held = diagnostics[..missed].iter().rposition(is_held);
    // The failed condition itself is printed right before the message.
    let before = held.unwrap_or(missed.saturating_sub(1));
    let mut earlier = diagnostics[..before].iter();
    if earlier.any(|line| failed_check(line).is_some()) {
        return None;
    }
    failed_check(&diagnostics[missed])
}

/// The text after `# file.c:line:test:`, as TH_LOG prints it.
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

/// Why a boot could not do its work, if it says so.
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

/// The first boot that says why it cannot do its work.
pub(super) fn skipped_boot(subject: Subject<'_>, evidence: &Evidence<'_>) -> Option<Judgement> {
    let mut boots = evidence.boots.iter().enumerate();
    boots.find_map(|(index, boot)| {
        let reason = skip_reason(subject, boot, &Report::parse(boot.output))?;
        let reason = format!("boot {}: {reason}", index + 1);
        Some(Judgement::new(Status::Skip, reason))
    })
}
