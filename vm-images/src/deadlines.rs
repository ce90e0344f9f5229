// SPDX-License-Identifier: GPL-2.0-only
//! How long each part of a run may take. Generous on purpose: a limit is there
//! to end a hang, not to judge speed; a host may be busy building.

use std::time::Duration;

use crate::accel::Accelerator;

/// Limits for the parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From starting QEMU until it is connected to us.
    pub launch: Duration,
    /// From starting QEMU to the first kernel's hello.
    pub boot: Duration,
    /// For a booted machine to be saved.
    pub save: Duration,
    /// From starting QEMU until a saved machine has gone on.
    pub restore: Duration,
    /// From the order to kexec to the next kernel's hello.
    pub kexec: Duration,
    /// What a boot may take beyond the time-out the guest keeps itself.
    pub program_margin: Duration,
    /// From a program's wanted_item for a device in a slot until the one before is gone. The
    /// guest takes six seconds over that, if it does not look elsewhere.
    pub unplug: Duration,
    /// From the order to power off to QEMU's end.
    pub power_off: Duration,
}

impl Deadlines {
    /// Returns the limits under an accelerator, multiplied for a slow kernel
    /// (1 for a plain one; KASAN makes a kernel some ten times slower, the
    /// limits have slack enough to be served by 4).
    pub fn new(accelerator: Accelerator, multiplier: u32) -> Self {
        let (boot, power_off) = match accelerator {
            Accelerator::Kvm => (30, 15),
            Accelerator::Tcg => (60, 30),
        };
        let scaled = |secs| Duration::from_secs(secs) * multiplier.max(1);
        Self {
            launch: Duration::from_secs(30),
            boot: scaled(boot),
            save: scaled(power_off),
            restore: scaled(power_off),
            kexec: scaled(boot),
            program_margin: scaled(power_off),
            unplug: scaled(30),
            power_off: scaled(power_off),
        }
    }
}
