// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors in input files, with their position and a hint.

use std::fmt;

/// A position in a text; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// An error in an input file that the user can fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InputError {
    /// The file as named by the user.
    pub file: String,
    /// Position of the error.
    pub place: Place,
    /// The line of the file at that position.
    pub source_line: String,
    /// The error.
    pub message: String,
    /// The fix, if there is a useful hint.
    pub hint: Option<String>,
}

impl InputError {
    /// Returns an error at `place` of `text`, which was read from `file`.
    #[must_use]
    pub fn new(
        file: &str,
        text: &str,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or("");
        Self {
            file: file.to_owned(),
            place,
            source_line: line.trim_end().chars().take(200).collect(),
            message: message.into(),
            hint,
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        writeln!(f, "{line:>5} | {}", self.source_line)?;
        write!(f, "      | {:>column$}", "^")?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Returns the name among `known` with the smallest edit distance to `wrong`, of which 100
/// characters are compared, if that is small enough for a typing error.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: String = wrong.chars().take(100).collect();
    let limit = (wrong.chars().count() / 3).max(1) + 1;
    known
        .into_iter()
        .map(|name| (strsim::levenshtein(&wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_finds_typing_errors_and_rejects_unrelated_names() {
        let known = ["preserve", "retrieve", "remove_device"];
        assert_eq!(closest("perserve", known), Some("preserve"));
        assert_eq!(closest("remove_devcie", known), Some("remove_device"));
        assert_eq!(closest("fly", known), None);
    }
}
