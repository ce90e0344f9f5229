// SPDX-License-Identifier: GPL-2.0-only
//! Which lines of a file a series changed, and which of its patches did.

use patchbed_host::diff::blocks;

/// Of each line of a file: the number of the change, from 1, that brought it; 0 for
/// those that were there before.
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
}
