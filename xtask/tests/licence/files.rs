// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that each file under version control states the licence of its kind: in a comment
//! line, or in `REUSE.toml` if the format has no comments.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{assert_none, output_of, root};

const TOOL: &str = "MIT OR Apache-2.0";
const KERNEL: &str = "GPL-2.0-only";
const TAG: &str = "SPDX-License-Identifier: ";

/// The line may follow `#!` or `<!DOCTYPE html>`.
const LINES_MAX: usize = 3;

/// Where a file states its licence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statement {
    Line,
    Reuse,
    /// It is the text of a licence.
    None,
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn extension(path: &str) -> &str {
    name(path).rsplit_once('.').map_or("", |(_, end)| end)
}

/// Returns the licence that a file of this kind has.
fn licence_of(path: &str) -> &'static str {
    let is_for_kernel = matches!(extension(path), "c" | "h" | "patch" | "config")
        || matches!(name(path), "Makefile" | "Kbuild" | "Kconfig" | "config")
        || (path.starts_with("selftests/catalogues/") && path.contains("/generated/"));
    if is_for_kernel { KERNEL } else { TOOL }
}

fn statement_of(path: &str) -> Statement {
    let has_no_comments = matches!(
        extension(path),
        "json" | "lock" | "mbox" | "patch" | "png" | "snap"
    ) || name(path) == "commit-message";
    match path {
        _ if path.starts_with("LICENSES/") => Statement::None,
        _ if has_no_comments => Statement::Reuse,
        _ => Statement::Line,
    }
}

/// `REUSE.toml`, version 1 of the REUSE specification 3.2 and later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reuse {
    version: u8,
    annotations: Vec<Annotation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    path: Vec<String>,
    /// For the tool `reuse` only.
    #[serde(rename = "precedence")]
    _precedence: Option<String>,
    #[serde(rename = "SPDX-FileCopyrightText")]
    copyright: String,
    #[serde(rename = "SPDX-License-Identifier")]
    licence: Option<String>,
}

impl Reuse {
    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns the last annotation for a file, which overrides earlier annotations.
    fn annotation(&self, path: &str) -> Option<&Annotation> {
        let matches = |glob: &String| matches(glob.as_bytes(), path.as_bytes());
        let mut annotations = self.annotations.iter().rev();
        annotations.find(|annotation| annotation.path.iter().any(matches))
    }
}

/// Matches a path against a pattern in which `*` stands for any text without `/`, and
/// `**` for any text.
fn matches(glob: &[u8], path: &[u8]) -> bool {
    match (glob, path) {
        ([b'*', b'*', rest @ ..], _) => (0..=path.len()).any(|at| matches(rest, &path[at..])),
        ([b'*', rest @ ..], _) => {
            let end = path.iter().position(|&byte| byte == b'/');
            (0..=end.unwrap_or(path.len())).any(|at| matches(rest, &path[at..]))
        }
        ([first, rest @ ..], [byte, others @ ..]) => first == byte && matches(rest, others),
        (glob, path) => glob.is_empty() && path.is_empty(),
    }
}

/// Returns the licence that a file states in one of its first lines.
fn stated_in(text: &[u8]) -> Option<String> {
    let lines = text.split(|&byte| byte == b'\n').take(LINES_MAX);
    let texts = lines.map(String::from_utf8_lossy);
    let mut tags = texts.filter_map(|line| {
        let (_, licence) = line.split_once(TAG)?;
        let ends = ["-->", "*/"].map(|end| licence.find(end));
        let end = ends.into_iter().flatten().min();
        Some(licence[..end.unwrap_or(licence.len())].trim().to_owned())
    });
    tags.next()
}

/// Returns the error in the licence of a file, if any.
fn problem(path: &str, text: &[u8], reuse: &Reuse) -> Option<String> {
    let expected = licence_of(path);
    let annotation = reuse.annotation(path);
    if annotation.is_none_or(|annotation| annotation.copyright.is_empty()) {
        return Some(format!("{path}: REUSE.toml names no copyright holder"));
    }
    let (place, stated) = match statement_of(path) {
        Statement::None => return None,
        Statement::Line => ("its first lines", stated_in(text)),
        Statement::Reuse => (
            "REUSE.toml",
            annotation.and_then(|annotation| annotation.licence.clone()),
        ),
    };
    match stated {
        Some(licence) if licence == expected => None,
        Some(licence) => Some(format!(
            "{path}: the licence in {place} is `{licence}`, it must be `{expected}`"
        )),
        None => Some(format!("{path}: no `{TAG}{expected}` in {place}")),
    }
}

/// Returns the patterns of `REUSE.toml` that match no file, as after a renaming.
fn unmatched(reuse: &Reuse, files: &[String]) -> Vec<String> {
    let globs = reuse
        .annotations
        .iter()
        .flat_map(|annotation| &annotation.path);
    let without = globs.filter(|glob| {
        let mut files = files.iter();
        !files.any(|path| matches(glob.as_bytes(), path.as_bytes()))
    });
    without
        .map(|glob| format!("REUSE.toml: `{glob}` matches no file"))
        .collect()
}

/// Returns the files under version control.
fn files() -> Vec<String> {
    let list = String::from_utf8(output_of("git", &["ls-files", "-z"])).unwrap();
    let files = list.split_terminator('\0').map(str::to_owned);
    files.filter(|path| root().join(path).is_file()).collect()
}

#[test]
fn files_have_the_licence_of_their_kind() {
    let reuse = fs_err::read_to_string(root().join("REUSE.toml")).unwrap();
    let reuse = Reuse::parse(&reuse).unwrap();
    assert_eq!(reuse.version, 1);
    let files = files();
    assert!(files.len() > 1000);
    let problems: Vec<String> = files
        .iter()
        .filter_map(|path| problem(path, &fs_err::read(root().join(path)).unwrap(), &reuse))
        .collect();
    assert_none(&problems);
    assert_none(&unmatched(&reuse, &files));
}

#[test]
fn licenses_folder_has_the_text_of_each_licence() {
    let texts: BTreeSet<String> = fs_err::read_dir(root().join("LICENSES"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["Apache-2.0.txt", "GPL-2.0-only.txt", "MIT.txt"];
    assert_eq!(texts, expected.map(str::to_owned).into());
    for (name, heading) in [
        ("Apache-2.0.txt", "Apache License"),
        ("GPL-2.0-only.txt", "GNU GENERAL PUBLIC LICENSE"),
        ("MIT.txt", "MIT License"),
    ] {
        let path = Path::new("LICENSES").join(name);
        let text = fs_err::read_to_string(root().join(path)).unwrap();
        assert!(text.contains(heading), "{name}");
    }
}

mod tests {
    use super::*;

    fn reuse() -> Reuse {
        Reuse::parse(
            r#"
            version = 1
            [[annotations]]
            path = ["**"]
            SPDX-FileCopyrightText = "the authors"
            [[annotations]]
            path = ["logs/**.png"]
            SPDX-FileCopyrightText = "the authors"
            SPDX-License-Identifier = "MIT OR Apache-2.0"
            [[annotations]]
            path = ["kernel-patches/*/*.patch"]
            SPDX-FileCopyrightText = "the authors"
            SPDX-License-Identifier = "GPL-2.0-only"
            "#,
        )
        .unwrap()
    }

    fn problem_of(path: &str, text: &str) -> Option<String> {
        problem(path, text.as_bytes(), &reuse())
    }

    #[test]
    fn problem_accepts_the_line_of_each_comment_style() {
        for (path, text) in [
            ("a.rs", "// SPDX-License-Identifier: MIT OR Apache-2.0\n"),
            (
                "run",
                "#!/bin/sh\n# SPDX-License-Identifier: MIT OR Apache-2.0\n",
            ),
            (
                "a.md",
                "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n",
            ),
            (
                "a.css",
                "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n",
            ),
            (
                "a.html",
                "{#-\nSPDX-License-Identifier: MIT OR Apache-2.0\n-#}\n",
            ),
            ("a.h", "/* SPDX-License-Identifier: GPL-2.0-only */\n"),
            ("fast.config", "# SPDX-License-Identifier: GPL-2.0-only\n"),
            (
                "selftests/catalogues/a/generated/x/settings",
                "# SPDX-License-Identifier: GPL-2.0-only\n",
            ),
        ] {
            assert_eq!(problem_of(path, text), None, "{path}");
        }
    }

    #[test]
    fn problem_names_a_missing_line() {
        for text in [
            "fn main() {}\n",
            "\n\n\n// SPDX-License-Identifier: MIT OR Apache-2.0\n",
        ] {
            assert_eq!(
                problem_of("a.rs", text).unwrap(),
                "a.rs: no `SPDX-License-Identifier: MIT OR Apache-2.0` in its first lines"
            );
        }
    }

    #[test]
    fn problem_names_the_licence_of_another_kind() {
        assert_eq!(
            problem_of("a.rs", "// SPDX-License-Identifier: GPL-2.0-only\n").unwrap(),
            "a.rs: the licence in its first lines is `GPL-2.0-only`, \
             it must be `MIT OR Apache-2.0`"
        );
        for licence in ["GPL-2.0", "MIT OR Apache-2.0", "GPL-2.0-only WITH x"] {
            let line = format!("// SPDX-License-Identifier: {licence}\n");
            assert!(problem_of("a.c", &line).is_some(), "{licence}");
        }
    }

    #[test]
    fn problem_looks_into_reuse_toml_for_files_without_comments() {
        assert_eq!(problem_of("logs/a/b.png", ""), None);
        assert_eq!(problem_of("kernel-patches/s/1.patch", ""), None);
        assert_eq!(
            problem_of(
                "other.png",
                "# SPDX-License-Identifier: MIT OR Apache-2.0\n"
            )
            .unwrap(),
            "other.png: no `SPDX-License-Identifier: MIT OR Apache-2.0` in REUSE.toml"
        );
        assert!(problem_of("logs/a.patch", "").is_some());
    }

    #[test]
    fn problem_names_a_file_without_copyright_holder() {
        let reuse = Reuse::parse("version = 1\nannotations = []\n").unwrap();
        let line = b"// SPDX-License-Identifier: MIT OR Apache-2.0\n";
        assert_eq!(
            problem("a.rs", line, &reuse).unwrap(),
            "a.rs: REUSE.toml names no copyright holder"
        );
    }

    #[test]
    fn unmatched_names_a_pattern_without_files() {
        let files = ["logs/a.png", "src/a.rs"].map(str::to_owned);
        let expected = ["REUSE.toml: `kernel-patches/*/*.patch` matches no file"];
        assert_eq!(unmatched(&reuse(), &files), expected);
    }

    #[test]
    fn matches_keeps_one_star_within_a_folder() {
        for (glob, path, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a/b.log", false),
            ("**.log", "a/b.log", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/b/b/c", true),
            ("a", "ab", false),
            ("ab", "a", false),
        ] {
            assert_eq!(
                matches(glob.as_bytes(), path.as_bytes()),
                expected,
                "{glob} {path}"
            );
        }
    }
}
