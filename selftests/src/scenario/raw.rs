// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario files as YAML: all keys, with only names and types checked. The JSON schema
//! and SCENARIOS.md are generated from these types, including the comments of the fields, and
//! from the table of verbs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, json};

use super::verb::{Language, ValueType};
use crate::input::Place;
use crate::yaml::At;

/// The prefix of the description of a verb in the JSON schema.
const ACTION: &str = "Action: ";

/// The steps to run in one or more kernels, and their expected results.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub(super) struct RawScenario {
    /// The name of the file without `.yaml`, in kebab-case.
    pub(super) name: At<String>,
    /// The property under test, in one line.
    pub(super) title: At<String>,
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
    /// The required machine, a file in `vm-images/machines` (default `edu-pair`).
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
#[schemars(deny_unknown_fields, transform = add_verbs)]
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

/// A key that the table of verbs defines.
#[derive(Debug, Clone)]
pub(super) struct RawKey {
    pub(super) key: &'static str,
    pub(super) place: Place,
    pub(super) value: RawValue,
}

/// The value of a key that the table of verbs defines.
#[derive(Debug, Clone)]
pub(super) enum RawValue {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<At<String>>),
    Step(Box<RawStep>),
    Steps(Vec<At<RawStep>>),
}

/// The value of a key has the type that the table of verbs gives.
macro_rules! typed {
    ($name:ident -> $result:ty: $variant:ident($value:ident) => $found:expr) => {
        pub(super) fn $name(&self) -> $result {
            match &self.value {
                RawValue::$variant($value) => $found,
                other => unreachable!("`{}` was read as {other:?}", self.key),
            }
        }
    };
}

impl RawKey {
    typed!(text -> &str: Text(text) => text);
    typed!(number -> u64: Number(number) => *number);
    typed!(step -> &RawStep: Step(step) => step);
    typed!(steps -> &[At<RawStep>]: Steps(steps) => steps);
}

/// The keys of a step that the table of verbs does not define: fields of [`RawStep`].
macro_rules! expectations {
    ($($key:ident),+) => {
        const EXPECTATIONS: &[&str] = &[$(stringify!($key)),+];

        impl RawStep {
            /// Reads the value of one of these keys.
            fn read<'de, M: MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut M,
            ) -> Result<(), M::Error> {
                match key {
                    $(stringify!($key) => self.$key = map.next_value()?,)+
                    _ => unreachable!("`{key}` is in the table of verbs"),
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

/// All keys of a step. The keys of the table have a type.
static KEYS: LazyLock<Vec<(&str, Option<ValueType>)>> = LazyLock::new(|| {
    let language = Language::get();
    let verbs = language.verbs();
    let verbs = verbs.map(|verb| (verb.key.as_str(), Some(verb.value)));
    let arguments = language.arguments.iter();
    let arguments = arguments.map(|argument| (argument.key.as_str(), Some(argument.value)));
    let others = EXPECTATIONS.iter().map(|key| (*key, None));
    verbs.chain(arguments).chain(others).collect()
});
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| KEYS.iter().map(|(key, _)| *key).collect());

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
    pub(super) fn with(mut self, key: &'static str, place: Place, value: RawValue) -> Self {
        self.keys.push(RawKey { key, place, value });
        self
    }
}

/// Reads a value with its position; `~` is the same as no value.
fn read<'de, T: Deserialize<'de>, M: MapAccess<'de>>(
    map: &mut M,
    into: impl FnOnce(T) -> RawValue,
) -> Result<Option<(Place, RawValue)>, M::Error> {
    let value: Option<At<T>> = map.next_value()?;
    Ok(value.map(|value| (value.place, into(value.value))))
}

fn read_value<'de, M: MapAccess<'de>>(
    value: ValueType,
    map: &mut M,
) -> Result<Option<(Place, RawValue)>, M::Error> {
    match value {
        ValueType::Text => read(map, RawValue::Text),
        ValueType::Number => read(map, RawValue::Number),
        ValueType::Flag => read(map, RawValue::Flag),
        ValueType::List => read(map, RawValue::List),
        ValueType::Step => read(map, RawValue::Step),
        ValueType::Steps => read(map, RawValue::Steps),
    }
}

/// A key of a step. An unknown key is an error at its position.
struct StepKey(&'static str, Option<ValueType>);

impl<'de> Deserialize<'de> for StepKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mut keys = KEYS.iter();
        let found = keys.find(|(key, _)| *key == name);
        found
            .map(|(key, value)| Self(key, *value))
            .ok_or_else(|| D::Error::unknown_field(&name, &NAMES))
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
                while let Some(StepKey(key, value)) = map.next_key()? {
                    match value {
                        None => step.read(key, &mut map)?,
                        Some(value) => {
                            let found = read_value(value, &mut map)?;
                            let found = found.map(|(place, value)| RawKey { key, place, value });
                            step.keys.extend(found);
                        }
                    }
                }
                Ok(step)
            }
        }

        deserializer.deserialize_struct("RawStep", &NAMES, StepVisitor)
    }
}

/// Adds the keys of the table to the schema of a step.
fn add_verbs(schema: &mut Schema) {
    let language = Language::get();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for verb in language.verbs() {
        let about = format!("{ACTION}{}", verb.about);
        properties.insert(verb.key.clone(), property(verb.value, &about));
    }
    for argument in &language.arguments {
        let property = property(argument.value, &argument.about);
        properties.insert(argument.key.clone(), property);
    }
}

/// The schema of a key that the table of verbs defines.
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
