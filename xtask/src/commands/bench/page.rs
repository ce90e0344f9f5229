// SPDX-License-Identifier: GPL-2.0-only
//! BENCHMARKS.md as sections: the tool replaces its own and leaves the rest.

/// Returns `page` with `section` in place of the one headed `## name`, or at the
/// end if there is none. A section ends where the next one begins.
pub(crate) fn with_section(page: &str, name: &str, section: &str) -> String {
    let heading = format!("## {name}");
    let section = section.trim_end();
    let mut out: Vec<&str> = Vec::new();
    let mut is_placed = false;
    let mut is_old = false;
    for line in page.lines() {
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

    const PAGE: &str = "# Figures\n\nwords\n\n## a\n\nold\n\n## ab\n\nkept\n";

    #[test]
    fn a_section_takes_the_place_of_its_own_kind() {
        let once = with_section(PAGE, "a", "## a\n\nnew\n");
        assert_eq!(once, "# Figures\n\nwords\n\n## a\n\nnew\n\n## ab\n\nkept\n");
        assert_eq!(with_section(&once, "a", "## a\n\nnew\n"), once);
    }

    #[test]
    fn a_new_one_goes_to_the_end() {
        let page = with_section(PAGE, "c", "## c\n\nnew\n");
        assert_eq!(page, format!("{PAGE}\n## c\n\nnew\n"));
    }
}
