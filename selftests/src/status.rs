// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a run: computes status, cause and reason from the recorded facts and the test.
//! A run passes only if every rule is satisfied; contradictory or missing facts are a
//! failure or an error. Whether the status is expected on the checkout is decided in
//! `expectation`.

mod boot;
mod cause;
mod first_failure;
mod kselftest;
mod subject;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::{Ending, Evidence, ExitKind};
use crate::klog::{Line, Log, Phase, Splat, SplatClass};
use crate::ktap::Report;
use crate::scenario::ExpectedSplat;

pub(crate) use boot::failed_check;
pub use cause::Cause;
pub(crate) use first_failure::step_number;
pub use subject::Subject;

/// The status of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All checks passed, and there are no unexpected kernel messages.
    Pass,
    /// A check failed, or an expected kernel report is missing.
    Fail,
    /// The kernel printed an unexpected report, or the guest reset or powered off.
    Crash,
    /// A deadline for the guest expired.
    Hang,
    /// The test could not run, and reported the reason.
    Skip,
    /// The run is inconclusive because of the test, the tool or the infrastructure.
    Error,
}

impl Status {
    /// Returns its name, which is the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The result of a run: status, cause and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The status.
    pub status: Status,
    /// The reason for the status, in one sentence.
    pub reason: String,
    /// The cause, unless the run passed or was skipped.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// Whether the failure happened while the program ran. Other failures are never
    /// expected failures.
    pub in_time: bool,
    /// Whether the first failed step is marked `fails_first`.
    pub at_first_failure: bool,
    /// The first kernel report that the scenario lists neither in `splats` nor in
    /// `fails_with`.
    #[serde(default)]
    pub unnamed_splat: Option<String>,
}

impl Judgement {
    fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            cause: Cause::default_for(status),
            in_time: false,
            at_first_failure: false,
            unnamed_splat: None,
        }
    }

    /// Returns the judgement of a job that started no VM.
    pub(crate) fn not_started(status: Status, reason: &str) -> Self {
        Self::new(status, reason)
    }

    const fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    const fn in_time(mut self, in_time: bool) -> Self {
        self.in_time = in_time;
        self
    }
}

/// Judges one run of a scenario or of a kselftest of the tree. `log` is the parsed
/// `evidence.serial`.
#[must_use]
pub fn judge<'a>(subject: impl Into<Subject<'a>>, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    let subject = subject.into();
    let mut judgement = first_failed_rule(subject, evidence, log);
    judgement.at_first_failure = match subject {
        Subject::Scenario(scenario) => first_failure::is_at_first_failure(scenario, evidence),
        Subject::Kselftest(_) => false,
    };
    judgement.unnamed_splat = unnamed_splat(subject, log);
    judgement
}

/// Applies the rules in order of severity; the first rule that fails decides the result.
fn first_failed_rule(subject: Subject<'_>, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    None.or_else(|| run_error(evidence))
        .or_else(|| cause::host_too_slow(subject, evidence, log))
        .or_else(|| hang(subject, evidence, log))
        .or_else(|| stalled_at_sync_point(subject, evidence, log))
        .or_else(|| crash(subject, evidence, log))
        .or_else(|| incomplete_log(evidence, log))
        .or_else(|| same_kernel(evidence))
        .or_else(|| boot::failed_boot(subject, evidence))
        .or_else(|| refused_operation(evidence))
        .or_else(|| boot::skipped_boot(subject, evidence))
        .or_else(|| missing_levels_or_markers(evidence, log))
        .or_else(|| missing_splat(subject, log))
        .or_else(|| stray_warning(subject, log))
        .or_else(|| stray_error(subject, log))
        .unwrap_or_else(|| {
            Judgement::new(Status::Pass, pass_reason(subject, evidence)).in_time(true)
        })
}

fn pass_reason(subject: Subject<'_>, evidence: &Evidence<'_>) -> String {
    match (subject, evidence.boots.last()) {
        (Subject::Kselftest(_), Some(last)) => kselftest::summary(&Report::parse(last.output)),
        _ => "all checks passed, no unexpected kernel messages".to_owned(),
    }
}

fn run_error(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Error { message, cause } => {
            Some(Judgement::new(Status::Error, message).with_cause(*cause))
        }
        _ => None,
    }
}

/// A time limit expired. If the kernel printed a report of a crash before, the run is a crash
/// instead: a task that dies in the kernel never releases the locks that others wait for.
fn hang(subject: Subject<'_>, evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    let mut reason = expired_limit(evidence)?;
    let breaks = |splat: &Splat| splat.class.breaks_the_kernel() && splat.phase == Phase::During;
    if unexpected_splats(subject, log).any(breaks) {
        return None;
    }
    if let Some(splat) = log.splats.last() {
        reason.extend(["; last kernel report: `", &splat.title, "`"]);
    }
    if !evidence.host_time.is_known {
        reason += "; measured in wall time, because this host does not report how long QEMU \
            waited for a CPU";
    }
    Some(Judgement::new(Status::Hang, reason).with_cause(cause::of_hang(evidence.hang)))
}

/// Returns the time limit that expired.
fn expired_limit(evidence: &Evidence<'_>) -> Option<String> {
    stuck_program(evidence).or_else(|| match &evidence.ending {
        Ending::Hang { message } => Some(message.clone()),
        _ => None,
    })
}

fn stuck_program(evidence: &Evidence<'_>) -> Option<String> {
    let stuck = evidence.boots.iter().position(|boot| {
        boot.exit == Some(ExitKind::TimedOut) || boot::timed_out(&Report::parse(boot.output))
    })?;
    let number = stuck + 1;
    Some(format!(
        "boot {number}: the program exceeded its time limit"
    ))
}

/// A task held at a sync point spins with preemption off, so the kernel may report a stall
/// or a lockup that it would not report otherwise. If a task was held until the time limit
/// and the kernel reports only stalls, the run is inconclusive.
fn stalled_at_sync_point(
    subject: Subject<'_>,
    evidence: &Evidence<'_>,
    log: &Log,
) -> Option<Judgement> {
    let Subject::Scenario(scenario) = subject else {
        return None;
    };
    if !cause::has_only_stalls(subject, log) {
        return None;
    }
    evidence.boots.iter().enumerate().find_map(|(index, boot)| {
        // A task is held for at most 10 s. The hung task and workqueue watchdogs wait longer,
        // so their reports have another cause, as have reports of another boot.
        let is_caused_by_hold = |splat: &Splat| {
            splat.boot == index + 1
                && splat.phase == Phase::During
                && !matches!(
                    splat.class,
                    SplatClass::HungTask | SplatClass::WorkqueueLockup
                )
        };
        if !unexpected_splats(subject, log).all(is_caused_by_hold) {
            return None;
        }
        let report = Report::parse(boot.output);
        let all = report.all();
        let mut missed = all
            .iter()
            .filter_map(|test| boot::missed_interleaving(scenario, index + 1, &test.diagnostics));
        let reason = format!("boot {}: {}", index + 1, missed.next()?);
        Some(Judgement::new(Status::Error, reason).with_cause(Cause::Test))
    })
}

fn crash(subject: Subject<'_>, evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    let unexpected: Vec<&Splat> = unexpected_splats(subject, log).collect();
    if let Some(first) = unexpected.first() {
        let mut reason = format!(
            "{} {}: {}",
            first.class.word(),
            when(first),
            titles(&unexpected)
        );
        if let Some(limit) = expired_limit(evidence) {
            reason.extend(["; then ", &limit]);
        }
        let in_program = first.phase == Phase::During && started(evidence, first.boot);
        let in_time = in_program || first_failure::fails_at_boot(subject, first);
        return Some(Judgement::new(Status::Crash, reason).in_time(in_time));
    }
    match &evidence.ending {
        Ending::GuestGone { message, boot } => {
            let in_time = boot.is_some_and(|boot| started(evidence, boot));
            Some(Judgement::new(Status::Crash, message).in_time(in_time))
        }
        _ => None,
    }
}

/// Lists the titles, each once, and the number of titles that are left out.
fn titles(splats: &[&Splat]) -> String {
    const SHOWN: usize = 3;
    let mut titles: Vec<&str> = Vec::new();
    for splat in splats {
        if !titles.contains(&splat.title.as_str()) {
            titles.push(&splat.title);
        }
    }
    let more = titles.len().saturating_sub(SHOWN);
    titles.truncate(SHOWN);
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    titles.join("; ") + &more
}

fn unexpected_splats<'a>(subject: Subject<'a>, log: &'a Log) -> impl Iterator<Item = &'a Splat> {
    log.splats
        .iter()
        .filter(move |splat| !subject.expects(splat))
}

/// Returns the kernel report that decides the status.
pub(crate) fn deciding_splat<'a>(
    subject: Subject<'a>,
    status: Status,
    log: &'a Log,
) -> Option<&'a Splat> {
    let mut unexpected = unexpected_splats(subject, log);
    unexpected.next().filter(|_| status == Status::Crash)
}

/// Returns the first unexpected report that is not an allowed part of an expected failure.
fn unnamed_splat(subject: Subject<'_>, log: &Log) -> Option<String> {
    let is_unnamed = |splat: &&Splat| {
        let in_time = splat.phase == Phase::During || first_failure::fails_at_boot(subject, splat);
        !in_time || !subject.fails_with().contains(&splat.class)
    };
    let splat = unexpected_splats(subject, log).find(is_unnamed)?;
    let word = splat.class.word();
    Some(format!("{word} {}: {}", when(splat), splat.title))
}

fn when(splat: &Splat) -> String {
    match splat.phase {
        Phase::During => format!("during boot {}", splat.boot),
        Phase::Before => format!("before boot {} began", splat.boot.max(1)),
        Phase::After => format!("after boot {} ended", splat.boot),
    }
}

fn started(evidence: &Evidence<'_>, boot: usize) -> bool {
    boot.checked_sub(1)
        .and_then(|index| evidence.boots.get(index))
        .is_some_and(|boot| boot.started)
}

/// The console log must contain all boots; otherwise reports may be missing.
fn incomplete_log(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
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
fn same_kernel(evidence: &Evidence<'_>) -> Option<Judgement> {
    let ids: Vec<&str> = evidence.boots.iter().map(|boot| boot.boot_id).collect();
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
fn missing_levels_or_markers(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    (1..=evidence.boots.len()).find_map(|boot| {
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

fn refused_operation(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Refused { message } => Some(Judgement::new(Status::Fail, message)),
        _ => None,
    }
}

/// Every expected splat must be logged as often as expected. A splat counts only for the
/// first entry that covers it, so that it cannot satisfy two entries.
fn missing_splat(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
    let all = subject.splats();
    let first_of = |splat: &Splat| all.iter().position(|expected| expected.covers(splat));
    all.iter().enumerate().find_map(|(number, expected)| {
        let splats = log.splats.iter();
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
fn stray_warning(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
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
fn stray_error(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
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

impl ExpectedSplat {
    /// Returns whether this splat matches the expectation.
    #[must_use]
    pub fn covers(&self, splat: &Splat) -> bool {
        splat.class == self.class
            && splat.boot == self.boot
            && splat.phase == Phase::During
            && splat.mentions(&self.text)
    }
}

#[cfg(test)]
mod tests;
