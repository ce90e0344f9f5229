// SPDX-License-Identifier: GPL-2.0-only
//! YAML text to typed values that remember where they were written.
//!
//! The only module that names the YAML crate, so that the crate can change. It
//! knows nothing of what is described: it turns text into values, and mistakes
//! into [`InputError`]s with a place.

use schemars::JsonSchema;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::input::{InputError, Place, closest};

/// A value and the place in the YAML text that it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value as written.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            place: place_of(spanned.referenced),
            value: spanned.value,
        })
    }
}

/// To the schema, a value with a place is the value.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

fn place_of(location: serde_saphyr::Location) -> Place {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).max(1);
    Place {
        line: number(location.line()),
        column: number(location.column()),
    }
}

/// Parses `text` as one value. `file` is only the name to report mistakes under.
///
/// # Errors
///
/// Returns the first mistake: what is wrong with the YAML, a missing or unknown
/// key, or a value of the wrong type.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, InputError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map_or(Place { line: 1, column: 1 }, place_of);
        let (message, hint) = in_our_words(message_of(error.without_snippet()));
        InputError::new(file, text, place, message, hint)
    })
}

/// What the crate's sentence comes to for somebody who knows no Rust.
fn in_our_words(message: String) -> (String, Option<String>) {
    if let Some(Unknown { what, wrong, known }) = unknown(&message) {
        let hint = match closest(wrong, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {what} `{wrong}`"), Some(hint));
    }
    let hint = |text: &str| Some(text.to_owned());
    match message.strip_prefix("invalid ") {
        Some("u8" | "u16" | "u32" | "u64" | "usize") => (
            "a whole number belongs here".to_owned(),
            hint("write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes"),
        ),
        Some("i8" | "i16" | "i32" | "i64" | "isize") => (
            "a whole number belongs here".to_owned(),
            hint("write digits, as in `12` or `-12`; no unit, no quotes"),
        ),
        Some(word) if word.starts_with("bool") => (
            "yes or no belongs here".to_owned(),
            hint("write `true` or `false`, without quotes"),
        ),
        _ => (message, None),
    }
}

/// The crate's sentence without the place, which we report ourselves.
fn message_of(error: &serde_saphyr::Error) -> String {
    let whole = error.to_string();
    let first = whole.lines().next().unwrap_or("invalid YAML").trim();
    let without = match first.rsplit_once(" at line ") {
        Some((sentence, place)) if place.starts_with(|c: char| c.is_ascii_digit()) => sentence,
        _ => first,
    };
    without
        .trim_start_matches("error: ")
        .trim_end_matches(['.', ':'])
        .to_owned()
}

/// A name that is none of those that are known in its place.
struct Unknown<'a> {
    what: &'static str,
    wrong: &'a str,
    known: Vec<&'a str>,
}

fn unknown(message: &str) -> Option<Unknown<'_>> {
    let words = [("unknown field `", "key"), ("unknown variant `", "value")];
    let (what, rest) = words
        .into_iter()
        .find_map(|(words, what)| Some((what, message.split_once(words)?.1)))?;
    let (wrong, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known = known
        .trim_start_matches("one of ")
        .split(',')
        .map(|name| name.trim_matches([' ', '`', '.']));
    Some(Unknown {
        what,
        wrong,
        known: known.filter(|name| !name.is_empty()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        left: At<String>,
        #[expect(dead_code, reason = "only its parsing matters")]
        right: Option<At<u64>>,
    }

    #[test]
    fn values_remember_their_place() {
        let pair: Pair = parse("right: 0x80\nleft: hand\n", "pair.yaml").unwrap();
        assert_eq!(pair.left.value, "hand");
        assert_eq!(pair.left.place, Place { line: 2, column: 7 });
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        let error = parse::<Pair>("left: a\nrihgt: 1\n", "pair.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        pair.yaml:2:1: unknown key `rihgt`
            2 | rihgt: 1
              | ^
          hint: did you mean `right`?
        ");
    }

    #[test]
    fn a_wrong_type_has_a_place() {
        let error = parse::<Pair>("left: a\nright: many\n", "pair.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        pair.yaml:2:8: a whole number belongs here
            2 | right: many
              |        ^
          hint: write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes
        ");
    }

    #[derive(Debug, serde::Deserialize)]
    struct Switch {
        #[expect(dead_code, reason = "only its parsing matters")]
        on: At<bool>,
    }

    #[test]
    fn no_message_takes_a_knowledge_of_rust() {
        for wrong in ["-1", "1.5", "10s", "18446744073709551616"] {
            let text = format!("left: a\nright: {wrong}\n");
            let error = parse::<Pair>(&text, "pair.yaml").unwrap_err().to_string();
            assert!(error.contains("a whole number belongs here"), "{error}");
        }
        let error = parse::<Switch>("on: sometimes\n", "switch.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        switch.yaml:1:5: yes or no belongs here
            1 | on: sometimes
              |     ^
          hint: write `true` or `false`, without quotes
        ");
    }
}
