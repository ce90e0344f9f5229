// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a run: computes status, cause and reason from the recorded facts and the test.
//! A run passes only if it satisfies every rule; contradictory or missing facts are a
//! failure or an error. Whether the status is expected on the checkout is decided in
//! `expectation`.

mod facts;
mod program;
pub(crate) mod steps;

use vm_images::transcript::{Hang, Processor};

pub use crate::judgement::{Cause, Judgement, Status};
pub use crate::subject::Subject;

use crate::evidence::{Ending, Evidence};
use crate::klog::{Line, Log, Phase, Splat, SplatClass};
use crate::ktap::Report;
use crate::scenario::ExpectedSplat;
use facts::Facts;
use steps::{fails_at_boot, is_at_first_failure, missed_interleaving};

/// A rule: returns the judgement of a run that violates it.
type Rule = fn(&Facts<'_>) -> Option<Judgement>;

/// The rules in order of severity. The first rule that a run violates decides the result.
const RULES: [(&str, Rule); 14] = [
    ("the tool and the host work", run_error),
    ("the host runs the guest", host_too_slow),
    ("no time limit expires", hang),
    ("a sync point causes no stall", stalled_at_sync_point),
    ("no unexpected kernel report, reset or power-off", crash),
    ("the console log has all boots", incomplete_log),
    ("each boot runs in a new kernel", same_kernel),
    ("the program of each boot passes", program::failed_boot),
    ("the kernel refuses no operation", refused_operation),
    ("no boot is skipped", program::skipped_boot),
    (
        "the console log has levels and markers",
        missing_levels_or_markers,
    ),
    ("the kernel prints all expected reports", missing_splat),
    (
        "no unexpected warning while the program runs",
        stray_warning,
    ),
    ("no unexpected error around the program", stray_error),
];

/// Judges one run of a scenario or of a kselftest of the tree. `log` is the parsed
/// `evidence.serial`.
#[must_use]
pub fn judge<'a>(subject: impl Into<Subject<'a>>, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    judge_reports(subject.into(), evidence, &evidence.reports(), log)
}

/// Judges like [`judge`]; `reports` has the parsed output of each boot.
pub(crate) fn judge_reports(
    subject: Subject<'_>,
    evidence: &Evidence<'_>,
    reports: &[Report],
    log: &Log,
) -> Judgement {
    let facts = Facts {
        subject,
        evidence,
        log,
        reports,
    };
    let violated = RULES.iter().find_map(|(name, rule)| {
        let judgement = rule(&facts)?;
        let rule = (*name).to_owned();
        Some(Judgement { rule, ..judgement })
    });
    Judgement {
        at_first_failure: is_at_first_failure(&facts),
        unnamed_splat: unnamed_splat(&facts),
        ..violated.unwrap_or_else(|| pass(&facts))
    }
}

fn pass(facts: &Facts<'_>) -> Judgement {
    let reason = match (facts.subject, facts.reports.last()) {
        (Subject::Kselftest(_), Some(last)) => program::kselftest_summary(last),
        _ => "all checks passed, no unexpected kernel messages".to_owned(),
    };
    Judgement::new(Status::Pass, reason).in_time(true)
}

fn run_error(facts: &Facts<'_>) -> Option<Judgement> {
    match &facts.evidence.ending {
        Ending::Error { message, cause } => {
            Some(Judgement::new(Status::Error, message).with_cause(*cause))
        }
        _ => None,
    }
}

/// The guest exceeded a time limit or reported a stall, but the host did not run it. The
/// guest measures in wall time, which includes the time in which it does not run.
fn host_too_slow(facts: &Facts<'_>) -> Option<Judgement> {
    // A time limit of the host counts only the time in which the guest ran.
    if !facts.is_starved() || facts.evidence.hang.is_some() {
        return None;
    }
    let splats: Vec<&Splat> = facts.unexpected_splats().collect();
    let late = if splats.is_empty() {
        facts.expired_limit()?
    } else {
        facts.has_only_stalls().then(|| reports(&splats))?
    };
    let reason = format!("{late}; but {}", facts.withheld());
    Some(Judgement::new(Status::Error, reason).with_cause(Cause::Infrastructure))
}

/// A time limit expired. If the kernel printed a report of a crash before, the run is a crash
/// instead: a task that dies in the kernel never releases the locks that others wait for.
fn hang(facts: &Facts<'_>) -> Option<Judgement> {
    let mut reason = facts.expired_limit()?;
    let breaks = |splat: &Splat| splat.class.breaks_the_kernel() && splat.phase == Phase::During;
    if facts.unexpected_splats().any(breaks) {
        return None;
    }
    if let Some(splat) = facts.log.splats.last() {
        reason.extend(["; last kernel report: `", &splat.title, "`"]);
    }
    if !facts.evidence.host_time.is_known {
        reason += "; measured in wall time, because this host does not report how long QEMU \
            waited for a CPU";
    }
    Some(Judgement::new(Status::Hang, reason).with_cause(cause_of(facts.evidence.hang)))
}

/// Returns the cause of a program that exceeded its time limit: the test if one CPU runs user
/// code in every sample, otherwise the kernel.
fn cause_of(hang: Option<&Hang>) -> Cause {
    let Some(hang) = hang else {
        return Cause::Kernel;
    };
    let in_program = |number: u32| {
        let mut samples = hang.samples.iter();
        samples.all(|sample| {
            let mut processors = sample.processors.iter();
            processors.any(|sample: &Processor| sample.number == number && sample.in_program)
        })
    };
    let first = hang.samples.first();
    let mut numbers = first.into_iter().flat_map(|sample| &sample.processors);
    if numbers.any(|processor| in_program(processor.number)) {
        Cause::Test
    } else {
        Cause::Kernel
    }
}

/// A task held at a sync point spins with preemption off, so the kernel may report a stall
/// or a lockup that it would not report otherwise. If a task was held until the time limit
/// and the kernel reports only stalls, the run is inconclusive.
fn stalled_at_sync_point(facts: &Facts<'_>) -> Option<Judgement> {
    let Subject::Scenario(scenario) = facts.subject else {
        return None;
    };
    if !facts.has_only_stalls() {
        return None;
    }
    facts.boots().find_map(|boot| {
        let number = boot.number;
        // A task is held for at most 10 s. The hung task and workqueue watchdogs wait longer,
        // so their reports have another cause, as have reports of another boot.
        let is_caused_by_hold = |splat: &Splat| {
            splat.boot == number
                && splat.phase == Phase::During
                && !matches!(
                    splat.class,
                    SplatClass::HungTask | SplatClass::WorkqueueLockup
                )
        };
        if !facts.unexpected_splats().all(is_caused_by_hold) {
            return None;
        }
        let all = boot.report.all();
        let mut missed = all
            .iter()
            .filter_map(|test| missed_interleaving(scenario, number, &test.diagnostics));
        let reason = format!("boot {number}: {}", missed.next()?);
        Some(Judgement::new(Status::Error, reason).with_cause(Cause::Test))
    })
}

/// The kernel printed a report that the test does not expect, or the guest ended by itself.
fn crash(facts: &Facts<'_>) -> Option<Judgement> {
    let unexpected: Vec<&Splat> = facts.unexpected_splats().collect();
    if let Some(first) = unexpected.first() {
        let mut reason = reports(&unexpected);
        if let Some(limit) = facts.expired_limit() {
            reason.extend(["; then ", &limit]);
        }
        let in_program = first.phase == Phase::During && facts.started(first.boot);
        let in_time = in_program || fails_at_boot(facts.subject, first);
        return Some(Judgement::new(Status::Crash, reason).in_time(in_time));
    }
    match &facts.evidence.ending {
        Ending::GuestGone { message, boot } => {
            let in_time = boot.is_some_and(|boot| facts.started(boot));
            Some(Judgement::new(Status::Crash, message).in_time(in_time))
        }
        _ => None,
    }
}

/// Lists class and place of the first kernel report, the titles, each once, and the number
/// of titles that are left out.
fn reports(splats: &[&Splat]) -> String {
    const SHOWN: usize = 3;
    let mut titles: Vec<&str> = Vec::new();
    for splat in splats {
        if !titles.contains(&splat.title.as_str()) {
            titles.push(&splat.title);
        }
    }
    let more = titles.len().saturating_sub(SHOWN);
    titles.truncate(SHOWN);
    let mut text = splats
        .first()
        .map_or_else(String::new, |first| place(first));
    text.extend([": ", &titles.join("; ")]);
    if more > 0 {
        text += &format!("; and {more} more");
    }
    text
}

/// `WARN during boot 1`
fn place(splat: &Splat) -> String {
    let class = splat.class.word();
    match splat.phase {
        Phase::During => format!("{class} during boot {}", splat.boot),
        Phase::Before => format!("{class} before boot {} began", splat.boot.max(1)),
        Phase::After => format!("{class} after boot {} ended", splat.boot),
    }
}

/// Returns the kernel report that decides the status.
pub(crate) fn deciding_splat<'a>(
    subject: Subject<'_>,
    status: Status,
    log: &'a Log,
) -> Option<&'a Splat> {
    let mut unexpected = log.splats.iter().filter(|splat| !subject.expects(splat));
    unexpected.next().filter(|_| status == Status::Crash)
}

/// Returns the first unexpected report that is not an allowed part of an expected failure.
fn unnamed_splat(facts: &Facts<'_>) -> Option<String> {
    let subject = facts.subject;
    let is_unnamed = |splat: &&Splat| {
        let in_time = splat.phase == Phase::During || fails_at_boot(subject, splat);
        !in_time || !subject.fails_with().contains(&splat.class)
    };
    let splat = facts.unexpected_splats().find(is_unnamed)?;
    Some(format!("{}: {}", place(splat), splat.title))
}

/// The console log must contain all boots; otherwise reports may be missing.
fn incomplete_log(facts: &Facts<'_>) -> Option<Judgement> {
    let Facts { evidence, log, .. } = facts;
    if log.is_cut {
        return Some(Judgement::new(
            Status::Fail,
            "the console log exceeds the size limit",
        ));
    }
    let (kernels, boots) = (log.boots(), evidence.boots.len());
    (kernels != boots).then(|| {
        let reason =
            format!("the console log has {kernels} kernel starts, but {boots} boots were started");
        Judgement::new(Status::Error, reason)
    })
}

/// Every boot must run in a new kernel: without a kexec, a handover is not tested.
fn same_kernel(facts: &Facts<'_>) -> Option<Judgement> {
    let ids: Vec<&str> = facts
        .evidence
        .boots
        .iter()
        .map(|boot| boot.boot_id)
        .collect();
    ids.iter().enumerate().find_map(|(later, id)| {
        let earlier = ids[..later].iter().position(|other| other == id)?;
        let reason = format!(
            "boot {} ran in the same kernel as boot {} (same boot ID)",
            later + 1,
            earlier + 1
        );
        Some(Judgement::new(Status::Fail, reason))
    })
}

/// Without levels and without the markers of a program's start and end, warnings cannot be
/// found in a console log.
fn missing_levels_or_markers(facts: &Facts<'_>) -> Option<Judgement> {
    let log = facts.log;
    (1..=facts.evidence.boots.len()).find_map(|boot| {
        let missing = if !log.shows_levels(boot) {
            "no levels"
        } else if !log.shows_program(boot) {
            "no marker of the program's start or end"
        } else {
            return None;
        };
        let reason = format!("boot {boot}: the console log has {missing}");
        Some(Judgement::new(Status::Error, reason))
    })
}

fn refused_operation(facts: &Facts<'_>) -> Option<Judgement> {
    match &facts.evidence.ending {
        Ending::Refused { message } => Some(Judgement::new(Status::Fail, message)),
        _ => None,
    }
}

/// Every expected splat must be logged as often as expected. A splat counts only for the
/// first entry that covers it, so that it cannot satisfy two entries.
fn missing_splat(facts: &Facts<'_>) -> Option<Judgement> {
    let all = facts.subject.splats();
    let first_of = |splat: &Splat| all.iter().position(|expected| expected.covers(splat));
    all.iter().enumerate().find_map(|(number, expected)| {
        let splats = facts.log.splats.iter();
        let found: Vec<&Splat> = splats
            .filter(|splat| first_of(splat) == Some(number))
            .collect();
        let ExpectedSplat {
            class,
            text,
            count,
            boot,
            ..
        } = expected;
        let complete = found.iter().filter(|splat| splat.is_complete).count();
        let incomplete = found.len() - complete;
        if incomplete == 0 && count.contains(complete as u64) {
            return None;
        }
        let incomplete = match incomplete {
            0 => String::new(),
            incomplete => format!(", and {incomplete} incomplete"),
        };
        let word = class.word();
        let reason = format!(
            "boot {boot}: {word} \"{text}\": expected {count}, found {complete} times{incomplete}"
        );
        Some(Judgement::new(Status::Fail, reason).in_time(true))
    })
}

/// Kernel lines outside of splats while the program runs. A scenario lists every expected
/// warning. A kselftest of the tree may cause warnings, but only errors that are listed in
/// `tolerates`.
fn stray_warning(facts: &Facts<'_>) -> Option<Judgement> {
    let Facts { subject, log, .. } = *facts;
    let is_unexpected = |boot: usize, line: &Line| match subject {
        Subject::Scenario(scenario) => !scenario.expects_line(boot, &line.text),
        Subject::Kselftest(_) => line.is_error() && !subject.tolerates(&line.text),
    };
    (1..=subject.boot_count()).find_map(|boot| {
        let mut warnings = log.stray_warnings(boot);
        let line = warnings.find(|line| is_unexpected(boot, line))?;
        let level = if line.is_error() { "error" } else { "warning" };
        let reason = format!("boot {boot}: unexpected kernel {level}: \"{}\"", line.text);
        Some(Judgement::new(Status::Fail, reason).in_time(true))
    })
}

/// Kernel lines at level error before the program starts and after it ends: a live update
/// itself runs after the program of boot 1 and before the program of boot 2.
fn stray_error(facts: &Facts<'_>) -> Option<Judgement> {
    let Facts { subject, log, .. } = *facts;
    (1..=subject.boot_count()).find_map(|boot| {
        let mut lines = log.stray_errors(boot);
        let line = lines.find(|line| !subject.tolerates(&line.text))?;
        let when = match line.phase {
            Phase::Before => "before",
            Phase::During | Phase::After => "after",
        };
        let reason = format!(
            "{when} the program of boot {boot}: unexpected kernel error: \"{}\"",
            line.text
        );
        Some(Judgement::new(Status::Fail, reason))
    })
}

#[cfg(test)]
mod tests;
