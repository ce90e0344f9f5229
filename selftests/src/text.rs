// SPDX-License-Identifier: GPL-2.0-only
//! A guest's bytes to text that can be looked at: the same for a console and for a
//! program's output, so that nothing hides in one that shows in the other.

use std::iter::Peekable;
use std::str::Chars;

/// Returns the first `bytes_max` bytes as lossy text without colours, control
/// characters but tabs, and blanks at the end.
pub(crate) fn clean(bytes: &[u8], bytes_max: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]);
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => skip_sequence(&mut characters),
            '\t' => clean.push('\t'),
            control if control.is_control() => {}
            other => clean.push(other),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Takes `[`, parameters and one final character; anything else stays text, so that
/// an escape that is none swallows nothing.
fn skip_sequence(characters: &mut Peekable<Chars<'_>>) {
    if characters.next_if_eq(&'[').is_none() {
        return;
    }
    while characters
        .next_if(|inside| (' '..='?').contains(inside))
        .is_some()
    {}
    let _ = characters.next_if(|inside| ('@'..='~').contains(inside));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_nothing_else_does() {
        assert_eq!(clean(b"\x1b[1;32mok 1\x1b[0m\tx \r\n", 100), "ok 1\tx");
        assert_eq!(clean(b"\x1bnot ok 1 a\n", 100), "not ok 1 a");
        assert_eq!(clean(b"\x1b[\xc3\xa9 not ok", 100), "\u{e9} not ok");
        assert_eq!(clean(b"abc", 2), "ab");
    }
}
