// SPDX-License-Identifier: MIT OR Apache-2.0
//! Actions on the slots of a running machine. `requests` checks requests. A refusal by QEMU
//! is a result; other failures end the run.

use super::{Sender, Session};
use crate::machine::{Address, Slot};
use crate::qemu::devices;
use crate::qmp::QmpError;
use crate::slot_power::{self, Power};
use crate::transcript::End;

impl Session {
    /// Returns whether the device of a slot was removed and not plugged in again.
    pub(in crate::vm) fn is_empty(&self, slot: &str) -> bool {
        self.empty.contains(slot)
    }

    /// Asks the guest to release the device of a slot. The inner error is a refusal by
    /// QEMU.
    pub(in crate::vm) fn unplug(&mut self, slot: &str) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Sender::Host, &format!("unplug {slot}"));
        let result = self.qmp.unplug(slot);
        self.refusal_as_result(result)
    }

    /// Plugs the device of a slot in. The inner error is a refusal by QEMU.
    pub(in crate::vm) fn plug(&mut self, slot: &Slot) -> Result<Result<(), String>, End> {
        let name = &slot.name;
        self.channel_log.note(Sender::Host, &format!("plug {name}"));
        let Some(device) = devices::device(slot) else {
            return Ok(Err(format!("slot `{name}` has no device")));
        };
        let result = self.qmp.plug(&device);
        if result.is_ok() {
            self.empty.remove(name);
        }
        self.refusal_as_result(result)
    }

    /// Removes the device of a slot without a request to the guest.
    pub(in crate::vm) fn surprise_remove(
        &mut self,
        slot: &str,
        port: Address,
    ) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Sender::Host, &format!("surprise removal of {slot}"));
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let result = slot_power::surprise_remove(&mut self.test_port, port);
        let resumed = self.qmp.resume();
        resumed.map_err(|error| self.monitor_failed(&error))?;
        Ok(result.map_err(|error| error.to_string()))
    }

    /// Returns the power state of a port's slot.
    pub(in crate::vm) fn power(&mut self, port: Address) -> Result<Power, String> {
        slot_power::read(&mut self.test_port, port).map_err(|error| error.to_string())
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
