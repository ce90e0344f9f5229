// SPDX-License-Identifier: GPL-2.0-only
//! What QEMU is told about ports and devices, each from the field of the machine that
//! it says. A device that is plugged in later is told of in the same words.

use std::fmt;

use serde_json::{Map, Value};

use crate::machine::{Device, Machine, Port, PortKind, Slot, port_id};

/// A device as QEMU is told of it: its driver, its id and its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceSpec {
    driver: &'static str,
    properties: Vec<(&'static str, Property)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Property {
    Text(String),
    Number(u32),
    /// A place on a bus, which QEMU reads as hexadecimal text.
    Place(u32),
}

impl DeviceSpec {
    fn new(driver: &'static str, id: &str) -> Self {
        let properties = vec![("id", Property::Text(id.to_owned()))];
        Self { driver, properties }
    }

    fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((name, Property::Text(value.into())));
        self
    }

    fn number(mut self, name: &'static str, value: u32) -> Self {
        self.properties.push((name, Property::Number(value)));
        self
    }

    fn place(mut self, value: u32) -> Self {
        self.properties.push(("addr", Property::Place(value)));
        self
    }

    /// Returns the arguments of the monitor's `device_add`.
    pub(crate) fn to_json(&self) -> Value {
        let driver = ("driver".to_owned(), Value::from(self.driver));
        let properties = self.properties.iter().map(|(name, value)| {
            let value = match value {
                Property::Number(number) => Value::from(*number),
                other => Value::from(other.to_string()),
            };
            ((*name).to_owned(), value)
        });
        Value::Object(Map::from_iter(std::iter::once(driver).chain(properties)))
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Place(place) => write!(f, "{place:#x}"),
        }
    }
}

/// As the value of `-device`. Names of machines have no comma in them.
impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.driver)?;
        for (name, value) in &self.properties {
            write!(f, ",{name}={value}")?;
        }
        Ok(())
    }
}

/// Returns all ports and devices of a machine, each after what it is plugged into.
pub(super) fn all(machine: &Machine) -> Vec<DeviceSpec> {
    let mut devices = Vec::new();
    let mut slots = 0;
    for port in machine.ports() {
        // No two slots of a machine may have the same number, nor two chassis.
        slots += u32::from(port.kind != PortKind::Upstream);
        devices.push(self::port(&port, slots));
        if let Some(slot) = port.slot() {
            devices.extend(subsystem(slot));
            devices.extend(device(slot));
        }
    }
    devices
}

/// From `slots` and `switches`: their ports.
fn port(port: &Port<'_>, slot: u32) -> DeviceSpec {
    let driver = match port.kind {
        PortKind::Root(_) | PortKind::RootOfSwitch => "pcie-root-port",
        PortKind::Upstream => "x3130-upstream",
        PortKind::Downstream(_) => "xio3130-downstream",
    };
    let spec = DeviceSpec::new(driver, &port.id).text("bus", &port.on);
    match port.kind {
        PortKind::Upstream => spec,
        _ => spec
            .place(port.address.device)
            .number("chassis", slot)
            .number("slot", slot),
    }
}

/// From a slot's `device` and `virtual_functions`: what is in it, if anything is.
pub(crate) fn device(slot: &Slot) -> Option<DeviceSpec> {
    let device = slot.device?;
    let spec = DeviceSpec::new(device.qemu_name(), &slot.name).text("bus", port_id(&slot.name));
    Some(match device {
        Device::Edu => spec,
        // It must have a serial number, whatever that is.
        Device::Nvme {
            virtual_functions: 0,
        } => spec.text("serial", &slot.name),
        // Each virtual function takes two queues, as many as a disk needs to be used,
        // and one interrupt, of those that are not tied to the device itself.
        Device::Nvme { virtual_functions } => spec
            .text("serial", &slot.name)
            .text("subsys", subsystem_id(slot))
            .number("sriov_max_vfs", virtual_functions)
            .number("sriov_vq_flexible", 2 * virtual_functions)
            .number("sriov_vi_flexible", virtual_functions),
    })
}

/// From a slot's `virtual_functions`: what they and their device have in common. It
/// stays when the device is taken out.
fn subsystem(slot: &Slot) -> Option<DeviceSpec> {
    let has_some = slot.device?.virtual_functions() > 0;
    has_some.then(|| DeviceSpec::new("nvme-subsys", &subsystem_id(slot)))
}

fn subsystem_id(slot: &Slot) -> String {
    format!("subsystem.{}", slot.name)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    /// Returns what QEMU is told of the devices of one of the machines here.
    fn told(name: &str) -> String {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/machines"));
        let machine = Machine::load(&folder.join(format!("{name}.yaml"))).unwrap();
        let lines = all(&machine).into_iter().map(|device| device.to_string());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_switch_is_three_kinds_of_ports() {
        insta::assert_snapshot!(told("switch"), @r"
        pcie-root-port,id=port-switch0,bus=pcie.0,addr=0x4,chassis=1,slot=1
        x3130-upstream,id=switch0,bus=port-switch0
        xio3130-downstream,id=port-endpoint0,bus=switch0,addr=0x0,chassis=2,slot=2
        edu,id=endpoint0,bus=port-endpoint0
        xio3130-downstream,id=port-endpoint1,bus=switch0,addr=0x1,chassis=3,slot=3
        edu,id=endpoint1,bus=port-endpoint1
        pcie-root-port,id=port-endpoint2,bus=pcie.0,addr=0x5,chassis=4,slot=4
        edu,id=endpoint2,bus=port-endpoint2
        ");
    }

    #[test]
    fn virtual_functions_need_a_subsystem_and_resources() {
        insta::assert_snapshot!(told("sriov"), @r"
        pcie-root-port,id=port-endpoint0,bus=pcie.0,addr=0x4,chassis=1,slot=1
        nvme-subsys,id=subsystem.endpoint0
        nvme,id=endpoint0,bus=port-endpoint0,serial=endpoint0,subsys=subsystem.endpoint0,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4
        pcie-root-port,id=port-endpoint1,bus=pcie.0,addr=0x5,chassis=2,slot=2
        edu,id=endpoint1,bus=port-endpoint1
        ");
    }

    #[test]
    fn a_device_is_plugged_in_again_in_the_same_words() {
        let slot = Slot {
            name: "endpoint0".to_owned(),
            switch: None,
            device: Some(Device::Nvme {
                virtual_functions: 2,
            }),
        };
        insta::assert_snapshot!(
            device(&slot).unwrap().to_json(),
            @r#"{"bus":"port-endpoint0","driver":"nvme","id":"endpoint0","serial":"endpoint0","sriov_max_vfs":2,"sriov_vi_flexible":2,"sriov_vq_flexible":4,"subsys":"subsystem.endpoint0"}"#
        );
    }
}
