// SPDX-License-Identifier: MIT OR Apache-2.0
//! Saving and restoring a machine.

use std::time::Instant;

use camino::Utf8Path;

use super::Session;
use crate::checkpoint::devices::Devices;
use crate::transcript::End;
use crate::vm::clock;

impl Session {
    /// Stops the machine and writes its state to a file, without the memory; returns its
    /// devices. The session cannot be used afterwards.
    pub(in crate::vm) fn save(&mut self, file: &Utf8Path) -> Result<Devices, End> {
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
    pub(in crate::vm) fn load(&mut self, file: &Utf8Path, devices: &Devices) -> Result<(), End> {
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
        Devices::read(&mut self.test_port).map_err(|error| self.broken(error.to_string()))
    }

    /// Returns a check whether the phase may continue.
    fn phase_check(&self) -> impl Fn() -> bool + use<> {
        let limit = self.phase_limit.saturating_mul(clock::WALL_MULTIPLIER);
        let (end, cancel) = (self.phase_begin + limit, self.cancel.clone());
        move || Instant::now() < end && !cancel.is_cancelled()
    }
}
