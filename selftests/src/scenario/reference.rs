// SPDX-License-Identifier: GPL-2.0-only
//! The reference page of the language. What a key is comes from the schema, so that
//! none can be missing or stale; which keys belong together is data of `groups`; the
//! words that may be values are those that the checks know.

mod groups;
pub(super) mod markdown;
mod prose;

use serde_json::{Map, Value};

use super::machines::{DEFAULT, Machines};
use super::names::{CALLBACKS, ERRNOS};
use super::raw::RawScenario;
use super::{Access, Answer, DeviceState, Removal, Seal};
use crate::klog::SplatClass;
use groups::{Deed, EVERYWHERE, GROUPS, HEAD};
use markdown::{heading, item, paragraph, words, yaml};

pub(super) use groups::owners;

/// What the description of a key that names an action begins with.
const ACTION: &str = "Action: ";

/// The schema of the language.
struct Schema(Value);

/// A key as the schema has it.
struct Key<'a> {
    name: &'a str,
    kind: String,
    is_needed: bool,
    about: String,
}

impl Schema {
    fn new() -> Self {
        Self(schemars::schema_for!(RawScenario).to_value())
    }

    /// Returns a type of the schema; the scenario's own has no name.
    fn object(&self, name: &str) -> &Value {
        match name {
            "" => &self.0,
            name => &self.0["$defs"][name],
        }
    }

    fn properties(&self, object: &str) -> &Map<String, Value> {
        let properties = self.object(object)["properties"].as_object();
        properties.expect("a struct of the language has keys")
    }

    fn key(&self, object: &str, name: &str) -> Key<'_> {
        let (name, value) = self
            .properties(object)
            .get_key_value(name)
            .expect("the groups name keys that there are");
        let needed = self.object(object)["required"].as_array();
        let about = value["description"].as_str().unwrap_or_default();
        Key {
            name,
            kind: kind(value),
            is_needed: needed.is_some_and(|all| all.iter().any(|one| one == name)),
            about: about.strip_prefix(ACTION).unwrap_or(about).to_owned(),
        }
    }

    fn all(&self, object: &str) -> Vec<Key<'_>> {
        let names = self.properties(object).keys();
        names.map(|name| self.key(object, name)).collect()
    }
}

/// Returns what a key of a step is, in the middle of a sentence.
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

/// What a value is, in a word.
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

/// Returns the page, in Markdown.
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

fn say(page: &mut String, key: &Key<'_>) {
    let needed = if key.is_needed { ", needed" } else { "" };
    item(
        page,
        &format!("`{}` ({}{needed}): {}", key.name, key.kind, key.about),
    );
}

fn head(page: &mut String, schema: &Schema) {
    heading(page, 2, "The keys of a scenario");
    for (title, keys) in HEAD {
        heading(page, 3, title);
        keys.iter()
            .for_each(|name| say(page, &schema.key("", name)));
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
        schema.all(object).iter().for_each(|key| say(page, key));
        page.push('\n');
    }
}

fn steps(page: &mut String, schema: &Schema) {
    heading(page, 2, "Steps");
    prose::steps(page);
    for group in GROUPS {
        let keys = words(group.deeds.iter().map(|deed| deed.key));
        item(page, &format!("{}: {keys}", group.title));
    }
    page.push('\n');
    for group in GROUPS {
        heading(page, 3, group.title);
        paragraph(page, group.about);
        group
            .deeds
            .iter()
            .for_each(|deed| action(page, schema, deed));
    }
    heading(page, 3, "The keys that belong to actions");
    for key in schema.all("RawStep") {
        let owners = owners(key.name);
        if !owners.is_empty() {
            let owners = words(owners);
            let (name, kind, about) = (key.name, key.kind, key.about);
            item(page, &format!("`{name}` ({kind}): {about} For {owners}."));
        }
    }
    page.push('\n');
}

fn action(page: &mut String, schema: &Schema, deed: &Deed) {
    heading(page, 4, &format!("`{}`", deed.key));
    let mut about = capital(&schema.key("RawStep", deed.key).about);
    let keys = |keys: &[&'static str]| words(keys.iter().copied());
    match (deed.needs, deed.may) {
        ([], []) => {}
        (needs, []) => about.push_str(&format!(" Needs {}.", keys(needs))),
        ([], may) => about.push_str(&format!(" May have {}.", keys(may))),
        (needs, may) => {
            about.push_str(&format!(" Needs {}; may have {}.", keys(needs), keys(may)));
        }
    }
    if deed.after_kexec {
        about.push_str(" The example is of a boot after a kexec:");
    }
    paragraph(page, &about);
    deed.examples.iter().for_each(|example| yaml(page, example));
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn expectations(page: &mut String, schema: &Schema) {
    heading(page, 2, "What must be seen");
    prose::expectations(page);
    for name in EVERYWHERE {
        say(page, &schema.key("RawStep", name));
    }
    page.push('\n');
    paragraph(page, "An entry of `log` has these keys:");
    schema.all("RawLog").iter().for_each(|key| say(page, key));
    page.push('\n');
    yaml(page, prose::EXPECTATIONS);
}

fn on_machines(page: &mut String, machines: &Machines) {
    heading(page, 2, "Machines and their slots");
    paragraph(
        page,
        &format!("A scenario that names no machine runs on `{DEFAULT}`."),
    );
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
         `endpoint0.vf1` and so on. They are there once the driver was asked for them, \
         and are in `devices` like any other:",
    );
    yaml(page, prose::FUNCTIONS);
}

fn all_words(page: &mut String) {
    heading(page, 2, "Words");
    let removals = Removal::ALL.iter().map(|one| one.word());
    let states = DeviceState::ALL.iter().map(|one| one.word());
    let lists = [
        ("Results (`returns`, `with`)", words(ERRNOS.iter().copied())),
        ("Ways to remove a device (`how`)", words(removals)),
        ("States of a device (`state`)", words(states)),
        (
            "Seals (`seals`)",
            words(Seal::ALL.iter().map(|one| one.word())),
        ),
        (
            "Ways to open (`mode`)",
            words(Access::ALL.iter().map(|one| one.word())),
        ),
        (
            "Answers (`answer`)",
            words(Answer::ALL.iter().map(|one| one.word())),
        ),
        ("Callbacks (`fail_next`)", words(CALLBACKS.iter().copied())),
        (
            "Classes of splats (`class`, `fails_with`)",
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
