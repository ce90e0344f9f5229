// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes a device from its slot without a request to the guest.
//!
//! QEMU has no command for surprise removal: `device_del` presses the attention button and
//! leaves the rest to the guest. However, QEMU unplugs the device at once when the slot's
//! power and its power indicator are switched off in the port's Slot Control register, by
//! any writer. The host writes the register through the test port. QEMU then clears
//! presence and link state, sets the events in Slot Status, and sends the interrupt of a
//! surprise removal. Afterwards the host restores the guest's value of the register,
//! because Linux ignores removals from a slot without power.

use std::io;

use crate::ecam;
use crate::machine::Address;
use crate::qtest::Qtest;

/// Registers of PCI and PCI Express, see linux/pci_regs.h.
const STATUS: u64 = 0x04;
const STATUS_HAS_CAPABILITIES: u32 = 0x10 << 16;
const FIRST_CAPABILITY: u64 = 0x34;
const PCI_EXPRESS: u32 = 0x10;
const SLOT_CONTROL: u64 = 0x18;
const POWER_INDICATOR_OFF: u16 = 0x0300;
const POWER_OFF: u16 = 0x0400;

/// Maximum number of capabilities of a function that its configuration space can hold.
const CAPABILITIES_MAX: usize = 48;

/// Power state of a slot, as reported by its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// The power is on.
    On,
    /// The power is off, but the indicator is still on.
    GoingOff,
    /// The power and the indicator are off.
    Off,
}

impl Power {
    fn of(control: u16) -> Self {
        match (control & POWER_OFF, control & POWER_INDICATOR_OFF) {
            (0, _) => Self::On,
            (_, POWER_INDICATOR_OFF) => Self::Off,
            _ => Self::GoingOff,
        }
    }
}

/// Returns the power state of a port's slot.
///
/// # Errors
/// When there is no port at the address.
pub(crate) fn read(qtest: &mut Qtest, port: Address) -> io::Result<Power> {
    let register = slot_control(qtest, port)?;
    Ok(Power::of(read_control(qtest, register)?))
}

/// Removes the device from a port's slot. The guest must be stopped, so that it does not
/// observe the slot without power.
///
/// # Errors
/// When there is no port at the address, or its slot has no power.
pub(crate) fn surprise_remove(qtest: &mut Qtest, port: Address) -> io::Result<()> {
    let register = slot_control(qtest, port)?;
    let control = read_control(qtest, register)?;
    if Power::of(control) != Power::On {
        return Err(io::Error::other(format!("slot of {port} has no power")));
    }
    qtest.write_u16(register, control | POWER_INDICATOR_OFF | POWER_OFF)?;
    qtest.write_u16(register, control)
}

/// Returns the address of a port's Slot Control register.
fn slot_control(qtest: &mut Qtest, port: Address) -> io::Result<u64> {
    ecam::check(qtest)?;
    let config = ecam::function(port.bus, port.device, port.function);
    match express(qtest, config)? {
        Some(capability) => Ok(config + capability + SLOT_CONTROL),
        None => Err(io::Error::other(format!("no PCIe port at {port}"))),
    }
}

/// Reads Slot Control. The upper half of the word is Slot Status, which must not be
/// written.
fn read_control(qtest: &mut Qtest, register: u64) -> io::Result<u16> {
    Ok((qtest.read_u32(register)? & 0xffff) as u16)
}

/// Returns the offset of a function's PCI Express capability.
fn express(qtest: &mut Qtest, config: u64) -> io::Result<Option<u64>> {
    let status = qtest.read_u32(config + STATUS)?;
    if status == u32::MAX || status & STATUS_HAS_CAPABILITIES == 0 {
        return Ok(None);
    }
    let mut next = u64::from(qtest.read_u32(config + FIRST_CAPABILITY)? & 0xfc);
    for _ in 0..CAPABILITIES_MAX {
        if next == 0 {
            break;
        }
        let header = qtest.read_u32(config + next)?;
        if header & 0xff == PCI_EXPRESS {
            return Ok(Some(next));
        }
        next = u64::from(header >> 8 & 0xfc);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    const PORT: Address = Address {
        bus: 2,
        device: 1,
        function: 0,
    };

    /// Removes a device with these answers of the test port; returns the result and the
    /// commands.
    fn surprise_remove_with(answers: &[&str]) -> (io::Result<()>, Vec<String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for answer in answers {
            theirs
                .write_all(format!("OK {answer}\n").as_bytes())
                .unwrap();
        }
        let mut qtest = Qtest::connect(ours).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let result = surprise_remove(&mut qtest, PORT);
        drop(qtest);
        let commands = BufReader::new(theirs).lines().map_while(Result::ok);
        (result, commands.collect())
    }

    #[test]
    fn surprise_remove_switches_power_and_indicator_off_and_on() {
        let (result, commands) = surprise_remove_with(&[
            "0x29c08086",
            "0x00100107",
            "0x00000040",
            "0x00005411",
            "0x00010010",
            "0x004011f9",
            "",
            "",
        ]);
        result.unwrap();
        assert_eq!(
            commands.join("\n"),
            "readl 0xb0000000\nreadl 0xb0208004\nreadl 0xb0208034\nreadl 0xb0208040\n\
             readl 0xb0208054\nreadl 0xb020806c\nwritew 0xb020806c 0x17f9\n\
             writew 0xb020806c 0x11f9"
        );
    }

    #[test]
    fn power_is_off_only_with_the_indicator_off() {
        assert_eq!(Power::of(0x01f1), Power::On);
        assert_eq!(Power::of(0x03f1), Power::On);
        assert_eq!(Power::of(0x05f1), Power::GoingOff);
        assert_eq!(Power::of(0x07f1), Power::Off);
    }

    #[test]
    fn surprise_remove_writes_nothing_without_a_port() {
        let missing = surprise_remove_with(&["0x29c08086", "0xffffffff"]);
        assert!(missing.0.unwrap_err().to_string().contains("no PCIe port"));
        // A circular list of capabilities.
        let mut circle = vec!["0x29c08086", "0x00100107", "0x40"];
        circle.extend(["0x00004011"; CAPABILITIES_MAX]);
        assert!(surprise_remove_with(&circle).0.is_err());
    }
}
