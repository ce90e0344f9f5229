// SPDX-License-Identifier: MIT OR Apache-2.0
//! Orders to QEMU: saving and restoring the machine, and actions on its slots. Also the end
//! of QEMU and the events before it.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::event::PollFlags;

use super::Session;
use crate::machine::{Address, Slot};
use crate::pci::{self, Devices, Power};
use crate::qemu::devices::device;
use crate::qmp::{QmpError, QmpEvent};
use crate::transcript::{End, Phase};
use crate::vm::channel_log::Sender;
use crate::vm::clock;
use crate::vm::launch::{CLOSE_LIMIT, stderr_tail};

/// Time to wait for the exit of QEMU after a failed command, in case the command killed it.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// The end of QEMU.
impl Session {
    /// Waits for the exit of QEMU after the guest's goodbye.
    pub(crate) fn wait_for_end(&mut self) -> Result<(), End> {
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

/// The facts when QEMU has ended.
#[derive(Debug)]
struct QemuEnd {
    /// QEMU's exit status.
    status: ExitStatus,
    /// The reason of QEMU's last shutdown event, if any.
    shutdown: Option<String>,
    /// Whether the guest sent its goodbye.
    goodbye: bool,
    /// The phase.
    during: Phase,
    /// The last lines of QEMU's standard error.
    stderr_tail: String,
}

impl QemuEnd {
    /// Returns `Ok` if the guest powered off as ordered, else the end of the run.
    fn evaluate(self) -> Result<(), End> {
        let reason = self.shutdown.as_deref().unwrap_or("unknown");
        // QEMU exits with status 0 after a signal from another process.
        let by_host = reason.starts_with("host-");
        if !self.status.success() || by_host {
            let shown = if by_host {
                format!("{}, `{reason}`", self.status)
            } else {
                self.status.to_string()
            };
            return Err(End::QemuDied {
                during: self.during,
                status: shown,
                stderr_tail: self.stderr_tail,
            });
        }
        if self.goodbye && reason != "guest-reset" && reason != "guest-panic" {
            return Ok(());
        }
        Err(End::GuestGone {
            during: self.during,
            reason: reason.to_owned(),
        })
    }
}

/// Saving and restoring the machine.
impl Session {
    /// Stops the machine and writes its state to a file, without the memory; returns its
    /// devices. The session cannot be used afterwards.
    pub(crate) fn save(&mut self, file: &Utf8Path) -> Result<Devices, End> {
        let may_continue = self.phase_check();
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let devices = self.devices()?;
        let saved = self.qmp.save(file, &may_continue);
        saved.map_err(|error| self.monitor_failed(&error))?;
        Ok(devices)
    }

    /// Reads the state of a machine from a file, without the memory, and resumes it if its
    /// devices are equal to `devices`.
    pub(crate) fn load(&mut self, file: &Utf8Path, devices: &Devices) -> Result<(), End> {
        let may_continue = self.phase_check();
        let loaded = self.qmp.load(file, &may_continue);
        loaded.map_err(|error| self.monitor_failed(&error))?;
        let written = devices.write_back(&mut self.test_port);
        written.map_err(|error| self.broken(error.to_string()))?;
        if let Some(difference) = devices.difference(&self.devices()?) {
            return Err(self.broken(format!("the restored machine differs: {difference}")));
        }
        let resumed = self.qmp.resume();
        resumed.map_err(|error| self.monitor_failed(&error))
    }

    fn devices(&mut self) -> Result<Devices, End> {
        Devices::read(&mut self.test_port, self.arch)
            .map_err(|error| self.broken(error.to_string()))
    }

    /// Returns a check whether the phase may continue.
    fn phase_check(&self) -> impl Fn() -> bool + use<> {
        let limit = self.phase_limit.saturating_mul(clock::WALL_MULTIPLIER);
        let (end, cancel) = (self.phase_begin + limit, self.cancel.clone());
        move || Instant::now() < end && !cancel.is_cancelled()
    }
}

/// Actions on the slots of the machine. `requests` checks requests. A refusal by QEMU is a
/// result; other failures end the run.
impl Session {
    /// Returns whether the device of a slot was removed and not plugged in again.
    pub(crate) fn is_empty(&self, slot: &str) -> bool {
        self.empty.contains(slot)
    }

    /// Asks the guest to release the device of a slot. The inner error is a refusal by
    /// QEMU.
    pub(crate) fn unplug(&mut self, slot: &str) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Sender::Host, &format!("unplug {slot}"));
        let result = self.qmp.unplug(slot);
        self.refusal_as_result(result)
    }

    /// Plugs the device of a slot in. The inner error is a refusal by QEMU.
    pub(crate) fn plug(&mut self, slot: &Slot) -> Result<Result<(), String>, End> {
        let name = &slot.name;
        self.channel_log.note(Sender::Host, &format!("plug {name}"));
        let Some(device) = device(slot) else {
            return Ok(Err(format!("slot `{name}` has no device")));
        };
        let result = self.qmp.plug(&device);
        if result.is_ok() {
            self.empty.remove(name);
        }
        self.refusal_as_result(result)
    }

    /// Removes the device of a slot without a request to the guest.
    pub(crate) fn surprise_remove(
        &mut self,
        slot: &str,
        port: Address,
    ) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Sender::Host, &format!("surprise removal of {slot}"));
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let result = pci::surprise_remove(&mut self.test_port, self.arch, port);
        let resumed = self.qmp.resume();
        resumed.map_err(|error| self.monitor_failed(&error))?;
        Ok(result.map_err(|error| error.to_string()))
    }

    /// Returns the power state of a port's slot.
    pub(crate) fn power(&mut self, port: Address) -> Result<Power, String> {
        pci::slot_power(&mut self.test_port, self.arch, port).map_err(|error| error.to_string())
    }

    /// Returns a refusal by QEMU as inner error; other failures end the run.
    fn refusal_as_result(
        &mut self,
        result: Result<(), QmpError>,
    ) -> Result<Result<(), String>, End> {
        match result {
            Err(error @ QmpError::Refused { .. }) => Ok(Err(error.to_string())),
            Err(error) => Err(self.monitor_failed(&error)),
            Ok(()) => Ok(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn evaluate(raw_status: i32, shutdown: Option<&str>, goodbye: bool) -> Result<(), End> {
        QemuEnd {
            status: ExitStatus::from_raw(raw_status),
            shutdown: shutdown.map(str::to_owned),
            goodbye,
            during: Phase::PowerOff,
            stderr_tail: String::new(),
        }
        .evaluate()
    }

    #[test]
    fn evaluate_accepts_only_a_shutdown_after_goodbye() {
        assert_eq!(evaluate(0, Some("guest-shutdown"), true), Ok(()));
        for (shutdown, goodbye) in [
            (Some("guest-shutdown"), false),
            (Some("guest-reset"), true),
            (Some("guest-reset"), false),
            (Some("guest-panic"), true),
            (None, false),
        ] {
            let end = evaluate(0, shutdown, goodbye);
            assert!(matches!(end, Err(End::GuestGone { .. })), "{shutdown:?}");
        }
    }

    #[test]
    fn evaluate_reports_a_killed_or_failed_qemu_even_after_goodbye() {
        for (status, shutdown) in [
            (9, None),
            (1 << 8, None),
            (0, Some("host-signal")),
            (0, Some("host-qmp-quit")),
        ] {
            let end = evaluate(status, shutdown, true);
            assert!(matches!(end, Err(End::QemuDied { .. })), "{shutdown:?}");
        }
    }
}
