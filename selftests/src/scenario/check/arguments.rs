// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the arguments of a verb, by their kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checker::{Checked, Checker};
use crate::input::Place;
use crate::scenario::machines::KMEMLEAK;
use crate::scenario::model::Returns;
use crate::scenario::names::{is_driver, is_path};
use crate::scenario::operation::{Device, Operation, Value};
use crate::scenario::raw::{RawKey, RawStep, RawValue};
use crate::scenario::verb::{Kind, ObjectKind, Verb};
use crate::yaml::At;

/// Maximal length of `contents` in bytes.
const CONTENTS_MAX: usize = 1024;
/// The prefix of a path of a device in sysfs.
const DEVICES: &str = "/sys/bus/pci/devices/{";

/// A step whose arguments are checked.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) verb: &'a Arc<Verb>,
    /// The key of the verb with its value.
    pub(super) key: &'a RawKey,
    pub(super) raw: &'a RawStep,
    pub(super) returns: &'a Returns,
}

impl Subject<'_> {
    /// The name of the object that the verb is applied to.
    fn name(&self) -> &str {
        self.key.text()
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
        arguments.insert(verb.key.clone(), value);
        self.requirements(step)?;
        for parameter in &verb.parameters {
            let key = parameter.key.as_str();
            let value = match (step.raw.get(key), &parameter.default) {
                (Some(given), _) => self.argument(step, &parameter.kind, given)?,
                (None, Some(default)) => self.constant(&parameter.kind, default),
                (None, None) if matches!(parameter.kind, Kind::Token) => {
                    Value::Number(self.token(step.name()))
                }
                (None, None) if parameter.is_optional() => continue,
                (None, None) => return self.need(None, step.key.place, key),
            };
            arguments.insert(key.to_owned(), value);
        }
        let is_renamed = step.has(|kind| matches!(kind, Kind::Renamed)).is_some();
        if matches!(verb.kind, Kind::HandedOver(_)) && !is_renamed {
            self.take_over(step.name());
        }
        let verb = Arc::clone(verb);
        Ok(Operation { verb, arguments })
    }

    /// Checks the result and the machine that a verb requires.
    fn requirements(&self, step: Subject<'_>) -> Checked<()> {
        let place = step.key.place;
        if let Some(hint) = &step.verb.must_fail {
            let must_fail = matches!(step.returns, Returns::Errno(_));
            let message = format!("`{}` needs an error in `returns`", step.verb.key);
            self.require_or(must_fail, place, &message, hint)?;
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
            RawValue::Number(number) => self.number(kind, &given.key, *number, place),
            RawValue::Flag(flag) => Ok(self.constant(kind, &flag.to_string())),
            RawValue::List(words) => self.list(kind, words, place),
            RawValue::Empty => self.list(kind, &[], place),
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
                self.handed_over(text, kinds, step.returns)?;
                Value::Object(name)
            }
            Kind::New(kind) => match step.has(|kind| matches!(kind, Kind::Copies(..))) {
                Some(times) => self.copies(step, kind, times)?,
                None => Value::Object(self.make(text, kind, step.returns)?),
            },
            Kind::Renamed => {
                let kind = self.objects.get(step.name()).cloned();
                let kind = self.need(kind, text.place, "as")?;
                Value::Object(self.make(text, &kind, step.returns)?)
            }
            Kind::Opened(kind) => {
                if !self.objects.contains_key(&name) || self.closed.contains(&name) {
                    self.make(text, kind, &Returns::Ok)?;
                }
                Value::Object(self.object(text, std::slice::from_ref(kind))?)
            }
            Kind::Process => {
                Value::Object(self.make(text, &ObjectKind::process(), &Returns::Ok)?)
            }
            Kind::Device => Value::Device(self.device(text)?),
            Kind::Slot => Value::Device(self.slot(text)?),
            Kind::Word(list) => {
                self.word(list, text)?;
                self.constant(kind, &name)
            }
            Kind::Contents => Value::Text(self.contents(text)?),
            Kind::Path => Value::Text(self.path(text)?),
            Kind::KernelPath => self.kernel_path(text)?,
            Kind::Driver => {
                let message = format!("`{name}` is not a valid driver name");
                self.require(is_driver(&name), text.place, message)?;
                Value::Text(name)
            }
            _ => Value::Text(name),
        })
    }

    fn number(&self, kind: &Kind, key: &str, number: u64, place: Place) -> Checked<Value> {
        match kind {
            Kind::Number(min, max) | Kind::Copies(min, max) => {
                let (min, max) = (*min, *max);
                let message = format!("`{key}` is out of range: use {min} to {max}");
                self.require((min..=max).contains(&number), place, message)?;
                Ok(Value::Number(number))
            }
            Kind::Register => {
                let size = if number < 0x80 { 4 } else { 8 };
                let is_register = number.is_multiple_of(size) && number < 0x10_0000;
                let message = format!("invalid offset {number:#x} of a {size}-byte register");
                self.require(is_register, place, message)?;
                Ok(Value::Hexadecimal(number))
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
            let list = self.language.words(list);
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
        self.require(!names.is_empty(), place, "`takes` is empty")?;
        Ok(Value::Objects(names))
    }

    /// Returns the index of a word in its list.
    fn word(&self, list: &str, word: &At<String>) -> Checked<usize> {
        let list = self.language.words(list);
        let index = list.words.iter().position(|known| *known == word.value);
        let known = list.words.iter().map(String::as_str);
        index.ok_or_else(|| self.unknown(&list.name, word, known))
    }

    /// Creates many objects. Steps can refer to them only in the next boot.
    fn copies(&mut self, step: Subject<'_>, kind: &ObjectKind, times: &RawKey) -> Checked<Value> {
        let place = step.key.place;
        let mut parameters = step.verb.parameters.iter();
        let times_kind = parameters.find(|parameter| parameter.key == times.key);
        let RawValue::Number(number) = times.value else {
            return Ok(Value::Object(step.name().to_owned()));
        };
        if let Some(parameter) = times_kind {
            self.number(&parameter.kind, &times.key, number, times.place)?;
        }
        let message = format!("`returns` is invalid with `{}`", times.key);
        let hint = "create the session that must fail in another step";
        self.require_or(*step.returns == Returns::Ok, place, &message, hint)?;
        for number in 1..=number {
            let value = format!("{}_{number}", step.name());
            let message = format!("duplicate name `{value}`");
            self.require(!self.objects.contains_key(&value), place, message)?;
            let made = self.make(&At { value, place }, kind, step.returns)?;
            self.give_away(&made);
        }
        Ok(Value::Object(step.name().to_owned()))
    }

    /// A device that is not a virtual function.
    fn slot(&self, name: &At<String>) -> Checked<Device> {
        let device = self.device(name)?;
        let message = format!("`{device}` is a virtual function: use a slot");
        self.require(device.function.is_none(), name.place, message)?;
        Ok(device)
    }

    fn contents(&self, contents: &At<String>) -> Checked<String> {
        let text = &contents.value;
        let fits = (1..=CONTENTS_MAX).contains(&text.len()) && !text.contains('\0');
        let message = format!("invalid contents: use 1 to {CONTENTS_MAX} bytes without NUL");
        self.require(fits, contents.place, message)?;
        Ok(text.clone())
    }

    fn path(&self, path: &At<String>) -> Checked<String> {
        let text = &path.value;
        let message = format!("`{text}` is not a valid absolute path");
        let hint = "the folder of a device is `/sys/bus/pci/devices/{SLOT}/`";
        self.require_or(is_path(text), path.place, &message, hint)?;
        Ok(text.clone())
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
        let mut machines = self.machines.with_kmemleak();
        if machines.any(|name| name == machine) {
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

    /// The value of a valid word: a default, or a word that has been checked.
    fn constant(&self, kind: &Kind, word: &str) -> Value {
        let c = match kind {
            Kind::Word(list) => {
                let list = self.language.words(list);
                let index = list.words.iter().position(|known| known == word);
                index.map(|index| list.c(index))
            }
            Kind::Flag(values) => word
                .parse()
                .ok()
                .and_then(|flag: bool| values.get(&flag))
                .map(String::as_str),
            Kind::Number(..) => return Value::Number(word.parse().unwrap_or_default()),
            _ => return Value::Text(word.to_owned()),
        };
        Value::Word {
            word: word.to_owned(),
            c: c.unwrap_or(word).to_owned(),
        }
    }
}
