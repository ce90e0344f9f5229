// SPDX-License-Identifier: GPL-2.0-only
//! Evidence and what was run to an status with its reason. What is not a pass for
//! sure is none: every doubt falls to the worse side. Knows nothing of checkouts, and
//! so does not know whether the status is welcome.

mod boot;
mod cause;
mod first_failure;
mod kselftest;
mod subject;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::{Ending, Evidence, ExitKind};
use crate::klog::{Line, Log, Phase, Splat};
use crate::ktap::Report;
use crate::scenario::ExpectedSplat;

pub(crate) use boot::failed_check;
pub use cause::Cause;
pub use subject::Subject;

/// What a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All was seen that had to be, and nothing else.
    Pass,
    /// A test, or something that had to be seen, failed.
    Fail,
    /// The kernel complained, or went away.
    Crash,
    /// A deadline for the guest expired.
    Hang,
    /// The test could not do its work there, and says why.
    Skip,
    /// We or the host are to cause.
    Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Skip => "skip",
            Self::Error => "error",
        })
    }
}

/// An status and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The status.
    pub status: Status,
    /// One sentence.
    pub reason: String,
    /// Whose fault it is, where something went wrong.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// Whether what is wrong happened while the scenario's program was at work:
    /// only then can it be what the scenario is about.
    pub in_time: bool,
    /// Whether it began at a step that has fails_first.
    pub at_first_failure: bool,
    /// A report of the kernel that the scenario names neither as one that must be
    /// seen nor as one that may come where it must fail.
    #[serde(default)]
    pub unnamed_splat: Option<String>,
}

impl Judgement {
    fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            cause: Cause::usual(status),
            in_time: false,
            at_first_failure: false,
            unnamed_splat: None,
        }
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

/// Judges one run of a scenario, or of a test of the tree's own. `log` is the parsed
/// `evidence.serial`.
#[must_use]
pub fn judge<'a>(subject: impl Into<Subject<'a>>, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    let subject = subject.into();
    let mut judgement = worst(subject, evidence, log);
    judgement.at_first_failure = match subject {
        Subject::Scenario(scenario) => first_failure::is_at_first_failure(scenario, evidence),
        Subject::Kselftest(_) => false,
    };
    judgement.unnamed_splat = unnamed_splat(subject, log);
    judgement
}

/// The worst first; each looks at one kind of trouble.
fn worst(subject: Subject<'_>, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    None.or_else(|| ours(evidence))
        .or_else(|| cause::excuse(subject, evidence, log))
        .or_else(|| hang(subject, evidence, log))
        .or_else(|| late_at_sync_point(subject, evidence, log))
        .or_else(|| crash(subject, evidence, log))
        .or_else(|| no_log(evidence, log))
        .or_else(|| same_kernel(evidence))
        .or_else(|| boot::failed_boot(subject, evidence))
        .or_else(|| refused(evidence))
        .or_else(|| boot::skipped_boot(subject, evidence))
        .or_else(|| half_a_log(evidence, log))
        .or_else(|| missing_splat(subject, log))
        .or_else(|| stray_warning(subject, log))
        .or_else(|| stray_error(subject, log))
        .unwrap_or_else(|| Judgement::new(Status::Pass, praise(subject, evidence)).in_time(true))
}

fn praise(subject: Subject<'_>, evidence: &Evidence<'_>) -> String {
    match (subject, evidence.boots.last()) {
        (Subject::Kselftest(_), Some(last)) => kselftest::summary(&Report::parse(last.output)),
        _ => "all was seen that had to be, and nothing else".to_owned(),
    }
}

fn ours(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Ours { what, cause } => {
            Some(Judgement::new(Status::Error, what).with_cause(*cause))
        }
        _ => None,
    }
}

/// Nothing went on any more. Where the kernel had broken before that, it is a crash:
/// a task that dies in it takes the locks along that others wait for.
fn hang(subject: Subject<'_>, evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    let mut what = how_it_hung(evidence)?;
    let breaks = |splat: &Splat| splat.class.breaks_the_kernel() && splat.phase == Phase::During;
    if unexpected_splats(subject, log).any(breaks) {
        return None;
    }
    if let Some(splat) = log.splats.last() {
        what.extend(["; the last report was `", &splat.title, "`"]);
    }
    if !evidence.host_time.is_known {
        what += "; by the wall's clock, for this host does not tell how long it kept QEMU waiting";
    }
    Some(Judgement::new(Status::Hang, what).with_cause(cause::of_hang(evidence.hang)))
}

fn how_it_hung(evidence: &Evidence<'_>) -> Option<String> {
    stuck_program(evidence).or_else(|| match &evidence.ending {
        Ending::Hang { what } => Some(what.clone()),
        _ => None,
    })
}

fn stuck_program(evidence: &Evidence<'_>) -> Option<String> {
    let stuck = evidence.boots.iter().position(|boot| {
        boot.exit == Some(ExitKind::TimedOut) || boot::timed_out(&Report::parse(boot.output))
    })?;
    let number = stuck + 1;
    Some(format!(
        "the program of boot {number} did not end in its time"
    ))
}

/// A task held at a sync point spins with preemption off, so the kernel may report a stall
/// or a lockup that it would not report otherwise. Where a task was held until the time
/// limit and the kernel reports only lateness, the run says nothing about the kernel.
fn late_at_sync_point(
    subject: Subject<'_>,
    evidence: &Evidence<'_>,
    log: &Log,
) -> Option<Judgement> {
    let Subject::Scenario(scenario) = subject else {
        return None;
    };
    if !cause::is_only_late(subject, log) {
        return None;
    }
    evidence.boots.iter().enumerate().find_map(|(index, boot)| {
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
        if let Some(hung) = how_it_hung(evidence) {
            reason.extend(["; then ", &hung]);
        }
        let at_work = first.phase == Phase::During && started(evidence, first.boot);
        let in_time = at_work || first_failure::fails_at_boot(subject, first);
        return Some(Judgement::new(Status::Crash, reason).in_time(in_time));
    }
    match &evidence.ending {
        Ending::GuestGone { what, boot } => {
            let in_time = boot.is_some_and(|boot| started(evidence, boot));
            Some(Judgement::new(Status::Crash, what).in_time(in_time))
        }
        _ => None,
    }
}

/// The titles, each once, and how many more there are than are worth a sentence.
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
    log.splats.iter().filter(move |splat| {
        let mut expected = subject.splats().iter();
        !expected.any(|expected| expected.covers(splat))
    })
}

/// The first that not even a kernel without the series may bring.
fn unnamed_splat(subject: Subject<'_>, log: &Log) -> Option<String> {
    let is_unnamed = |splat: &&Splat| {
        let at_its_time =
            splat.phase == Phase::During || first_failure::fails_at_boot(subject, splat);
        !at_its_time || !subject.fails_with().contains(&splat.class)
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

/// Without the kernels' own words, nobody knows what they complained about.
fn no_log(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    if log.is_cut {
        return Some(Judgement::new(
            Status::Fail,
            "the console says more than is read",
        ));
    }
    let (seen, boots) = (log.boots(), evidence.boots.len());
    (seen != boots).then(|| {
        let reason = format!("the console shows {seen} kernels where {boots} boots began");
        Judgement::new(Status::Error, reason)
    })
}

/// A boot that finds the kernel of an earlier one proves nothing of a handover.
fn same_kernel(evidence: &Evidence<'_>) -> Option<Judgement> {
    let ids: Vec<&str> = evidence.boots.iter().map(|boot| boot.boot_id).collect();
    ids.iter().enumerate().find_map(|(later, id)| {
        let earlier = ids[..later].iter().position(|other| other == id)?;
        let reason = format!(
            "boot {} ran in the kernel of boot {}, which is no new one",
            later + 1,
            earlier + 1
        );
        Some(Judgement::new(Status::Fail, reason))
    })
}

/// A console that does not show levels, or where a program's time begins and ends,
/// passes over every warning.
fn half_a_log(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    (1..=evidence.boots.len()).find_map(|boot| {
        let lacks = if !log.shows_levels(boot) {
            "the levels of the kernel's lines"
        } else if !log.shows_program(boot) {
            "where the program began and ended"
        } else {
            return None;
        };
        let reason = format!("boot {boot}: the console does not show {lacks}");
        Some(Judgement::new(Status::Error, reason))
    })
}

fn refused(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Refused { what } => Some(Judgement::new(Status::Fail, what)),
        _ => None,
    }
}

/// Each splat is one of those that are expected at most, of the first that covers it:
/// else one could stand for two.
fn missing_splat(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
    let all = subject.splats();
    let first_of = |splat: &Splat| all.iter().position(|expected| expected.covers(splat));
    all.iter().enumerate().find_map(|(number, expected)| {
        let splats = log.splats.iter();
        let seen: Vec<&Splat> = splats
            .filter(|splat| first_of(splat) == Some(number))
            .collect();
        let ExpectedSplat {
            class,
            text,
            count,
            boot,
            ..
        } = expected;
        let whole = seen.iter().filter(|splat| splat.is_whole).count();
        let torn = seen.len() - whole;
        if torn == 0 && count.contains(whole as u64) {
            return None;
        }
        let torn = match torn {
            0 => String::new(),
            torn => format!(", and {torn} times torn"),
        };
        let word = class.word();
        let reason = format!(
            "boot {boot}: {word} \"{text}\" was expected {count} and seen {whole} times{torn}"
        );
        Some(Judgement::new(Status::Fail, reason).in_time(true))
    })
}

/// A scenario of ours names every warning that must be seen, and its program has
/// counted them. Tests of the tree's own
/// provoke warnings as they like, but no errors that nobody knows of.
fn stray_warning(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
    let is_bad = |boot: usize, line: &Line| match subject {
        Subject::Scenario(scenario) => !scenario.expects_line(boot, &line.text),
        Subject::Kselftest(_) => line.is_error() && !subject.tolerates(&line.text),
    };
    (1..=subject.boot_count()).find_map(|boot| {
        let mut warnings = log.stray_warnings(boot);
        let line = warnings.find(|line| is_bad(boot, line))?;
        let verb = match subject {
            Subject::Scenario(_) => "warned",
            Subject::Kselftest(_) => "said",
        };
        let reason = format!("boot {boot}: the kernel {verb} \"{}\"", line.text);
        Some(Judgement::new(Status::Fail, reason).in_time(true))
    })
}

/// Live update's own code runs after boot 1 and before boot 2.
fn stray_error(subject: Subject<'_>, log: &Log) -> Option<Judgement> {
    (1..=subject.boot_count()).find_map(|boot| {
        let mut lines = log.stray_errors(boot);
        let line = lines.find(|line| !subject.tolerates(&line.text))?;
        let when = match line.phase {
            Phase::Before => "before",
            Phase::During | Phase::After => "after",
        };
        let reason = format!("{when} boot {boot}: the kernel said \"{}\"", line.text);
        Some(Judgement::new(Status::Fail, reason))
    })
}

impl ExpectedSplat {
    /// Returns whether this splat is the one that is expected.
    #[must_use]
    pub fn covers(&self, splat: &Splat) -> bool {
        splat.class == self.class
            && splat.boot == self.boot
            && splat.phase == Phase::During
            && splat.says(&self.text)
    }
}

#[cfg(test)]
mod tests;
