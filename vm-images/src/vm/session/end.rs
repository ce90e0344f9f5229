// SPDX-License-Identifier: GPL-2.0-only
//! The end of QEMU, in order or not, and what its monitor says before.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::launch::stderr_tail;
use super::{CLOSE_LIMIT, Session, Speaker};
use crate::qmp::{QmpError, QmpEvent};
use crate::transcript::End;
use crate::vm::ending::QemuEnd;

/// Time for a QEMU that refused something to be gone, if that is how it refuses.
const DYING: Duration = Duration::from_millis(500);

impl Session {
    /// Waits for QEMU's end after the guest said goodbye.
    pub(in crate::vm) fn wait_for_end(&mut self) -> Result<(), End> {
        loop {
            self.read_qmp()?;
            if let Some(status) = self.child.try_wait() {
                self.read_qmp()?;
                return self.qemu_end(status).judge();
            }
            self.check()?;
            self.rest(PollFlags::IN)?;
            self.read_channel()?;
        }
    }

    /// QEMU has hung up: collects it and tells what that comes to.
    pub(super) fn after_end(&mut self) -> End {
        let Some(status) = self.child.wait_until(Instant::now() + CLOSE_LIMIT) else {
            return End::MonitorBroken {
                during: self.phase,
                error: "QEMU closed the channel and goes on".to_owned(),
            };
        };
        if let Err(end) = self.read_qmp() {
            return end;
        }
        match self.qemu_end(status).judge() {
            Err(end) => end,
            Ok(()) => self.broken("the guest said goodbye unasked".to_owned()),
        }
    }

    fn qemu_end(&self, status: ExitStatus) -> QemuEnd {
        QemuEnd {
            status,
            shutdown: self.shutdown.clone(),
            goodbye: self.goodbye,
            during: self.phase,
            stderr_tail: stderr_tail(&self.artifacts),
        }
    }

    /// Takes what QEMU has said so far; a machine that stands still is an end.
    pub(super) fn read_qmp(&mut self) -> Result<(), End> {
        let events = self
            .qmp
            .events()
            .map_err(|error| self.monitor_broken(&error))?;
        for event in events {
            self.channel_log.note(Speaker::Qemu, &format!("{event:?}"));
            match event {
                QmpEvent::Shutdown(reason) => self.shutdown = Some(reason),
                // A machine also stops on its way to a shutdown.
                QmpEvent::Stop if self.shutdown.is_none() => {
                    let status = self.qmp.status().unwrap_or_else(|error| error.to_string());
                    if status != "running" && status != "shutdown" {
                        return Err(End::Stopped {
                            during: self.phase,
                            status,
                        });
                    }
                }
                QmpEvent::DeviceGone(slot) => drop(self.empty.insert(slot)),
                QmpEvent::Stop | QmpEvent::DeviceKept(_) => {}
            }
        }
        Ok(())
    }

    /// Tells why the monitor could not do what it was asked for: QEMU may have
    /// died of it.
    pub(super) fn monitor_failed(&mut self, error: &QmpError) -> End {
        if self.cancel.is_cancelled() {
            return End::Cancelled;
        }
        match self.child.wait_until(Instant::now() + DYING) {
            Some(status) => End::QemuDied {
                during: self.phase,
                status: status.to_string(),
                stderr_tail: stderr_tail(&self.artifacts),
            },
            None => self.monitor_broken(error),
        }
    }

    fn monitor_broken(&self, error: &QmpError) -> End {
        End::MonitorBroken {
            during: self.phase,
            error: error.to_string(),
        }
    }
}
