// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machines that scenarios can refer to, with their slots.

use std::collections::BTreeMap;

use camino::Utf8Path;
use vm_images::machine::Machine;
use vm_images::machine_file::MachineError;

/// The kernel argument that enables kmemleak.
pub(super) const KMEMLEAK: &str = "kmemleak=on";

/// The machines that scenarios can refer to, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machines(BTreeMap<String, Machine>);

impl Machines {
    /// Collects machines.
    pub fn of<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Self {
        let machines = machines.into_iter().cloned();
        Self(machines.map(|it| (it.name.clone(), it)).collect())
    }

    /// Reads all machines of a folder.
    ///
    /// # Errors
    ///
    /// Returns the first error in the file of a machine.
    pub fn load(folder: &Utf8Path) -> Result<Self, MachineError> {
        Ok(Self::of(Machine::load_all(folder)?.values()))
    }

    /// Returns the machines of this project.
    #[cfg(test)]
    pub(crate) fn project() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-images/machines");
        Self::load(Utf8Path::new(folder)).expect("the machines of this project are valid")
    }

    /// Returns all machines, sorted by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Machine> + Clone {
        self.0.values()
    }

    /// Returns the names of all machines, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.keys().map(String::as_str)
    }

    /// Returns the slots of a machine, in the order of its description.
    pub(crate) fn slots(&self, machine: &str) -> Option<Vec<String>> {
        let slots = self.0.get(machine)?.slots.iter();
        Some(slots.map(|slot| slot.name.clone()).collect())
    }

    /// Returns the names of the machines with kmemleak enabled, sorted.
    pub(super) fn with_kmemleak(&self) -> impl Iterator<Item = &str> {
        let enabled = self
            .all()
            .filter(|it| enables_kmemleak(&it.kernel_arguments));
        enabled.map(|machine| machine.name.as_str())
    }
}

/// Whether the last `kmemleak=` argument, which the kernel uses, enables kmemleak.
fn enables_kmemleak(arguments: &str) -> bool {
    let mut switches = arguments.split(' ').rev();
    switches.find(|word| word.starts_with("kmemleak=")) == Some(KMEMLEAK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enables_kmemleak_uses_the_last_argument() {
        for (arguments, expected) in [
            ("", false),
            ("kmemleak=on", true),
            ("oops=panic kmemleak=on quiet", true),
            ("kmemleak=on kmemleak=off", false),
            ("kmemleak=off kmemleak=on", true),
            ("nokmemleak=on", false),
        ] {
            assert_eq!(enables_kmemleak(arguments), expected, "{arguments}");
        }
    }
}
