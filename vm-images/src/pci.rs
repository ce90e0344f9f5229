// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PCI functions of a guest, accessed through QEMU's test port at the addresses that its
//! processors use: comparison of devices after a restore, and the power of slots.
//!
//! QEMU does not save all devices: `edu` is reset by a restore and loses its addresses. The
//! configuration of every function is therefore recorded when the guest is saved, written
//! back for devices that QEMU does not save, and compared after a restore. A guest with a
//! device that differs must not run.

use std::io;

use patchbed_protocol::bytes;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::machine::Address;
use crate::qtest::Qtest;

/// Returns the address of a function's configuration space.
fn config_address(arch: Arch, at: Address) -> u64 {
    let number = (at.bus << 8) + (at.device << 3) + at.function;
    arch.config_space().0 + (u64::from(number) << 12)
}

/// Checks that the configuration space is mapped where the architecture has it.
fn check_mapping(port: &mut Qtest, arch: Arch) -> io::Result<()> {
    let (address, host_bridge) = arch.config_space();
    let found = port.read_u32(address)?;
    if found == host_bridge {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "no host bridge at {address:#x}: the id there is {found:#x}"
    )))
}

/// Maximum number of functions.
const FUNCTIONS_MAX: usize = 256;

const CONFIG_BYTES: usize = 4096;
const COMMAND: usize = 0x04;
const HEADER_TYPE: usize = 0x0e;
const FIRST_BAR: usize = 0x10;
const SECONDARY_BUS: usize = 0x19;
/// End of the configuration space of conventional PCI, which is written back. QEMU keeps
/// the extended part.
const LEGACY_END: usize = 0x100;

/// A device whose state QEMU does not save.
struct UnsavedDevice {
    /// Vendor and device id.
    id: u32,
    /// Registers of its first BAR that show whether the device was used.
    registers: &'static [u64],
}

/// QEMU's educational device, hw/misc/edu.c.
const EDU: UnsavedDevice = UnsavedDevice {
    id: 0x11e8_1234,
    registers: &[
        0x00, 0x04, 0x08, 0x20, 0x24, 0x80, 0x84, 0x88, 0x8c, 0x90, 0x98,
    ],
};

/// The PCI functions of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Devices {
    functions: Vec<Function>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Function {
    /// Address of its configuration space.
    address: u64,
    #[serde(with = "bytes")]
    config: Vec<u8>,
    /// Registers of a device that QEMU does not save.
    registers: Vec<u32>,
}

impl Function {
    /// Returns the function at an address, if it exists.
    fn read(port: &mut Qtest, address: u64) -> io::Result<Option<Self>> {
        if port.read_u32(address)? == u32::MAX {
            return Ok(None);
        }
        let mut function = Self {
            address,
            config: port.read(address, CONFIG_BYTES)?,
            registers: Vec::new(),
        };
        if let Some(region) = function.region() {
            for offset in EDU.registers {
                function.registers.push(port.read_u32(region + offset)?);
            }
        }
        Ok(Some(function))
    }

    fn id(&self) -> u32 {
        self.word(0)
    }

    fn word(&self, offset: usize) -> u32 {
        let bytes = self.config[offset..].first_chunk();
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    fn is_unsaved(&self) -> bool {
        self.id() == EDU.id
    }

    /// Returns the address of an unsaved device's registers, if memory decoding is enabled.
    fn region(&self) -> Option<u64> {
        let decodes = self.config[COMMAND] & 0x2 != 0;
        (self.is_unsaved() && decodes).then(|| u64::from(self.word(FIRST_BAR) & !0xf))
    }

    /// Returns the secondary bus, if the function is a bridge.
    fn secondary_bus(&self) -> Option<u8> {
        let is_bridge = self.config[HEADER_TYPE] & 0x7f == 1;
        (is_bridge && self.config[SECONDARY_BUS] != 0).then(|| self.config[SECONDARY_BUS])
    }

    fn has_more_functions(&self) -> bool {
        self.config[HEADER_TYPE] & 0x80 != 0
    }

    /// Writes the recorded configuration; the command register last, which enables the
    /// device.
    fn write_back(&self, port: &mut Qtest) -> io::Result<()> {
        for offset in (FIRST_BAR..LEGACY_END).step_by(4) {
            port.write_u32(self.address + offset as u64, self.word(offset))?;
        }
        let command = self.word(COMMAND) & 0xffff;
        port.write_u16(self.address + COMMAND as u64, command as u16)
    }
}

impl Devices {
    /// Returns all functions of a stopped guest.
    pub(crate) fn read(port: &mut Qtest, arch: Arch) -> io::Result<Self> {
        check_mapping(port, arch)?;
        let mut functions = Vec::new();
        let mut buses = vec![0];
        while let Some(bus) = buses.pop() {
            for device in 0..32 {
                read_device(port, arch, (bus, device), &mut functions, &mut buses)?;
            }
        }
        functions.sort_by_key(|function| function.address);
        Ok(Self { functions })
    }

    /// Writes back the configuration of the unsaved devices of a stopped guest.
    pub(crate) fn write_back(&self, port: &mut Qtest) -> io::Result<()> {
        let mut unsaved = self
            .functions
            .iter()
            .filter(|function| function.is_unsaved());
        unsaved.try_for_each(|function| function.write_back(port))
    }

    /// Returns a description of the first difference, if the devices differ.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let addresses = |all: &Self| -> Vec<u64> {
            let functions = all.functions.iter();
            functions.map(|function| function.address).collect()
        };
        if addresses(self) != addresses(now) {
            return Some("the set of PCI functions differs".to_owned());
        }
        let mut pairs = self.functions.iter().zip(&now.functions);
        let (before, after) = pairs.find(|(before, after)| before != after)?;
        let place = place(before.address);
        let mut bytes = before.config.iter().zip(&after.config);
        Some(match bytes.position(|(before, after)| before != after) {
            Some(offset) => format!("the configuration of {place} differs at {offset:#x}"),
            None => format!("the registers of {place} differ"),
        })
    }
}

fn read_device(
    port: &mut Qtest,
    arch: Arch,
    (bus, device): (u8, u32),
    functions: &mut Vec<Function>,
    buses: &mut Vec<u8>,
) -> io::Result<()> {
    for function in 0..8 {
        let at = Address {
            bus: u32::from(bus),
            device,
            function,
        };
        let Some(found) = Function::read(port, config_address(arch, at))? else {
            if function == 0 {
                return Ok(());
            }
            continue;
        };
        if functions.len() >= FUNCTIONS_MAX {
            return Err(io::Error::other(format!(
                "more than {FUNCTIONS_MAX} PCI functions"
            )));
        }
        // Bus numbers increase below a bridge; the check prevents an endless loop.
        buses.extend(found.secondary_bus().filter(|behind| *behind > bus));
        let is_alone = function == 0 && !found.has_more_functions();
        functions.push(found);
        if is_alone {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the address of a function in the notation of `lspci`.
fn place(address: u64) -> String {
    // The configuration space is aligned to its size.
    let number = address >> 12;
    let (bus, device, function) = (number >> 8 & 0xff, number >> 3 & 0x1f, number & 7);
    format!("{bus:02x}:{device:02x}.{function}")
}

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

/// Returns the power state of a port's slot. Fails when there is no port at the address.
pub(crate) fn slot_power(qtest: &mut Qtest, arch: Arch, port: Address) -> io::Result<Power> {
    let register = slot_control(qtest, arch, port)?;
    Ok(Power::of(read_control(qtest, register)?))
}

/// Removes the device from a port's slot without a request to the guest, which must be
/// stopped, so that it does not observe the slot without power.
///
/// QEMU has no command for surprise removal: `device_del` presses the attention button and
/// leaves the rest to the guest. However, QEMU unplugs the device at once when the slot's
/// power and its power indicator are switched off in the port's Slot Control register, by
/// any writer. QEMU then clears presence and link state, sets the events in Slot Status,
/// and sends the interrupt of a surprise removal. Afterwards the host restores the guest's
/// value of the register, because Linux ignores removals from a slot without power. Fails
/// when there is no port at the address, or its slot has no power.
pub(crate) fn surprise_remove(qtest: &mut Qtest, arch: Arch, port: Address) -> io::Result<()> {
    let register = slot_control(qtest, arch, port)?;
    let control = read_control(qtest, register)?;
    if Power::of(control) != Power::On {
        return Err(io::Error::other(format!("slot of {port} has no power")));
    }
    qtest.write_u16(register, control | POWER_INDICATOR_OFF | POWER_OFF)?;
    qtest.write_u16(register, control)
}

/// Returns the address of a port's Slot Control register.
fn slot_control(qtest: &mut Qtest, arch: Arch, port: Address) -> io::Result<u64> {
    check_mapping(qtest, arch)?;
    let config = config_address(arch, port);
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

    const BASE: u64 = Arch::X86_64.config_space().0;

    fn function(address: u64, id: u32) -> Function {
        let mut config = vec![0; CONFIG_BYTES];
        config[..4].copy_from_slice(&id.to_le_bytes());
        Function {
            address,
            config,
            registers: Vec::new(),
        }
    }

    fn devices() -> Devices {
        Devices {
            functions: vec![
                function(BASE, 0x29c0_8086),
                function(BASE + (1 << 20), EDU.id),
            ],
        }
    }

    #[test]
    fn difference_of_equal_devices_is_none() {
        assert_eq!(devices().difference(&devices()), None);
    }

    #[test]
    fn difference_names_the_function_and_the_offset() {
        let difference = |change: fn(&mut Devices)| {
            let mut now = devices();
            change(&mut now);
            devices().difference(&now).unwrap()
        };
        assert_eq!(
            difference(|now| now.functions[1].config[0x11] = 1),
            "the configuration of 01:00.0 differs at 0x11"
        );
        assert_eq!(
            difference(|now| now.functions[1].registers.push(7)),
            "the registers of 01:00.0 differ"
        );
        assert_eq!(
            difference(|now| drop(now.functions.pop())),
            "the set of PCI functions differs"
        );
    }

    #[test]
    fn secondary_bus_exists_for_bridges_only() {
        let mut bridge = function(BASE + (4 << 15), 0x000c_1b36);
        bridge.config[HEADER_TYPE] = 1;
        bridge.config[SECONDARY_BUS] = 2;
        assert_eq!(bridge.secondary_bus(), Some(2));
        assert_eq!(place(bridge.address), "00:04.0");
        assert_eq!(function(BASE, 1).secondary_bus(), None);
    }

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
        let result = surprise_remove(&mut qtest, Arch::X86_64, PORT);
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
