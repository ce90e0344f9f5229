// SPDX-License-Identifier: MIT OR Apache-2.0
//! A change of a source file: a list of replacements. Also the blocks of lines that a series
//! changes: the patch that last changed a line, and the operator that reverts a block.

use std::ops::Range;

use patchbed_host::diff::blocks;

use super::syntax::Source;

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

/// Returns for each line of the last state the number of the change, from 1, that added
/// it; 0 for lines of the first state.
pub(super) fn origins(states: &[&[u8]]) -> Vec<usize> {
    let Some((&first, later)) = states.split_first() else {
        return Vec::new();
    };
    let mut before = first;
    let mut origins = vec![0; begins(before).len() - 1];
    for (number, &state) in (1..).zip(later) {
        let mut now = Vec::new();
        let mut at = 0;
        for block in blocks(before, state) {
            now.extend_from_slice(&origins[at..block.before.start]);
            now.resize(block.after.end, number);
            at = block.before.end;
        }
        now.extend_from_slice(&origins[at..]);
        (before, origins) = (state, now);
    }
    origins
}

/// Returns the reverts of each block of lines that differs from `before`, with its
/// function. Blocks that differ only in comments and white space are skipped.
pub(super) fn reverts(before: &[u8], source: &Source<'_>) -> Vec<(String, Change)> {
    if before.is_empty() {
        // The series does not compile without a new file.
        return Vec::new();
    }
    let old = Source::of(before);
    let (old_begins, new_begins) = (begins(before), begins(source.bytes));
    let mut changes = Vec::new();
    for block in blocks(before, source.bytes) {
        let (old_tokens, new_tokens) =
            (old.tokens_in(&block.before), source.tokens_in(&block.after));
        let old_texts = old_tokens.map(|at| old.text(at));
        if old_texts.eq(new_tokens.clone().map(|at| source.text(at))) {
            continue;
        }
        let text = &before[old_begins[block.before.start]..old_begins[block.before.end]];
        let place = new_begins[block.after.start]..new_begins[block.after.end];
        let title = match (block.after.len(), block.before.len()) {
            (_, 0) => "revert lines that the series adds",
            (0, _) => "revert lines that the series removes",
            _ => "revert lines that the series changes",
        };
        let first = source.tokens[new_tokens.clone()].first();
        let function = source.function_at(new_tokens.start).unwrap_or_default();
        let change = Change {
            operator: "revert".to_owned(),
            title: title.to_owned(),
            line: first.map_or(block.after.start, |token| token.line),
            edits: vec![Edit::new(place, text)],
        };
        changes.push((kebab(function.as_bytes()), change));
    }
    changes
}

/// Returns the offset of each line, and of the end.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let mut begins = vec![0];
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        begins.push(begins[begins.len() - 1] + line.len());
    }
    begins
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

    #[test]
    fn origins_returns_the_last_patch_that_changed_a_line() {
        let states: [&[u8]; 3] = [b"a\nb\nc\n", b"a\nB\nnew\nc\n", b"a\nB\nnew2\nc\nd\n"];
        assert_eq!(origins(&states), [0, 1, 2, 0, 2]);
        assert_eq!(origins(&states[..1]), [0, 0, 0]);
        assert!(origins(&[]).is_empty());
    }
}
