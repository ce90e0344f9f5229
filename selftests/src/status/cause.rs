// SPDX-License-Identifier: GPL-2.0-only
//! Whose fault it is that a run did not pass. The kernel under test is to cause unless
//! something shows that it is not: so nobody is told that all is well who should look.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vm_images::transcript::{Hang, HostTime, Processor};

use super::{Judgement, Status, Subject, how_it_hung, titles, unexpected_splats, when};
use crate::evidence::Evidence;
use crate::klog::{Log, Splat};

/// Of the worst stretch, a guest that was kept waiting had less than a part in so many.
const PART: u64 = 4;

/// Who is to cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel under test.
    Kernel,
    /// The test program, or the scenario that it was made from.
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
    /// Returns the word for it, the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Test => "test",
            Self::Tool => "tool",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// Returns who is to cause for an status where nothing shows that it is another.
    pub(super) const fn usual(status: Status) -> Option<Self> {
        match status {
            Status::Fail | Status::Crash | Status::Hang => Some(Self::Kernel),
            Status::Error => Some(Self::Tool),
            Status::Pass | Status::Skip => None,
        }
    }
}

/// Returns whether the host kept a guest waiting so long that what took too long in it
/// says nothing of the guest.
pub(super) const fn kept_waiting(time: &HostTime) -> bool {
    let given = time.window_ms.saturating_sub(time.worst_ms);
    time.is_known && time.window_ms > 0 && given < time.window_ms / PART
}

/// Returns how much the host withheld from a guest that was kept waiting.
pub(super) fn withheld(time: &HostTime) -> String {
    let seconds = |ms: u64| (ms + 500) / 1000;
    let (worst, window) = (seconds(time.worst_ms), seconds(time.window_ms));
    format!("{time}, and at worst withheld {worst} s of {window} s")
}

/// Returns whether the kernel complains, and of nothing but of being late.
pub(super) fn is_only_late(subject: Subject<'_>, log: &Log) -> bool {
    let mut splats = unexpected_splats(subject, log).peekable();
    splats.peek().is_some() && splats.all(|splat| splat.class.is_of_lateness())
}

/// What took too long took too long on the wall's clock, by which a guest may measure
/// itself but not be judged: the host did not let it run.
pub(super) fn excuse(
    subject: Subject<'_>,
    evidence: &Evidence<'_>,
    log: &Log,
) -> Option<Judgement> {
    // What the host itself found to hang has had its time.
    if !kept_waiting(&evidence.host_time) || evidence.hang.is_some() {
        return None;
    }
    let splats: Vec<&Splat> = unexpected_splats(subject, log).collect();
    let late = match splats.first() {
        Some(first) if is_only_late(subject, log) => {
            format!(
                "{} {}: {}",
                first.class.word(),
                when(first),
                titles(&splats)
            )
        }
        Some(_) => return None,
        None => how_it_hung(evidence)?,
    };
    let reason = format!("{late}; but {}", withheld(&evidence.host_time));
    Some(Judgement::new(Status::Error, reason).with_cause(Cause::Infrastructure))
}

/// Returns who is to cause for a program that took too long. One that goes round in
/// itself whenever it is looked at is not let down by any kernel.
pub(super) fn of_hang(hang: Option<&Hang>) -> Cause {
    let Some(hang) = hang else {
        return Cause::Kernel;
    };
    let in_program = |number: u32| {
        let mut samples = hang.samples.iter();
        samples.all(|sample| {
            let mut processors = sample.processors.iter();
            processors.any(|one: &Processor| one.number == number && one.in_program)
        })
    };
    let first = hang.samples.first();
    let mut numbers = first.into_iter().flat_map(|sample| &sample.processors);
    if numbers.any(|one| in_program(one.number)) {
        Cause::Test
    } else {
        Cause::Kernel
    }
}
