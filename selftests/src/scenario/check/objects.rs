// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects of a scenario: their kinds, and the boots in which their names are defined.

use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::names::{bad_identifier, device_parts};
use crate::scenario::{Device, Returns};
use crate::yaml::At;

/// Maximal number of slots of a scenario.
const SLOTS_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    DeviceFile,
    Memfd,
    File,
    Session,
    User,
    Process,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::DeviceFile => "device file",
            Self::Memfd => "memfd",
            Self::File => "file",
            Self::Session => "session",
            Self::User => "user",
            Self::Process => "process",
        }
    }
}

/// The kinds of objects that can be read, written and preserved.
pub(super) const FILES: &[Kind] = &[Kind::DeviceFile, Kind::Memfd, Kind::File];

impl Checker<'_> {
    pub(super) fn declare_device(&mut self, name: &At<String>) -> Checked<()> {
        let Some((slot, function)) = device_parts(&name.value) else {
            let hint = "use a slot (`endpoint0`) or a virtual function of it (`endpoint0.vf1`)";
            let message = format!("invalid device `{}`", name.value);
            return Err(self.wrong(name.place, message, Some(hint.to_owned())));
        };
        let (machine, slots) = &self.machine;
        if !slots.iter().any(|known| known == slot) {
            let hint = format!("slots of this machine: {}", slots.join(", "));
            let message = format!("the machine `{machine}` has no slot `{slot}`");
            return Err(self.wrong(name.place, message, Some(hint)));
        }
        let known = self.devices.iter().find(|known| known.slot == slot);
        let used = self.devices.iter().map(|known| known.index + 1).max();
        let index = known.map_or(used.unwrap_or(0), |known| known.index);
        if index >= SLOTS_MAX {
            let message = format!("too many slots in `devices`: maximum {SLOTS_MAX}");
            return Err(self.wrong(name.place, message, None));
        }
        self.devices.push(Device {
            slot: slot.to_owned(),
            function,
            index,
        });
        Ok(())
    }

    pub(super) fn device(&self, name: &At<String>) -> Checked<Device> {
        let names: Vec<String> = self.devices.iter().map(ToString::to_string).collect();
        let found = names.iter().position(|known| *known == name.value);
        found
            .map(|index| self.devices[index].clone())
            .ok_or_else(|| self.unknown("device", name, names.iter().map(String::as_str)))
    }

    /// Defines a new object, unless the action must fail.
    pub(super) fn make(
        &mut self,
        name: Option<At<String>>,
        place: Place,
        kind: Kind,
        returns: &Returns,
    ) -> Checked<String> {
        let name = self.need(name, place, "as")?;
        if let Some(reason) = bad_identifier(&name.value) {
            return Err(self.wrong(name.place, reason, None));
        }
        if matches!(returns, Returns::Errno(_)) {
            return Ok(name.value);
        }
        // The name of a closed object, or of an object of an earlier boot.
        let is_free = !self.in_boot.contains(&name.value);
        let is_reused = is_free && self.objects.get(&name.value) == Some(&kind);
        if self.objects.contains_key(&name.value) && !is_reused {
            let message = format!("duplicate name `{}`", name.value);
            return Err(self.wrong(name.place, message, None));
        }
        self.objects.insert(name.value.clone(), kind);
        self.closed.retain(|closed| *closed != name.value);
        self.in_boot.push(name.value.clone());
        Ok(name.value)
    }

    /// Looks up an object that exists in this boot and is of one of `kinds`.
    pub(super) fn object(&self, name: &At<String>, kinds: &[Kind]) -> Checked<String> {
        let fits = |known: &&String| {
            self.objects
                .get(*known)
                .is_some_and(|kind| kinds.contains(kind))
        };
        let known: Vec<&str> = self
            .in_boot
            .iter()
            .filter(fits)
            .map(String::as_str)
            .collect();
        if known.contains(&name.value.as_str()) {
            return Ok(name.value.clone());
        }
        let words: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        let words = words.join(" or ");
        match self.objects.get(&name.value) {
            Some(kind) if !kinds.contains(kind) => {
                let message = format!("`{}` is a {}, not a {words}", name.value, kind.word());
                Err(self.wrong(name.place, message, None))
            }
            Some(_) if self.closed.contains(&name.value) => {
                let message = format!("`{}` was closed by an earlier step", name.value);
                Err(self.wrong(name.place, message, None))
            }
            Some(_) => {
                let hint = Some("retrieve it in this boot first".to_owned());
                let message = format!(
                    "`{}` belongs to an earlier boot or to a process",
                    name.value
                );
                Err(self.wrong(name.place, message, hint))
            }
            None => Err(self.unknown(&words, name, known)),
        }
    }

    pub(super) fn session(
        &self,
        name: Option<At<String>>,
        place: Place,
        key: &str,
    ) -> Checked<String> {
        let name = self.need(name, place, key)?;
        self.object(&name, &[Kind::Session])
    }

    /// Checks the name of an object that was handed over by an earlier boot. If the action
    /// must fail, any valid name is accepted.
    pub(super) fn handed_over(
        &mut self,
        name: &At<String>,
        boot: usize,
        kinds: &[Kind],
        returns: &Returns,
    ) -> Checked<()> {
        if matches!(returns, Returns::Errno(_)) {
            return match bad_identifier(&name.value) {
                None => Ok(()),
                Some(reason) => Err(self.wrong(name.place, reason, None)),
            };
        }
        if boot == 1 {
            let message = "the first boot has no previous boot to retrieve objects from";
            return Err(self.wrong(name.place, message, None));
        }
        let fits = |kind: &Kind| kinds.contains(kind);
        if !self.objects.get(&name.value).is_some_and(fits) {
            let of_kind = self.objects.iter().filter(|(_, kind)| fits(kind));
            let known: Vec<&str> = of_kind.map(|(name, _)| name.as_str()).collect();
            return Err(self.unknown("object of an earlier boot", name, known));
        }
        Ok(())
    }

    /// Defines an object of an earlier boot in this boot.
    pub(super) fn take_over(&mut self, name: &str) {
        if !self.in_boot.iter().any(|known| known == name) {
            self.in_boot.push(name.to_owned());
        }
    }

    /// Removes an object that a process has taken over.
    pub(super) fn give_away(&mut self, name: &str) {
        self.in_boot.retain(|known| known != name);
    }

    /// Removes a closed object. Its name can be reused.
    pub(super) fn close(&mut self, name: &str) {
        self.give_away(name);
        self.closed.push(name.to_owned());
    }

    /// The token of a file: as given, or the index of its name among all files, from 1.
    pub(super) fn token(&mut self, file: &str, given: Option<At<u64>>) -> u64 {
        if let Some(given) = given {
            return given.value;
        }
        let known = self.tokens.iter().position(|known| known == file);
        let rank = known.unwrap_or_else(|| {
            self.tokens.push(file.to_owned());
            self.tokens.len() - 1
        });
        rank as u64 + 1
    }
}
