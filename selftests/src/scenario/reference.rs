// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference of the scenario language, SCENARIOS.md. The descriptions of keys come
//! from the JSON schema, their grouping from `groups`, and the lists of valid words from
//! the constants that the checks use.

mod groups;
pub(super) mod markdown;
mod prose;

use serde_json::{Map, Value};

use super::machines::{DEFAULT, Machines};
use super::names::{CALLBACKS, ERRNOS};
use super::raw::RawScenario;
use super::{Access, Answer, DeviceState, Removal, Seal};
use crate::klog::SplatClass;
use groups::{ActionDoc, EVERYWHERE, GROUPS, HEAD};
use markdown::{heading, item, paragraph, words, yaml};

pub(super) use groups::owners;

/// The prefix of the description of an action.
const ACTION: &str = "Action: ";

/// The JSON schema of scenario files.
struct Schema(Value);

/// A key in the schema.
struct Key<'a> {
    name: &'a str,
    kind: String,
    is_required: bool,
    about: String,
}

impl Schema {
    fn new() -> Self {
        Self(schemars::schema_for!(RawScenario).to_value())
    }

    /// Returns a type of the schema. The empty name is the type of the scenario.
    fn object(&self, name: &str) -> &Value {
        match name {
            "" => &self.0,
            name => &self.0["$defs"][name],
        }
    }

    fn properties(&self, object: &str) -> &Map<String, Value> {
        let properties = self.object(object)["properties"].as_object();
        properties.expect("every struct of the schema has properties")
    }

    fn key(&self, object: &str, name: &str) -> Key<'_> {
        let (name, value) = self
            .properties(object)
            .get_key_value(name)
            .expect("`groups` refers to existing keys");
        let required = self.object(object)["required"].as_array();
        let about = value["description"].as_str().unwrap_or_default();
        Key {
            name,
            kind: kind(value),
            is_required: required.is_some_and(|all| all.iter().any(|key| key == name)),
            about: about.strip_prefix(ACTION).unwrap_or(about).to_owned(),
        }
    }

    fn all(&self, object: &str) -> Vec<Key<'_>> {
        let names = self.properties(object).keys();
        names.map(|name| self.key(object, name)).collect()
    }
}

/// Returns the first sentence of the description of a step's key, in lower case.
pub(super) fn about(key: &str) -> String {
    let schema = Schema::new();
    let about = schema.key("RawStep", key).about;
    let end = about.find(['.', ';', '(']).unwrap_or(about.len());
    let words: Vec<&str> = about[..end].split_whitespace().collect();
    let mut text = words.join(" ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// The type of a value.
fn kind(value: &Value) -> String {
    let of_type = |word: &str| value["type"] == word || value["type"][0] == word;
    let plain = [
        ("string", "text"),
        ("integer", "number"),
        ("boolean", "yes or no"),
        ("array", "list"),
        ("object", "map"),
    ];
    let found = plain.into_iter().find(|(word, _)| of_type(word));
    found.map_or("map", |(_, name)| name).to_owned()
}

/// Returns the reference in Markdown.
#[must_use]
pub fn reference(machines: &Machines) -> String {
    let schema = Schema::new();
    let mut out = String::new();
    prose::begin(&mut out);
    head(&mut out, &schema);
    prose::boots(&mut out);
    prose::variants(&mut out);
    steps(&mut out, &schema);
    expectations(&mut out, &schema);
    prose::races(&mut out);
    prose::findings(&mut out);
    on_machines(&mut out, machines);
    all_words(&mut out);
    prose::limits(&mut out);
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

fn describe(out: &mut String, key: &Key<'_>) {
    let required = if key.is_required { ", required" } else { "" };
    item(
        out,
        &format!("`{}` ({}{required}): {}", key.name, key.kind, key.about),
    );
}

fn head(out: &mut String, schema: &Schema) {
    heading(out, 2, "The keys of a scenario");
    for (title, keys) in HEAD {
        heading(out, 3, title);
        keys.iter()
            .for_each(|name| describe(out, &schema.key("", name)));
        out.push('\n');
    }
    let parts = [
        ("The setup", "RawSetup"),
        ("A file of the setup", "RawFile"),
        ("A boot", "RawBoot"),
        ("An entry of `splats`", "RawSplat"),
    ];
    for (title, object) in parts {
        heading(out, 3, title);
        let about = schema.object(object)["description"].as_str();
        paragraph(out, about.unwrap_or_default());
        let keys = schema.all(object);
        keys.iter().for_each(|key| describe(out, key));
        out.push('\n');
    }
}

fn steps(out: &mut String, schema: &Schema) {
    heading(out, 2, "Steps");
    prose::steps(out);
    for group in GROUPS {
        let keys = words(group.actions.iter().map(|doc| doc.key));
        item(out, &format!("{}: {keys}", group.title));
    }
    out.push('\n');
    for group in GROUPS {
        heading(out, 3, group.title);
        paragraph(out, group.about);
        group
            .actions
            .iter()
            .for_each(|doc| action(out, schema, doc));
    }
    heading(out, 3, "Arguments of actions");
    for key in schema.all("RawStep") {
        let owners = owners(key.name);
        if !owners.is_empty() {
            let owners = words(owners);
            let (name, kind, about) = (key.name, key.kind, key.about);
            item(out, &format!("`{name}` ({kind}, for {owners}): {about}"));
        }
    }
    out.push('\n');
}

fn action(out: &mut String, schema: &Schema, doc: &ActionDoc) {
    heading(out, 4, &format!("`{}`", doc.key));
    let mut about = capital(&schema.key("RawStep", doc.key).about);
    let keys = |keys: &[&'static str]| words(keys.iter().copied());
    match (doc.needs, doc.may) {
        ([], []) => {}
        (needs, []) => about.push_str(&format!(" Required: {}.", keys(needs))),
        ([], may) => about.push_str(&format!(" Optional: {}.", keys(may))),
        (needs, may) => {
            let (needs, may) = (keys(needs), keys(may));
            about.push_str(&format!(" Required: {needs}. Optional: {may}."));
        }
    }
    if doc.after_kexec {
        about.push_str(" Example in a boot after a kexec:");
    }
    paragraph(out, &about);
    doc.examples.iter().for_each(|example| yaml(out, example));
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn expectations(out: &mut String, schema: &Schema) {
    heading(out, 2, "Expectations");
    prose::expectations(out);
    for name in EVERYWHERE {
        describe(out, &schema.key("RawStep", name));
    }
    out.push('\n');
    paragraph(out, "An entry of `log` has these keys:");
    let keys = schema.all("RawLog");
    keys.iter().for_each(|key| describe(out, key));
    out.push('\n');
    yaml(out, prose::EXPECTATIONS);
}

fn on_machines(out: &mut String, machines: &Machines) {
    heading(out, 2, "Machines and their slots");
    paragraph(out, &format!("The default machine is `{DEFAULT}`."));
    for name in machines.names() {
        let slots = machines.slots(name).unwrap_or_default();
        let slots = words(slots.iter().map(String::as_str));
        let about = machines.description(name).unwrap_or_default();
        item(out, &format!("`{name}`: {about}. Slots: {slots}."));
    }
    out.push('\n');
    paragraph(
        out,
        "On `sriov`, the virtual functions of `endpoint0` are `endpoint0.vf0`, \
         `endpoint0.vf1` and so on. They must be listed in `devices`, and exist after they \
         have been enabled through the driver:",
    );
    yaml(out, prose::FUNCTIONS);
}

fn all_words(out: &mut String) {
    heading(out, 2, "Valid words");
    let removals = Removal::ALL.iter().map(|removal| removal.word());
    let states = DeviceState::ALL.iter().map(|state| state.word());
    let lists = [
        ("Errors (`returns`, `with`)", words(ERRNOS.iter().copied())),
        ("Methods of removal (`how`)", words(removals)),
        ("Device states (`state`)", words(states)),
        (
            "Seals (`seals`)",
            words(Seal::ALL.iter().map(|seal| seal.word())),
        ),
        (
            "Access modes (`mode`)",
            words(Access::ALL.iter().map(|access| access.word())),
        ),
        (
            "Answers (`answer`)",
            words(Answer::ALL.iter().map(|answer| answer.word())),
        ),
        ("Callbacks (`fail_next`)", words(CALLBACKS.iter().copied())),
        (
            "Splat classes (`class`, `fails_with`)",
            words(SplatClass::ALL.iter().map(|class| class.word())),
        ),
    ];
    for (title, words) in lists {
        item(out, &format!("{title}: {words}"));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests;
