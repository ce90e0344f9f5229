// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the arguments of a verb, by their kinds.

use std::collections::BTreeMap;

use super::checker::{Checked, Checker};
use crate::input::Place;
use crate::scenario::machines::KMEMLEAK;
use crate::scenario::model::Returns;
use crate::scenario::names::{is_driver, is_path};
use crate::scenario::operation::{Device, Operation, Value};
use crate::scenario::raw::{RawKey, RawStep, RawValue};
use crate::scenario::verb::{Kind, Language, ObjectKind, Range, Verb};
use crate::yaml::At;

/// Maximal length of `contents` in bytes.
const CONTENTS_MAX: usize = 1024;
/// The prefix of a path of a device in sysfs.
const DEVICES: &str = "/sys/bus/pci/devices/{";

/// A step whose arguments are checked.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) verb: &'static Verb,
    /// The key of the verb with its value.
    pub(super) key: &'a RawKey,
    pub(super) raw: &'a RawStep,
    pub(super) returns: &'a Returns,
    /// The number of the boot, from 1.
    pub(super) boot: usize,
}

impl Subject<'_> {
    /// The name of the object that the verb is applied to.
    fn name(&self) -> &str {
        match &self.key.value {
            RawValue::Text(name) => name,
            _ => "",
        }
    }

    /// The argument whose kind fits, if the step has it.
    fn has(&self, fits: fn(&Kind) -> bool) -> Option<&RawKey> {
        let mut parameters = self.verb.parameters.iter();
        let parameter = parameters.find(|parameter| fits(&parameter.kind))?;
        self.raw.get(&parameter.key)
    }
}

impl Checker<'_> {
    /// Checks all arguments of a verb.
    pub(super) fn operation(&mut self, step: Subject<'_>) -> Checked<Operation> {
        let verb = step.verb;
        let mut arguments = BTreeMap::new();
        let value = self.argument(step, &verb.kind, step.key)?;
        arguments.insert(verb.key.as_str(), value);
        self.requirements(step)?;
        for parameter in &verb.parameters {
            let key = parameter.key.as_str();
            let value = match (step.raw.get(key), &parameter.default) {
                (Some(given), _) => self.argument(step, &parameter.kind, given)?,
                (None, Some(default)) => constant(&parameter.kind, default),
                (None, None) if matches!(parameter.kind, Kind::Token) => {
                    Value::Number(self.token(step.name()))
                }
                (None, None) if parameter.is_optional() => continue,
                (None, None) => return self.need(None, step.key.place, key),
            };
            arguments.insert(key, value);
        }
        let is_renamed = step.has(|kind| matches!(kind, Kind::Renamed)).is_some();
        if matches!(verb.kind, Kind::HandedOver(_)) && !is_renamed {
            self.take_over(step.name());
        }
        Ok(Operation { verb, arguments })
    }

    /// Checks the result and the machine that a verb requires.
    fn requirements(&self, step: Subject<'_>) -> Checked<()> {
        let place = step.key.place;
        match &step.verb.must_fail {
            Some(hint) if !matches!(step.returns, Returns::Errno(_)) => {
                let message = format!("`{}` needs an error in `returns`", step.verb.key);
                return Err(self.wrong(place, message, Some(hint.clone())));
            }
            _ => {}
        }
        match step.verb.counts_leaks() {
            true => self.needs_kmemleak(place),
            false => Ok(()),
        }
    }

    fn argument(&mut self, step: Subject<'_>, kind: &Kind, given: &RawKey) -> Checked<Value> {
        let place = given.place;
        match &given.value {
            RawValue::Text(text) => {
                let value = text.clone();
                self.text(step, kind, &At { value, place })
            }
            RawValue::Number(number) => self.number(kind, given.key, *number, place),
            RawValue::Flag(flag) => Ok(constant(kind, &flag.to_string())),
            RawValue::List(words) => self.list(kind, words, place),
            RawValue::Step(_) | RawValue::Steps(_) => Ok(Value::Text(String::new())),
        }
    }

    fn text(&mut self, step: Subject<'_>, kind: &Kind, text: &At<String>) -> Checked<Value> {
        let name = text.value.clone();
        Ok(match kind {
            Kind::Object(kinds) => Value::Object(self.object(text, kinds)?),
            Kind::Closed(kinds) => {
                self.object(text, kinds)?;
                self.close(&name);
                Value::Object(name)
            }
            Kind::Ended(kinds) => {
                self.object(text, kinds)?;
                self.give_away(&name);
                Value::Object(name)
            }
            Kind::HandedOver(kinds) => {
                self.handed_over(text, step.boot, kinds, step.returns)?;
                Value::Object(name)
            }
            Kind::New(kind) => match step.has(|kind| matches!(kind, Kind::Copies(_))) {
                Some(times) => self.copies(step, *kind, times)?,
                None => Value::Object(self.make(text, *kind, step.returns)?),
            },
            Kind::Renamed => {
                let kind = self.objects.get(step.name()).copied();
                let kind = kind.unwrap_or(ObjectKind::File);
                Value::Object(self.make(text, kind, step.returns)?)
            }
            Kind::User => {
                if !self.objects.contains_key(&name) || self.closed.contains(&name) {
                    self.make(text, ObjectKind::User, &Returns::Ok)?;
                }
                Value::Object(self.object(text, &[ObjectKind::User])?)
            }
            Kind::Process => Value::Object(self.make(text, ObjectKind::Process, &Returns::Ok)?),
            Kind::Device => Value::Device(self.device(text)?),
            Kind::Slot => Value::Device(self.slot(text)?),
            Kind::Word(list) => {
                self.word(list, text)?;
                constant(kind, &name)
            }
            Kind::Contents => Value::Text(self.contents(text)?),
            Kind::Path => Value::Text(self.path(text)?),
            Kind::KernelPath => self.kernel_path(text)?,
            Kind::Driver if !is_driver(&name) => {
                let message = format!("`{name}` is not a valid driver name");
                return Err(self.wrong(text.place, message, None));
            }
            _ => Value::Text(name),
        })
    }

    fn number(&self, kind: &Kind, key: &str, number: u64, place: Place) -> Checked<Value> {
        match kind {
            Kind::Number(range) | Kind::Copies(range) => {
                let Range { min, max } = *range;
                if (min..=max).contains(&number) {
                    return Ok(Value::Number(number));
                }
                let message = format!("`{key}` is out of range: use {min} to {max}");
                Err(self.wrong(place, message, None))
            }
            Kind::Register => {
                let size = if number < 0x80 { 4 } else { 8 };
                if number.is_multiple_of(size) && number < 0x10_0000 {
                    return Ok(Value::Hexadecimal(number));
                }
                let message = format!("invalid offset {number:#x} of a {size}-byte register");
                Err(self.wrong(place, message, None))
            }
            Kind::Hexadecimal => Ok(Value::Hexadecimal(number)),
            _ => Ok(Value::Number(number)),
        }
    }

    fn list(&mut self, kind: &Kind, words: &[At<String>], place: Place) -> Checked<Value> {
        if let Kind::Mask(list) = kind {
            let mut indices = words
                .iter()
                .map(|word| self.word(list, word))
                .collect::<Checked<Vec<_>>>()?;
            indices.sort_unstable();
            indices.dedup();
            let list = Language::get().words(list);
            let bits: Vec<&str> = indices.iter().map(|index| list.c(*index)).collect();
            let c = match bits.is_empty() {
                true => "0".to_owned(),
                false => bits.join(" | "),
            };
            return Ok(Value::Word { word: c.clone(), c });
        }
        let mut names = Vec::new();
        if let Kind::GivenAway(kinds) = kind {
            for word in words {
                let name = self.object(word, kinds)?;
                self.give_away(&name);
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(self.wrong(place, "`takes` is empty", None));
        }
        Ok(Value::Objects(names))
    }

    /// Returns the index of a word in its list.
    fn word(&self, list: &str, word: &At<String>) -> Checked<usize> {
        let list = Language::get().words(list);
        let index = list.words.iter().position(|known| *known == word.value);
        let known = list.words.iter().map(String::as_str);
        index.ok_or_else(|| self.unknown(&list.name, word, known))
    }

    /// Creates many objects. Steps can refer to them only in the next boot.
    fn copies(&mut self, step: Subject<'_>, kind: ObjectKind, times: &RawKey) -> Checked<Value> {
        let place = step.key.place;
        let mut parameters = step.verb.parameters.iter();
        let times_kind = parameters.find(|parameter| parameter.key == times.key);
        let RawValue::Number(number) = times.value else {
            return Ok(Value::Object(step.name().to_owned()));
        };
        if let Some(parameter) = times_kind {
            self.number(&parameter.kind, times.key, number, times.place)?;
        }
        if *step.returns != Returns::Ok {
            let hint = Some("create the session that must fail in another step".to_owned());
            let message = format!("`returns` is invalid with `{}`", times.key);
            return Err(self.wrong(place, message, hint));
        }
        for number in 1..=number {
            let value = format!("{}_{number}", step.name());
            if self.objects.contains_key(&value) {
                let message = format!("duplicate name `{value}`");
                return Err(self.wrong(place, message, None));
            }
            let made = self.make(&At { value, place }, kind, step.returns)?;
            self.give_away(&made);
        }
        Ok(Value::Object(step.name().to_owned()))
    }

    /// A device that is not a virtual function.
    fn slot(&self, name: &At<String>) -> Checked<Device> {
        let device = self.device(name)?;
        if device.function.is_some() {
            let message = format!("`{device}` is a virtual function: use a slot");
            return Err(self.wrong(name.place, message, None));
        }
        Ok(device)
    }

    fn contents(&self, contents: &At<String>) -> Checked<String> {
        let text = &contents.value;
        if text.is_empty() || text.len() > CONTENTS_MAX || text.contains('\0') {
            let message = format!("invalid contents: use 1 to {CONTENTS_MAX} bytes without NUL");
            return Err(self.wrong(contents.place, message, None));
        }
        Ok(text.clone())
    }

    fn path(&self, path: &At<String>) -> Checked<String> {
        let text = &path.value;
        if is_path(text) {
            return Ok(text.clone());
        }
        let message = format!("`{text}` is not a valid absolute path");
        let hint = Some("the folder of a device is `/sys/bus/pci/devices/{SLOT}/`".to_owned());
        Err(self.wrong(path.place, message, hint))
    }

    fn kernel_path(&self, path: &At<String>) -> Checked<Value> {
        let Some(rest) = path.value.strip_prefix(DEVICES) else {
            return Ok(Value::Text(self.path(path)?));
        };
        let Some((device, attribute)) = rest.split_once("}/") else {
            let message = format!("invalid path of a device: use `{DEVICES}SLOT}}/ATTRIBUTE`");
            return Err(self.wrong(path.place, message, None));
        };
        let word = |value: &str| At {
            value: value.to_owned(),
            place: path.place,
        };
        // The attribute must be valid as a path too.
        let attribute = self.path(&word(&format!("/{attribute}")))?;
        Ok(Value::OfDevice {
            device: self.device(&word(device))?,
            attribute: attribute.trim_start_matches('/').to_owned(),
        })
    }

    /// On a machine without kmemleak, the check would pass without checking.
    fn needs_kmemleak(&self, place: Place) -> Checked<()> {
        let machine = &self.machine.0;
        if self.machines.has_kmemleak(machine) {
            return Ok(());
        }
        let machines = self.machines.with_kmemleak();
        let machines: Vec<String> = machines.map(|name| format!("`machine: {name}`")).collect();
        let hint = match machines.is_empty() {
            true => format!("add a machine with `kernel_arguments: {KMEMLEAK}`"),
            false => format!("use {}", machines.join(" or ")),
        };
        let message = format!("the machine `{machine}` does not enable kmemleak");
        Err(self.wrong(place, message, Some(hint)))
    }
}

/// The value of a valid word: a default, or a word that has been checked.
fn constant(kind: &Kind, word: &str) -> Value {
    let c = match kind {
        Kind::Word(list) => {
            let list = Language::get().words(list);
            let index = list.words.iter().position(|known| known == word);
            index.map(|index| list.c(index))
        }
        Kind::Flag(values) => word
            .parse()
            .ok()
            .and_then(|flag: bool| values.get(&flag))
            .map(String::as_str),
        Kind::Number(_) => return Value::Number(word.parse().unwrap_or_default()),
        _ => return Value::Text(word.to_owned()),
    };
    Value::Word {
        word: word.to_owned(),
        c: c.unwrap_or(word).to_owned(),
    }
}
