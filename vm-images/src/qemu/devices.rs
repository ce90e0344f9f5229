// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's arguments for ports and devices. A device that is plugged in later gets the same
//! properties through the monitor.

use std::fmt;

use serde_json::Value;

use crate::machine::{Device, Machine, Port, PortKind, Slot, port_id};

/// A device for QEMU: driver, id and properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceSpec {
    driver: &'static str,
    properties: Vec<(&'static str, Value)>,
}

impl DeviceSpec {
    fn new(driver: &'static str, id: &str) -> Self {
        let properties = vec![("id", Value::from(id))];
        Self { driver, properties }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    /// Returns the arguments of the monitor command `device_add`.
    pub(crate) fn to_json(&self) -> Value {
        let driver = std::iter::once(("driver", Value::from(self.driver)));
        let all = driver.chain(self.properties.iter().cloned());
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The value of `-device`. Names in machine files contain no comma.
impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.driver)?;
        for (name, value) in &self.properties {
            match value {
                Value::String(text) => write!(f, ",{name}={text}")?,
                other => write!(f, ",{name}={other}")?,
            }
        }
        Ok(())
    }
}

/// Returns all ports and devices of a machine, each after its parent.
pub(super) fn all(machine: &Machine) -> Vec<DeviceSpec> {
    let mut devices = Vec::new();
    let mut slots = 0;
    for port in machine.ports() {
        // QEMU requires unique numbers of slots and chassis.
        slots += u32::from(port.kind != PortKind::Upstream);
        devices.push(self::port(&port, slots));
        if let Some(slot) = port.slot() {
            devices.extend(subsystem(slot));
            devices.extend(device(slot));
        }
    }
    devices
}

/// Returns a port, from `slots` and `switches`.
fn port(port: &Port<'_>, slot: u32) -> DeviceSpec {
    let driver = match port.kind {
        PortKind::Root(_) | PortKind::RootOfSwitch => "pcie-root-port",
        PortKind::Upstream => "x3130-upstream",
        PortKind::Downstream(_) => "xio3130-downstream",
    };
    let spec = DeviceSpec::new(driver, &port.id).with("bus", port.parent_bus.as_str());
    match port.kind {
        PortKind::Upstream => spec,
        _ => spec
            // QEMU parses the number of a device on its bus as hexadecimal text.
            .with("addr", format!("{:#x}", port.address.device))
            .with("chassis", slot)
            .with("slot", slot),
    }
}

/// Returns the device of a slot, from `device` and `virtual_functions`.
pub(crate) fn device(slot: &Slot) -> Option<DeviceSpec> {
    let device = slot.device?;
    let spec = DeviceSpec::new(device.qemu_name(), &slot.name).with("bus", port_id(&slot.name));
    Some(match device {
        Device::Edu => spec,
        // The device requires a serial number; any text is accepted.
        Device::Nvme {
            virtual_functions: 0,
        } => spec.with("serial", slot.name.as_str()),
        // Each virtual function takes two queues, the minimum for a disk, and one interrupt
        // from the flexible resources of the controller.
        Device::Nvme { virtual_functions } => spec
            .with("serial", slot.name.as_str())
            .with("subsys", subsystem_id(slot))
            .with("sriov_max_vfs", virtual_functions)
            .with("sriov_vq_flexible", 2 * virtual_functions)
            .with("sriov_vi_flexible", virtual_functions),
    })
}

/// Returns the NVMe subsystem of a device with virtual functions. It stays when the device
/// is unplugged.
fn subsystem(slot: &Slot) -> Option<DeviceSpec> {
    let has_functions = slot.device?.virtual_functions() > 0;
    has_functions.then(|| DeviceSpec::new("nvme-subsys", &subsystem_id(slot)))
}

fn subsystem_id(slot: &Slot) -> String {
    format!("subsystem.{}", slot.name)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    /// Returns QEMU's arguments for the devices of a machine of this crate.
    fn device_arguments(name: &str) -> String {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/machines"));
        let machine = Machine::load(&folder.join(format!("{name}.yaml"))).unwrap();
        let lines = all(&machine).into_iter().map(|device| device.to_string());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn all_creates_three_kinds_of_ports_for_a_switch() {
        insta::assert_snapshot!(device_arguments("switch"), @r"
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
    fn all_creates_a_subsystem_for_virtual_functions() {
        insta::assert_snapshot!(device_arguments("sriov"), @r"
        pcie-root-port,id=port-endpoint0,bus=pcie.0,addr=0x4,chassis=1,slot=1
        nvme-subsys,id=subsystem.endpoint0
        nvme,id=endpoint0,bus=port-endpoint0,serial=endpoint0,subsys=subsystem.endpoint0,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4
        pcie-root-port,id=port-endpoint1,bus=pcie.0,addr=0x5,chassis=2,slot=2
        edu,id=endpoint1,bus=port-endpoint1
        ");
    }

    #[test]
    fn to_json_has_the_same_properties_as_the_command_line() {
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
