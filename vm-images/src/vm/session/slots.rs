// SPDX-License-Identifier: GPL-2.0-only
//! What is done to the slots of a running machine. Whether it is asked for in order is
//! for `requests` to decide; what QEMU has against it is a result, and no end.

use super::{Session, Speaker};
use crate::machine::{Address, Slot};
use crate::qemu::devices;
use crate::qmp::QmpError;
use crate::slot_power::{self, Power};
use crate::transcript::End;

impl Session {
    /// Returns whether a device went out of a slot and none came back.
    pub(in crate::vm) fn is_empty(&self, slot: &str) -> bool {
        self.empty.contains(slot)
    }

    /// Asks the guest to let go of what is in a slot. What QEMU has against it is
    /// the answer.
    pub(in crate::vm) fn unplug(&mut self, slot: &str) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Speaker::Host, &format!("unplug {slot}"));
        let came = self.qmp.unplug(slot);
        self.unless_refused(came)
    }

    /// Plugs its device into a slot.
    pub(in crate::vm) fn plug(&mut self, slot: &Slot) -> Result<Result<(), String>, End> {
        let name = &slot.name;
        self.channel_log
            .note(Speaker::Host, &format!("plug {name}"));
        let Some(device) = devices::device(slot) else {
            return Ok(Err(format!("slot `{name}` has no device of its own")));
        };
        let came = self.qmp.plug(&device);
        if came.is_ok() {
            self.empty.remove(name);
        }
        self.unless_refused(came)
    }

    /// Takes away what is in a slot, without a word to the guest.
    pub(in crate::vm) fn pull_out(
        &mut self,
        slot: &str,
        port: Address,
    ) -> Result<Result<(), String>, End> {
        self.channel_log
            .note(Speaker::Host, &format!("pull out {slot}"));
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let came = slot_power::pull_out(&mut self.test_port, port);
        let gone_on = self.qmp.go_on();
        gone_on.map_err(|error| self.monitor_failed(&error))?;
        Ok(came.map_err(|error| error.to_string()))
    }

    /// Returns what a port says of its slot's power.
    pub(in crate::vm) fn power(&mut self, port: Address) -> Result<Power, String> {
        slot_power::read(&mut self.test_port, port).map_err(|error| error.to_string())
    }

    /// A monitor that refuses is in order; any other trouble with it is an end.
    fn unless_refused(&mut self, came: Result<(), QmpError>) -> Result<Result<(), String>, End> {
        match came {
            Err(error @ QmpError::Refused { .. }) => Ok(Err(error.to_string())),
            Err(error) => Err(self.monitor_failed(&error)),
            Ok(()) => Ok(Ok(())),
        }
    }
}
