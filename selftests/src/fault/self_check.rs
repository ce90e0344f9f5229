// SPDX-License-Identifier: MIT OR Apache-2.0
//! The self-checks of a build: for each class of kernel failure the fault to inject,
//! the required kernel option, and the expected symptom. Evaluates logs and statuses;
//! guests are started by the caller.

use std::ops::Range;

use crate::evidence::Ending;
use crate::judgement::{Judgement, Status};
use crate::klog::{Line, Log, Phase, Splat, SplatClass};

use super::INJECTING;
use Place::{Alone, Leaks, Shared, Stalled};
use Symptom::{FatalReport, GuestExit, Hang, Report};

/// With this option, kmemleak is off unless the kernel command line enables it.
const LEAKS_ON_DEMAND: &str = "CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF";

/// A class of kernel failure that the build must report.
#[derive(Debug)]
pub struct SelfCheck {
    /// The name in reports.
    pub name: &'static str,
    /// The fault to inject.
    pub word: &'static str,
    /// The guest in which the fault is injected.
    pub place: Place,
    /// The kernel option without which the fault cannot be detected.
    needs: Option<&'static str>,
    symptom: Symptom,
}

/// The guest of a fault. Faults with the same place share a guest, except `Alone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// With other faults that do not affect each other.
    Shared,
    /// With other faults that stall a CPU or a task for seconds.
    Stalled,
    /// In a guest with kmemleak enabled.
    Leaks,
    /// In a guest of its own: the fault ends the guest.
    Alone,
}

/// The symptom by which a fault is detected.
#[derive(Debug, Clone, Copy)]
enum Symptom {
    /// A kernel report of this class with this text; the guest keeps running.
    Report(SplatClass, &'static str),
    /// A kernel report of this class with this text; the guest ends.
    FatalReport(SplatClass, &'static str),
    /// The guest runs into the time limit.
    Hang,
    /// The guest ends without a kernel report.
    GuestExit,
}

/// All self-checks in the order of the report. In a shared guest they are injected in
/// the order of [`words`].
#[rustfmt::skip]
pub const SELF_CHECKS: &[SelfCheck] = &[
    check("WARN", "warn", Shared, Some("CONFIG_BUG"), Report(SplatClass::Warn, "fault_warn")),
    check("BUG", "bug", Shared, Some("CONFIG_BUG"), Report(SplatClass::Bug, "fault_bug")),
    check("Oops", "null-call", Shared, None, Report(SplatClass::Oops, "NULL pointer dereference")),
    check("UBSAN", "ubsan-shift", Shared, Some("CONFIG_UBSAN_SHIFT"),
        Report(SplatClass::Ubsan, "shift-out-of-bounds")),
    check("refcount_t", "refcount-underflow", Shared, Some("CONFIG_BUG"),
        Report(SplatClass::Refcount, "underflow")),
    check("list corruption", "list-add", Shared, Some("CONFIG_DEBUG_LIST"),
        Report(SplatClass::ListCorruption, "list_add corruption")),
    check("atomic sleep", "atomic-sleep", Shared, Some("CONFIG_DEBUG_ATOMIC_SLEEP"),
        Report(SplatClass::AtomicSleep, "sleeping function called")),
    check("KASAN", "kasan-use-after-free", Shared, Some("CONFIG_KASAN"),
        Report(SplatClass::Kasan, "use-after-free")),
    check("lockdep", "lockdep-circular", Shared, Some("CONFIG_PROVE_LOCKING"),
        Report(SplatClass::Lockdep, "circular locking dependency")),
    check("kmemleak", "leak", Leaks, Some("CONFIG_DEBUG_KMEMLEAK"),
        Report(SplatClass::Kmemleak, "suspected memory leaks")),
    check("hung task", "hung-task", Stalled, Some("CONFIG_DETECT_HUNG_TASK"),
        Report(SplatClass::HungTask, "inject hung")),
    check("soft lockup", "soft-lockup", Stalled, Some("CONFIG_SOFTLOCKUP_DETECTOR"),
        Report(SplatClass::Lockup, "soft lockup")),
    check("hard lockup", "hard-lockup", Stalled, Some("CONFIG_HARDLOCKUP_DETECTOR"),
        Report(SplatClass::HardLockup, "hard lockup")),
    check("workqueue lockup", "workqueue-lockup", Stalled, Some("CONFIG_WQ_WATCHDOG"),
        Report(SplatClass::WorkqueueLockup, "workqueue lockup")),
    check("RCU stall", "rcu-stall", Stalled, Some("CONFIG_RCU_STALL_COMMON"),
        Report(SplatClass::RcuStall, "RCU stall")),
    check("hang", "hang", Alone, None, Hang),
    check("panic", "panic", Alone, None, FatalReport(SplatClass::Panic, "the fault is dead")),
    check("silent death", "silent-death", Alone, None, GuestExit),
];

const fn check(
    name: &'static str,
    word: &'static str,
    place: Place,
    needs: Option<&'static str>,
    symptom: Symptom,
) -> SelfCheck {
    SelfCheck {
        name,
        word,
        place,
        needs,
        symptom,
    }
}

/// The result of a guest in which faults were injected.
#[derive(Debug, Clone, Copy)]
pub struct FaultResult<'a> {
    /// The judgement of the guest, by the same rules as any job.
    pub judgement: &'a Judgement,
    /// How the guest ended.
    pub ending: &'a Ending,
    /// The kernel log of the guest.
    pub log: &'a Log,
}

impl SelfCheck {
    /// Returns whether one build of a config is checked for all builds of that config.
    /// These checks take many seconds, and a series for one subsystem does not change the
    /// watchdogs that they test.
    #[must_use]
    pub fn runs_once_per_config(&self) -> bool {
        self.place == Place::Stalled
    }

    /// Returns the required kernel option if this `.config` does not set it.
    #[must_use]
    pub fn lacks(&self, config: &str) -> Option<&'static str> {
        self.needs.filter(|option| !is_on(config, option))
    }

    /// Returns the argument that the kernel command line needs for this check, if any.
    #[must_use]
    pub fn kernel_argument(&self, config: &str) -> Option<&'static str> {
        let on_demand = self.place == Place::Leaks && is_on(config, LEAKS_ON_DEMAND);
        on_demand.then_some("kmemleak=on")
    }

    /// Returns the title of the kernel report, or the reason of the status, by which the
    /// fault was detected.
    ///
    /// # Errors
    /// Returns the observed result if the fault was missed.
    pub fn evaluate(&self, fault_result: FaultResult<'_>) -> Result<String, String> {
        let FaultResult {
            judgement,
            ending,
            log,
        } = fault_result;
        let missed = |why: &str| {
            let Judgement { status, reason, .. } = judgement;
            Err(format!("{why}; status of the guest: `{status}`: {reason}"))
        };
        let Some(injected) = self.injected_at(log) else {
            return missed("the fault was not injected");
        };
        let expected = match self.symptom {
            Symptom::Hang => Status::Hang,
            _ => Status::Crash,
        };
        if judgement.status != expected {
            return missed("not detected");
        }
        let is_gone = matches!(ending, Ending::GuestGone { .. });
        match self.symptom {
            Symptom::Report(class, title) | Symptom::FatalReport(class, title) => {
                let until = self.next_injected_at(log, injected);
                let mut during = splats_in(log, injected..until);
                let found = during.find(|splat| splat.class == class && splat.mentions(title));
                let must_be_gone = matches!(self.symptom, Symptom::FatalReport(..));
                match found {
                    Some(_) if must_be_gone && !is_gone => {
                        missed("reported, but the guest kept running")
                    }
                    Some(splat) => Ok(splat.title.clone()),
                    None => missed("not detected"),
                }
            }
            Symptom::Hang => Ok(judgement.reason.clone()),
            Symptom::GuestExit => {
                let has_splat = splats_in(log, injected..log.lines.len()).next().is_some();
                if has_splat || !is_gone {
                    return missed("detected as another failure");
                }
                Ok(judgement.reason.clone())
            }
        }
    }

    /// The index of the line by which the module announces the fault.
    fn injected_at(&self, log: &Log) -> Option<usize> {
        let mut lines = log.lines.iter();
        lines.position(|line| injected(line) == Some(self.word))
    }

    /// The index of the line that announces the next fault, or the end of the log. A
    /// fault is injected after the report of the previous fault was logged.
    fn next_injected_at(&self, log: &Log, at: usize) -> usize {
        let is_other = |line: &Line| injected(line).is_some_and(|word| word != self.word);
        let mut lines = log.lines.iter().skip(at);
        let next = lines.position(is_other).map(|distance| at + distance);
        next.unwrap_or(log.lines.len())
    }
}

/// The splats whose first line is in this range.
fn splats_in(log: &Log, lines: Range<usize>) -> impl Iterator<Item = &Splat> {
    let begins = move |splat: &&Splat| splat.lines.first().is_some_and(|at| lines.contains(at));
    log.splats.iter().filter(begins)
}

/// The fault that this line announces. Lines from user space are ignored: a program can
/// write any text to the log.
fn injected(line: &Line) -> Option<&str> {
    let is_from_kernel = !line.from_userspace && line.phase == Phase::During;
    line.text.strip_prefix(INJECTING).filter(|_| is_from_kernel)
}

/// Returns the words of the faults that share a guest, in the order of injection. Lockdep
/// comes first because a taint disables it; faults that kill the injecting task come last.
/// The workqueue lockup precedes the other stalls: the report of another watchdog counts
/// as progress for the workqueue watchdog, and the lowered thresholds stay in effect.
#[must_use]
pub fn words(checks: &[&SelfCheck]) -> Vec<String> {
    let mut words: Vec<&str> = checks.iter().map(|check| check.word).collect();
    words.sort_by_key(|word| match *word {
        "lockdep-circular" | "workqueue-lockup" => 0,
        "kasan-use-after-free" => 2,
        "bug" | "null-call" => 3,
        _ => 1,
    });
    words.into_iter().map(str::to_owned).collect()
}

/// Returns whether a `.config` sets an option to `y`.
fn is_on(config: &str, option: &str) -> bool {
    config
        .lines()
        .any(|line| line.strip_prefix(option) == Some("=y"))
}

#[cfg(test)]
mod tests;
