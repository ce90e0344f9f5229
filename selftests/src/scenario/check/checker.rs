// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a check: the parameters of the variant, the devices, and the objects with the
//! boots in which their names are defined.

use std::collections::BTreeMap;

use crate::input::{InputError, Place, closest};
use crate::scenario::language::Language;
use crate::scenario::machines::Machines;
use crate::scenario::model::Returns;
use crate::scenario::names::{bad_identifier, device_parts};
use crate::scenario::operation::Device;
use crate::scenario::parameters::Values;
use crate::scenario::raw::RawValues;
use crate::scenario::verb::ObjectKind;
use crate::yaml::At;

/// Maximal number of slots of a scenario.
const SLOTS_MAX: usize = 8;

/// The state of the check while the steps are processed in order.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
    pub(super) language: &'a Language,
    /// The value of each parameter.
    pub(super) values: Values,
    pub(super) machines: &'a Machines,
    /// All possible values of each parameter.
    pub(super) parameters: BTreeMap<String, Vec<String>>,
    /// Name and slots of the machine.
    pub(super) machine: (String, Vec<String>),
    pub(super) devices: Vec<Device>,
    /// The number of the boot, from 1.
    pub(super) boot: usize,
    /// All objects of the scenario in all boots, with their kinds.
    pub(super) objects: BTreeMap<String, ObjectKind>,
    /// The objects that are usable in this boot.
    pub(super) in_boot: Vec<String>,
    /// Closed objects, whose names can be reused.
    pub(super) closed: Vec<String>,
    pub(super) tokens: Vec<String>,
}

pub(super) type Checked<T> = Result<T, InputError>;

impl<'a> Checker<'a> {
    pub(super) fn wrong(
        &self,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> InputError {
        InputError::new(self.file, self.text, place, message, hint)
    }

    /// Returns an error unless the condition holds.
    pub(super) fn require(
        &self,
        holds: bool,
        place: Place,
        message: impl Into<String>,
    ) -> Checked<()> {
        match holds {
            true => Ok(()),
            false => Err(self.wrong(place, message, None)),
        }
    }

    /// Returns an error with a hint unless the condition holds.
    pub(super) fn require_or(
        &self,
        holds: bool,
        place: Place,
        message: &str,
        hint: &str,
    ) -> Checked<()> {
        match holds {
            true => Ok(()),
            false => Err(self.wrong(place, message, Some(hint.to_owned()))),
        }
    }

    /// Returns an error if a name cannot be used, for this reason.
    pub(super) fn fit(&self, place: Place, reason: Option<String>) -> Checked<()> {
        self.require(reason.is_none(), place, reason.unwrap_or_default())
    }

    pub(super) fn unknown<'k>(
        &self,
        noun: &str,
        name: &At<String>,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> InputError {
        let hint = closest(&name.value, known.clone())
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| {
                let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
                (!known.is_empty()).then(|| format!("valid here: {}", known.join(", ")))
            });
        self.wrong(name.place, format!("unknown {noun} `{}`", name.value), hint)
    }

    pub(super) fn need<T>(&self, value: Option<T>, place: Place, key: &str) -> Checked<T> {
        value.ok_or_else(|| {
            let argument = self.language.argument(key);
            let about = argument.map(|argument| format!("`{key}`: {}", argument.summary()));
            self.wrong(place, format!("missing key `{key}`"), about)
        })
    }

    /// Whether a `when` holds for the parameter values of this variant.
    pub(super) fn is_when(&self, when: &BTreeMap<String, At<RawValues>>) -> Checked<bool> {
        let mut holds = true;
        for (name, wanted) in when {
            let (place, wanted) = (wanted.place, &wanted.value);
            let Some((_, value)) = self.values.iter().find(|(known, _)| known == name) else {
                let known = self.values.iter().map(|(known, _)| known.as_str());
                let name = At {
                    value: name.clone(),
                    place,
                };
                return Err(self.unknown("parameter", &name, known));
            };
            let known = self.parameters.get(name).map_or(&[][..], Vec::as_slice);
            let mut all = wanted.all().into_iter();
            if let Some(value) = all.find(|value| !known.contains(value)) {
                let value = At { value, place };
                let known = known.iter().map(String::as_str);
                let noun = format!("value of the parameter `{name}`:");
                return Err(self.unknown(&noun, &value, known));
            }
            holds &= wanted.contains(value);
        }
        Ok(holds)
    }

    pub(super) fn declare_device(&mut self, name: &At<String>) -> Checked<()> {
        let Some((slot, function)) = device_parts(&name.value) else {
            let hint = "use a slot (`endpoint0`) or a virtual function of it (`endpoint0.vf1`)";
            let message = format!("invalid device `{}`", name.value);
            return Err(self.wrong(name.place, message, Some(hint.to_owned())));
        };
        let (machine, slots) = &self.machine;
        let message = format!("the machine `{machine}` has no slot `{slot}`");
        let hint = format!("slots of this machine: {}", slots.join(", "));
        self.require_or(
            slots.iter().any(|it| it == slot),
            name.place,
            &message,
            &hint,
        )?;
        let known = self.devices.iter().find(|known| known.slot == slot);
        let used = self.devices.iter().map(|known| known.index + 1).max();
        let index = known.map_or(used.unwrap_or(0), |known| known.index);
        let message = format!("too many slots in `devices`: maximum {SLOTS_MAX}");
        self.require(index < SLOTS_MAX, name.place, message)?;
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
        name: &At<String>,
        kind: &ObjectKind,
        returns: &Returns,
    ) -> Checked<String> {
        self.fit(name.place, bad_identifier(&name.value))?;
        if matches!(returns, Returns::Errno(_)) {
            return Ok(name.value.clone());
        }
        // The name of a closed object, or of an object of an earlier boot.
        let is_free = !self.in_boot.contains(&name.value);
        let known = self.objects.get(&name.value);
        let is_reused = is_free && known == Some(kind);
        let message = format!("duplicate name `{}`", name.value);
        self.require(known.is_none() || is_reused, name.place, message)?;
        self.objects.insert(name.value.clone(), kind.clone());
        self.closed.retain(|closed| *closed != name.value);
        self.in_boot.push(name.value.clone());
        Ok(name.value.clone())
    }

    /// Looks up an object that exists in this boot and is of one of `kinds`.
    pub(super) fn object(&self, name: &At<String>, kinds: &[ObjectKind]) -> Checked<String> {
        let word = &name.value;
        let fits = |kind: &ObjectKind| self.language.fits(kind, kinds);
        let of_kind = |name: &str| self.objects.get(name).filter(|kind| fits(kind));
        let known = self.in_boot.iter().map(String::as_str);
        let mut known = known.filter(|name| of_kind(name).is_some());
        if known.clone().any(|known| known == word) {
            return Ok(word.clone());
        }
        let nouns: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        let nouns = nouns.join(" or ");
        let (message, hint) = match self.objects.get(word) {
            None => {
                let known: Vec<&str> = known.by_ref().collect();
                return Err(self.unknown(&nouns, name, known));
            }
            Some(kind) if !fits(kind) => (
                format!("`{word}` is a {}, not a {nouns}", kind.word()),
                None,
            ),
            Some(_) if self.closed.contains(word) => {
                (format!("`{word}` was closed by an earlier step"), None)
            }
            Some(_) => (
                format!("`{word}` belongs to an earlier boot or to a process"),
                Some("retrieve it in this boot first".to_owned()),
            ),
        };
        Err(self.wrong(name.place, message, hint))
    }

    /// Checks the name of an object that was handed over by an earlier boot. If the action
    /// must fail, any valid name is accepted.
    pub(super) fn handed_over(
        &mut self,
        name: &At<String>,
        kinds: &[ObjectKind],
        returns: &Returns,
    ) -> Checked<()> {
        if matches!(returns, Returns::Errno(_)) {
            return self.fit(name.place, bad_identifier(&name.value));
        }
        let message = "the first boot has no previous boot to retrieve objects from";
        self.require(self.boot > 1, name.place, message)?;
        let fits = |kind: &ObjectKind| self.language.fits(kind, kinds);
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

    /// The default token of a file: the index of its name among all files, from 1.
    pub(super) fn token(&mut self, file: &str) -> u64 {
        let known = self.tokens.iter().position(|known| known == file);
        let rank = known.unwrap_or_else(|| {
            self.tokens.push(file.to_owned());
            self.tokens.len() - 1
        });
        rank as u64 + 1
    }
}
