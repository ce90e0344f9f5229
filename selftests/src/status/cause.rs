// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cause of a run that did not pass. The cause is the kernel under test, unless the
//! recorded facts show another cause.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vm_images::transcript::{Hang, HostTime, Processor};

use super::{Judgement, Status, Subject, expired_limit, titles, unexpected_splats, when};
use crate::evidence::Evidence;
use crate::klog::{Log, Splat};

/// A guest was starved if it ran for less than 1/`STARVED_DIVISOR` of its worst time window.
const STARVED_DIVISOR: u64 = 4;

/// The cause of a run that did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel under test.
    Kernel,
    /// The test program, or the scenario that it was generated from.
    Test,
    /// This tool.
    Tool,
    /// The host: QEMU, memory, disk, or too little time for the guest.
    Infrastructure,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Cause {
    /// Returns its name, which is the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Test => "test",
            Self::Tool => "tool",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// Returns the cause of a status if no recorded fact shows another cause.
    pub(super) const fn default_for(status: Status) -> Option<Self> {
        match status {
            Status::Fail | Status::Crash | Status::Hang => Some(Self::Kernel),
            Status::Error => Some(Self::Tool),
            Status::Pass | Status::Skip => None,
        }
    }
}

/// Returns whether the host gave a guest so little CPU time that expired time limits are no
/// evidence against the guest.
pub(super) const fn is_starved(time: &HostTime) -> bool {
    let given = time.window_ms.saturating_sub(time.worst_ms);
    time.is_known && time.window_ms > 0 && given < time.window_ms / STARVED_DIVISOR
}

/// Describes the CPU time that the host withheld from a starved guest.
pub(super) fn withheld(time: &HostTime) -> String {
    let seconds = |ms: u64| (ms + 500) / 1000;
    let (worst, window) = (seconds(time.worst_ms), seconds(time.window_ms));
    format!("{time}, and withheld up to {worst} s of {window} s")
}

/// Returns whether there are unexpected kernel reports, and all of them are stalls.
pub(super) fn has_only_stalls(subject: Subject<'_>, log: &Log) -> bool {
    let mut splats = unexpected_splats(subject, log).peekable();
    splats.peek().is_some() && splats.all(|splat| splat.class.is_stall())
}

/// The guest exceeded a time limit or reported a stall, but the host did not run it. The
/// guest measures in wall time, which includes the time in which it does not run.
pub(super) fn host_too_slow(
    subject: Subject<'_>,
    evidence: &Evidence<'_>,
    log: &Log,
) -> Option<Judgement> {
    // A time limit of the host counts only the time in which the guest ran.
    if !is_starved(&evidence.host_time) || evidence.hang.is_some() {
        return None;
    }
    let splats: Vec<&Splat> = unexpected_splats(subject, log).collect();
    let late = match splats.first() {
        Some(first) if has_only_stalls(subject, log) => {
            format!(
                "{} {}: {}",
                first.class.word(),
                when(first),
                titles(&splats)
            )
        }
        Some(_) => return None,
        None => expired_limit(evidence)?,
    };
    let reason = format!("{late}; but {}", withheld(&evidence.host_time));
    Some(Judgement::new(Status::Error, reason).with_cause(Cause::Infrastructure))
}

/// Returns the cause of a program that exceeded its time limit: the test if one CPU runs user
/// code in every sample, otherwise the kernel.
pub(super) fn of_hang(hang: Option<&Hang>) -> Cause {
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
