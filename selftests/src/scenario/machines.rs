// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machines that scenarios can refer to, with their slots.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use vm_images::machine::Machine;
use vm_images::machine_file::MachineError;

/// The machine of scenarios without the key `machine`.
pub(super) const DEFAULT: &str = "edu-pair";
/// The kernel argument that enables kmemleak.
pub(super) const KMEMLEAK: &str = "kmemleak=on";

/// The machines that scenarios can refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machines {
    slots: BTreeMap<String, Vec<String>>,
    descriptions: BTreeMap<String, String>,
    /// The machines with kmemleak enabled on the kernel command line.
    with_kmemleak: BTreeSet<String>,
}

impl Machines {
    /// Collects names, slots and descriptions of machines.
    pub fn of<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Self {
        let mut known = Self::default();
        for machine in machines {
            let slots = machine.slots.iter().map(|slot| slot.name.clone());
            let name = &machine.name;
            known.slots.insert(name.clone(), slots.collect());
            known
                .descriptions
                .insert(name.clone(), machine.description.clone());
            if enables_kmemleak(&machine.kernel_arguments) {
                known.with_kmemleak.insert(name.clone());
            }
        }
        known
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

    /// Returns the names of all machines, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.slots.keys().map(String::as_str)
    }

    /// Returns the slots of a machine, in the order of its description.
    pub(super) fn slots(&self, machine: &str) -> Option<&[String]> {
        self.slots.get(machine).map(Vec::as_slice)
    }

    /// Returns whether a machine has kmemleak enabled.
    pub(super) fn has_kmemleak(&self, machine: &str) -> bool {
        self.with_kmemleak.contains(machine)
    }

    /// Returns the names of the machines with kmemleak enabled, sorted.
    pub(super) fn with_kmemleak(&self) -> impl Iterator<Item = &str> {
        self.with_kmemleak.iter().map(String::as_str)
    }

    /// Returns the description of a machine, in one line.
    pub(super) fn description(&self, machine: &str) -> Option<&str> {
        self.descriptions.get(machine).map(String::as_str)
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
