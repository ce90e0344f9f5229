// SPDX-License-Identifier: GPL-2.0-only
//! The configuration space of a guest's PCI functions, where its processors see it
//! and QEMU's test port too.

use std::io;

use crate::qtest::Qtest;

/// Where the firmware puts the configuration space of Q35, a page a function.
pub(crate) const ECAM: u64 = 0xb000_0000;

/// Vendor and device of Q35's host bridge: what proves that it is there.
const HOST_BRIDGE: u32 = 0x29c0_8086;

/// Returns where the configuration of a function is.
pub(crate) fn function(bus: u32, device: u32, function: u32) -> u64 {
    ECAM + (u64::from(bus) << 20) + (u64::from(device) << 15) + (u64::from(function) << 12)
}

/// Makes sure that it is there.
pub(crate) fn check(port: &mut Qtest) -> io::Result<()> {
    let found = port.read_u32(ECAM)?;
    if found == HOST_BRIDGE {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "there is no host bridge at {ECAM:#x} but {found:#x}"
    )))
}
