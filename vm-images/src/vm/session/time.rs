// SPDX-License-Identifier: GPL-2.0-only
//! The time of a running machine: phases and their limits, which are in the guest's
//! time, and what comes of it when one is up.

use std::time::{Duration, Instant};

use patchbed_protocol::ToGuest;

use super::Session;
use super::hang_diagnosis::Depth;
use crate::transcript::{End, Hang, HostTime, Phase, millis};
use crate::vm::clock::{self, Time};
use crate::vm::threads;

impl Session {
    /// Begins a phase and its deadline, in the guest's time. That of a start begins with
    /// QEMU itself.
    pub(in crate::vm) fn enter(&mut self, phase: Phase, limit: Duration) {
        if !matches!(phase, Phase::Boot | Phase::Restore) {
            self.clock
                .look(self.begin.elapsed(), &threads::look(self.child.id()));
            self.phase_begin = Instant::now();
            self.phase_withheld = self.clock.withheld();
        }
        self.phase = phase;
        self.phase_limit = limit;
        self.bell = None;
    }

    /// From so long on after the phase's begin, the guest is to be told once that a
    /// program's time is up.
    pub(in crate::vm) fn ring_at(&mut self, bell: Duration) {
        self.bell = Some(bell);
        self.has_rung = false;
    }

    /// Returns whether the guest was told so, and the machine looked at before.
    pub(in crate::vm) const fn has_rung(&self) -> bool {
        self.has_rung
    }

    /// Returns the host time since the phase began.
    pub(in crate::vm) fn phase_elapsed(&self) -> Duration {
        self.phase_begin.elapsed()
    }

    /// Returns the guest's own time since QEMU was started.
    pub(in crate::vm) fn guest_time(&self) -> Duration {
        self.clock.guest()
    }

    /// Returns what the host gave the guest of its time, and what was seen when
    /// something took too long. The machine is gone then.
    pub(in crate::vm) fn into_account(mut self) -> (HostTime, Option<Hang>) {
        self.look_at_clock();
        (self.clock.account(), self.hang.take())
    }

    /// Looks at the guest's clock, and does what is due.
    pub(super) fn check_time(&mut self) -> Result<(), End> {
        let process = self.child.id();
        self.clock
            .look_if_due(self.begin.elapsed(), || threads::look(process));
        if self.bell.is_some_and(|bell| self.time(bell) == Time::Up) {
            self.ring()?;
        }
        match self.time(self.phase_limit) {
            Time::Left => Ok(()),
            Time::Up => {
                self.diagnose_hang(Depth::Kernel);
                Err(End::expired(self.phase, self.phase_limit))
            }
            Time::Withheld => {
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

    /// Looks at a machine whose program took too long, and then has the guest kill it:
    /// the guest's own clock knows nothing of what was withheld from it.
    fn ring(&mut self) -> Result<(), End> {
        self.bell = None;
        self.has_rung = true;
        let before = self.guest_time();
        self.diagnose_hang(Depth::Kernel);
        // Looking at it took time that is not the guest's fault.
        self.look_at_clock();
        self.phase_limit += self.guest_time() - before;
        self.send(&ToGuest::TimeIsUp)
    }

    /// Returns how long the phase has taken, and how much of that was withheld.
    fn phase_times(&self) -> (Duration, Duration) {
        let withheld = self.clock.withheld() - self.phase_withheld;
        (self.phase_elapsed(), withheld)
    }

    fn time(&self, limit: Duration) -> Time {
        let (wall, withheld) = self.phase_times();
        clock::look_at(limit, wall, withheld)
    }

    fn look_at_clock(&mut self) {
        let threads = threads::look(self.child.id());
        self.clock.look(self.begin.elapsed(), &threads);
    }
}
