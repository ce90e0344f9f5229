// SPDX-License-Identifier: MIT OR Apache-2.0
//! Markdown with lines filled to a fixed width.

/// Maximal width of a line.
const COLUMNS: usize = 75;

/// Adds a paragraph and a blank line.
pub(in crate::scenario) fn paragraph(out: &mut String, text: &str) {
    lines(out, text, "", "");
    out.push('\n');
}

/// Adds a list item.
pub(in crate::scenario) fn item(out: &mut String, text: &str) {
    lines(out, text, "- ", "  ");
}

fn lines(out: &mut String, text: &str, first: &str, next: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(&line);
            out.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// Adds a heading and a blank line.
pub(in crate::scenario) fn heading(out: &mut String, level: usize, text: &str) {
    out.push_str(&"#".repeat(level));
    out.push(' ');
    out.push_str(text);
    out.push_str("\n\n");
}

/// Adds a YAML block and a blank line.
pub(in crate::scenario) fn yaml(out: &mut String, text: &str) {
    out.push_str("```yaml\n");
    out.push_str(text.trim_end());
    out.push_str("\n```\n\n");
}

/// Returns words formatted as code, separated by commas.
pub(in crate::scenario) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// Returns a text for a column of a table: in one line, with `|` escaped.
pub(in crate::scenario) fn escaped(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").replace('|', "\\|")
}
