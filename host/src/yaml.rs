// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses YAML text into typed values that record their position.
//!
//! The only module that names the YAML crate, so that the crate can be replaced. Errors
//! become [`InputError`]s.

use schemars::JsonSchema;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::input::{InputError, Place, closest};

/// A value and its position in the YAML text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value as written.
    pub value: T,
    /// Its position.
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

/// The schema of a value with a position is the schema of the value.
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

/// Parses `text` as one value. `file` is the name shown in errors. Returns the first error:
/// invalid YAML, a missing or unknown key, or a value of the wrong type.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, InputError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error
            .location()
            .map_or(Place { line: 1, column: 1 }, place_of);
        let (message, hint) = explain(message_of(error.without_snippet()));
        InputError::new(file, text, place, message, hint)
    })
}

/// Returns the crate's message without names of Rust types, and a hint.
fn explain(message: String) -> (String, Option<String>) {
    if let Some(Unknown { kind, wrong, known }) = unknown(&message) {
        let hint = match closest(wrong, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {kind} `{wrong}`"), Some(hint));
    }
    let hint = |text: &str| Some(text.to_owned());
    // These messages end with advice for callers of the crate.
    if let Some((text, _)) = message.split_once(", set DuplicateKeyPolicy") {
        return (text.to_owned(), hint("keep one of the keys"));
    }
    if message.contains("budget breached") {
        return (
            "the file is too large or too deeply nested".to_owned(),
            None,
        );
    }
    if message.contains("use from_str_multiple") {
        return (
            "several YAML documents".to_owned(),
            hint("write one document, without `---`"),
        );
    }
    match message.strip_prefix("invalid ") {
        Some("u8" | "u16" | "u32" | "u64" | "usize") => (
            "expected a whole number".to_owned(),
            hint("write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes"),
        ),
        Some("i8" | "i16" | "i32" | "i64" | "isize") => (
            "expected a whole number".to_owned(),
            hint("write digits, as in `12` or `-12`; no unit, no quotes"),
        ),
        Some(word) if word.starts_with("bool") => (
            "expected `true` or `false`".to_owned(),
            hint("write it without quotes"),
        ),
        _ => (message, None),
    }
}

/// Returns the crate's message without the position, which [`InputError`] shows.
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

/// A name that is not among the valid names of its position.
struct Unknown<'a> {
    kind: &'static str,
    wrong: &'a str,
    known: Vec<&'a str>,
}

fn unknown(message: &str) -> Option<Unknown<'_>> {
    let words = [("unknown field `", "key"), ("unknown variant `", "value")];
    let (kind, rest) = words
        .into_iter()
        .find_map(|(words, kind)| Some((kind, message.split_once(words)?.1)))?;
    let (wrong, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known = known
        .trim_start_matches("one of ")
        .split(',')
        .map(|name| name.trim_matches([' ', '`', '.']));
    Some(Unknown {
        kind,
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
    fn parse_records_the_position_of_values() {
        let pair: Pair = parse("right: 0x80\nleft: hand\n", "pair.yaml").unwrap();
        assert_eq!(pair.left.value, "hand");
        assert_eq!(pair.left.place, Place { line: 2, column: 7 });
    }

    #[test]
    fn parse_rejects_an_unknown_key_and_suggests_the_closest() {
        let error = parse::<Pair>("left: a\nrihgt: 1\n", "pair.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        pair.yaml:2:1: unknown key `rihgt`
            2 | rihgt: 1
              | ^
          hint: did you mean `right`?
        ");
    }

    #[test]
    fn parse_rejects_a_wrong_type_at_its_position() {
        let error = parse::<Pair>("left: a\nright: many\n", "pair.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        pair.yaml:2:8: expected a whole number
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
    fn parse_errors_name_no_rust_types() {
        for wrong in ["-1", "1.5", "10s", "18446744073709551616"] {
            let text = format!("left: a\nright: {wrong}\n");
            let error = parse::<Pair>(&text, "pair.yaml").unwrap_err().to_string();
            assert!(error.contains("expected a whole number"), "{error}");
        }
        let error = parse::<Switch>("on: sometimes\n", "switch.yaml").unwrap_err();
        insta::assert_snapshot!(error, @r"
        switch.yaml:1:5: expected `true` or `false`
            1 | on: sometimes
              |     ^
          hint: write it without quotes
        ");
    }
}
