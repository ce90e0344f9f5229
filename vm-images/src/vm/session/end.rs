// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of QEMU and the events before it.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::launch::stderr_tail;
use super::{CLOSE_LIMIT, Sender, Session};
use crate::qmp::{QmpError, QmpEvent};
use crate::transcript::End;
use crate::vm::ending::QemuEnd;

/// Time to wait for the exit of QEMU after a failed command, in case the command killed it.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

impl Session {
    /// Waits for the exit of QEMU after the guest's goodbye.
    pub(in crate::vm) fn wait_for_end(&mut self) -> Result<(), End> {
        loop {
            self.read_qmp()?;
            if let Some(status) = self.child.try_wait() {
                self.read_qmp()?;
                return self.qemu_end(status).evaluate();
            }
            self.check()?;
            self.sleep(PollFlags::IN)?;
            self.read_channel()?;
        }
    }

    /// Waits for the exit of QEMU, which closed a connection, and returns the end of the
    /// run.
    pub(super) fn after_close(&mut self) -> End {
        let Some(status) = self.child.wait_until(Instant::now() + CLOSE_LIMIT) else {
            return End::MonitorBroken {
                during: self.phase,
                error: "QEMU closed the channel but did not exit".to_owned(),
            };
        };
        if let Err(end) = self.read_qmp() {
            return end;
        }
        match self.qemu_end(status).evaluate() {
            Err(end) => end,
            Ok(()) => self.broken("the guest sent goodbye without an order".to_owned()),
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

    /// Handles the available events of QEMU; a stopped machine ends the run.
    pub(super) fn read_qmp(&mut self) -> Result<(), End> {
        let events = self
            .qmp
            .events()
            .map_err(|error| self.monitor_broken(&error))?;
        for event in events {
            self.channel_log.note(Sender::Qemu, &format!("{event:?}"));
            match event {
                QmpEvent::Shutdown(reason) => self.shutdown = Some(reason),
                // QEMU also stops the machine during a shutdown.
                QmpEvent::Stop if self.shutdown.is_none() => {
                    let status = self.qmp.status().unwrap_or_else(|error| error.to_string());
                    if status != "running" && status != "shutdown" {
                        return Err(End::Stopped {
                            during: self.phase,
                            status,
                        });
                    }
                }
                QmpEvent::DeviceDeleted(slot) => drop(self.empty.insert(slot)),
                QmpEvent::Stop | QmpEvent::UnplugRejected(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the end of the run after a failed command, which may have killed QEMU.
    pub(super) fn monitor_failed(&mut self, error: &QmpError) -> End {
        if self.cancel.is_cancelled() {
            return End::Cancelled;
        }
        match self.child.wait_until(Instant::now() + EXIT_LIMIT) {
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
