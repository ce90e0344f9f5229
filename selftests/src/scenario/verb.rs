// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verbs of the scenario language, as the files `verbs.yaml` describe them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Stands for all kinds of objects except processes.
pub(super) const ANY: &str = "any";
pub(super) const PROCESS: &str = "process";

/// The type of a value in YAML.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValueType {
    #[default]
    Text,
    Number,
    Flag,
    /// A list of texts.
    List,
    Step,
    Steps,
}

impl ValueType {
    /// Returns the noun in errors.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Flag => "`true` or `false`",
            Self::List => "a list of texts",
            Self::Step => "a step",
            Self::Steps => "a list of steps",
        }
    }

    /// Returns the hint for a value of another type.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Text => "write it in quotes",
            Self::Number => "write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes",
            Self::Flag => "write it without quotes",
            Self::List => "write it as in `[one, two]`",
            Self::Step => "write it as in `{close: vm}`",
            Self::Steps => "write it as in `[{close: vm}]`",
        }
    }
}

/// An action of the scenario language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verb {
    pub(crate) key: String,
    /// The documentation, in lower case, since it follows `Action:` in the JSON schema.
    pub(crate) about: String,
    #[serde(rename = "type", default)]
    pub(crate) value: ValueType,
    /// The kind of the value of the key.
    #[serde(default)]
    pub(crate) kind: Kind,
    /// The arguments, in the order of their checks.
    #[serde(default)]
    pub(crate) parameters: Vec<Parameter>,
    /// The label of a step in diagnostics, timelines and reports.
    pub(super) sentence: Option<Sentence>,
    /// The C function and its arguments. Verbs without one have code in `check/steps.rs`.
    pub(super) call: Option<CCall>,
    #[serde(default)]
    pub(super) result: Outcome,
    /// A field of `struct kt_needs`.
    pub(super) needs: Option<String>,
    /// A further field for an action in the first boot.
    pub(crate) needs_in_first_boot: Option<String>,
    /// Whether later steps depend on its success, so that its failure ends the test.
    #[serde(default)]
    pub(crate) is_prerequisite: bool,
    /// Whether it cannot be nested in another step, although its result is a status.
    #[serde(default)]
    is_standalone: bool,
    /// The hint if `returns` is not an error; `None` if the action can succeed.
    pub(crate) must_fail: Option<String>,
    /// Other sentences, calls, results or needs for some values of an argument. The first
    /// form that fits counts.
    #[serde(default)]
    pub(super) forms: Vec<Form>,
    /// Whether the examples are for a boot after a kexec.
    #[serde(default)]
    pub(crate) after_kexec: bool,
    pub(crate) examples: Vec<String>,
}

/// An argument of a verb.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameter {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) kind: Kind,
    #[serde(default)]
    optional: bool,
    pub(crate) default: Option<String>,
}

impl Parameter {
    /// Returns whether a step need not have the argument.
    pub(crate) const fn is_optional(&self) -> bool {
        self.optional || self.default.is_some()
    }
}

/// The kind of an argument, which decides its checks and its C expression.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A part of the syntax, such as nested steps.
    #[default]
    Syntax,
    /// An object that exists.
    Object(Vec<ObjectKind>),
    /// An object that the action closes. Its name can be reused.
    Closed(Vec<ObjectKind>),
    /// An object that no longer exists after the action.
    Ended(Vec<ObjectKind>),
    /// Objects that the action takes from the test.
    GivenAway(Vec<ObjectKind>),
    /// An object of an earlier boot.
    HandedOver(Vec<ObjectKind>),
    /// A new object.
    New(ObjectKind),
    /// A new object of the kind of the verb's value.
    Renamed,
    /// An object that is created by the first action.
    Opened(ObjectKind),
    /// A new process.
    Process,
    /// The number of new objects `NAME_1`, `NAME_2` and so on, in this range. No step can
    /// refer to them.
    Copies(u64, u64),
    /// A device: a slot or a virtual function.
    Device,
    /// A device that is not a virtual function.
    Slot,
    /// A number in this range.
    Number(u64, u64),
    /// A number without limits, printed in hexadecimal.
    Hexadecimal,
    /// The offset of a register.
    Register,
    /// The number that identifies a file in a session.
    Token,
    /// A word of the list with this name.
    Word(String),
    /// Words of the list with this name, combined to a mask.
    Mask(String),
    /// The C expressions of `true` and `false`.
    Flag(BTreeMap<bool, String>),
    /// The contents of a file.
    Contents,
    /// An absolute path.
    Path,
    /// An absolute path, or a path in the folder of a device.
    KernelPath,
    /// The name of a driver.
    Driver,
}

/// The name of a kind of objects, or `any`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct ObjectKind(pub(super) String);

impl ObjectKind {
    /// Returns the kind of the processes that a test starts.
    pub(crate) fn process() -> Self {
        Self(PROCESS.to_owned())
    }

    /// Returns the noun in errors.
    pub(crate) fn word(&self) -> String {
        match self.0.as_str() {
            ANY => "file or other object".to_owned(),
            name => name.replace('_', " "),
        }
    }
}

/// The value that the C function of a verb returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// 0 or a negative error.
    #[default]
    Status,
    /// The descriptor of the object in this argument, or a negative error.
    Descriptor(String),
    /// A number, which must be equal to this argument, or a negative error. Without the
    /// argument, any number is expected.
    Number(String),
    /// A text, which must be equal to this argument, or the name of an error, as in `-EIO`.
    Text(String),
    /// The number of memory leaks.
    Leaks,
    /// No value.
    Nothing,
}

/// The fields that differ for some values of arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// Arguments and their values; `given` for any value.
    pub(super) when: BTreeMap<String, String>,
    pub(super) sentence: Option<Sentence>,
    pub(super) call: Option<CCall>,
    pub(super) result: Option<Outcome>,
    pub(super) needs: Option<String>,
}

/// A text with arguments in braces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Sentence(Vec<(String, Option<String>)>);

impl From<String> for Sentence {
    fn from(text: String) -> Self {
        let piece = |piece: &str| match piece.split_once('{') {
            Some((before, key)) => (before.to_owned(), Some(key.to_owned())),
            None => (piece.to_owned(), None),
        };
        Self(text.split('}').map(piece).collect())
    }
}

impl Sentence {
    /// Returns the keys of the arguments in the text.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, key)| key.as_deref())
    }

    /// Returns the text with the value of each argument.
    pub(crate) fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let pieces = self.0.iter().map(|(before, key)| {
            let value = key.as_deref().map(&value);
            before.clone() + &value.unwrap_or_default()
        });
        pieces.collect()
    }
}

/// A call of a C function.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CCall {
    pub(crate) function: String,
    pub(crate) arguments: Vec<CArgument>,
}

/// An argument of a C function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CArgument {
    /// The C expression of an argument of the step.
    Value(String),
    /// A string literal with the text of an argument of the step.
    Quoted(String),
    /// The address of the variable of an object.
    Address(String),
    /// C code.
    Code(String),
}

impl TryFrom<String> for CCall {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not of the form `function(arguments)`");
        let (function, rest) = text.split_once('(').ok_or_else(wrong)?;
        let arguments = rest.strip_suffix(')').ok_or_else(wrong)?;
        let arguments = arguments.split(", ").filter(|text| !text.is_empty());
        Ok(Self {
            function: function.to_owned(),
            arguments: arguments.map(CArgument::parse).collect(),
        })
    }
}

impl CArgument {
    fn parse(text: &str) -> Self {
        let within = |begin: &str, end: &str| {
            let key = text.strip_prefix(begin)?.strip_suffix(end)?;
            Some(key.to_owned())
        };
        within("{", "}")
            .map(Self::Value)
            .or_else(|| within("\"{", "}\"").map(Self::Quoted))
            .or_else(|| within("&{", "}").map(Self::Address))
            .unwrap_or_else(|| Self::Code(text.to_owned()))
    }
}

impl Verb {
    /// Returns the argument with this key.
    pub(crate) fn parameter(&self, key: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|known| known.key == key)
    }

    /// Returns whether the action counts memory leaks, which is possible on some machines.
    pub(crate) fn counts_leaks(&self) -> bool {
        self.result == Outcome::Leaks
    }

    /// Returns whether the action can be nested in another step.
    pub(crate) const fn can_be_nested(&self) -> bool {
        let compares = matches!(self.result, Outcome::Number(_) | Outcome::Text(_));
        !self.is_standalone && !compares
    }
}

/// The parts that the judgement of a run depends on; the program has the others.
impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verb")
            .field("key", &self.key)
            .field("sentence", &self.sentence)
            .field("result", &self.result)
            .field("forms", &self.forms)
            .finish()
    }
}

impl PartialEq for Verb {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Verb {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_call_reads_the_kinds_of_arguments() {
        let call = CCall::try_from("f({a}, \"{b}\", &{c}, O_RDWR)".to_owned()).unwrap();
        let key = str::to_owned;
        assert_eq!(call.function, "f");
        assert_eq!(
            call.arguments,
            [
                CArgument::Value(key("a")),
                CArgument::Quoted(key("b")),
                CArgument::Address(key("c")),
                CArgument::Code(key("O_RDWR")),
            ]
        );
        assert!(CCall::try_from("f".to_owned()).is_err());
    }
}
