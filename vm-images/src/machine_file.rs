// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machine files: reads, checks and converts them to [`Machine`]s.

use std::collections::BTreeMap;

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use patchbed_host::input::{InputError, Place, closest};
use patchbed_host::yaml::{self, At};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::machine::{
    Device, Iommu, Machine, MachineType, PORT_PREFIX, SLOTS_MAX, Slot, VIRTUAL_FUNCTIONS_MAX,
};

/// Maximum size of a machine file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

const CPUS_MAX: u32 = 64;
const MEMORY_MIB_MIN: u32 = 128;
const MEMORY_MIB_MAX: u32 = 64 * 1024;

/// Maximum length of a name, in characters.
const NAME_CHARS_MAX: usize = 32;

/// Maximum length of the kernel arguments, in characters.
const ARGUMENTS_CHARS_MAX: usize = 512;

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

/// Returns whether words can be passed to QEMU and kexec as kernel arguments: one line of
/// printable ASCII of limited length.
pub fn is_kernel_arguments(words: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    words.chars().all(is_plain) && words.len() <= ARGUMENTS_CHARS_MAX
}

impl Machine {
    /// Returns the machine described by a file. Fails when the file cannot be read, or for
    /// the first error in it, with its position.
    pub fn load(path: &Utf8Path) -> Result<Self, MachineError> {
        let bytes = read_plain(path, FILE_BYTES_MAX)?;
        Ok(parse(path, &String::from_utf8_lossy(&bytes))?)
    }

    /// Returns all machines of a folder by name: its `.yaml` files. Returns the first
    /// error, in the order of the names.
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
}

/// Returns the machine described by `text`, which was read from `path`. Returns the first
/// error, with its position and a hint.
pub fn parse(path: &Utf8Path, text: &str) -> Result<Machine, InputError> {
    let raw = yaml::parse(text, path.as_str())?;
    convert(raw, path, text)
}

/// Returns the JSON schema of machine files, for completion and checks in editors.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RawMachine);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

// The doc comments of the following types are the descriptions in the JSON schema, and
// name QEMU's argument for each field.

/// A virtual machine for scenarios.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Virtual machine")]
struct RawMachine {
    /// One line, as shown to the user.
    #[serde(default)]
    description: String,
    /// The chipset. QEMU: `-machine`.
    #[serde(rename = "type")]
    kind: MachineType,
    /// Number of processors, at most 64. QEMU: `-smp`.
    cpus: At<u32>,
    /// Memory in MiB, from 128 to 65536; increased if a config needs more. QEMU: `-m`.
    memory_mib: At<u32>,
    /// Arguments for the command line of every kernel. QEMU: part of `-append`; later
    /// kernels get them with kexec.
    #[serde(default)]
    kernel_arguments: Option<At<String>>,
    /// The IOMMU in front of all devices; the default is no IOMMU. QEMU: `-device
    /// intel-iommu`, before every other device.
    #[serde(default)]
    iommu: Option<Iommu>,
    /// PCIe switches, each below a root port of its own. QEMU: `-device pcie-root-port` and
    /// below it `-device x3130-upstream`.
    #[serde(default)]
    switches: Vec<RawSwitch>,
    /// PCIe slots, at most 16. Root ports get their device numbers on bus 0 in this order.
    #[serde(default)]
    slots: Vec<RawSlot>,
}

/// A PCIe switch. Its name refers to its upstream port; removal of that port removes all
/// devices behind the switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Switch")]
struct RawSwitch {
    /// Name that slots and scenarios use: lowercase letters, digits and `-`.
    name: At<String>,
}

/// A PCIe slot: a port into which a device can be plugged. The name of the port is `port-`
/// followed by the slot's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Slot")]
struct RawSlot {
    /// Name that scenarios use for the slot and its device: lowercase letters, digits and
    /// `-`.
    name: At<String>,
    /// The switch of the slot. QEMU: `-device xio3130-downstream`; without a switch, the
    /// slot is a root port, `-device pcie-root-port`.
    #[serde(default)]
    switch: Option<At<String>>,
    /// The device at boot, which is plugged in again after an unplug; the default is an
    /// empty slot. QEMU: `-device edu` or `-device nvme`.
    #[serde(default)]
    device: Option<DeviceKind>,
    /// Maximum number of virtual functions of the device, at most 7, only with `nvme`. They
    /// exist when the guest enables them. QEMU: `sriov_max_vfs` with the necessary queues
    /// and interrupts, and a `-device nvme-subsys`, which they require.
    #[serde(default)]
    virtual_functions: Option<At<u32>>,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum DeviceKind {
    /// QEMU's educational device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
    /// QEMU's NVMe controller, 1b36:0010, without a disk. QEMU cannot save it, so its
    /// guests always boot.
    Nvme,
}

/// Returns the machine of a file, or the first error in it.
fn convert(raw: RawMachine, path: &Utf8Path, text: &str) -> Result<Machine, InputError> {
    let file = File { path, text };
    file.range("cpus", &raw.cpus, 1, CPUS_MAX)?;
    file.range(
        "memory_mib",
        &raw.memory_mib,
        MEMORY_MIB_MIN,
        MEMORY_MIB_MAX,
    )?;
    if let Some(words) = &raw.kernel_arguments {
        file.kernel_arguments(words)?;
    }
    file.count(&raw.slots)?;
    file.names(&raw)?;
    let switches: Vec<&str> = raw
        .switches
        .iter()
        .map(|switch| &*switch.name.value)
        .collect();
    for slot in &raw.slots {
        file.switch(slot, &switches)?;
    }
    file.used(&raw)?;
    let slots = raw.slots.iter().map(|slot| file.slot(slot));
    Ok(Machine {
        name: path.file_stem().unwrap_or_default().to_owned(),
        slots: slots.collect::<Result<_, _>>()?,
        switches: switches.into_iter().map(str::to_owned).collect(),
        description: raw.description,
        kind: raw.kind,
        cpus: raw.cpus.value,
        memory_mib: raw.memory_mib.value,
        kernel_arguments: raw.kernel_arguments.map_or_else(String::new, |at| at.value),
        iommu: raw.iommu,
    })
}

/// The file, for the position of errors.
struct File<'a> {
    path: &'a Utf8Path,
    text: &'a str,
}

impl File<'_> {
    /// Returns an error at `place`, unless `holds`. A hint may be empty.
    fn require(
        &self,
        holds: bool,
        place: Place,
        message: String,
        hint: String,
    ) -> Result<(), InputError> {
        if holds {
            return Ok(());
        }
        let hint = (!hint.is_empty()).then_some(hint);
        let file = self.path.as_str();
        Err(InputError::new(file, self.text, place, message, hint))
    }

    fn range(&self, name: &str, value: &At<u32>, min: u32, max: u32) -> Result<(), InputError> {
        let message = format!("`{name}` is {}", value.value);
        let hint = format!("the valid range is {min} to {max}");
        let holds = (min..=max).contains(&value.value);
        self.require(holds, value.place, message, hint)
    }

    /// Checks for one line of printable ASCII, because the arguments are passed to QEMU and
    /// kexec.
    fn kernel_arguments(&self, words: &At<String>) -> Result<(), InputError> {
        let holds = is_kernel_arguments(&words.value);
        let message = "invalid characters or too many characters in the kernel arguments";
        let hint =
            format!("write printable ASCII on one line, at most {ARGUMENTS_CHARS_MAX} characters");
        self.require(holds, words.place, message.to_owned(), hint)
    }

    fn count(&self, slots: &[RawSlot]) -> Result<(), InputError> {
        let Some(RawSlot { name, .. }) = slots.get(SLOTS_MAX) else {
            return Ok(());
        };
        let message = format!("too many slots: `{}` is slot {}", name.value, SLOTS_MAX + 1);
        let hint = format!("a machine has at most {SLOTS_MAX} slots");
        self.require(false, name.place, message, hint)
    }

    /// Checks the names of slots and switches, which share a namespace as ids of QEMU's
    /// devices.
    fn names(&self, raw: &RawMachine) -> Result<(), InputError> {
        let switches = raw.switches.iter().map(|switch| &switch.name);
        let slots = raw.slots.iter().map(|slot| &slot.name);
        let all: Vec<&At<String>> = switches.chain(slots).collect();
        for (index, name) in all.iter().enumerate() {
            self.name(name)?;
            let is_new = all[..index].iter().all(|other| other.value != name.value);
            let message = format!("two slots or switches have the name `{}`", name.value);
            self.require(is_new, name.place, message, String::new())?;
        }
        Ok(())
    }

    fn name(&self, name: &At<String>) -> Result<(), InputError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let value = &name.value;
        let holds = value.starts_with(|first: char| first.is_ascii_lowercase())
            && value.chars().all(plain)
            && value.len() <= NAME_CHARS_MAX;
        let hint = format!(
            "use lowercase letters, digits and `-`, start with a letter, at most {NAME_CHARS_MAX} characters"
        );
        self.require(holds, name.place, format!("invalid name `{value}`"), hint)?;
        let message = format!("invalid name `{value}`: reserved for ports");
        let hint = format!("names must not start with `{PORT_PREFIX}`");
        self.require(!value.starts_with(PORT_PREFIX), name.place, message, hint)
    }

    fn switch(&self, slot: &RawSlot, known: &[&str]) -> Result<(), InputError> {
        let Some(name) = &slot.switch else {
            return Ok(());
        };
        let hint = match closest(&name.value, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if known.is_empty() => "add the switch to `switches:`".to_owned(),
            None => format!("valid names: {}", known.join(", ")),
        };
        let message = format!("unknown switch `{}`", name.value);
        self.require(known.contains(&&*name.value), name.place, message, hint)
    }

    /// Rejects a switch without slots, which is probably a mistake.
    fn used(&self, raw: &RawMachine) -> Result<(), InputError> {
        for At { value: name, place } in raw.switches.iter().map(|switch| &switch.name) {
            let mut switches = raw.slots.iter().filter_map(|slot| slot.switch.as_ref());
            let message = format!("switch `{name}` has no slot");
            let hint = format!("add `switch: {name}` to a slot, or remove the switch");
            self.require(switches.any(|at| at.value == *name), *place, message, hint)?;
        }
        Ok(())
    }

    fn slot(&self, slot: &RawSlot) -> Result<Slot, InputError> {
        let is_nvme = matches!(slot.device, Some(DeviceKind::Nvme));
        if let Some(number) = &slot.virtual_functions {
            let message = format!("slot `{}` cannot have virtual functions", slot.name.value);
            let hint = "`virtual_functions` requires `device: nvme`".to_owned();
            self.require(is_nvme, number.place, message, hint)?;
            self.range("virtual_functions", number, 1, VIRTUAL_FUNCTIONS_MAX)?;
        }
        Ok(Slot {
            name: slot.name.value.clone(),
            switch: slot.switch.as_ref().map(|name| name.value.clone()),
            device: slot.device.map(|kind| match kind {
                DeviceKind::Edu => Device::Edu,
                DeviceKind::Nvme => Device::Nvme {
                    virtual_functions: slot.virtual_functions.as_ref().map_or(0, |at| at.value),
                },
            }),
        })
    }
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
