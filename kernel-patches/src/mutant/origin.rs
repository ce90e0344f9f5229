// SPDX-License-Identifier: GPL-2.0-only
//! Which lines of a file a series changed, and which of its patches did.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Of each line of a file: the number of the change, from 1, that brought it; 0 for
/// those that were there before.
pub(super) fn origins(states: &[&[u8]]) -> Vec<usize> {
    let Some((first, later)) = states.split_first() else {
        return Vec::new();
    };
    let mut lines = lines(first);
    let mut origins = vec![0; lines.len()];
    for (number, state) in (1..).zip(later) {
        let next = self::lines(state);
        let mut now = vec![number; next.len()];
        for op in capture_diff_slices(Algorithm::Myers, &lines, &next) {
            if let DiffOp::Equal {
                old_index,
                new_index,
                len,
            } = op
            {
                now[new_index..new_index + len]
                    .copy_from_slice(&origins[old_index..old_index + len]);
            }
        }
        (lines, origins) = (next, now);
    }
    origins
}

/// A block of lines in which two states of a file differ, by line from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
}

/// Returns the blocks in which two states of a file differ.
pub(super) fn blocks(before: &[u8], after: &[u8]) -> Vec<Block> {
    capture_diff_slices(Algorithm::Myers, &lines(before), &lines(after))
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Block {
            before: op.old_range(),
            after: op.new_range(),
        })
        .collect()
}

/// Returns the lines of a file, each with its end.
pub(super) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_of_the_last_patch_that_changed_it() {
        let states: [&[u8]; 3] = [b"a\nb\nc\n", b"a\nB\nnew\nc\n", b"a\nB\nnew2\nc\nd\n"];
        assert_eq!(origins(&states), [0, 1, 2, 0, 2]);
        assert_eq!(origins(&states[..1]), [0, 0, 0]);
        assert!(origins(&[]).is_empty());
    }

    #[test]
    fn blocks_are_where_two_states_differ() {
        let block = |before, after| Block { before, after };
        assert_eq!(
            blocks(b"a\nb\nc\nd\n", b"a\nB\nB2\nc\n"),
            [block(1..2, 1..3), block(3..4, 4..4)]
        );
        assert!(blocks(b"a\n", b"a\n").is_empty());
    }
}
