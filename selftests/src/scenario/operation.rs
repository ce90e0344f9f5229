// SPDX-License-Identifier: MIT OR Apache-2.0
//! An operation: a verb with its checked arguments.

use std::collections::BTreeMap;
use std::fmt;

use super::verb::{CCall, Outcome, Verb};

/// A verb with its arguments. Names are C identifiers, unique in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub(crate) verb: &'static Verb,
    /// The value of the verb's key, and the arguments.
    pub(super) arguments: BTreeMap<&'static str, Value>,
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

    /// Returns all arguments.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.arguments.values()
    }

    /// Returns the C function and its arguments.
    pub(crate) fn call(&self) -> &'static CCall {
        self.verb.call(|key, value| self.fits(key, value))
    }

    /// Returns the result of the C function.
    pub(crate) fn result(&self) -> &'static Outcome {
        self.verb.result(|key, value| self.fits(key, value))
    }

    /// Returns the field of `struct lu_needs` that the operation requires.
    pub(crate) fn needs(&self) -> Option<&'static str> {
        self.verb.needs(|key, value| self.fits(key, value))
    }

    /// Returns the object whose descriptor the C function returns.
    pub(crate) fn made(&self) -> Option<&str> {
        match self.result() {
            Outcome::Descriptor(key) => match self.value(key) {
                Some(Value::Object(name)) => Some(name),
                _ => None,
            },
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
        let sentence = self.verb.sentence(|key, value| self.fits(key, value));
        let value = |key: &str| self.value(key).map(ToString::to_string);
        f.write_str(&sentence.fill(|key| value(key).unwrap_or_default()))
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
