// SPDX-License-Identifier: GPL-2.0-only
//! The kinds of trouble that verdicts rely on, each with the fault that shows it:
//! what the kernel has to be built with for it, and how it must look to us. Knows
//! logs and statuses, and starts nothing.

use std::ops::Range;

use crate::evidence::Ending;
use crate::klog::{Line, Log, Phase, Splat, SplatClass};
use crate::status::{Judgement, Status};

use super::INJECTING;

/// The option with which kmemleak looks only when the command line says so.
const LEAKS_ON_DEMAND: &str = "CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF";

/// A kind of trouble that is to be seen.
#[derive(Debug)]
pub struct SelfCheck {
    /// Its name for people.
    pub name: &'static str,
    /// The fault that shows it.
    pub word: &'static str,
    /// The guest that it is injected in.
    pub place: Place,
    /// An option without which the kernel has no such self_check.
    needs: Option<&'static str>,
    sign: Sign,
}

/// Faults with the same place share a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where it disturbs none of the others.
    Shared,
    /// Where nothing goes on for seconds.
    Stalled,
    /// Where the kernel looks for leaks.
    Leaks,
    /// It is the end of its guest.
    Alone,
}

/// How it looks when it is seen.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// The kernel says so, and goes on.
    Splat(SplatClass, &'static str),
    /// The kernel says so, and is gone.
    LastWords(SplatClass, &'static str),
    /// The guest is there, and silent.
    Silence,
    /// The guest is gone, and nobody said a word.
    Gone,
}

/// All, in the order of the list that people read; in a shared guest they are injected
/// in that of [`words`].
pub const SELF_CHECKS: &[SelfCheck] = &[
    SelfCheck {
        name: "WARN",
        word: "warn",
        place: Place::Shared,
        needs: Some("CONFIG_BUG"),
        sign: Sign::Splat(SplatClass::Warn, "fault_warn"),
    },
    SelfCheck {
        name: "BUG",
        word: "bug",
        place: Place::Shared,
        needs: Some("CONFIG_BUG"),
        sign: Sign::Splat(SplatClass::Bug, "fault_bug"),
    },
    SelfCheck {
        name: "Oops",
        word: "null-call",
        place: Place::Shared,
        needs: None,
        sign: Sign::Splat(SplatClass::Oops, "NULL pointer dereference"),
    },
    SelfCheck {
        name: "UBSAN",
        word: "ubsan-shift",
        place: Place::Shared,
        needs: Some("CONFIG_UBSAN_SHIFT"),
        sign: Sign::Splat(SplatClass::Ubsan, "shift-out-of-bounds"),
    },
    SelfCheck {
        name: "refcount_t",
        word: "refcount-underflow",
        place: Place::Shared,
        needs: Some("CONFIG_BUG"),
        sign: Sign::Splat(SplatClass::Refcount, "underflow"),
    },
    SelfCheck {
        name: "list corruption",
        word: "list-add",
        place: Place::Shared,
        needs: Some("CONFIG_DEBUG_LIST"),
        sign: Sign::Splat(SplatClass::ListCorruption, "list_add corruption"),
    },
    SelfCheck {
        name: "atomic sleep",
        word: "atomic-sleep",
        place: Place::Shared,
        needs: Some("CONFIG_DEBUG_ATOMIC_SLEEP"),
        sign: Sign::Splat(SplatClass::AtomicSleep, "sleeping function called"),
    },
    SelfCheck {
        name: "KASAN",
        word: "kasan-use-after-free",
        place: Place::Shared,
        needs: Some("CONFIG_KASAN"),
        sign: Sign::Splat(SplatClass::Kasan, "use-after-free"),
    },
    SelfCheck {
        name: "lockdep",
        word: "lockdep-circular",
        place: Place::Shared,
        needs: Some("CONFIG_PROVE_LOCKING"),
        sign: Sign::Splat(SplatClass::Lockdep, "circular locking dependency"),
    },
    SelfCheck {
        name: "kmemleak",
        word: "leak",
        place: Place::Leaks,
        needs: Some("CONFIG_DEBUG_KMEMLEAK"),
        sign: Sign::Splat(SplatClass::Kmemleak, "suspected memory leaks"),
    },
    SelfCheck {
        name: "hung task",
        word: "hung-task",
        place: Place::Stalled,
        needs: Some("CONFIG_DETECT_HUNG_TASK"),
        sign: Sign::Splat(SplatClass::HungTask, "inject hung"),
    },
    SelfCheck {
        name: "soft lockup",
        word: "soft-lockup",
        place: Place::Stalled,
        needs: Some("CONFIG_SOFTLOCKUP_DETECTOR"),
        sign: Sign::Splat(SplatClass::Lockup, "soft lockup"),
    },
    SelfCheck {
        name: "hard lockup",
        word: "hard-lockup",
        place: Place::Stalled,
        needs: Some("CONFIG_HARDLOCKUP_DETECTOR"),
        sign: Sign::Splat(SplatClass::HardLockup, "hard lockup"),
    },
    SelfCheck {
        name: "workqueue lockup",
        word: "workqueue-lockup",
        place: Place::Stalled,
        needs: Some("CONFIG_WQ_WATCHDOG"),
        sign: Sign::Splat(SplatClass::WorkqueueLockup, "workqueue lockup"),
    },
    SelfCheck {
        name: "RCU stall",
        word: "rcu-stall",
        place: Place::Stalled,
        needs: Some("CONFIG_RCU_STALL_COMMON"),
        sign: Sign::Splat(SplatClass::RcuStall, "RCU stall"),
    },
    SelfCheck {
        name: "hang",
        word: "hang",
        place: Place::Alone,
        needs: None,
        sign: Sign::Silence,
    },
    SelfCheck {
        name: "panic",
        word: "panic",
        place: Place::Alone,
        needs: None,
        sign: Sign::LastWords(SplatClass::Panic, "the fault is dead"),
    },
    SelfCheck {
        name: "silent death",
        word: "silent-death",
        place: Place::Alone,
        needs: None,
        sign: Sign::Gone,
    },
];

/// What a guest left behind, as far as faults are looked for in it.
#[derive(Debug, Clone, Copy)]
pub struct FaultResult<'a> {
    /// What the guest came to, by the same judge as any job.
    pub judgement: &'a Judgement,
    /// How it ended.
    pub ending: &'a Ending,
    /// What its kernel said.
    pub log: &'a Log,
}

impl SelfCheck {
    /// Returns whether it is tried once for all kernels of a configuration: it takes many
    /// seconds, and looks at nothing that a series for one subsystem touches.
    #[must_use]
    pub fn is_of_configuration(&self) -> bool {
        self.place == Place::Stalled
    }

    /// Returns the option that a kernel of this `.config` lacks for it, if it does.
    #[must_use]
    pub fn lacks(&self, config: &str) -> Option<&'static str> {
        self.needs.filter(|option| !is_on(config, option))
    }

    /// Returns what must be on a machine's command line, for it to look at all.
    #[must_use]
    pub fn condition(&self, config: &str) -> Option<&'static str> {
        let on_demand = self.place == Place::Leaks && is_on(config, LEAKS_ON_DEMAND);
        on_demand.then_some("kmemleak=on")
    }

    /// Returns what was seen of it; `Err` has what was there instead.
    ///
    /// # Errors
    /// When it was not seen as what it is.
    pub fn look(&self, fault_result: FaultResult<'_>) -> Result<String, String> {
        let FaultResult {
            judgement,
            ending,
            log,
        } = fault_result;
        let instead = |why: &str| {
            let Judgement { status, reason, .. } = judgement;
            Err(format!("{why}; the guest came to `{status}`: {reason}"))
        };
        let Some(injected) = self.injected_at(log) else {
            return instead("the fault was not injected");
        };
        let wanted = match self.sign {
            Sign::Silence => Status::Hang,
            _ => Status::Crash,
        };
        if judgement.status != wanted {
            return instead("not seen");
        }
        let is_gone = matches!(ending, Ending::GuestGone { .. });
        match self.sign {
            Sign::Splat(class, title) | Sign::LastWords(class, title) => {
                let until = self.next_injected_at(log, injected);
                let mut during = splats_in(log, injected..until);
                let seen = during.find(|splat| splat.class == class && splat.mentions(title));
                let must_be_gone = matches!(self.sign, Sign::LastWords(..));
                match seen {
                    Some(_) if must_be_gone && !is_gone => instead("seen, and then it went on"),
                    Some(splat) => Ok(splat.title.clone()),
                    None => instead("not seen"),
                }
            }
            Sign::Silence => Ok(judgement.reason.clone()),
            Sign::Gone => {
                let has_splat = splats_in(log, injected..log.lines.len()).next().is_some();
                if has_splat || !is_gone {
                    return instead("seen as something else");
                }
                Ok(judgement.reason.clone())
            }
        }
    }

    /// The line by which the kernel says that it injections the fault.
    fn injected_at(&self, log: &Log) -> Option<usize> {
        let mut lines = log.lines.iter();
        lines.position(|line| injected(line) == Some(self.word))
    }

    /// The line by which it says that it injections another one after that, or where the log
    /// ends: one begins when the one before is over, and all that watch it have spoken.
    fn next_injected_at(&self, log: &Log, at: usize) -> usize {
        let is_other = |line: &Line| injected(line).is_some_and(|word| word != self.word);
        let mut lines = log.lines.iter().skip(at);
        let next = lines.position(is_other).map(|distance| at + distance);
        next.unwrap_or(log.lines.len())
    }
}

/// The splats that begin in these lines.
fn splats_in(log: &Log, lines: Range<usize>) -> impl Iterator<Item = &Splat> {
    let begins = move |splat: &&Splat| splat.lines.first().is_some_and(|at| lines.contains(at));
    log.splats.iter().filter(begins)
}

/// The fault that the kernel says that it injections.
fn injected(line: &Line) -> Option<&str> {
    let is_said = !line.from_userspace && line.phase == Phase::During;
    line.text.strip_prefix(INJECTING).filter(|_| is_said)
}

/// Returns the words of those that share a guest, in the order of injecting: what lockdep
/// would fall silent after comes after it, and what a task dies of last. Who watches
/// workqueues takes it for progress when another watcher speaks, and that one speaks
/// early once it was told to.
#[must_use]
pub fn words(together: &[&SelfCheck]) -> Vec<String> {
    let mut words: Vec<&str> = together.iter().map(|one| one.word).collect();
    words.sort_by_key(|word| match *word {
        "lockdep-circular" | "workqueue-lockup" => 0,
        "kasan-use-after-free" => 2,
        "bug" | "null-call" => 3,
        _ => 1,
    });
    words.into_iter().map(str::to_owned).collect()
}

/// Returns whether a `.config` has an option built in.
fn is_on(config: &str, option: &str) -> bool {
    config
        .lines()
        .any(|line| line.strip_prefix(option) == Some("=y"))
}

#[cfg(test)]
mod tests;
