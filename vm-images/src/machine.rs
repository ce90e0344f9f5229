// SPDX-License-Identifier: GPL-2.0-only
//! What a virtual machine is made of, as its YAML file says. What QEMU is
//! called with for it is `qemu`'s business.

mod check;
mod raw;
mod topology;

use std::collections::BTreeMap;

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use patchbed_host::input::InputError;
use patchbed_host::yaml;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use topology::{Address, Port, PortKind, port_id};

/// Largest machine file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Most slots of a machine.
pub const SLOTS_MAX: usize = 16;

/// Most virtual functions of a device: so many have addresses beside it without
/// a kernel that numbers functions across devices.
pub const VIRTUAL_FUNCTIONS_MAX: u32 = 7;

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
    /// Added to every kernel's command line.
    pub kernel_arguments: String,
    /// What stands between devices and memory, if anything does.
    pub iommu: Option<Iommu>,
    /// Names of the PCIe switches.
    pub switches: Vec<String>,
    /// PCIe slots, in the order that they were written in.
    pub slots: Vec<Slot>,
}

/// QEMU's machine type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineType {
    /// Intel's Q35 chipset, with PCI Express: `-machine q35`.
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

/// What stands between devices and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Iommu {
    /// Intel's VT-d, in front of all devices: `-device intel-iommu`.
    Intel,
}

impl Iommu {
    /// Returns QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Intel => "intel-iommu",
        }
    }
}

/// A PCIe port and what is plugged into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Name by which scenarios speak of it.
    pub name: String,
    /// The switch whose downstream port it is; none for a root port.
    pub switch: Option<String>,
    /// The device in it at boot; none for an empty slot.
    pub device: Option<Device>,
}

/// A device that can be in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// QEMU's teaching device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
    /// QEMU's NVMe controller, 1b36:0010, without a disk.
    Nvme {
        /// How many virtual functions it can have; none are on at boot.
        virtual_functions: u32,
    },
}

impl Device {
    /// Returns QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Edu => "edu",
            Self::Nvme { .. } => "nvme",
        }
    }

    /// Returns how many virtual functions it can have.
    pub fn virtual_functions(self) -> u32 {
        match self {
            Self::Edu => 0,
            Self::Nvme { virtual_functions } => virtual_functions,
        }
    }

    /// Returns whether QEMU can save a machine that has one.
    fn can_be_saved(self) -> bool {
        match self {
            Self::Edu => true,
            Self::Nvme { .. } => false,
        }
    }
}

/// What is wrong with a machine file.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It cannot be read.
    #[error("cannot read the machine: {0}")]
    Read(#[from] std::io::Error),
    /// It does not say what a machine must say, or says it wrongly.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl Machine {
    /// Returns the machine that a file describes.
    ///
    /// # Errors
    /// When the file cannot be read, or holds a mistake, which is shown with its place.
    pub fn load(path: &Utf8Path) -> Result<Self, MachineError> {
        let bytes = read_plain(path, FILE_BYTES_MAX)?;
        Ok(parse(path, &String::from_utf8_lossy(&bytes))?)
    }

    /// Returns all machines of a folder by their names: its files that end in `.yaml`.
    ///
    /// # Errors
    /// The first mistake, in the order of the names.
    pub fn load_all(folder: &Utf8Path) -> Result<BTreeMap<String, Self>, MachineError> {
        let mut paths = Vec::new();
        for entry in folder.read_dir_utf8()? {
            paths.push(entry?.into_path());
        }
        paths.sort();
        paths
            .iter()
            .filter(|path| path.extension() == Some("yaml"))
            .map(|path| Self::load(path).map(|machine| (machine.name.clone(), machine)))
            .collect()
    }

    /// Returns a slot by its name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// Returns the first device that QEMU cannot save, by its name there: guests
    /// of a machine with one cannot go on from a checkpoint.
    pub fn unsaved_device(&self) -> Option<&'static str> {
        let devices = self.slots.iter().filter_map(|slot| slot.device);
        let unsaved = devices.into_iter().find(|device| !device.can_be_saved());
        unsaved.map(Device::qemu_name)
    }
}

/// Returns the machine that `text`, read from `path`, describes.
///
/// # Errors
/// The first mistake, with its place and what to try.
pub fn parse(path: &Utf8Path, text: &str) -> Result<Machine, InputError> {
    let raw = yaml::parse(text, path.as_str())?;
    check::machine(raw, path, text)
}

/// Returns the JSON schema of machine files, by which editors check and complete.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(raw::Machine);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> &'static Utf8Path {
        Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/machines"))
    }

    #[test]
    fn the_machines_here_are_machines() {
        let machines = Machine::load_all(folder()).unwrap();
        let names: Vec<&str> = machines.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "edu-pair",
                "edu-pair-leaks",
                "edu-pair-panics",
                "iommu",
                "sriov",
                "switch"
            ]
        );
        for (name, machine) in &machines {
            assert_eq!(&machine.name, name);
            let saved = machine.unsaved_device().is_none();
            assert_eq!(saved, name != "sriov", "{name}");
        }
    }

    #[test]
    fn the_schema_is_the_one_beside_the_machines() {
        let path = folder().with_file_name("machine.schema.json");
        let there = fs_err::read_to_string(path).unwrap_or_default();
        assert!(
            there == json_schema(),
            "`machine.schema.json` is not up to date: run `cargo xtask generate`"
        );
    }
}
