// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts bytes of a guest to printable text. The console and the output of programs
//! are converted by the same rules.

use std::iter::Peekable;
use std::str::Chars;

/// Returns the first `bytes_max` bytes as lossy text without escape sequences, control
/// characters (except tabs) and trailing white space.
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

/// Skips `[`, parameters and one final character. Other characters after an escape stay
/// in the text, so that a malformed sequence cannot hide any of it.
fn skip_sequence(characters: &mut Peekable<Chars<'_>>) {
    if characters.next_if_eq(&'[').is_none() {
        return;
    }
    while characters
        .next_if(|parameter| (' '..='?').contains(parameter))
        .is_some()
    {}
    let _ = characters.next_if(|last| ('@'..='~').contains(last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_removes_escape_sequences_and_control_characters() {
        assert_eq!(clean(b"\x1b[1;32mok 1\x1b[0m\tx \r\n", 100), "ok 1\tx");
        assert_eq!(clean(b"\x1bnot ok 1 a\n", 100), "not ok 1 a");
        assert_eq!(clean(b"\x1b[\xc3\xa9 not ok", 100), "\u{e9} not ok");
        assert_eq!(clean(b"abc", 2), "ab");
    }
}
