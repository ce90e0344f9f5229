// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operator that reverts one block of lines of a series.

use std::ops::Range;

use patchbed_host::diff::blocks;

use super::change::{Change, Edit, kebab};
use super::origin::lines;
use super::syntax::Source;

/// Returns the reverts of each block of lines that differs from `before`, with its
/// function. Blocks that differ only in comments and white space are skipped.
pub(super) fn changes(before: &[u8], source: &Source<'_>) -> Vec<(String, Change)> {
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
