// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between two texts, by line.

use std::ops::Range;

use diffy::{DiffOptions, Line, PatchFormatter};

/// One side of a unified diff: the name in its header, and the text.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The name that the header shows.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Returns a unified diff with at most `context` unchanged lines around each change, or
/// an empty text when the two sides are equal.
pub fn unified(before: Side<'_>, after: Side<'_>, context: usize) -> String {
    if before.text == after.text {
        return String::new();
    }
    let patch = DiffOptions::new()
        .set_context_len(context)
        .set_original_filename(before.name.to_owned())
        .set_modified_filename(after.name.to_owned())
        .create_patch(before.text, after.text);
    // git starts an empty line of context with a space, too.
    PatchFormatter::new()
        .suppress_blank_empty(false)
        .fmt_patch(&patch)
        .to_string()
}

/// Ranges of lines, counted from 0, in which two texts differ. One range may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The lines of the first text.
    pub before: Range<usize>,
    /// The lines of the second text.
    pub after: Range<usize>,
}

/// Returns the blocks of lines in which two texts differ, in order. Lines end with a line
/// feed; a last line with and a last line without it differ.
pub fn blocks(before: &[u8], after: &[u8]) -> Vec<Block> {
    let lines = |bytes: &[u8]| bytes.split_inclusive(|&byte| byte == b'\n').count();
    // With all lines as context there is a single hunk, which contains every line.
    let all = lines(before).max(lines(after));
    let patch = DiffOptions::new()
        .set_context_len(all)
        .create_patch_bytes(before, after);
    let mut blocks: Vec<Block> = Vec::new();
    let (mut old, mut new, mut is_in_block) = (0, 0, false);
    for line in patch.hunks().iter().flat_map(diffy::Hunk::lines) {
        if let Line::Context(_) = line {
            (old, new, is_in_block) = (old + 1, new + 1, false);
            continue;
        }
        if !is_in_block {
            blocks.push(Block {
                before: old..old,
                after: new..new,
            });
            is_in_block = true;
        }
        match line {
            Line::Insert(_) => new += 1,
            _ => old += 1,
        }
        if let Some(block) = blocks.last_mut() {
            (block.before.end, block.after.end) = (old, new);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &str, after: &str) -> String {
        let side = |name, text| Side { name, text };
        unified(side("old", before), side("new", after), 1)
    }

    #[test]
    fn unified_shows_changes_with_the_given_context() {
        let shown = between("a\n\nc\nd\ne\n", "a\n\nC\nd\ne\n");
        assert_eq!(shown, "--- old\n+++ new\n@@ -2,3 +2,3 @@\n \n-c\n+C\n d\n");
    }

    #[test]
    fn unified_of_equal_texts_is_empty() {
        assert_eq!(between("a\n", "a\n"), "");
    }

    #[test]
    fn blocks_returns_the_line_ranges_of_both_texts() {
        let block = |before, after| Block { before, after };
        assert_eq!(
            blocks(b"a\nb\nc\nd\n", b"a\nB\nB2\nc\n"),
            [block(1..2, 1..3), block(3..4, 4..4)]
        );
        assert_eq!(blocks(b"", b"a\nb"), [block(0..0, 0..2)]);
        assert_eq!(blocks(b"a\nb", b""), [block(0..2, 0..0)]);
        assert_eq!(blocks(b"a\n", b"x\na\n"), [block(0..0, 0..1)]);
        assert_eq!(blocks(b"a", b"a\n"), [block(0..1, 0..1)]);
    }

    #[test]
    fn blocks_of_equal_texts_is_empty() {
        assert!(blocks(b"a\n", b"a\n").is_empty());
        assert!(blocks(b"", b"").is_empty());
    }
}
