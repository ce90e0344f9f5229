// SPDX-License-Identifier: GPL-2.0-only
//! The page is complete, and all that it says can be done.

use super::*;
use crate::scenario::ScenarioFile;

/// The example of a deed, in a scenario.
fn around(example: &str, after_kexec: bool) -> String {
    let indented: String = example
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    let first = if after_kexec {
        "      - {preserve: dev, into: vm}\n      - {preserve: memory, into: vm}\n  - steps:\n"
    } else {
        ""
    };
    // Not all machines look for lost memory.
    let machine = match example.contains("check_leaks") {
        true => "edu-pair-leaks",
        false => "switch",
    };
    format!(
        "name: small\ntitle: small\nwhy: because\nmachine: {machine}\n\
         devices: [endpoint0, endpoint1, endpoint0.vf0]\n\
         setup:\n  sessions: [vm]\n  files:\n    dev: {{device: endpoint0}}\n    \
         memory: {{memfd: old}}\nboots:\n  - steps:\n{first}{indented}"
    )
}

fn tried(example: &str, after_kexec: bool) -> Result<(), String> {
    let text = around(example, after_kexec);
    let scenario_file = ScenarioFile::parse(&text, "small.yaml", &Machines::project());
    scenario_file
        .map(|_| ())
        .map_err(|mistake| mistake.to_string())
}

fn deeds() -> impl Iterator<Item = &'static Deed> {
    GROUPS.iter().flat_map(|group| group.deeds)
}

/// The example with a line more in the step that names the deed.
fn with_line(deed: &Deed, example: &str, line: &str) -> String {
    let mut out = String::new();
    for old in example.lines() {
        out.push_str(&format!("{old}\n"));
        let indent = old.len() - old.trim_start().len();
        if old.trim_start().starts_with(&format!("- {}:", deed.key)) {
            out.push_str(&format!("{}{line}\n", " ".repeat(indent + 2)));
        }
    }
    out
}

/// The example without a key, and all that is below it.
fn without(example: &str, key: &str) -> String {
    let mut below = None;
    let mut out = String::new();
    for line in example.lines() {
        let indent = line.len() - line.trim_start().len();
        if below.is_some_and(|at| indent > at) {
            continue;
        }
        below = line
            .trim_start()
            .starts_with(&format!("{key}:"))
            .then_some(indent);
        if below.is_none() {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

/// Some value that a key can have.
fn sample(key: &str) -> &'static str {
    match key {
        "as" => "another",
        "into" | "from" => "vm",
        "how" => "sysfs",
        "state" => "bound",
        "flb" => "other",
        "with" => "EIO",
        "takes" => "[vm]",
        "seals" => "[grow]",
        "mode" => "read",
        "answer" => "unwritable",
        "executable" => "false",
        "token" | "levels" | "at" | "value" | "size" | "times" => "1",
        "contents" | "driver" | "sync_point" => "some_word",
        "meanwhile" | "undo" | "steps" => "[{rescan: pci}]",
        "against" => "{rescan: pci}",
        _ => panic!("give a value of `{key}` to try it with"),
    }
}

#[test]
fn every_key_of_the_schema_has_its_place() {
    let schema = Schema::new();
    for (name, value) in schema.properties("RawStep") {
        let about = value["description"].as_str().unwrap();
        let is_action = about.starts_with(ACTION);
        let deeds = deeds().filter(|deed| deed.key == name).count();
        assert_eq!(deeds, usize::from(is_action), "`{name}` in `GROUPS`");
        let is_known = is_action || EVERYWHERE.contains(&name.as_str());
        assert_eq!(is_known, owners(name).is_empty(), "who has `{name}`?");
    }
    for name in schema.properties("").keys() {
        let groups = HEAD
            .iter()
            .filter(|(_, keys)| keys.contains(&name.as_str()));
        assert_eq!(groups.count(), 1, "`{name}` in `HEAD`");
    }
}

#[test]
fn every_example_is_one() {
    for deed in deeds() {
        for example in deed.examples {
            assert!(example.contains(&format!("- {}:", deed.key)), "{example}");
            assert_eq!(tried(example, deed.after_kexec), Ok(()), "{example}");
        }
    }
    for example in [prose::EXPECTATIONS, prose::FUNCTIONS] {
        assert_eq!(tried(example, false), Ok(()), "{example}");
    }
    for text in [
        prose::SCENARIO,
        prose::KEXEC,
        prose::VARIANTS,
        prose::FINDING,
    ] {
        let name = text.lines().next().unwrap().trim_start_matches("name: ");
        let scenario_file =
            ScenarioFile::parse(text, &format!("{name}.yaml"), &Machines::project());
        assert_eq!(scenario_file.err().map(|mistake| mistake.to_string()), None);
    }
}

#[test]
fn a_deed_has_the_keys_that_it_is_said_to_have() {
    let schema = Schema::new();
    for deed in deeds() {
        let keys = schema.properties("RawStep").keys();
        for key in keys.filter(|key| !owners(key).is_empty()) {
            let line = format!("{key}: {}", sample(key));
            let is_listed = deed.needs.contains(&&**key) || deed.may.contains(&&**key);
            let is_refused = deed.examples.iter().all(|example| {
                let bare = match is_listed {
                    true => without(example, key),
                    false => (*example).to_owned(),
                };
                let example = with_line(deed, &bare, &line);
                let refused = tried(&example, deed.after_kexec).err();
                refused.is_some_and(|why| why.contains("means nothing"))
            });
            assert_eq!(is_refused, !is_listed, "`{key}` of `{}`", deed.key);
        }
        for key in deed.needs {
            let lacking = without(deed.examples[0], key);
            let refused = tried(&lacking, deed.after_kexec).unwrap_err();
            assert!(refused.contains(&format!("needs `{key}`")), "{refused}");
        }
    }
}

#[test]
fn the_page_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SCENARIOS.md");
    let found = fs_err::read_to_string(path).unwrap();
    assert!(
        found == reference(&Machines::project()),
        "run `cargo xtask generate`"
    );
}
