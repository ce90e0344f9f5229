// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine file as written. The doc comments are the descriptions in the JSON schema,
//! and name QEMU's argument for each field.

use patchbed_host::yaml::At;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Iommu, MachineType};

/// A virtual machine for scenarios.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Virtual machine")]
pub(super) struct Machine {
    /// One line, as shown to the user.
    #[serde(default)]
    pub(super) description: String,
    /// The chipset. QEMU: `-machine`.
    #[serde(rename = "type")]
    pub(super) kind: MachineType,
    /// Number of processors, at most 64. QEMU: `-smp`.
    pub(super) cpus: At<u32>,
    /// Memory in MiB, from 128 to 65536; increased if a config needs more. QEMU: `-m`.
    pub(super) memory_mib: At<u32>,
    /// Arguments for the command line of every kernel. QEMU: part of `-append`; later
    /// kernels get them with kexec.
    #[serde(default)]
    pub(super) kernel_arguments: Option<At<String>>,
    /// The IOMMU in front of all devices; the default is no IOMMU. QEMU: `-device
    /// intel-iommu`, before every other device.
    #[serde(default)]
    pub(super) iommu: Option<Iommu>,
    /// PCIe switches, each below a root port of its own. QEMU: `-device pcie-root-port` and
    /// below it `-device x3130-upstream`.
    #[serde(default)]
    pub(super) switches: Vec<Switch>,
    /// PCIe slots, at most 16. Root ports get their device numbers on bus 0 in this order.
    #[serde(default)]
    pub(super) slots: Vec<Slot>,
}

/// A PCIe switch. Its name refers to its upstream port; removal of that port removes all
/// devices behind the switch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    /// Name that slots and scenarios use: lowercase letters, digits and `-`.
    pub(super) name: At<String>,
}

/// A PCIe slot: a port into which a device can be plugged. The name of the port is `port-`
/// followed by the slot's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    /// Name that scenarios use for the slot and its device: lowercase letters, digits and
    /// `-`.
    pub(super) name: At<String>,
    /// The switch of the slot. QEMU: `-device xio3130-downstream`; without a switch, the
    /// slot is a root port, `-device pcie-root-port`.
    #[serde(default)]
    pub(super) switch: Option<At<String>>,
    /// The device at boot, which is plugged in again after an unplug; the default is an
    /// empty slot. QEMU: `-device edu` or `-device nvme`.
    #[serde(default)]
    pub(super) device: Option<DeviceKind>,
    /// Maximum number of virtual functions of the device, at most 7, only with `nvme`. They
    /// exist when the guest enables them. QEMU: `sriov_max_vfs` with the necessary queues
    /// and interrupts, and a `-device nvme-subsys`, which they require.
    #[serde(default)]
    pub(super) virtual_functions: Option<At<u32>>,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DeviceKind {
    /// QEMU's educational device, 1234:11e8: registers, an interrupt, DMA.
    Edu,
    /// QEMU's NVMe controller, 1b36:0010, without a disk. QEMU cannot save it, so its
    /// guests always boot.
    Nvme,
}
