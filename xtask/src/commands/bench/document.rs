// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sections of BENCHMARKS.md: `bench --record` replaces the section of each case.

/// Returns `document` with `section` in place of the section headed `## name`, or at the end
/// if there is no such section. A section ends where the next one begins.
pub(crate) fn with_section(document: &str, name: &str, section: &str) -> String {
    let heading = format!("## {name}");
    let section = section.trim_end();
    let mut out: Vec<&str> = Vec::new();
    let mut is_placed = false;
    let mut is_old = false;
    for line in document.lines() {
        if line.starts_with("## ") {
            is_old = line.trim_end() == heading;
            if is_old && !is_placed {
                is_placed = true;
                out.extend([section, ""]);
            }
        }
        if !is_old {
            out.push(line);
        }
    }
    if !is_placed {
        out.extend(["", section]);
    }
    out.join("\n").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Figures\n\nwords\n\n## a\n\nold\n\n## ab\n\nother\n";

    #[test]
    fn with_section_replaces_the_section_of_that_name() {
        let once = with_section(DOCUMENT, "a", "## a\n\nnew\n");
        assert_eq!(
            once,
            "# Figures\n\nwords\n\n## a\n\nnew\n\n## ab\n\nother\n"
        );
        assert_eq!(with_section(&once, "a", "## a\n\nnew\n"), once);
    }

    #[test]
    fn with_section_appends_a_new_section() {
        let document = with_section(DOCUMENT, "c", "## c\n\nnew\n");
        assert_eq!(document, format!("{DOCUMENT}\n## c\n\nnew\n"));
    }
}
