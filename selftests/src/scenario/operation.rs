// SPDX-License-Identifier: MIT OR Apache-2.0
//! An operation: a verb with its checked arguments.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::verb::{CCall, Form, Outcome, Verb};

/// A verb with its arguments. Names are C identifiers, unique in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub(crate) verb: Arc<Verb>,
    /// The value of the verb's key, and the arguments.
    pub(super) arguments: BTreeMap<String, Value>,
}

/// A checked argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The name of an object.
    Object(String),
    Objects(Vec<String>),
    Device(Device),
    Number(u64),
    Hexadecimal(u64),
    Text(String),
    /// A word, and its C expression.
    Word {
        word: String,
        c: String,
    },
    /// A path relative to the folder of a device in sysfs.
    OfDevice {
        device: Device,
        attribute: String,
    },
}

/// A device of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name of its slot in the machine, such as `endpoint0`.
    pub slot: String,
    /// The number of the virtual function, if it is a virtual function of the slot's device.
    pub function: Option<u32>,
    /// The index of the slot among the slots of the scenario, from 0.
    pub index: usize,
}

impl Operation {
    /// Returns the argument with this key, or the value of the verb's key.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.arguments.get(key)
    }

    /// Returns the text of an argument; empty without the argument.
    pub(crate) fn text(&self, key: &str) -> String {
        self.value(key).map(ToString::to_string).unwrap_or_default()
    }

    /// Returns all arguments.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.arguments.values()
    }

    /// Returns the C function and its arguments.
    pub(crate) fn call(&self) -> &CCall {
        let call = self.verb.call.as_ref();
        let call = self.choose(|form| form.call.as_ref(), call);
        call.expect("only verbs with a call become operations")
    }

    /// Returns the result of the C function.
    pub(crate) fn result(&self) -> &Outcome {
        let result = self.choose(|form| form.result.as_ref(), None);
        result.unwrap_or(&self.verb.result)
    }

    /// Returns the field of `struct kt_needs` that the operation requires.
    pub(crate) fn needs(&self) -> Option<&str> {
        self.choose(|form| form.needs.as_deref(), self.verb.needs.as_deref())
    }

    /// Returns the value of the first form that fits and has one.
    fn choose<'a, T: ?Sized>(
        &'a self,
        of_form: impl Fn(&'a Form) -> Option<&'a T>,
        otherwise: Option<&'a T>,
    ) -> Option<&'a T> {
        let fits = |form: &&Form| form.when.iter().all(|(key, value)| self.fits(key, value));
        let mut forms = self.verb.forms.iter().filter(fits);
        forms.find_map(of_form).or(otherwise)
    }

    /// Returns the object whose descriptor the C function returns.
    pub(crate) fn made(&self) -> Option<&str> {
        match self.result() {
            Outcome::Descriptor(key) => self.object(key),
            _ => None,
        }
    }

    /// Returns the name of the object in an argument.
    pub(crate) fn object(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(Value::Object(name)) => Some(name),
            _ => None,
        }
    }

    fn fits(&self, key: &str, wanted: &str) -> bool {
        self.value(key).is_some_and(|value| match value {
            _ if wanted == "given" => true,
            Value::OfDevice { .. } => wanted == "of_device",
            value => value.to_string() == wanted,
        })
    }
}

/// The label of a step in diagnostics, timelines and reports.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = self.verb.sentence.as_ref();
        let sentence = self.choose(|form| form.sentence.as_ref(), sentence);
        let sentence = sentence.expect("every verb with a call has a sentence");
        f.write_str(&sentence.fill(|key| self.text(key)))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(text) | Self::Text(text) | Self::Word { word: text, .. } => {
                f.write_str(text)
            }
            Self::Objects(names) => f.write_str(&names.join(", ")),
            Self::Device(device) => device.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Hexadecimal(number) => write!(f, "{number:#x}"),
            Self::OfDevice { device, attribute } => write!(f, "{attribute} of {device}"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            None => f.write_str(&self.slot),
            Some(number) => write!(f, "{}.vf{number}", self.slot),
        }
    }
}
