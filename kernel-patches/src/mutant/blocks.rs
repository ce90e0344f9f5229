// SPDX-License-Identifier: MIT OR Apache-2.0
//! The blocks of lines that a series changes: the patch that last changed a line, and the
//! operator that reverts a block.

use std::ops::Range;

use patchbed_host::diff::blocks;

use super::change::{Change, Edit, kebab};
use super::syntax::Source;

/// Returns for each line of the last state the number of the change, from 1, that added
/// it; 0 for lines of the first state.
pub(super) fn origins(states: &[&[u8]]) -> Vec<usize> {
    let Some((&first, later)) = states.split_first() else {
        return Vec::new();
    };
    let mut before = first;
    let mut origins = vec![0; lines(before).len()];
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

/// Returns the lines of a file with their line ends.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
}

/// Returns the reverts of each block of lines that differs from `before`, with its
/// function. Blocks that differ only in comments and white space are skipped.
pub(super) fn reverts(before: &[u8], source: &Source<'_>) -> Vec<(String, Change)> {
    if before.is_empty() {
        // The series does not compile without a new file.
        return Vec::new();
    }
    let old = Source::of(before);
    let (old_lines, new_lines) = (lines(before), lines(source.bytes()));
    let old_begins = begins(&old_lines);
    let new_begins = begins(&new_lines);
    let mut changes = Vec::new();
    for block in blocks(before, source.bytes()) {
        let (old_tokens, new_tokens) =
            (old.tokens_in(&block.before), source.tokens_in(&block.after));
        let texts = |source: &Source<'_>, tokens: Range<usize>| -> Vec<Vec<u8>> {
            tokens.map(|at| source.text(at).to_vec()).collect()
        };
        if texts(&old, old_tokens.clone()) == texts(source, new_tokens.clone()) {
            continue;
        }
        let text = &before[old_begins[block.before.start]..old_begins[block.before.end]];
        let place = new_begins[block.after.start]..new_begins[block.after.end];
        let title = match (block.after.len(), block.before.len()) {
            (_, 0) => "revert lines that the series adds",
            (0, _) => "revert lines that the series removes",
            _ => "revert lines that the series changes",
        };
        let line = source.tokens.get(new_tokens.start);
        let line = line.filter(|_| !new_tokens.is_empty());
        let function = source.function_at(new_tokens.start);
        changes.push((
            function.map_or_else(String::new, |name| kebab(name.as_bytes())),
            Change {
                operator: "revert".to_owned(),
                title: title.to_owned(),
                line: line.map_or(block.after.start, |token| token.line),
                edits: vec![Edit::new(place, text)],
            },
        ));
    }
    changes
}

/// Returns the offset of each line, and of the end.
fn begins(lines: &[&[u8]]) -> Vec<usize> {
    let mut at = 0;
    let mut begins = vec![0];
    for line in lines {
        at += line.len();
        begins.push(at);
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_returns_the_last_patch_that_changed_a_line() {
        let states: [&[u8]; 3] = [b"a\nb\nc\n", b"a\nB\nnew\nc\n", b"a\nB\nnew2\nc\nd\n"];
        assert_eq!(origins(&states), [0, 1, 2, 0, 2]);
        assert_eq!(origins(&states[..1]), [0, 0, 0]);
        assert!(origins(&[]).is_empty());
    }
}
