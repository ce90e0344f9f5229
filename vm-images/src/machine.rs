// SPDX-License-Identifier: GPL-2.0-only
//! What a virtual machine is made of, as its YAML file says. What QEMU is
//! called with for it is `qemu`'s business.

pub(crate) mod yaml;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};

pub use yaml::parse;

/// Largest machine file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Most slots: root ports have the addresses from 0x04 on of bus 0.
pub const SLOTS_MAX: usize = 16;

/// A virtual machine as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Name, which is the file's name without its ending.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// QEMU's machine type.
    pub kind: MachineType,
    /// Number of virtual processors.
    pub cpus: u32,
    /// Memory in MiB; a run may raise it.
    pub memory_mib: u32,
    /// PCIe slots, in the order of their bus numbers.
    pub slots: Vec<Slot>,
}

/// QEMU's machine type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineType {
    /// Intel's Q35 chipset, with PCI Express.
    Q35,
}

impl MachineType {
    /// Returns QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
        }
    }
}

/// A PCIe root port and what is plugged into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Name by which scenarios speak of it.
    pub name: String,
    /// The device in it at boot; none for an empty slot.
    pub device: Option<Device>,
}

/// A device that can be in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// QEMU's teaching device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
}

impl Device {
    /// Returns QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Edu => "edu",
        }
    }
}

/// What is wrong with a machine file.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It cannot be read.
    #[error("cannot read the machine: {0}")]
    Read(#[from] std::io::Error),
    /// It is larger than any machine needs to be.
    #[error("`{path}` is larger than {FILE_BYTES_MAX} bytes, which no machine needs")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
    },
    /// It does not say what a machine must say, or says it wrongly.
    #[error("`{path}` is not a machine: {problem}")]
    Wrong {
        /// The file.
        path: Utf8PathBuf,
        /// What and where, with line and column.
        problem: String,
    },
}

impl Machine {
    /// Returns the machine that a file describes.
    pub fn load(path: &Utf8Path) -> Result<Self, MachineError> {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(MachineError::TooLarge {
                path: path.to_owned(),
            });
        }
        parse(path, &fs::read_to_string(path)?)
    }

    /// Returns the PCI address that firmware and kernel give the device in a
    /// slot: the root ports are numbered in their order, each has one bus.
    pub fn pci_address(&self, slot: &str) -> Option<String> {
        let index = self.slots.iter().position(|entry| entry.name == slot)?;
        Some(format!("0000:{:02x}:00.0", index + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_the_addresses_of_their_order() {
        let path = Utf8Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/machines/edu-pair.yaml"
        ));
        let machine = Machine::load(path).unwrap();
        assert_eq!(machine.name, "edu-pair");
        assert_eq!(
            machine.pci_address("endpoint0").as_deref(),
            Some("0000:01:00.0")
        );
        assert_eq!(
            machine.pci_address("endpoint1").as_deref(),
            Some("0000:02:00.0")
        );
        assert_eq!(machine.pci_address("endpoint2"), None);
    }
}
