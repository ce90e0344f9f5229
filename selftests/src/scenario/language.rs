// SPDX-License-Identifier: MIT OR Apache-2.0
//! The language of a catalogue: the verbs of the core and of the catalogue, and the kinds, lists
//! of words and arguments that they refer to.

use std::sync::Arc;

use serde::Deserialize;

use super::raw::EXPECTATIONS;
use super::verb::{
    ANY, CArgument, Kind, ObjectKind, Outcome, PROCESS, Parameter, Sentence, ValueType, Verb,
};
use crate::input::InputError;
use crate::yaml;

/// Verbs whose code is in `check/steps.rs` and `generate/step.rs`.
const SYNTAX: [&str; 4] = ["fail_allocations", "race", "repeat", "observe"];

/// All that the file `verbs.yaml` of a catalogue defines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Language {
    #[serde(default)]
    pub(crate) kinds: Vec<KindOfObject>,
    /// The fields of `struct kt_needs`, in the order of the C code.
    #[serde(default)]
    pub(crate) requirements: Vec<String>,
    #[serde(default)]
    pub(crate) words: Vec<WordList>,
    /// The keys of arguments, which several verbs can have.
    #[serde(default)]
    pub(crate) arguments: Vec<Argument>,
    pub(crate) groups: Vec<Group>,
}

/// A kind of objects that have names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KindOfObject {
    name: String,
    /// The kind as which its objects can be used, too.
    is: Option<String>,
}

/// Words that an argument chooses from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WordList {
    /// The noun in errors.
    pub(crate) name: String,
    /// The title in the reference; lists without one are not shown.
    pub(crate) title: Option<String>,
    pub(crate) words: Vec<String>,
    /// The C expression of each word, if it differs from the word.
    #[serde(default)]
    c: Vec<String>,
}

impl WordList {
    /// Returns the C expression of the word at `index`.
    pub(crate) fn c(&self, index: usize) -> &str {
        self.c.get(index).unwrap_or(&self.words[index])
    }
}

/// The key of an argument.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argument {
    pub(crate) key: String,
    #[serde(rename = "type", default)]
    pub(crate) value: ValueType,
    /// The documentation, a few sentences.
    pub(crate) about: String,
}

impl Argument {
    /// Returns the first sentence of the documentation, in lower case.
    pub(crate) fn summary(&self) -> String {
        let end = self.about.find(['.', ';', '(']);
        let mut text = self.about[..end.unwrap_or(self.about.len())]
            .trim()
            .to_owned();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        text
    }
}

/// Verbs on the same kind of object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) verbs: Vec<Arc<Verb>>,
}

impl Language {
    /// Reads the text of `verbs.yaml`; `file` is its path, which errors contain.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, InputError> {
        yaml::parse(text, file)
    }

    /// Adds the verbs of a catalogue, which replace verbs with the same key. Groups with the
    /// same title become one.
    pub(crate) fn extend(&mut self, own: Self) {
        let is_new = |key: &str| !own.verbs().any(|verb| verb.key == key);
        for group in &mut self.groups {
            group.verbs.retain(|verb| is_new(&verb.key));
        }
        self.kinds.extend(own.kinds);
        self.requirements.splice(0..0, own.requirements);
        let is_new = |name: &str| !own.words.iter().any(|list| list.name == name);
        self.words.retain(|list| is_new(&list.name));
        self.words.extend(own.words);
        let is_new = |key: &str| !own.arguments.iter().any(|argument| argument.key == key);
        self.arguments.retain(|argument| is_new(&argument.key));
        self.arguments.extend(own.arguments);
        for group in own.groups {
            match self
                .groups
                .iter_mut()
                .find(|known| known.title == group.title)
            {
                Some(known) => known.verbs.extend(group.verbs),
                None => self.groups.push(group),
            }
        }
    }

    /// Returns whether an object of a kind can be used where one of the kinds `wanted` is
    /// expected.
    pub(crate) fn fits(&self, kind: &ObjectKind, wanted: &[ObjectKind]) -> bool {
        let known = self.kinds.iter().find(|known| known.name == kind.0);
        let is = known.and_then(|known| known.is.as_deref());
        wanted.iter().any(|wanted| match wanted.0.as_str() {
            ANY => kind.0 != PROCESS,
            name => name == kind.0 || Some(name) == is,
        })
    }

    /// Returns all verbs, in the order of the reference.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = &Arc<Verb>> {
        self.groups.iter().flat_map(|group| &group.verbs)
    }

    /// Returns the verb with this key.
    pub(crate) fn verb(&self, key: &str) -> Option<&Arc<Verb>> {
        self.verbs().find(|verb| verb.key == key)
    }

    /// Returns the argument with this key.
    pub(crate) fn argument(&self, key: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.key == key)
    }

    /// Returns the keys of all verbs and arguments.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        let verbs = self.groups.iter().flat_map(|group| &group.verbs);
        let arguments = self.arguments.iter();
        let verbs = verbs.map(|verb| verb.key.as_str());
        verbs.chain(arguments.map(|argument| argument.key.as_str()))
    }

    /// Returns the type of the value of a key.
    pub(crate) fn value_type(&self, key: &str) -> Option<ValueType> {
        let of_verb = self.verb(key).map(|verb| verb.value);
        of_verb.or_else(|| self.argument(key).map(|argument| argument.value))
    }

    /// Returns the verbs that have a key as argument.
    pub(crate) fn owners(&self, key: &str) -> Vec<&str> {
        let owners = self.verbs().filter(|verb| verb.parameter(key).is_some());
        owners.map(|verb| verb.key.as_str()).collect()
    }

    /// Returns the list of words with this name.
    ///
    /// # Panics
    /// If there is no such list, which [`Self::check`] refuses.
    pub(crate) fn words(&self, name: &str) -> &WordList {
        let list = self.words.iter().find(|list| list.name == name);
        list.unwrap_or_else(|| panic!("verbs.yaml has no words `{name}`"))
    }

    /// Checks that each verb refers only to its own arguments and to lists and fields that
    /// exist. Returns the first mistake.
    pub(crate) fn check(&self) -> Result<(), String> {
        let keys: Vec<&str> = self.keys().collect();
        let is_double = |key: &&&str| keys.iter().filter(|other| other == key).count() > 1;
        if let Some(key) = keys.iter().find(is_double) {
            return Err(format!("`{key}` is defined twice"));
        }
        if let Some(key) = keys.iter().find(|key| EXPECTATIONS.contains(key)) {
            return Err(format!("`{key}` is a key of every step"));
        }
        for verb in self.verbs() {
            let mistake = |text: String| Err(format!("verb `{}`: {text}", verb.key));
            if let Some(key) = verb.used_keys().into_iter().find(|key| !verb.has(key)) {
                return mistake(format!("unknown argument `{key}`"));
            }
            let is_syntax = SYNTAX.contains(&verb.key.as_str());
            if verb.call.is_some() == is_syntax || verb.sentence.is_some() == is_syntax {
                return mistake("needs `call` and `sentence`".to_owned());
            }
            for parameter in &verb.parameters {
                if self.argument(&parameter.key).is_none() {
                    return mistake(format!("no argument `{}` in `arguments`", parameter.key));
                }
            }
            let kinds = verb.parameters.iter().map(|parameter| &parameter.kind);
            for kind in kinds.chain([&verb.kind]) {
                self.check_kind(kind).or_else(mistake)?;
            }
            for parameter in &verb.parameters {
                self.check_default(parameter).or_else(mistake)?;
            }
            let known = |field: &&String| self.requirements.contains(field);
            if let Some(field) = verb.requirements().find(|field| !known(field)) {
                return mistake(format!("no field `{field}` in `requirements`"));
            }
        }
        Ok(())
    }

    fn check_default(&self, parameter: &Parameter) -> Result<(), String> {
        let Some(word) = &parameter.default else {
            return Ok(());
        };
        let fits = match &parameter.kind {
            Kind::Word(list) => self.words(list).words.contains(word),
            Kind::Number(min, max) => word
                .parse()
                .is_ok_and(|number: u64| (*min..=*max).contains(&number)),
            Kind::Flag(_) => word.parse::<bool>().is_ok(),
            _ => true,
        };
        match fits {
            true => Ok(()),
            false => Err(format!("invalid default `{word}` of `{}`", parameter.key)),
        }
    }

    fn check_kind(&self, kind: &Kind) -> Result<(), String> {
        let kinds = match kind {
            Kind::Word(name) | Kind::Mask(name) => {
                let list = self.words.iter().find(|list| list.name == *name);
                let list = list.ok_or_else(|| format!("no list `{name}` in `words`"))?;
                return match list.c.is_empty() || list.c.len() == list.words.len() {
                    true => Ok(()),
                    false => Err(format!(
                        "`{name}` has another number of `c` than of `words`"
                    )),
                };
            }
            Kind::Object(kinds)
            | Kind::Closed(kinds)
            | Kind::Ended(kinds)
            | Kind::GivenAway(kinds)
            | Kind::HandedOver(kinds) => kinds.as_slice(),
            Kind::New(kind) | Kind::Opened(kind) => std::slice::from_ref(kind),
            _ => &[],
        };
        let known = |kind: &&ObjectKind| {
            kind.0 == ANY || self.kinds.iter().any(|known| known.name == kind.0)
        };
        match kinds.iter().find(|kind| !known(kind)) {
            Some(kind) => Err(format!("no kind `{}` in `kinds`", kind.0)),
            None => Ok(()),
        }
    }
}

impl Verb {
    /// Returns whether a key is the key of the verb or of one of its arguments.
    fn has(&self, key: &str) -> bool {
        key == self.key || self.parameter(key).is_some()
    }

    /// Returns the fields of `struct kt_needs` that the verb requires.
    fn requirements(&self) -> impl Iterator<Item = &String> {
        let forms = self.forms.iter().filter_map(|form| form.needs.as_ref());
        forms.chain(&self.needs).chain(&self.needs_in_first_boot)
    }

    /// Returns the keys that the verb or one of its forms refers to.
    fn used_keys(&self) -> Vec<&str> {
        let sentences = [self.sentence.as_ref()].into_iter();
        let sentences = sentences.chain(self.forms.iter().map(|form| form.sentence.as_ref()));
        let mut keys: Vec<&str> = sentences.flatten().flat_map(Sentence::keys).collect();
        let calls = self.forms.iter().map(|form| form.call.as_ref());
        let calls = calls.chain([self.call.as_ref()]).flatten();
        keys.extend(
            calls
                .flat_map(|call| &call.arguments)
                .filter_map(|argument| match argument {
                    CArgument::Value(key) | CArgument::Quoted(key) | CArgument::Address(key) => {
                        Some(key.as_str())
                    }
                    CArgument::Code(_) => None,
                }),
        );
        let results = self.forms.iter().filter_map(|form| form.result.as_ref());
        keys.extend(
            results
                .chain([&self.result])
                .filter_map(|result| match result {
                    Outcome::Descriptor(key) | Outcome::Number(key) | Outcome::Text(key) => {
                        Some(key.as_str())
                    }
                    _ => None,
                }),
        );
        keys.extend(
            self.forms
                .iter()
                .flat_map(|form| form.when.keys())
                .map(String::as_str),
        );
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(verb: &str) -> String {
        let text = format!(
            "kinds: [{{name: file}}]\nwords: [{{name: colour, words: [red]}}]\n\
             arguments: [{{key: as, about: The name.}}]\n\
             groups: [{{title: a, about: b, verbs: [{{key: v, about: c, examples: [], {verb}}}]}}]\n"
        );
        let language = Language::parse(&text, "verbs.yaml").unwrap();
        language.check().unwrap_err()
    }

    #[test]
    fn check_names_the_verb_and_the_mistake() {
        let ok = "sentence: s, call: 'f(lu)'";
        for (verb, expected) in [
            ("sentence: s".to_owned(), "needs `call` and `sentence`"),
            (
                "sentence: 's {x}', call: 'f(lu)'".to_owned(),
                "unknown argument `x`",
            ),
            (
                format!("{ok}, kind: {{word: size}}"),
                "no list `size` in `words`",
            ),
            (
                format!("{ok}, kind: {{object: [socket]}}"),
                "no kind `socket` in `kinds`",
            ),
            (
                format!("{ok}, needs: usb"),
                "no field `usb` in `requirements`",
            ),
            (
                format!("{ok}, parameters: [{{key: size}}]"),
                "no argument `size` in `arguments`",
            ),
            (
                format!("{ok}, parameters: [{{key: as, kind: {{number: [1, 4]}}, default: '7'}}]"),
                "invalid default `7` of `as`",
            ),
        ] {
            assert_eq!(mistake(&verb), format!("verb `v`: {expected}"));
        }
    }

    #[test]
    fn extend_replaces_verbs_and_joins_groups() {
        let verb = |key: &str, title: &str| {
            format!(
                "groups: [{{title: {title}, about: b, verbs: [{{key: {key}, about: c, \
                 sentence: s, call: 'f(lu)', examples: []}}]}}]\n"
            )
        };
        let parse = |text: &str| Language::parse(text, "verbs.yaml").unwrap();
        let mut language = parse(&verb("close", "Files"));
        language.extend(parse(&verb("open", "Files")));
        language.extend(parse(&verb("close", "Sessions")));
        let titles: Vec<_> = language.groups.iter().map(|group| &group.title).collect();
        assert_eq!(titles, ["Files", "Sessions"]);
        let keys: Vec<_> = language.verbs().map(|verb| verb.key.as_str()).collect();
        assert_eq!(keys, ["open", "close"]);
    }
}
