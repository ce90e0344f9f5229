// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts of guests and patches for terminals, mails and Markdown: escaped, wrapped, shortened.

use std::fmt::Write;

use textwrap::{Options, WordSeparator, WordSplitter};

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

/// Returns a text on one line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |character: char| match character {
        '\n' | '\t' | '\r' => ' ',
        control if is_harmful(control) => '\u{fffd}',
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
        if sequence.is_none() && is_harmful(character) {
            out.extend(character.escape_unicode());
        } else {
            out += &rest[..taken];
        }
        rest = &rest[taken..];
    }
    out
}

/// Returns whether a character is a control character other than newline and tab, or changes
/// the direction of text.
pub(crate) fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => true,
        other => other.is_control(),
    }
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

/// Returns the words of a text in lines of at most `width` columns. A longer word gets its own
/// line. The first line begins with `first`, the others with as many blanks as `others`.
pub(crate) fn wrap(text: &str, width: usize, first: &str, others: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let others = " ".repeat(others);
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(&others)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&words.join(" "), options) + "\n"
}

/// Returns a wrapped text behind a label, with further lines indented by its width.
pub(crate) fn item(label: &str, text: &str, width: usize) -> String {
    wrap(text, width, label, columns(label))
}

/// Returns a name in at most `width` columns. Characters are left out in the middle, because
/// names of related tests have the same beginning and different ends.
pub(crate) fn shorten(name: &str, width: usize) -> String {
    const GAP: &str = "..";
    let all = columns(name);
    if all <= width || width <= GAP.len() {
        return name.to_owned();
    }
    let rest = width - GAP.len();
    let front = rest.div_ceil(2);
    let start: String = name.chars().take(front).collect();
    let end: String = name.chars().skip(all - (rest - front)).collect();
    format!("{start}{GAP}{end}")
}

/// Returns the width of a text in columns.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Returns the first whole lines of a text that fit into `bytes_max`, and a line with the
/// number of lines that are left out.
pub(crate) fn head(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut head = String::new();
    for line in text.split_inclusive('\n') {
        if head.len() + line.len() > bytes_max {
            break;
        }
        head += line;
    }
    let left_out = text[head.len()..].lines().count();
    format!("{head}... {left_out} more lines\n")
}

/// Returns a duration in milliseconds as printed.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        _ => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
    }
}

/// Returns the first names, and the number of names that are left out.
pub(crate) fn first_few(names: &[String], max: usize) -> String {
    let shown = names[..names.len().min(max)].join(", ");
    match names.len().saturating_sub(max) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns each value once, in the order of its first appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
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

    #[test]
    fn wrap_keeps_words_whole_and_lines_short() {
        assert_eq!(wrap("a bb ccc", 6, "  ", 2), "  a bb\n  ccc\n");
        assert_eq!(
            wrap("https://example.org/x-y z", 8, "", 0),
            "https://example.org/x-y\nz\n"
        );
        assert_eq!(wrap("", 8, "", 0), "\n");
        assert_eq!(wrap("a bb ccc", 6, "", 2), "a bb\n  ccc\n");
        assert_eq!(item("- ", "a bb ccc", 6), "- a bb\n  ccc\n");
        assert_eq!(item("- ", "a b", usize::MAX), "- a b\n");
    }

    #[test]
    fn shorten_leaves_out_the_middle() {
        assert_eq!(shorten("short", 10), "short");
        assert_eq!(shorten("removal-races.first-second", 14), "remova..second");
        assert_eq!(
            columns(&shorten("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", 5)),
            5
        );
    }

    #[test]
    fn head_keeps_whole_lines_and_counts_the_rest() {
        assert_eq!(head("a\nb\n", 10), "a\nb\n");
        assert_eq!(head("a\nb\nc\n", 4), "a\nb\n... 1 more lines\n");
        assert_eq!(head("\u{e9}\u{e9}", 3), "... 1 more lines\n");
    }
}
