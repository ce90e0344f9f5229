// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wraps text at a number of columns. A character counts as one column: the text is ASCII,
//! except for quoted text.

/// Returns the words of a text in lines of at most `width` columns, indented by `indent`
/// columns. A longer word gets its own line.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    hanging(text, width, indent, indent)
}

/// Same as [`wrap`], with a separate indent for the first line.
pub(crate) fn hanging(text: &str, width: usize, first: usize, others: usize) -> String {
    let mut wrapped = " ".repeat(first);
    let mut used = first;
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && used + 1 + columns(word) > width {
            wrapped += "\n";
            wrapped += &" ".repeat(others);
            used = others;
        } else if !is_empty {
            wrapped.push(' ');
            used += 1;
        }
        wrapped += word;
        used += columns(word);
        is_empty = false;
    }
    wrapped + "\n"
}

/// Returns a wrapped text behind a label, with further lines indented by its width.
pub(crate) fn item(label: &str, text: &str, width: usize) -> String {
    let indent = columns(label);
    let wrapped = wrap(text, width, indent);
    format!("{label}{}", &wrapped[indent.min(wrapped.len())..])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrap_keeps_words_whole_and_lines_short() {
        assert_eq!(wrap("a bb ccc", 6, 2), "  a bb\n  ccc\n");
        assert_eq!(
            wrap("https://example.org/x y", 8, 0),
            "https://example.org/x\ny\n"
        );
        assert_eq!(wrap("", 8, 0), "\n");
        assert_eq!(hanging("a bb ccc", 6, 0, 2), "a bb\n  ccc\n");
        assert_eq!(item("- ", "a bb ccc", 6), "- a bb\n  ccc\n");
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
}
