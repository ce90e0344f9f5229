// SPDX-License-Identifier: GPL-2.0-only
//! What scenarios know of machines: their names, and those of their slots.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use vm_images::machine::{Machine, MachineError};

/// The machine of a scenario that names none.
pub(super) const DEFAULT: &str = "edu-pair";
/// What a kernel is told that is to look for lost memory.
pub(super) const KMEMLEAK: &str = "kmemleak=on";

/// The machines that scenarios may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machines {
    slots: BTreeMap<String, Vec<String>>,
    descriptions: BTreeMap<String, String>,
    /// Those whose kernel looks for lost memory, where it can.
    finding_leaks: BTreeSet<String>,
}

impl Machines {
    /// Returns these machines, as scenarios see them.
    pub fn of<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Self {
        let mut known = Self::default();
        for machine in machines {
            let slots = machine.slots.iter().map(|slot| slot.name.clone());
            let name = &machine.name;
            known.slots.insert(name.clone(), slots.collect());
            known
                .descriptions
                .insert(name.clone(), machine.description.clone());
            if finds_leaks(&machine.kernel_arguments) {
                known.finding_leaks.insert(name.clone());
            }
        }
        known
    }

    /// Reads all machines of a folder.
    ///
    /// # Errors
    ///
    /// Returns the first mistake in a machine's file.
    pub fn load(folder: &Utf8Path) -> Result<Self, MachineError> {
        Ok(Self::of(Machine::load_all(folder)?.values()))
    }

    /// Returns the project's own machines.
    #[cfg(test)]
    pub(crate) fn project() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-images/machines");
        Self::load(Utf8Path::new(folder)).expect("the project's machines are right")
    }

    /// Returns the names of all machines, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.slots.keys().map(String::as_str)
    }

    /// Returns the slots of a machine, in its order.
    pub(super) fn slots(&self, machine: &str) -> Option<&[String]> {
        self.slots.get(machine).map(Vec::as_slice)
    }

    /// Returns whether lost memory is looked for on a machine.
    pub(super) fn finds_leaks(&self, machine: &str) -> bool {
        self.finding_leaks.contains(machine)
    }

    /// Returns the names of the machines on which lost memory is looked for, sorted.
    pub(super) fn finding_leaks(&self) -> impl Iterator<Item = &str> {
        self.finding_leaks.iter().map(String::as_str)
    }

    /// Returns what a machine is, in a line.
    pub(super) fn description(&self, machine: &str) -> Option<&str> {
        self.descriptions.get(machine).map(String::as_str)
    }
}

/// Of several words that switch it, the kernel heeds the last.
fn finds_leaks(arguments: &str) -> bool {
    let mut switches = arguments.split(' ').rev();
    switches.find(|word| word.starts_with("kmemleak=")) == Some(KMEMLEAK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_switches_kmemleak() {
        for (arguments, finds) in [
            ("", false),
            ("kmemleak=on", true),
            ("oops=panic kmemleak=on quiet", true),
            ("kmemleak=on kmemleak=off", false),
            ("kmemleak=off kmemleak=on", true),
            ("nokmemleak=on", false),
        ] {
            assert_eq!(finds_leaks(arguments), finds, "{arguments}");
        }
    }
}
