// SPDX-License-Identifier: GPL-2.0-only
//! A machine's file as it is written. What is said here is what editors and
//! readers of the schema see, with the argument of QEMU that each field becomes.

use patchbed_host::yaml::At;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Iommu, MachineType};

/// A virtual machine for scenarios to run on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A machine of patchbed")]
pub(super) struct Machine {
    /// One line for people.
    #[serde(default)]
    pub(super) description: String,
    /// The chipset. QEMU: `-machine`.
    #[serde(rename = "type")]
    pub(super) kind: MachineType,
    /// Number of processors, at most 64. QEMU: `-smp`.
    pub(super) cpus: At<u32>,
    /// Memory in MiB, from 128 to 65536; a config may need more and then gets it.
    /// QEMU: `-m`.
    pub(super) memory_mib: At<u32>,
    /// Words for the command line of every kernel. QEMU: part of `-append`; later
    /// kernels get them with kexec.
    #[serde(default)]
    pub(super) kernel_arguments: Option<At<String>>,
    /// What stands between all devices and the memory; nothing if it is left out.
    /// QEMU: `-device intel-iommu`, before every other device.
    #[serde(default)]
    pub(super) iommu: Option<Iommu>,
    /// PCIe switches, each below a root port of its own. QEMU:
    /// `-device pcie-root-port` and below it `-device x3130-upstream`.
    #[serde(default)]
    pub(super) switches: Vec<Switch>,
    /// PCIe slots, at most 16. Root ports get their place on bus 0 in this order.
    #[serde(default)]
    pub(super) slots: Vec<Slot>,
}

/// A PCIe switch. Its name is that of its upstream port: whoever removes that
/// removes all that is behind the switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    /// Name by which slots and scenarios speak of it: small letters, digits and `-`.
    pub(super) name: At<String>,
}

/// A PCIe slot: a port that devices can be plugged into and taken out of. The port's
/// own name is `port-` and the slot's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    /// Name by which scenarios speak of it and of its device: small letters, digits
    /// and `-`.
    pub(super) name: At<String>,
    /// The switch that it is on. QEMU: `-device xio3130-downstream`; left out, the
    /// slot is a root port, `-device pcie-root-port`.
    #[serde(default)]
    pub(super) switch: Option<At<String>>,
    /// What is in it at boot, and is plugged in again after it was unplugged; nothing
    /// if it is left out. QEMU: `-device edu` or `-device nvme`.
    #[serde(default)]
    pub(super) device: Option<DeviceKind>,
    /// How many virtual functions the device can have, at most 7, only with `nvme`;
    /// they are there once the guest asks for them. QEMU: `sriov_max_vfs` and the
    /// resources for so many, and an `-device nvme-subsys`, without which there are none.
    #[serde(default)]
    pub(super) virtual_functions: Option<At<u32>>,
}

/// The kinds of devices.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DeviceKind {
    /// QEMU's teaching device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
    /// QEMU's NVMe controller, 1b36:0010, without a disk. QEMU cannot save it: guests
    /// with one always boot.
    Nvme,
}
