// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machine files: the hardware of a virtual machine. `qemu` derives QEMU's arguments from
//! it.

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

/// Maximum size of a machine file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Maximum number of slots of a machine.
pub const SLOTS_MAX: usize = 16;

/// Maximum number of virtual functions of a device. More would need function numbers beyond
/// the device, which a kernel without ARI does not assign.
pub const VIRTUAL_FUNCTIONS_MAX: u32 = 7;

/// A virtual machine as described by its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name: the file's name without its extension.
    pub name: String,
    /// One line, as shown to the user.
    pub description: String,
    /// QEMU's machine type.
    pub kind: MachineType,
    /// Number of virtual processors.
    pub cpus: u32,
    /// Memory in MiB; a run may increase it.
    pub memory_mib: u32,
    /// Added to the command line of every kernel.
    pub kernel_arguments: String,
    /// The IOMMU, if any.
    pub iommu: Option<Iommu>,
    /// Names of the PCIe switches.
    pub switches: Vec<String>,
    /// PCIe slots, in the order of the file.
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
    /// Returns QEMU's name of the type.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
        }
    }
}

/// An IOMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Iommu {
    /// Intel's VT-d, in front of all devices: `-device intel-iommu`.
    Intel,
}

impl Iommu {
    /// Returns QEMU's name of the IOMMU.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Intel => "intel-iommu",
        }
    }
}

/// A PCIe port and the device in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Name that scenarios use for the slot.
    pub name: String,
    /// The switch with the downstream port; `None` for a root port.
    pub switch: Option<String>,
    /// The device at boot; `None` for an empty slot.
    pub device: Option<Device>,
}

/// A device that can be in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// QEMU's teaching device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
    /// QEMU's NVMe controller, 1b36:0010, without a disk.
    Nvme {
        /// Maximum number of virtual functions; all are disabled at boot.
        virtual_functions: u32,
    },
}

impl Device {
    /// Returns QEMU's name of the device.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Edu => "edu",
            Self::Nvme { .. } => "nvme",
        }
    }

    /// Returns the maximum number of virtual functions.
    pub fn virtual_functions(self) -> u32 {
        match self {
            Self::Edu => 0,
            Self::Nvme { virtual_functions } => virtual_functions,
        }
    }

    /// Returns whether QEMU can save a machine with this device.
    fn can_be_saved(self) -> bool {
        match self {
            Self::Edu => true,
            Self::Nvme { .. } => false,
        }
    }
}

/// An error in a machine file.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The file cannot be read.
    #[error("cannot read the machine: {0}")]
    Read(#[from] std::io::Error),
    /// The file is invalid.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl Machine {
    /// Returns the machine described by a file.
    ///
    /// # Errors
    /// When the file cannot be read, or for the first error in it, with its position.
    pub fn load(path: &Utf8Path) -> Result<Self, MachineError> {
        let bytes = read_plain(path, FILE_BYTES_MAX)?;
        Ok(parse(path, &String::from_utf8_lossy(&bytes))?)
    }

    /// Returns all machines of a folder by name: its `.yaml` files.
    ///
    /// # Errors
    /// The first error, in the order of the names.
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

    /// Returns the slot with this name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// Returns QEMU's name of the first device that QEMU cannot save. A machine with such a
    /// device has no checkpoint.
    pub fn unsaved_device(&self) -> Option<&'static str> {
        let devices = self.slots.iter().filter_map(|slot| slot.device);
        let unsaved = devices.into_iter().find(|device| !device.can_be_saved());
        unsaved.map(Device::qemu_name)
    }
}

/// Returns the machine described by `text`, which was read from `path`.
///
/// # Errors
/// The first error, with its position and a hint.
pub fn parse(path: &Utf8Path, text: &str) -> Result<Machine, InputError> {
    let raw = yaml::parse(text, path.as_str())?;
    check::machine(raw, path, text)
}

/// Returns the JSON schema of machine files, for completion and checks in editors.
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
    fn load_all_reads_the_machines_of_this_folder() {
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
    fn schema_file_is_up_to_date() {
        let path = folder().with_file_name("machine.schema.json");
        let checked_in = fs_err::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == json_schema(),
            "`machine.schema.json` is not up to date: run `cargo xtask generate`"
        );
    }
}
