// SPDX-License-Identifier: GPL-2.0-only
//! Takes a device out of its slot without asking the guest.
//!
//! QEMU has no command for that: `device_del` presses the attention button and leaves
//! the rest to the guest. But it lets a device go at once when a slot's power is
//! switched off, with the power indicator dark, whoever writes that into the port's
//! Slot Control register. We do, by the test port: QEMU clears presence and link, says
//! so in Slot Status, and the guest gets the interrupt that a device pulled out by hand
//! would have made. Then the register becomes what the guest wrote there last: a slot
//! without power is none that Linux takes a device out of.

use std::io;

use crate::ecam;
use crate::machine::Address;
use crate::qtest::Qtest;

/// Registers of PCI and PCI Express, as of linux/pci_regs.h.
const STATUS: u64 = 0x04;
const STATUS_HAS_CAPABILITIES: u32 = 0x10 << 16;
const FIRST_CAPABILITY: u64 = 0x34;
const PCI_EXPRESS: u32 = 0x10;
const SLOT_CONTROL: u64 = 0x18;
const POWER_INDICATOR_OFF: u16 = 0x0300;
const POWER_OFF: u16 = 0x0400;

/// As many fit into the space of a function's capabilities.
const CAPABILITIES_MAX: usize = 48;

/// What a port says of its slot's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// It is on.
    On,
    /// It is off, but the indicator is not dark yet.
    GoingOff,
    /// It is off.
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

/// Returns what a port says of its slot's power.
///
/// # Errors
/// When the port is not where it should be.
pub(crate) fn read(qtest: &mut Qtest, port: Address) -> io::Result<Power> {
    let register = slot_control(qtest, port)?;
    Ok(Power::of(read_control(qtest, register)?))
}

/// Takes out what is in the slot that a port is. The guest must stand still meanwhile:
/// it is not to see the slot without power.
///
/// # Errors
/// When the port is not where it should be, or its slot has no power.
pub(crate) fn pull_out(qtest: &mut Qtest, port: Address) -> io::Result<()> {
    let register = slot_control(qtest, port)?;
    let control = read_control(qtest, register)?;
    if Power::of(control) != Power::On {
        return Err(io::Error::other(format!("the slot of {port} has no power")));
    }
    qtest.write_u16(register, control | POWER_INDICATOR_OFF | POWER_OFF)?;
    qtest.write_u16(register, control)
}

/// Returns where the Slot Control register of a port is.
fn slot_control(qtest: &mut Qtest, port: Address) -> io::Result<u64> {
    ecam::check(qtest)?;
    let config = ecam::function(port.bus, port.device, port.function);
    match express(qtest, config)? {
        Some(capability) => Ok(config + capability + SLOT_CONTROL),
        None => Err(io::Error::other(format!("there is no PCIe port at {port}"))),
    }
}

/// The other half of what is read is Slot Status, which must not be written.
fn read_control(qtest: &mut Qtest, register: u64) -> io::Result<u16> {
    Ok((qtest.read_u32(register)? & 0xffff) as u16)
}

/// Returns where the PCI Express capability of a function is.
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

    /// Pulls out a device where the test port gives these answers; returns what it was
    /// asked as well.
    fn pull_out_with(answers: &[&str]) -> (io::Result<()>, Vec<String>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for answer in answers {
            theirs
                .write_all(format!("OK {answer}\n").as_bytes())
                .unwrap();
        }
        let mut qtest = Qtest::connect(ours).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let came = pull_out(&mut qtest, PORT);
        drop(qtest);
        let asked = BufReader::new(theirs).lines().map_while(Result::ok);
        (came, asked.collect())
    }

    #[test]
    fn power_and_indicator_go_off_and_on_and_nothing_else() {
        let (came, asked) = pull_out_with(&[
            "0x29c08086",
            "0x00100107",
            "0x00000040",
            "0x00005411",
            "0x00010010",
            "0x004011f9",
            "",
            "",
        ]);
        came.unwrap();
        assert_eq!(
            asked.join("\n"),
            "readl 0xb0000000\nreadl 0xb0208004\nreadl 0xb0208034\nreadl 0xb0208040\n\
             readl 0xb0208054\nreadl 0xb020806c\nwritew 0xb020806c 0x17f9\n\
             writew 0xb020806c 0x11f9"
        );
    }

    #[test]
    fn power_is_off_when_the_indicator_is_dark_too() {
        assert_eq!(Power::of(0x01f1), Power::On);
        assert_eq!(Power::of(0x03f1), Power::On);
        assert_eq!(Power::of(0x05f1), Power::GoingOff);
        assert_eq!(Power::of(0x07f1), Power::Off);
    }

    #[test]
    fn a_port_that_is_not_there_is_left_alone() {
        let none = pull_out_with(&["0x29c08086", "0xffffffff"]);
        assert!(none.0.unwrap_err().to_string().contains("no PCIe port"));
        // A list that goes in circles has an end all the same.
        let mut circle = vec!["0x29c08086", "0x00100107", "0x40"];
        circle.extend(["0x00004011"; CAPABILITIES_MAX]);
        assert!(pull_out_with(&circle).0.is_err());
    }
}
