// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference is complete, and its examples are valid scenarios.

use super::*;

/// A scenario with the example of an action.
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
    // Leaks can be checked on this machine only.
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

fn parse_example(example: &str, after_kexec: bool) -> Result<(), String> {
    let text = around(example, after_kexec);
    let scenario_file = ScenarioFile::parse(&text, "small.yaml", Catalogue::project());
    scenario_file.map(|_| ()).map_err(|error| error.to_string())
}

/// The examples in the text of the reference.
fn blocks() -> Vec<&'static str> {
    let blocks = Catalogue::project().reference.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// The example with an additional line in the step with the action.
fn with_line(doc: &Verb, example: &str, line: &str) -> String {
    let mut out = String::new();
    for old in example.lines() {
        out.push_str(&format!("{old}\n"));
        let indent = old.len() - old.trim_start().len();
        if old.trim_start().starts_with(&format!("- {}:", doc.key)) {
            out.push_str(&format!("{}{line}\n", " ".repeat(indent + 2)));
        }
    }
    out
}

/// The example without a key and its value.
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

/// A valid value of a key.
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
        _ => panic!("add a sample value of `{key}`"),
    }
}

#[test]
fn reference_has_every_key_of_every_type_once() {
    let schema = schema(&Catalogue::project().language).to_value();
    let whole = "RawScenario".to_owned();
    let types = schema["$defs"].as_object().unwrap().iter();
    let types = types.chain([(&whole, &schema)]).collect::<Vec<_>>();
    let language = &Catalogue::project().language;
    for (of_type, object) in types {
        let begin = format!("{{{{{of_type} ");
        let places = Catalogue::project().reference.split(&begin).skip(1);
        let listed = places.flat_map(|place| place.split("}}").next().unwrap().split(' '));
        let mut listed: Vec<&str> = listed.collect();
        listed.sort_unstable();
        let keys = object["properties"].as_object().into_iter().flatten();
        let keys = keys.map(|(key, _)| key.as_str());
        let is_listed = |key: &&str| {
            let is_in_table = language.verb(key).is_some() || language.argument(key).is_some();
            of_type != "RawStep" || !is_in_table
        };
        let keys: Vec<&str> = keys.filter(is_listed).collect();
        assert_eq!(listed, keys, "{of_type}");
    }
}

#[test]
fn reference_has_no_part_left_open() {
    assert!(!reference(Catalogue::project()).contains("{{"));
}

#[test]
fn every_example_is_a_valid_scenario() {
    for doc in Catalogue::project().language.verbs() {
        for example in &doc.examples {
            assert!(example.contains(&format!("- {}:", doc.key)), "{example}");
            assert_eq!(parse_example(example, doc.after_kexec), Ok(()), "{example}");
        }
    }
    for text in blocks() {
        if text.starts_with("- ") {
            assert_eq!(parse_example(text, false), Ok(()), "{text}");
        } else if let Some(rest) = text.strip_prefix("name: ") {
            let file = format!("{}.yaml", rest.lines().next().unwrap());
            let scenario_file = ScenarioFile::parse(text, &file, Catalogue::project());
            assert_eq!(scenario_file.err().map(|error| error.to_string()), None);
        }
    }
}

#[test]
fn actions_accept_exactly_their_documented_arguments() {
    let language = &Catalogue::project().language;
    for doc in language.verbs() {
        for key in language.arguments.iter().map(|argument| &argument.key) {
            assert!(!language.owners(key).is_empty(), "no verb has `{key}`");
            let line = format!("{key}: {}", sample(key));
            let is_listed = doc.parameter(key).is_some();
            let is_refused = doc.examples.iter().all(|example| {
                let bare = match is_listed {
                    true => without(example, key),
                    false => example.clone(),
                };
                let example = with_line(doc, &bare, &line);
                let refused = parse_example(&example, doc.after_kexec).err();
                refused.is_some_and(|why| why.contains("is invalid for the step"))
            });
            assert_eq!(is_refused, !is_listed, "`{key}` of `{}`", doc.key);
        }
        let parameters = doc.parameters.iter();
        for parameter in parameters.filter(|parameter| !parameter.is_optional()) {
            let key = &parameter.key;
            let lacking = without(&doc.examples[0], key);
            let refused = parse_example(&lacking, doc.after_kexec).unwrap_err();
            let message = format!("missing key `{key}`");
            assert!(refused.contains(&message), "{refused}");
        }
    }
}

#[test]
fn checked_in_reference_is_up_to_date() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/catalogues/liveupdate-pci/SCENARIOS.md"
    );
    let found = fs_err::read_to_string(path).unwrap();
    assert!(
        found == reference(Catalogue::project()),
        "run `cargo xtask generate`"
    );
}

#[test]
fn catalogue_has_table_row_and_full_text_of_a_finding() {
    let text = "name: small\ntitle: a|b\nwhy: One. Two.\nfails_without: [fix]\n\
        known_finding: Here it is.\nboots: [{steps: [{rescan: pci, fails_first: true}]}]\n";
    let scenario_file = ScenarioFile::parse(text, "small.yaml", Catalogue::project()).unwrap();
    let out = overview(Catalogue::project(), &[scenario_file]);
    assert!(
        out.contains("| edu-pair | 1 | a\\|b | One. | fix |"),
        "{out}"
    );
    assert!(out.ends_with("Here it is.\n\nFixed by `fix` in `kernel-patches`.\n"));
}

#[test]
fn checked_in_schema_is_up_to_date() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/catalogues/liveupdate-pci/scenario.schema.json"
    );
    let found = fs_err::read_to_string(path).unwrap();
    assert!(
        found == json_schema(Catalogue::project()),
        "run `cargo xtask generate`"
    );
}
