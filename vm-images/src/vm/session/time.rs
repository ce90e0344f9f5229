// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phases of a running machine and their limits, in the guest's time.

use std::time::{Duration, Instant};

use patchbed_protocol::ToGuest;

use super::Session;
use super::hang_diagnosis::Depth;
use crate::transcript::{End, Hang, HostTime, Phase, millis};
use crate::vm::clock::{self, LimitState};
use crate::vm::threads;

impl Session {
    /// Enters a phase with a limit in the guest's time. The phases `Boot` and `Restore`
    /// include the start of QEMU.
    pub(in crate::vm) fn enter(&mut self, phase: Phase, limit: Duration) {
        if !matches!(phase, Phase::Boot | Phase::Restore) {
            self.update_clock();
            self.phase_begin = Instant::now();
            self.phase_withheld = self.clock.withheld();
        }
        self.phase = phase;
        self.phase_limit = limit;
        self.program_timeout = None;
    }

    /// Sets the time in the phase at which the guest is ordered to kill its program.
    pub(in crate::vm) fn set_program_timeout(&mut self, timeout: Duration) {
        self.program_timeout = Some(timeout);
        self.program_timed_out = false;
    }

    /// Returns whether the program was diagnosed and killed because of its timeout.
    pub(in crate::vm) const fn program_timed_out(&self) -> bool {
        self.program_timed_out
    }

    /// Returns the host time since the phase began.
    pub(in crate::vm) fn phase_elapsed(&self) -> Duration {
        self.phase_begin.elapsed()
    }

    /// Returns the guest's time since the start of QEMU.
    pub(in crate::vm) fn guest_time(&self) -> Duration {
        self.clock.guest()
    }

    /// Returns the totals of the clock and the hang diagnosis, and kills QEMU.
    pub(in crate::vm) fn into_records(mut self) -> (HostTime, Option<Hang>) {
        self.update_clock();
        (self.clock.totals(), self.hang.take())
    }

    /// Updates the clock and handles expired limits.
    pub(super) fn check_time(&mut self) -> Result<(), End> {
        let process = self.child.id();
        self.clock
            .update_if_due(self.begin.elapsed(), || threads::sample(process));
        let timeout = self.program_timeout;
        if timeout.is_some_and(|timeout| self.limit_state(timeout) == LimitState::Expired) {
            self.end_program()?;
        }
        match self.limit_state(self.phase_limit) {
            LimitState::Running => Ok(()),
            LimitState::Expired => {
                self.diagnose_hang(Depth::Kernel);
                Err(End::expired(self.phase, self.phase_limit))
            }
            LimitState::Withheld => {
                let (wall, withheld) = self.phase_times();
                self.diagnose_hang(Depth::Outside);
                Err(End::HostTooSlow {
                    phase: self.phase,
                    wall_ms: millis(wall),
                    given_ms: millis(wall.saturating_sub(withheld)),
                })
            }
        }
    }

    /// Diagnoses a machine whose program exceeded its timeout, and orders the guest to kill
    /// the program. The guest's own clock does not exclude the time withheld from it.
    fn end_program(&mut self) -> Result<(), End> {
        self.program_timeout = None;
        self.program_timed_out = true;
        let before = self.guest_time();
        self.diagnose_hang(Depth::Kernel);
        // The time of the diagnosis does not count.
        self.update_clock();
        self.phase_limit += self.guest_time() - before;
        self.send(&ToGuest::TimeIsUp)
    }

    /// Returns the wall time of the phase and the withheld part of it.
    fn phase_times(&self) -> (Duration, Duration) {
        let withheld = self.clock.withheld() - self.phase_withheld;
        (self.phase_elapsed(), withheld)
    }

    fn limit_state(&self, limit: Duration) -> LimitState {
        let (wall, withheld) = self.phase_times();
        clock::check_limit(limit, wall, withheld)
    }

    fn update_clock(&mut self) {
        let threads = threads::sample(self.child.id());
        self.clock.update(self.begin.elapsed(), &threads);
    }
}
