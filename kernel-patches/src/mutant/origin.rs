// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the patch of a series that last changed each line of a file.

use patchbed_host::diff::blocks;

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
pub(super) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').collect()
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
