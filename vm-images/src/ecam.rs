// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PCI configuration space of a guest, accessed through QEMU's test port at the
//! addresses that its processors use.

use std::io;

use crate::qtest::Qtest;

/// Address at which the firmware maps the configuration space of Q35, 4 KiB for each
/// function.
pub(crate) const ECAM: u64 = 0xb000_0000;

/// Vendor and device id of Q35's host bridge, to check the mapping.
const HOST_BRIDGE: u32 = 0x29c0_8086;

/// Returns the address of a function's configuration space.
pub(crate) fn function(bus: u32, device: u32, function: u32) -> u64 {
    ECAM + (u64::from(bus) << 20) + (u64::from(device) << 15) + (u64::from(function) << 12)
}

/// Checks that the configuration space is mapped at [`ECAM`].
pub(crate) fn check(port: &mut Qtest) -> io::Result<()> {
    let found = port.read_u32(ECAM)?;
    if found == HOST_BRIDGE {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "no host bridge at {ECAM:#x}: the id there is {found:#x}"
    )))
}
