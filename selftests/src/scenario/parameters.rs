// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parameters of a scenario file: their combinations, and substitution of `$NAME`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::names::{bad_identifier, is_value};
use crate::input::{InputError, Place, closest};
use crate::yaml::{self, At};

/// Maximal number of combinations of a scenario file.
const COMBINATIONS_MAX: usize = 64;

/// The keys that define the combinations. They are parsed before `$NAME`s are substituted,
/// so all other keys are ignored here.
#[derive(Debug, Default, Deserialize)]
struct Head {
    #[serde(default)]
    parameters: BTreeMap<String, Vec<At<String>>>,
    #[serde(default)]
    except: Vec<BTreeMap<String, At<String>>>,
}

/// Names and values of all parameters.
pub(super) type Values = Vec<(String, String)>;

/// Returns all combinations of a scenario file: without parameters, one combination
/// without values.
pub(super) fn combinations(text: &str, file: &str) -> Result<Vec<Values>, InputError> {
    let head: Head = yaml::parse(text, file)?;
    check(&head, text, file)?;
    let mut all: Vec<Values> = vec![Vec::new()];
    for (name, values) in &head.parameters {
        let longer = |known: &Values| {
            let known = known.clone();
            values.iter().map(move |value| {
                let value = (name.clone(), value.value.clone());
                known.iter().cloned().chain([value]).collect()
            })
        };
        all = all.iter().flat_map(longer).collect();
        if all.len() > COMBINATIONS_MAX {
            let message = format!("more than {COMBINATIONS_MAX} combinations of parameters");
            return Err(InputError::new(file, text, first(values), message, None));
        }
    }
    all.retain(|values| !head.except.iter().any(|except| matches(except, values)));
    Ok(all)
}

/// The place of the first value.
fn first(values: &[At<String>]) -> Place {
    let begin = Place { line: 1, column: 1 };
    values.first().map_or(begin, |value| value.place)
}

fn matches(except: &BTreeMap<String, At<String>>, values: &Values) -> bool {
    except.iter().all(|(name, value)| {
        let mut known = values.iter();
        known.any(|(other, is)| other == name && *is == value.value)
    })
}

fn check(head: &Head, text: &str, file: &str) -> Result<(), InputError> {
    let require = |holds, place, message: String, hint| match holds {
        true => Ok(()),
        false => Err(InputError::new(file, text, place, message, hint)),
    };
    for (name, values) in &head.parameters {
        let reason = bad_identifier(name);
        require(
            reason.is_none(),
            first(values),
            reason.unwrap_or_default(),
            None,
        )?;
        let message = format!("the parameter `{name}` has no values");
        require(!values.is_empty(), first(values), message, None)?;
        for (index, At { value, place }) in values.iter().enumerate() {
            let message = format!(
                "`{value}` is not a valid value: use lower-case letters and digits, with `-` \
                 between words"
            );
            require(is_value(value), *place, message, None)?;
            let is_new = values[..index].iter().all(|other| other.value != *value);
            let message = format!("duplicate value `{value}` of `{name}`");
            require(is_new, *place, message, None)?;
        }
    }
    for (name, At { value, place }) in head.except.iter().flatten() {
        let known = head.parameters.get(name);
        let names = head.parameters.keys().map(String::as_str);
        let hint = closest(name, names).map(|near| format!("did you mean `{near}`?"));
        let message = format!("unknown parameter `{name}`");
        require(known.is_some(), *place, message, hint)?;
        let known = known
            .into_iter()
            .flatten()
            .map(|known| known.value.as_str());
        let known: Vec<&str> = known.collect();
        let hint = format!("valid values: {}", known.join(", "));
        let message = format!("unknown value `{value}` of `{name}`");
        require(known.contains(&value.as_str()), *place, message, Some(hint))?;
    }
    Ok(())
}

/// Replaces every `$NAME` of a parameter by its value. Values have no newlines, so the
/// line numbers of errors stay valid.
pub(super) fn substitute(text: &str, values: &Values) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let word = after[1..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(&after[1..], |end| &after[1..=end]);
        match values.iter().find(|(name, _)| name == word) {
            Some((_, value)) => out.push_str(value),
            None => out.extend(["$", word]),
        }
        rest = &after[1 + word.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_leaves_out_the_excepted() {
        let text = "parameters: {b: [x, y], a: [one, two]}\nexcept: [{a: one, b: y}]\n";
        let names: Vec<String> = combinations(text, "f.yaml")
            .unwrap()
            .iter()
            .map(|values| {
                values
                    .iter()
                    .map(|(_, value)| value.as_str())
                    .collect::<Vec<_>>()
                    .join("-")
            })
            .collect();
        assert_eq!(names, ["one-x", "two-x", "two-y"]);
        assert_eq!(combinations("name: x\n", "f.yaml").unwrap(), [vec![]]);
    }

    #[test]
    fn substitute_replaces_only_known_names() {
        let values = vec![("how".to_owned(), "sysfs".to_owned())];
        let text = "a: $how\nb: $however $ $how-x ü$how";
        assert_eq!(
            substitute(text, &values),
            "a: sysfs\nb: $however $ sysfs-x üsysfs"
        );
    }
}
