// SPDX-License-Identifier: MIT OR Apache-2.0
//! A change of a source file: a list of replacements.

use std::ops::Range;

/// A replacement of a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) place: Range<usize>,
    pub(super) text: Vec<u8>,
}

impl Edit {
    pub(super) fn new(place: Range<usize>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            place,
            text: text.into(),
        }
    }
}

/// The change of a mutant: one or more edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Kebab-case name of the operator, a part of the mutant's name.
    pub(super) operator: String,
    /// Description of the change.
    pub(super) title: String,
    /// The line, counted from 0.
    pub(super) line: usize,
    pub(super) edits: Vec<Edit>,
}

impl Change {
    /// Returns the changed source. Replacements with fewer lines are padded, so that the
    /// following code keeps its line numbers, which are compiled into `WARN_ON`.
    pub(super) fn apply(&self, source: &[u8]) -> Vec<u8> {
        let mut edits: Vec<&Edit> = self.edits.iter().collect();
        edits.sort_by_key(|edit| edit.place.start);
        let mut changed = Vec::with_capacity(source.len());
        let mut at = 0;
        for edit in edits {
            let Range { start, end } = edit.place;
            if start < at || end > source.len() || start > end {
                continue;
            }
            changed.extend_from_slice(&source[at..start]);
            changed.extend_from_slice(&edit.text);
            let missing = lines_in(&source[start..end]).saturating_sub(lines_in(&edit.text));
            changed.extend(std::iter::repeat_n(b'\n', missing));
            at = end;
        }
        changed.extend_from_slice(&source[at..]);
        changed
    }
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Returns a C identifier in kebab case.
pub(super) fn kebab(name: &[u8]) -> String {
    let words = name
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apply_keeps_line_numbers() {
        let change = Change {
            operator: "x".to_owned(),
            title: String::new(),
            line: 0,
            edits: vec![Edit::new(10..11, ""), Edit::new(0..6, ";")],
        };
        assert_eq!(change.apply(b"a(\n b);\nxy\nz\n"), b";\n;\nxy\nz\n");
    }

    #[test]
    fn kebab_drops_underscores_and_lowers_case() {
        assert_eq!(kebab(b"__luo_flb_get_X"), "luo-flb-get-x");
        assert_eq!(kebab(b"___"), "");
    }
}
