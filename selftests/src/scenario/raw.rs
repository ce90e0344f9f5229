// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario files as YAML. The names and types of all keys are checked here, except for the keys
//! of steps that the verbs of a catalogue define. The JSON schema and SCENARIOS.md are generated
//! from these types, including the comments of the fields, and from the verbs.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::verb::ValueType;
use crate::input::Place;
use crate::yaml::At;

/// The steps to run in one or more kernels, and their expected results.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub(super) struct RawScenario {
    /// The name of the file without `.yaml`, in kebab-case.
    pub(super) name: At<String>,
    /// The property under test, in one line.
    pub(super) title: At<String>,
    /// The topic, one of `topics` in the file `catalogue.yaml`. The tests of a topic are one C
    /// program.
    pub(super) topic: Option<At<String>>,
    /// The use case of the property, in a few sentences.
    pub(super) why: At<String>,
    /// Series without which the scenario must fail. Each is a folder in `kernel-patches`.
    #[serde(default)]
    pub(super) fails_without: Vec<At<String>>,
    /// Series that introduced the bug that `fails_without` fixes. On a kernel without one
    /// of them, the scenario passes.
    #[serde(default)]
    pub(super) fails_since: Vec<At<String>>,
    /// Classes of kernel reports, such as `KASAN`, that are allowed on a kernel without the
    /// series in `fails_without`. A report of another class is a finding.
    #[serde(default)]
    pub(super) fails_with: Vec<At<String>>,
    /// Analysis of a bug in released kernels that the scenario reproduces: the expected
    /// and the actual behaviour, and the place in the code. `fails_without` has the series
    /// that fixes it.
    pub(super) known_finding: Option<At<String>>,
    /// The required machine, a file in `vm-images/machines` (default: the machine of the
    /// catalogue).
    pub(super) machine: Option<At<String>>,
    /// Slots of the machine whose devices are used, such as `endpoint0`. `endpoint0.vf1` is
    /// virtual function 1 of the device in that slot.
    #[serde(default)]
    pub(super) devices: Vec<At<String>>,
    /// Parameters with their values. Each combination of values is a separate test with the
    /// name `NAME.VALUE-VALUE`, in the order of the parameter names. `$PARAMETER` is
    /// replaced by the value anywhere in the file.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Vec<At<String>>>,
    /// Combinations of values to leave out, as maps from parameter to value.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "parsed with the parameters before the substitution of values"
    )]
    pub(super) except: Vec<BTreeMap<String, At<String>>>,
    /// Sessions and files to create before the first step.
    #[serde(default)]
    pub(super) setup: RawSetup,
    /// Time limit of each boot in seconds, on the slowest config (default 120).
    pub(super) timeout_secs: Option<At<u64>>,
    /// Whether the scenario leaves the guest in its initial state, so that another test may
    /// run in it if the user requests that (default false).
    pub(super) leaves_no_trace: Option<At<bool>>,
    /// Expected kernel reports. Any other kernel report fails the scenario.
    #[serde(default)]
    pub(super) splats: Vec<RawSplat>,
    /// The steps of each boot, with a kexec between two boots.
    #[serde(default)]
    pub(super) boots: Vec<RawBoot>,
}

/// Objects to create before the first step: first the sessions, then the files by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSetup {
    /// Names of live update sessions.
    #[serde(default)]
    pub(super) sessions: Vec<At<String>>,
    /// Files, by the names that steps refer to.
    #[serde(default)]
    pub(super) files: BTreeMap<String, At<RawFile>>,
}

/// A file of the setup. Exactly one of `device`, `memfd` and `path` is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    /// The slot of a device, whose device file is opened.
    pub(super) device: Option<At<String>>,
    /// The contents of a memfd, which is created.
    pub(super) memfd: Option<At<String>>,
    /// A path, which is opened.
    pub(super) path: Option<At<String>>,
    /// Seals of the memfd, such as `write` and `grow`.
    #[serde(default)]
    pub(super) seals: Vec<At<String>>,
}

/// A kernel report that is expected `count` times, or between `min` and `max` times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplat {
    /// The class of the report, such as `WARN`, `KASAN` or `lockdep`.
    pub(super) class: At<String>,
    /// A part of the message of the report.
    pub(super) text: At<String>,
    /// The exact number of reports.
    pub(super) count: Option<u64>,
    /// The minimal number of reports.
    pub(super) min: Option<u64>,
    /// The maximal number of reports.
    pub(super) max: Option<u64>,
    /// The number of the boot, from 1 (default 1).
    pub(super) boot: Option<At<usize>>,
    /// Parameter values for which the report is expected (default: all).
    #[serde(default)]
    pub(super) when: BTreeMap<String, At<RawValues>>,
    /// The reason why the report is expected.
    pub(super) because: Option<String>,
}

/// The steps that run in one kernel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBoot {
    /// The kernel that the kexec before this boot starts: `same` (the default), or the
    /// kernel of the checkout `base` or `series`.
    pub(super) kernel: Option<At<String>>,
    /// The steps of the boot, in order. Each step has one action.
    #[serde(default)]
    pub(super) steps: Vec<At<RawStep>>,
}

/// A value or a list of values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawValues {
    /// A single value.
    Single(String),
    /// Any of these values.
    Any(Vec<String>),
}

impl RawValues {
    pub(super) fn contains(&self, value: &str) -> bool {
        self.all().iter().any(|other| other == value)
    }

    pub(super) fn all(&self) -> Vec<String> {
        match self {
            Self::Single(value) => vec![value.clone()],
            Self::Any(values) => values.clone(),
        }
    }
}

/// An action and its expected results. Exactly one action is given.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawStep {
    /// The verb and its arguments, in the order of the text.
    #[schemars(skip)]
    pub(super) keys: Vec<RawKey>,
    /// Parameter values for which the step is run (default: all).
    #[schemars(default)]
    pub(super) when: BTreeMap<String, At<RawValues>>,
    /// The expected result of the action: `ok` (the default), an errno such as `EBUSY`, or
    /// alternatives such as `ok|EBUSY`.
    pub(super) returns: Option<At<String>>,
    /// The expected number of calls of kernel functions since the start of the boot: a number,
    /// or bounds such as `{min: 1, max: 3}`.
    #[schemars(default)]
    pub(super) calls: BTreeMap<String, At<RawCount>>,
    /// Kernel functions in the expected order of their first calls in the boot.
    #[schemars(default)]
    pub(super) order: Vec<At<String>>,
    /// Expected lines of the kernel log since the start of the boot.
    #[schemars(default)]
    pub(super) log: Vec<RawLog>,
    /// Only in `meanwhile`: the kernel function in which the step must sleep until the held
    /// step is released, or alternatives such as `f|g`.
    pub(super) waits_in: Option<At<String>>,
    /// Whether this is the first step that fails without the series in `fails_without`.
    #[schemars(default)]
    pub(super) fails_first: bool,
    /// The reason for the step and its expectations. Becomes a comment in the generated test.
    pub(super) because: Option<String>,
}

/// A key of a step that is not a field of [`RawStep`]: a verb or an argument, if it is known.
#[derive(Debug, Clone)]
pub(super) struct RawKey {
    pub(super) key: String,
    /// The position of the key.
    pub(super) key_place: Place,
    /// The position of the value.
    pub(super) place: Place,
    pub(super) value: RawValue,
}

/// The value of such a key.
#[derive(Debug, Clone)]
pub(super) enum RawValue {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<At<String>>),
    Step(Box<RawStep>),
    Steps(Vec<At<RawStep>>),
    /// An empty list, of texts or of steps.
    Empty,
}

impl RawValue {
    /// Returns whether the value has a type.
    pub(super) const fn is(&self, value: ValueType) -> bool {
        match self {
            Self::Text(_) => matches!(value, ValueType::Text),
            Self::Number(_) => matches!(value, ValueType::Number),
            Self::Flag(_) => matches!(value, ValueType::Flag),
            Self::List(_) => matches!(value, ValueType::List),
            Self::Step(_) => matches!(value, ValueType::Step),
            Self::Steps(_) => matches!(value, ValueType::Steps),
            Self::Empty => matches!(value, ValueType::List | ValueType::Steps),
        }
    }
}

impl RawKey {
    /// Returns the text; empty if the value is not a text, which the checker refuses.
    pub(super) fn text(&self) -> &str {
        match &self.value {
            RawValue::Text(text) => text,
            _ => "",
        }
    }

    /// Returns the number; 0 if the value is not a number, which the checker refuses.
    pub(super) const fn number(&self) -> u64 {
        match self.value {
            RawValue::Number(number) => number,
            _ => 0,
        }
    }

    /// Returns the steps; empty if the value has none, which the checker refuses.
    pub(super) fn steps(&self) -> &[At<RawStep>] {
        match &self.value {
            RawValue::Steps(steps) => steps,
            _ => &[],
        }
    }

    /// Returns the step, if the value is one.
    pub(super) const fn step(&self) -> Option<&RawStep> {
        match &self.value {
            RawValue::Step(step) => Some(step),
            _ => None,
        }
    }
}

/// The keys of a step that are fields of [`RawStep`].
macro_rules! expectations {
    ($($key:ident),+) => {
        pub(super) const EXPECTATIONS: &[&str] = &[$(stringify!($key)),+];

        impl RawStep {
            /// Reads the value of a key.
            fn read<'de, M: MapAccess<'de>>(
                &mut self,
                key: At<String>,
                map: &mut M,
            ) -> Result<(), M::Error> {
                match key.value.as_str() {
                    $(stringify!($key) => self.$key = map.next_value()?,)+
                    // `~` is the same as no value.
                    _ => if let Some(At { value, place }) = map.next_value()? {
                        let (key, key_place) = (key.value, key.place);
                        self.keys.push(RawKey { key, key_place, place, value });
                    },
                }
                Ok(())
            }
        }
    };
}

expectations!(
    returns,
    calls,
    order,
    log,
    waits_in,
    fails_first,
    when,
    because
);

impl RawStep {
    /// Returns the key, if the step has it.
    pub(super) fn get(&self, key: &str) -> Option<&RawKey> {
        self.keys.iter().find(|known| known.key == key)
    }

    /// Whether calls or lines of the log are expected.
    pub(super) fn has_counts(&self) -> bool {
        !(self.calls.is_empty() && self.order.is_empty() && self.log.is_empty())
    }

    /// Adds a key.
    pub(super) fn with(mut self, key: &str, place: Place, value: RawValue) -> Self {
        self.keys.push(RawKey {
            key: key.to_owned(),
            key_place: place,
            place,
            value,
        });
        self
    }
}

impl<'de> Deserialize<'de> for RawStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StepVisitor;

        impl<'de> Visitor<'de> for StepVisitor {
            type Value = RawStep;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawStep, M::Error> {
                let mut step = RawStep::default();
                while let Some(key) = map.next_key()? {
                    step.read(key, &mut map)?;
                }
                Ok(step)
            }
        }

        deserializer.deserialize_map(StepVisitor)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = RawValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, a list or a step")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawValue, E> {
                Ok(RawValue::Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<RawValue, E> {
                Ok(RawValue::Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<RawValue, E> {
                let negative = |_| E::custom("expected a whole number without a sign");
                u64::try_from(number)
                    .map(RawValue::Number)
                    .map_err(negative)
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<RawValue, E> {
                Ok(RawValue::Flag(flag))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RawValue, M::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                RawStep::deserialize(map).map(|step| RawValue::Step(Box::new(step)))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<RawValue, S::Error> {
                let (mut texts, mut steps) = (Vec::new(), Vec::new());
                while let Some(At { value, place }) = seq.next_element()? {
                    match value {
                        RawValue::Text(value) => texts.push(At { value, place }),
                        RawValue::Step(step) => steps.push(At {
                            value: *step,
                            place,
                        }),
                        _ => return Err(S::Error::custom("expected a list of texts or of steps")),
                    }
                }
                match (texts.is_empty(), steps.is_empty()) {
                    (true, true) => Ok(RawValue::Empty),
                    (false, true) => Ok(RawValue::List(texts)),
                    (true, false) => Ok(RawValue::Steps(steps)),
                    _ => Err(S::Error::custom("a list has either texts or steps")),
                }
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Returns the schema of a verb or an argument.
pub(super) fn property(value: ValueType, about: &str) -> Value {
    const STEP: &str = "#/$defs/RawStep";
    let mut schema = match value {
        ValueType::Text => json!({"type": ["string", "null"]}),
        ValueType::Number => {
            json!({"type": ["integer", "null"], "format": "uint64", "minimum": 0})
        }
        ValueType::Flag => json!({"type": ["boolean", "null"]}),
        ValueType::List => json!({"type": ["array", "null"], "items": {"type": "string"}}),
        ValueType::Step => json!({"anyOf": [{"$ref": STEP}, {"type": "null"}]}),
        ValueType::Steps => json!({"type": ["array", "null"], "items": {"$ref": STEP}}),
    };
    schema["description"] = about.into();
    schema
}

/// The expected number of kernel log lines with a text since the start of the boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// A text that the lines contain.
    pub(super) text: At<String>,
    /// The exact number of lines.
    pub(super) count: Option<u64>,
    /// The minimal number of lines.
    pub(super) min: Option<u64>,
    /// The maximal number of lines.
    pub(super) max: Option<u64>,
}

/// A number, or bounds of a number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawCount {
    /// The exact number.
    Exactly(u64),
    /// Bounds; each is optional.
    Between {
        /// The minimum.
        min: Option<u64>,
        /// The maximum.
        max: Option<u64>,
    },
}
