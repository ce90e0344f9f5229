// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that a restored guest has the same devices. QEMU does not save all devices: `edu`
//! is reset by a restore and loses its addresses. The configuration of every function is
//! therefore recorded when the guest is saved, written back for devices that QEMU does not
//! save, and compared after a restore. A guest with a device that differs must not run.

use std::io;

use patchbed_protocol::bytes;
use serde::{Deserialize, Serialize};

use crate::ecam::{self, ECAM};
use crate::qtest::Qtest;

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
    pub(crate) fn read(port: &mut Qtest) -> io::Result<Self> {
        ecam::check(port)?;
        let mut functions = Vec::new();
        let mut buses = vec![0];
        while let Some(bus) = buses.pop() {
            for device in 0..32 {
                read_device(port, bus, device, &mut functions, &mut buses)?;
            }
        }
        functions.sort_by_key(|function| function.address);
        Ok(Self { functions })
    }

    /// Writes back the configuration of the unsaved devices of a stopped guest.
    pub(crate) fn write_back(&self, port: &mut Qtest) -> io::Result<()> {
        let unsaved = self
            .functions
            .iter()
            .filter(|function| function.is_unsaved());
        unsaved
            .into_iter()
            .try_for_each(|function| function.write_back(port))
    }

    /// Returns a description of the first difference, if the devices differ.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let addresses = |all: &Self| -> Vec<u64> {
            all.functions
                .iter()
                .map(|function| function.address)
                .collect()
        };
        if addresses(self) != addresses(now) {
            return Some("the set of PCI functions differs".to_owned());
        }
        let (before, after) = self
            .functions
            .iter()
            .zip(&now.functions)
            .find(|(before, after)| before != after)?;
        let place = place(before.address);
        let bytes = before.config.iter().zip(&after.config);
        Some(
            match bytes
                .into_iter()
                .position(|(before, after)| before != after)
            {
                Some(offset) => format!("the configuration of {place} differs at {offset:#x}"),
                None => format!("the registers of {place} differ"),
            },
        )
    }
}

fn read_device(
    port: &mut Qtest,
    bus: u8,
    device: u32,
    functions: &mut Vec<Function>,
    buses: &mut Vec<u8>,
) -> io::Result<()> {
    for number in 0..8 {
        let address = ecam::function(u32::from(bus), device, number);
        let Some(function) = Function::read(port, address)? else {
            if number == 0 {
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
        buses.extend(function.secondary_bus().filter(|behind| *behind > bus));
        let is_alone = number == 0 && !function.has_more_functions();
        functions.push(function);
        if is_alone {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the address of a function in the notation of `lspci`.
fn place(address: u64) -> String {
    let number = (address - ECAM) >> 12;
    format!(
        "{:02x}:{:02x}.{}",
        number >> 8,
        number >> 3 & 0x1f,
        number & 7
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
                function(ECAM, 0x29c0_8086),
                function(ECAM + (1 << 20), EDU.id),
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
        let mut bridge = function(ECAM + (4 << 15), 0x000c_1b36);
        bridge.config[HEADER_TYPE] = 1;
        bridge.config[SECONDARY_BUS] = 2;
        assert_eq!(bridge.secondary_bus(), Some(2));
        assert_eq!(place(bridge.address), "00:04.0");
        assert_eq!(function(ECAM, 1).secondary_bus(), None);
    }
}
