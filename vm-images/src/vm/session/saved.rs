// SPDX-License-Identifier: GPL-2.0-only
//! How a machine is saved, and goes on from where it was.

use std::time::Instant;

use camino::Utf8Path;

use super::Session;
use crate::checkpoint::devices::Devices;
use crate::transcript::End;
use crate::vm::clock;

impl Session {
    /// Stops the machine and writes it to a file, but for its memory; returns its
    /// devices. It is of no use after.
    pub(in crate::vm) fn save(&mut self, file: &Utf8Path) -> Result<Devices, End> {
        let go_on = self.patience();
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let devices = self.devices()?;
        let saved = self.qmp.save(file, &go_on);
        saved.map_err(|error| self.monitor_failed(&error))?;
        Ok(devices)
    }

    /// Reads the machine from a file, but for its memory, and lets it go on if
    /// its devices are these.
    pub(in crate::vm) fn load(&mut self, file: &Utf8Path, devices: &Devices) -> Result<(), End> {
        let go_on = self.patience();
        let loaded = self.qmp.load(file, &go_on);
        loaded.map_err(|error| self.monitor_failed(&error))?;
        let put_back = devices.put_back(&mut self.test_port);
        put_back.map_err(|error| self.broken(error.to_string()))?;
        if let Some(difference) = devices.difference(&self.devices()?) {
            return Err(self.broken(format!("it is not the same machine: {difference}")));
        }
        let gone_on = self.qmp.go_on();
        gone_on.map_err(|error| self.monitor_failed(&error))
    }

    fn devices(&mut self) -> Result<Devices, End> {
        Devices::read(&mut self.test_port).map_err(|error| self.broken(error.to_string()))
    }

    /// Returns what tells whether the phase may last longer.
    fn patience(&self) -> impl Fn() -> bool + use<> {
        let limit = self.phase_limit.saturating_mul(clock::PATIENCE);
        let (end, cancel) = (self.phase_begin + limit, self.cancel.clone());
        move || Instant::now() < end && !cancel.is_cancelled()
    }
}
