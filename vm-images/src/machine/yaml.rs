// SPDX-License-Identifier: GPL-2.0-only
//! Machine files: the only module of this room that knows YAML.

use camino::Utf8Path;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{Device, Machine, MachineError, MachineType, SLOTS_MAX, Slot};

const CPUS_MAX: u32 = 64;
const MEMORY_MIB_MIN: u32 = 128;
const MEMORY_MIB_MAX: u32 = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMachine {
    #[serde(default)]
    description: String,
    #[serde(rename = "type")]
    kind: MachineType,
    cpus: Spanned<u32>,
    memory_mib: Spanned<u32>,
    #[serde(default)]
    slots: Vec<RawSlot>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlot {
    name: Spanned<String>,
    device: Option<Device>,
}

/// A sentence and the place it is about.
struct Problem {
    at: Location,
    what: String,
}

/// Reads any value; a mistake is a sentence with its place.
pub(crate) fn from_text<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Returns the machine that `text`, read from `path`, describes.
pub fn parse(path: &Utf8Path, text: &str) -> Result<Machine, MachineError> {
    let wrong = |problem: String| MachineError::Wrong {
        path: path.to_owned(),
        problem,
    };
    let raw: RawMachine = from_text(text).map_err(wrong)?;
    check(&raw).map_err(|problem| wrong(show(&problem, text)))?;
    Ok(Machine {
        name: path.file_stem().unwrap_or_default().to_owned(),
        description: raw.description,
        kind: raw.kind,
        cpus: raw.cpus.value,
        memory_mib: raw.memory_mib.value,
        slots: raw
            .slots
            .into_iter()
            .map(|slot| Slot {
                name: slot.name.value,
                device: slot.device,
            })
            .collect(),
    })
}

fn check(raw: &RawMachine) -> Result<(), Problem> {
    check_range("cpus", &raw.cpus, 1, CPUS_MAX)?;
    check_range(
        "memory_mib",
        &raw.memory_mib,
        MEMORY_MIB_MIN,
        MEMORY_MIB_MAX,
    )?;
    for (index, slot) in raw.slots.iter().enumerate() {
        let name = &slot.name.value;
        let problem = |what| {
            Err(Problem {
                at: slot.name.referenced,
                what,
            })
        };
        if index >= SLOTS_MAX {
            return problem(format!(
                "slot `{name}` is one more than the {SLOTS_MAX} a machine may have"
            ));
        }
        if !is_slot_name(name) {
            return problem(format!(
                "slot name `{name}` must be of small letters, digits and `-`, and begin with a letter"
            ));
        }
        if raw.slots[..index]
            .iter()
            .any(|other| other.name.value == *name)
        {
            return problem(format!("two slots have the name `{name}`"));
        }
    }
    Ok(())
}

fn check_range(name: &str, value: &Spanned<u32>, min: u32, max: u32) -> Result<(), Problem> {
    if (min..=max).contains(&value.value) {
        return Ok(());
    }
    Err(Problem {
        at: value.referenced,
        what: format!(
            "`{name}` is {}, and must be from {min} to {max}",
            value.value
        ),
    })
}

/// Names become QEMU ids, hence the narrow choice.
fn is_slot_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.len() <= 32
}

fn show(problem: &Problem, text: &str) -> String {
    let (line, column) = (problem.at.line(), problem.at.column());
    let source = usize::try_from(line)
        .ok()
        .and_then(|line| text.lines().nth(line.checked_sub(1)?))
        .unwrap_or_default();
    format!(
        "line {line} column {column}: {}\n  | {source}",
        problem.what
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(Utf8Path::new("m.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    const HEAD: &str = "type: q35\ncpus: 2\nmemory_mib: 512\n";

    #[test]
    fn an_unknown_field_is_shown_where_it_is() {
        let text = problem(&format!("{HEAD}memroy: 3\n"));
        assert!(text.contains("unknown field `memroy`"), "{text}");
        assert!(text.contains("line 4"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_shown_where_it_is() {
        insta::assert_snapshot!(problem("type: q35\ncpus: 0\nmemory_mib: 512\n"), @r"
        `m.yaml` is not a machine: line 2 column 7: `cpus` is 0, and must be from 1 to 64
          | cpus: 0
        ");
    }

    #[test]
    fn slot_names_are_unique_and_plain() {
        insta::assert_snapshot!(problem(&format!("{HEAD}slots:\n  - name: a\n  - name: a\n")), @r"
        `m.yaml` is not a machine: line 6 column 11: two slots have the name `a`
          |   - name: a
        ");
        assert!(problem(&format!("{HEAD}slots: [{{name: 'a,b'}}]\n")).contains("small letters"));
    }
}
