// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time limits for the phases of a run. They are long: they end a hang and do not measure
//! speed, and the host may be busy with builds.

use std::time::Duration;

use crate::accel::Accelerator;

/// Time limits for the phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of QEMU until it has connected.
    pub launch: Duration,
    /// From the start of QEMU to the first kernel's hello.
    pub boot: Duration,
    /// For saving a booted machine.
    pub save: Duration,
    /// From the start of QEMU until a saved machine runs again.
    pub restore: Duration,
    /// From the kexec order to the next kernel's hello.
    pub kexec: Duration,
    /// Time that a boot may take beyond its program's timeout.
    pub program_margin: Duration,
    /// From a program's request for a device until its slot has released the device before.
    /// The guest needs six seconds for that.
    pub unplug: Duration,
    /// From the power-off order to the end of QEMU.
    pub power_off: Duration,
}

impl Deadlines {
    /// Returns the limits for an accelerator, multiplied for a slow kernel: 1 for a plain
    /// kernel. KASAN makes a kernel about ten times slower, but the limits have enough
    /// slack that 4 suffices.
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
