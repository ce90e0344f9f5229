// SPDX-License-Identifier: GPL-2.0-only
//! Makes text of strangers harmless where a line or a character has a meaning: in
//! Markdown, in the commands of GitHub's runner, on a terminal, in a mail.

use std::fmt::Write;

/// Returns a text that Markdown shows as it is, on one line.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            // Would speak to a person, or to another issue.
            '@' => out += "&#64;",
            '#' => out += "&#35;",
            // Would become a link.
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

/// Returns a block of Markdown that shows a text as it is, line by line.
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

/// Returns the value of a property of such a command.
pub(crate) fn command_property(text: &str) -> String {
    command_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns a text without control characters, which neither a terminal nor a line
/// of a file takes for what they are.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |character: char| match character {
        '\n' | '\t' | '\r' => ' ',
        control if control.is_control() || is_direction(control) => '\u{fffd}',
        other => other,
    };
    text.chars().map(plain).collect()
}

/// Returns a text for a terminal: what could give it orders is written as its number, but
/// for the sequences in `own`, which are ours.
pub(crate) fn harmless(text: &str, own: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let ours = own.iter().find(|one| rest.starts_with(one.as_str()));
        let taken = ours.map_or(character.len_utf8(), String::len);
        let is_order = character.is_control() && !matches!(character, '\n' | '\t');
        if ours.is_none() && (is_order || is_direction(character)) {
            out.extend(character.escape_unicode());
        } else {
            out += &rest[..taken];
        }
        rest = &rest[taken..];
    }
    out
}

/// Turns the order of what is read around.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Returns a text in ASCII; what is none is written as its number.
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
    fn nothing_breaks_out_of_markdown() {
        assert_eq!(
            markdown("a|b\n# <img> @x"),
            r"a\|b &#35; &lt;img&gt; &#64;x"
        );
        assert_eq!(markdown("https://x"), "https&#58;//x");
        assert_eq!(markdown_block("a\n````\n"), "`````text\na\n````\n`````\n");
        assert_eq!(markdown_block("::error::"), "```text\n::error::\n```\n");
    }

    #[test]
    fn nothing_breaks_out_of_a_command() {
        assert_eq!(command_data("100%\r\n::x"), "100%25%0D%0A::x");
        assert_eq!(command_property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }

    #[test]
    fn a_terminal_gets_no_orders_but_ours() {
        let red = "\x1b[31m".to_owned();
        let text = "a\tb\n\x1b[31mc\x1b]0;pwn\x07\r\u{9b}2J\u{202e}é";
        assert_eq!(
            harmless(text, &[red]),
            "a\tb\n\x1b[31mc\\u{1b}]0;pwn\\u{7}\\u{d}\\u{9b}2J\\u{202e}é"
        );
        assert_eq!(harmless("\x1b[31m", &[]), "\\u{1b}[31m");
    }

    #[test]
    fn lines_stay_lines_and_mails_ascii() {
        assert_eq!(one_line("a\x1b[2J\u{202e}b\nc"), "a\u{fffd}[2J\u{fffd}b c");
        assert_eq!(ascii("a\u{e9}\x1bb\tc"), "a<U+00E9><U+001B>b c");
    }
}
