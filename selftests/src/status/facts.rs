// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts that the rules read: the test, the recorded facts of the run, and the parsed
//! console log and program outputs.

use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::klog::{Log, Splat};
use crate::ktap::{Report, TestStatus};
use crate::subject::Subject;

/// A guest was starved if it ran for less than 1/`STARVED_DIVISOR` of its worst time window.
const STARVED_DIVISOR: u64 = 4;

/// The facts of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) evidence: &'a Evidence<'a>,
    pub(super) log: &'a Log,
    /// The parsed output of each boot.
    pub(super) reports: &'a [Report],
}

/// The facts of a boot.
#[derive(Debug, Clone, Copy)]
pub(super) struct BootFacts<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) recorded: &'a BootEvidence<'a>,
    pub(super) report: &'a Report,
}

impl<'a> Facts<'a> {
    /// Returns the boots that were started, in order.
    pub(super) fn boots(&self) -> impl Iterator<Item = BootFacts<'a>> {
        let boots = self.evidence.boots.iter().zip(self.reports);
        (1..)
            .zip(boots)
            .map(|(number, (recorded, report))| BootFacts {
                number,
                recorded,
                report,
            })
    }

    /// Returns the kernel reports that the test does not expect.
    pub(super) fn unexpected_splats(&self) -> impl Iterator<Item = &'a Splat> {
        let subject = self.subject;
        let splats = self.log.splats.iter();
        splats.filter(move |splat| !subject.expects(splat))
    }

    /// Returns whether there are unexpected kernel reports, and all of them are stalls.
    pub(super) fn has_only_stalls(&self) -> bool {
        let mut splats = self.unexpected_splats().peekable();
        splats.peek().is_some() && splats.all(|splat| splat.class.is_stall())
    }

    /// Returns whether the program of a boot was started.
    pub(super) fn started(&self, boot: usize) -> bool {
        self.boots()
            .any(|other| other.number == boot && other.recorded.started)
    }

    /// Returns the time limit that expired.
    pub(super) fn expired_limit(&self) -> Option<String> {
        let stuck = self
            .boots()
            .find(|boot| boot.recorded.exit == Some(ExitKind::TimedOut) || timed_out(boot.report));
        match (stuck, &self.evidence.ending) {
            (Some(BootFacts { number, .. }), _) => Some(format!(
                "boot {number}: the program exceeded its time limit"
            )),
            (None, Ending::Hang { message }) => Some(message.clone()),
            _ => None,
        }
    }

    /// Returns whether the host gave the guest so little CPU time that expired time limits
    /// are no evidence against the guest.
    pub(super) const fn is_starved(&self) -> bool {
        let time = &self.evidence.host_time;
        let given = time.window_ms.saturating_sub(time.worst_ms);
        time.is_known && time.window_ms > 0 && given < time.window_ms / STARVED_DIVISOR
    }

    /// Describes the CPU time that the host withheld from a starved guest.
    pub(super) fn withheld(&self) -> String {
        let time = &self.evidence.host_time;
        let seconds = |ms: u64| (ms + 500) / 1000;
        let (worst, window) = (seconds(time.worst_ms), seconds(time.window_ms));
        format!("{time}, and withheld up to {worst} s of {window} s")
    }
}

/// Returns whether the harness or the runner killed a test at its time limit.
fn timed_out(report: &Report) -> bool {
    report.all().iter().any(|test| {
        let mut lines = test.diagnostics.iter();
        test.status == TestStatus::TimedOut
            || lines.any(|line| line.ends_with(": Test terminated by timeout"))
    })
}
