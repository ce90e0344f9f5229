// SPDX-License-Identifier: GPL-2.0-only
//! Markdown that is as easy to read as it is written.

/// Columns of a line.
const COLUMNS: usize = 75;

/// Adds a paragraph and the blank line after it.
pub(in crate::scenario) fn paragraph(page: &mut String, text: &str) {
    lines(page, text, "", "");
    page.push('\n');
}

/// Adds an item of a list.
pub(in crate::scenario) fn item(page: &mut String, text: &str) {
    lines(page, text, "- ", "  ");
}

fn lines(page: &mut String, text: &str, first: &str, next: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            page.push_str(&line);
            page.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    page.push_str(&line);
    page.push('\n');
}

/// Adds a heading and the blank line after it.
pub(in crate::scenario) fn heading(page: &mut String, level: usize, text: &str) {
    page.push_str(&"#".repeat(level));
    page.push(' ');
    page.push_str(text);
    page.push_str("\n\n");
}

/// Adds YAML, and the blank line after it.
pub(in crate::scenario) fn yaml(page: &mut String, text: &str) {
    page.push_str("```yaml\n");
    page.push_str(text.trim_end());
    page.push_str("\n```\n\n");
}

/// Returns words as code, with commas between.
pub(in crate::scenario) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// Returns text that may stand in a job of a table.
pub(in crate::scenario) fn job(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").replace('|', "\\|")
}
