// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hardware of a virtual machine, and its PCI topology: ports, their parents, and the
//! addresses that firmware and kernel assign. Both number buses depth first, in the order
//! of the ports' device numbers. `machine_file` reads machines from files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;

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

    /// Returns the architecture of its guests.
    pub fn arch(self) -> Arch {
        match self {
            Self::Q35 => Arch::X86_64,
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

/// Prefix of a port's name, before the name of its slot.
pub(crate) const PORT_PREFIX: &str = "port-";

/// Device number of the first root port on bus 0; the others follow.
const FIRST_ROOT_PORT: u32 = 0x04;

/// The address of a PCI function, in domain 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) bus: u32,
    pub(crate) device: u32,
    pub(crate) function: u32,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            bus,
            device,
            function,
        } = self;
        write!(f, "0000:{bus:02x}:{device:02x}.{function}")
    }
}

/// A PCIe port or the upstream port of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port<'a> {
    /// QEMU's id of the port.
    pub(crate) id: String,
    /// QEMU's id of the bus with the port.
    pub(crate) parent_bus: String,
    /// Address of the port.
    pub(crate) address: Address,
    /// Number of the bus below the port.
    pub(crate) bus_below: u32,
    /// Kind of the port.
    pub(crate) kind: PortKind<'a>,
}

/// The kind of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortKind<'a> {
    /// A root port that is a slot.
    Root(&'a Slot),
    /// A root port above a switch.
    RootOfSwitch,
    /// The upstream port of a switch.
    Upstream,
    /// A downstream port of a switch, which is a slot.
    Downstream(&'a Slot),
}

impl<'a> Port<'a> {
    /// Returns the slot of the port, if it is a slot.
    pub(crate) fn slot(&self) -> Option<&'a Slot> {
        match self.kind {
            PortKind::Root(slot) | PortKind::Downstream(slot) => Some(slot),
            PortKind::RootOfSwitch | PortKind::Upstream => None,
        }
    }

    /// Returns the address of the device below the port.
    fn device_address(&self) -> Address {
        Address {
            bus: self.bus_below,
            device: 0,
            function: 0,
        }
    }
}

impl Machine {
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

    /// Returns all ports and switches, in the order of their buses.
    pub(crate) fn ports(&self) -> Vec<Port<'_>> {
        let mut ports = Vec::new();
        let mut place = FIRST_ROOT_PORT;
        let mut added: Vec<&str> = Vec::new();
        for slot in &self.slots {
            match slot.switch.as_deref() {
                // A switch takes the device number of its first slot.
                Some(switch) if added.contains(&switch) => continue,
                Some(switch) => {
                    added.push(switch);
                    self.add_switch(switch, place, &mut ports);
                }
                None => ports.push(Port {
                    id: port_id(&slot.name),
                    parent_bus: "pcie.0".to_owned(),
                    address: on_bus(0, place),
                    bus_below: next_bus(&ports),
                    kind: PortKind::Root(slot),
                }),
            }
            place += 1;
        }
        ports
    }

    fn add_switch<'a>(&'a self, switch: &str, place: u32, ports: &mut Vec<Port<'a>>) {
        let bus = next_bus(ports);
        ports.push(Port {
            id: port_id(switch),
            parent_bus: "pcie.0".to_owned(),
            address: on_bus(0, place),
            bus_below: bus,
            kind: PortKind::RootOfSwitch,
        });
        ports.push(Port {
            id: switch.to_owned(),
            parent_bus: port_id(switch),
            address: on_bus(bus, 0),
            bus_below: bus + 1,
            kind: PortKind::Upstream,
        });
        let slots = self.slots.iter();
        let below = slots.filter(|slot| slot.switch.as_deref() == Some(switch));
        for (place, slot) in (0..).zip(below) {
            ports.push(Port {
                id: port_id(&slot.name),
                parent_bus: switch.to_owned(),
                address: on_bus(bus + 1, place),
                bus_below: next_bus(ports),
                kind: PortKind::Downstream(slot),
            });
        }
    }

    fn port_of(&self, slot: &str) -> Option<Port<'_>> {
        let mut ports = self.ports().into_iter();
        ports.find(|port| port.slot().is_some_and(|found| found.name == slot))
    }

    /// Returns the PCI address that firmware and kernel assign to a device, named by its
    /// slot (`endpoint0`), or to a virtual function, counted from 0 (`endpoint0.vf0`).
    pub fn pci_address(&self, device: &str) -> Option<String> {
        let Some((slot, function)) = device.split_once('.') else {
            return Some(self.port_of(device)?.device_address().to_string());
        };
        let number: u32 = function.strip_prefix("vf")?.parse().ok()?;
        let port = self.port_of(slot)?;
        let count = port.slot()?.device?.virtual_functions();
        // QEMU's NVMe controller places its virtual functions after function 0.
        let address = Address {
            function: 1 + number,
            ..port.device_address()
        };
        (number < count && function == format!("vf{number}")).then(|| address.to_string())
    }

    /// Returns the names of all devices and their virtual functions.
    pub fn device_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for slot in &self.slots {
            if let Some(device) = slot.device {
                let name = &slot.name;
                names.push(name.clone());
                names.extend((0..device.virtual_functions()).map(|n| format!("{name}.vf{n}")));
            }
        }
        names
    }

    /// Returns the names of all bridges that can be removed: the port of each slot
    /// (`port-endpoint0`), and the switches.
    pub fn bridge_names(&self) -> Vec<String> {
        let ports = self.ports().into_iter();
        ports
            .filter(|port| port.kind != PortKind::RootOfSwitch)
            .map(|port| port.id)
            .collect()
    }

    /// Returns the PCI address of a bridge: `port-endpoint0` is the port of a slot; a
    /// switch's name refers to its upstream port.
    pub fn bridge_address(&self, bridge: &str) -> Option<String> {
        let mut ports = self.ports().into_iter();
        let found = ports.find(|port| port.id == bridge && port.kind != PortKind::RootOfSwitch)?;
        Some(found.address.to_string())
    }

    /// Returns the PCI address of the port above a slot's device.
    pub fn port_address(&self, slot: &str) -> Option<String> {
        Some(self.port_of(slot)?.address.to_string())
    }

    /// Returns the PCI address of the upstream port of a slot's switch; `None` if the slot
    /// is a root port.
    pub fn switch_address(&self, slot: &str) -> Option<String> {
        self.bridge_address(self.slot(slot)?.switch.as_deref()?)
    }

    /// Returns the slot and the port of the device with this full address.
    pub(crate) fn slot_at(&self, address: &str) -> Option<(&Slot, Port<'_>)> {
        let ports = self.ports().into_iter();
        ports
            .filter(|port| port.device_address().to_string() == address)
            .find_map(|port| Some((port.slot()?, port)))
    }
}

/// Returns QEMU's id of the port of a slot, or of the root port of a switch.
pub(crate) fn port_id(name: &str) -> String {
    format!("{PORT_PREFIX}{name}")
}

fn on_bus(bus: u32, device: u32) -> Address {
    Address {
        bus,
        device,
        function: 0,
    }
}

/// Returns the number of the next bus.
fn next_bus(ports: &[Port<'_>]) -> u32 {
    1 + ports.iter().map(|port| port.bus_below).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    /// Returns a machine of this crate.
    fn machine(name: &str) -> Machine {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/machines"));
        Machine::load(&folder.join(format!("{name}.yaml"))).unwrap()
    }

    /// Returns all addresses, in the order of the buses.
    fn map(machine: &Machine) -> String {
        let lines = machine.ports().into_iter().map(|port| {
            let below = port.slot().map(|slot| {
                let address = machine.pci_address(&slot.name).unwrap();
                assert_eq!(machine.slot_at(&address).unwrap().0, slot);
                format!(" > {address} {}", slot.name)
            });
            format!("{} {}{}", port.address, port.id, below.unwrap_or_default())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn root_ports_have_consecutive_buses() {
        insta::assert_snapshot!(map(&machine("edu-pair")), @r"
        0000:00:04.0 port-endpoint0 > 0000:01:00.0 endpoint0
        0000:00:05.0 port-endpoint1 > 0000:02:00.0 endpoint1
        ");
        assert_eq!(machine("edu-pair").pci_address("endpoint2"), None);
        assert_eq!(machine("edu-pair").switch_address("endpoint0"), None);
    }

    #[test]
    fn switch_ports_are_numbered_depth_first() {
        let switch = machine("switch");
        insta::assert_snapshot!(map(&switch), @r"
        0000:00:04.0 port-switch0
        0000:01:00.0 switch0
        0000:02:00.0 port-endpoint0 > 0000:03:00.0 endpoint0
        0000:02:01.0 port-endpoint1 > 0000:04:00.0 endpoint1
        0000:00:05.0 port-endpoint2 > 0000:05:00.0 endpoint2
        ");
        let above = |slot| (switch.port_address(slot), switch.switch_address(slot));
        let known = |address: &str| Some(address.to_owned());
        assert_eq!(
            above("endpoint1"),
            (known("0000:02:01.0"), known("0000:01:00.0"))
        );
        assert_eq!(above("endpoint2"), (known("0000:00:05.0"), None));
        assert_eq!(switch.bridge_address("switch0"), known("0000:01:00.0"));
        // The root port above a switch has no public name.
        assert_eq!(switch.bridge_address("port-switch0"), None);
        assert_eq!(
            switch.bridge_names(),
            [
                "switch0",
                "port-endpoint0",
                "port-endpoint1",
                "port-endpoint2"
            ]
        );
    }

    #[test]
    fn virtual_functions_follow_their_device() {
        let sriov = machine("sriov");
        let address = |name| sriov.pci_address(name);
        assert_eq!(address("endpoint0.vf0").as_deref(), Some("0000:01:00.1"));
        assert_eq!(address("endpoint0.vf3").as_deref(), Some("0000:01:00.4"));
        for invalid in [
            "endpoint0.vf4",
            "endpoint0.vf+1",
            "endpoint0.vf",
            "endpoint1.vf0",
            "endpoint0.",
        ] {
            assert_eq!(address(invalid), None, "{invalid}");
        }
        assert_eq!(sriov.device_names().len(), 6);
    }
}
