// SPDX-License-Identifier: MIT OR Apache-2.0
//! Escapes untrusted text for Markdown, commands of GitHub's runner, terminals and mails.

use std::fmt::Write;

/// Returns a text that Markdown renders unchanged, on one line.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            // Would mention a user or an issue.
            '@' => out += "&#64;",
            '#' => out += "&#35;",
            // Would create a link.
            ':' => out += "&#58;",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '-' | '!' | '|'
            | '~' | '$' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Returns a code block of Markdown that renders a text unchanged, line by line.
pub(crate) fn markdown_block(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    let lines: String = text.lines().map(|line| one_line(line) + "\n").collect();
    format!("{fence}text\n{lines}{fence}\n")
}

/// Returns the message of a command of GitHub's runner.
pub(crate) fn command_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Returns the value of a property of a command of GitHub's runner.
pub(crate) fn command_property(text: &str) -> String {
    command_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns a text on one line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |character: char| match character {
        '\n' | '\t' | '\r' => ' ',
        control if control.is_control() || is_direction(control) => '\u{fffd}',
        other => other,
    };
    text.chars().map(plain).collect()
}

/// Returns a text for a terminal, with control characters written as numbers, except in the
/// sequences `own` of this program.
pub(crate) fn harmless(text: &str, own: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let sequence = own.iter().find(|own| rest.starts_with(own.as_str()));
        let taken = sequence.map_or(character.len_utf8(), String::len);
        let is_control = character.is_control() && !matches!(character, '\n' | '\t');
        if sequence.is_none() && (is_control || is_direction(character)) {
            out.extend(character.escape_unicode());
        } else {
            out += &rest[..taken];
        }
        rest = &rest[taken..];
    }
    out
}

/// Returns whether a character changes the direction of text.
pub(super) fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Returns a text in ASCII, with other characters written as numbers.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | ' '..='~' => out.push(character),
            '\t' => out.push(' '),
            // Writing to a String cannot fail.
            other => drop(write!(out, "<U+{:04X}>", u32::from(other))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_escapes_markup_and_fences() {
        assert_eq!(
            markdown("a|b\n# <img> @x"),
            r"a\|b &#35; &lt;img&gt; &#64;x"
        );
        assert_eq!(markdown("https://x"), "https&#58;//x");
        assert_eq!(markdown_block("a\n````\n"), "`````text\na\n````\n`````\n");
        assert_eq!(markdown_block("::error::"), "```text\n::error::\n```\n");
    }

    #[test]
    fn command_data_and_property_escape_separators() {
        assert_eq!(command_data("100%\r\n::x"), "100%25%0D%0A::x");
        assert_eq!(command_property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }

    #[test]
    fn harmless_keeps_only_the_given_sequences() {
        let red = "\x1b[31m".to_owned();
        let text = "a\tb\n\x1b[31mc\x1b]0;pwn\x07\r\u{9b}2J\u{202e}é";
        assert_eq!(
            harmless(text, &[red]),
            "a\tb\n\x1b[31mc\\u{1b}]0;pwn\\u{7}\\u{d}\\u{9b}2J\\u{202e}é"
        );
        assert_eq!(harmless("\x1b[31m", &[]), "\\u{1b}[31m");
    }

    #[test]
    fn one_line_and_ascii_replace_control_and_other_characters() {
        assert_eq!(one_line("a\x1b[2J\u{202e}b\nc"), "a\u{fffd}[2J\u{fffd}b c");
        assert_eq!(ascii("a\u{e9}\x1bb\tc"), "a<U+00E9><U+001B>b c");
    }
}
