// SPDX-License-Identifier: GPL-2.0-only
//! A change of a source file: what is put in the place of what.

use std::ops::Range;

/// What takes the place of some bytes.
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

/// One mistake: edits that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// In words with `-` between them, for the mutant's name.
    pub(super) operator: String,
    /// What was done, in a sentence.
    pub(super) title: String,
    /// The line, from 0.
    pub(super) line: usize,
    pub(super) edits: Vec<Edit>,
}

impl Change {
    /// Returns the source with the change made. A place keeps its number of lines where
    /// that can be, so that what follows stays in its line and its code the same.
    pub(super) fn made_in(&self, source: &[u8]) -> Vec<u8> {
        let mut edits: Vec<&Edit> = self.edits.iter().collect();
        edits.sort_by_key(|edit| edit.place.start);
        let mut made = Vec::with_capacity(source.len());
        let mut at = 0;
        for edit in edits {
            let Range { start, end } = edit.place;
            if start < at || end > source.len() || start > end {
                continue;
            }
            made.extend_from_slice(&source[at..start]);
            made.extend_from_slice(&edit.text);
            let lacking = lines_in(&source[start..end]).saturating_sub(lines_in(&edit.text));
            made.extend(std::iter::repeat_n(b'\n', lacking));
            at = end;
        }
        made.extend_from_slice(&source[at..]);
        made
    }
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Returns a name of C as words with `-` between them.
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
    fn lines_stay_where_they_are() {
        let change = Change {
            operator: "x".to_owned(),
            title: String::new(),
            line: 0,
            edits: vec![Edit::new(10..11, ""), Edit::new(0..6, ";")],
        };
        assert_eq!(change.made_in(b"a(\n b);\nxy\nz\n"), b";\n;\nxy\nz\n");
    }

    #[test]
    fn names_are_words() {
        assert_eq!(kebab(b"__luo_flb_get_X"), "luo-flb-get-x");
        assert_eq!(kebab(b"___"), "");
    }
}
