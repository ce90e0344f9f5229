// SPDX-License-Identifier: GPL-2.0-only
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
    let mut page = String::new();
    prose::begin(&mut page);
    head(&mut page, &schema);
    prose::boots(&mut page);
    prose::variants(&mut page);
    steps(&mut page, &schema);
    expectations(&mut page, &schema);
    prose::races(&mut page);
    prose::findings(&mut page);
    on_machines(&mut page, machines);
    all_words(&mut page);
    prose::limits(&mut page);
    let end = page.trim_end().len();
    page.truncate(end);
    page.push('\n');
    page
}

fn describe(page: &mut String, key: &Key<'_>) {
    let required = if key.is_required { ", required" } else { "" };
    item(
        page,
        &format!("`{}` ({}{required}): {}", key.name, key.kind, key.about),
    );
}

fn head(page: &mut String, schema: &Schema) {
    heading(page, 2, "The keys of a scenario");
    for (title, keys) in HEAD {
        heading(page, 3, title);
        keys.iter()
            .for_each(|name| describe(page, &schema.key("", name)));
        page.push('\n');
    }
    let parts = [
        ("The setup", "RawSetup"),
        ("A file of the setup", "RawFile"),
        ("A boot", "RawBoot"),
        ("An entry of `splats`", "RawSplat"),
    ];
    for (title, object) in parts {
        heading(page, 3, title);
        let about = schema.object(object)["description"].as_str();
        paragraph(page, about.unwrap_or_default());
        let keys = schema.all(object);
        keys.iter().for_each(|key| describe(page, key));
        page.push('\n');
    }
}

fn steps(page: &mut String, schema: &Schema) {
    heading(page, 2, "Steps");
    prose::steps(page);
    for group in GROUPS {
        let keys = words(group.actions.iter().map(|doc| doc.key));
        item(page, &format!("{}: {keys}", group.title));
    }
    page.push('\n');
    for group in GROUPS {
        heading(page, 3, group.title);
        paragraph(page, group.about);
        group
            .actions
            .iter()
            .for_each(|doc| action(page, schema, doc));
    }
    heading(page, 3, "Arguments of actions");
    for key in schema.all("RawStep") {
        let owners = owners(key.name);
        if !owners.is_empty() {
            let owners = words(owners);
            let (name, kind, about) = (key.name, key.kind, key.about);
            item(page, &format!("`{name}` ({kind}, for {owners}): {about}"));
        }
    }
    page.push('\n');
}

fn action(page: &mut String, schema: &Schema, doc: &ActionDoc) {
    heading(page, 4, &format!("`{}`", doc.key));
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
    paragraph(page, &about);
    doc.examples.iter().for_each(|example| yaml(page, example));
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn expectations(page: &mut String, schema: &Schema) {
    heading(page, 2, "Expectations");
    prose::expectations(page);
    for name in EVERYWHERE {
        describe(page, &schema.key("RawStep", name));
    }
    page.push('\n');
    paragraph(page, "An entry of `log` has these keys:");
    let keys = schema.all("RawLog");
    keys.iter().for_each(|key| describe(page, key));
    page.push('\n');
    yaml(page, prose::EXPECTATIONS);
}

fn on_machines(page: &mut String, machines: &Machines) {
    heading(page, 2, "Machines and their slots");
    paragraph(page, &format!("The default machine is `{DEFAULT}`."));
    for name in machines.names() {
        let slots = machines.slots(name).unwrap_or_default();
        let slots = words(slots.iter().map(String::as_str));
        let about = machines.description(name).unwrap_or_default();
        item(page, &format!("`{name}`: {about}. Slots: {slots}."));
    }
    page.push('\n');
    paragraph(
        page,
        "On `sriov`, the virtual functions of `endpoint0` are `endpoint0.vf0`, \
         `endpoint0.vf1` and so on. They must be listed in `devices`, and exist after they \
         have been enabled through the driver:",
    );
    yaml(page, prose::FUNCTIONS);
}

fn all_words(page: &mut String) {
    heading(page, 2, "Valid words");
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
            words(SplatClass::ALL.iter().map(|one| one.word())),
        ),
    ];
    for (title, words) in lists {
        item(page, &format!("{title}: {words}"));
    }
    page.push('\n');
}

#[cfg(test)]
mod tests;
