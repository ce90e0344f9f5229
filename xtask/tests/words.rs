// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the terms of this project: a single term for each thing, in text and in identifiers.
//!
//! A word that was replaced is refused in all tracked text files, alone and as a part of an
//! identifier. The same holds for files whose comments often have the pronoun "what": their
//! sentences lack a subject.
//!
//! To replace a term, add it to `words.yaml`. If the old word also has an ordinary meaning, add
//! the texts or paths in which it has it to the exceptions there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use camino::Utf8Path;
use patchbed_host::yaml;
use serde::Deserialize;

/// Limit of the share of a file's comment lines that have the word "what".
const WHAT_PERCENT_MAX: usize = 3;
/// The number of comment lines with "what" that is accepted in a file of any length.
const WHAT_LINES_FREE: usize = 1;
/// Limit of the replaced words that are listed for a file.
const LISTED_MAX: usize = 5;

/// The content of `words.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    replaced: BTreeMap<String, String>,
    exceptions: Vec<Exception>,
}

/// A meaning of a word that is not replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    word: String,
    within: Vec<String>,
}

fn words() -> Words {
    yaml::parse(include_str!("words.yaml"), "words.yaml").unwrap()
}

/// Files that are recorded data or texts of other projects, this file and its data.
const EXCLUDED: [&str; 8] = [
    "Cargo.lock",
    "LICENSES/",
    "kernel-patches/src/kernel/files/fork.o.cmd",
    "selftests/logs/",
    "selftests/catalogues/liveupdate-pci/snapshots/",
    "xtask/tests/words.",
    ".patch",
    ".png",
];

#[test]
fn files_have_no_replaced_words_and_name_the_subject_of_sentences() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(listed.status.success(), "`git ls-files` failed");
    let mut check = Check::new(words());
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        // A link may lead to a device or out of the checkout. Git lists a deleted file until
        // the deletion is staged.
        let path = root.join(name);
        let is_file = fs_err::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        if is_file && !is_excluded(name) {
            let bytes = fs_err::read(path).unwrap();
            check.file(Utf8Path::new(name), &String::from_utf8_lossy(&bytes));
        }
    }
    check.unused_exceptions();
    let findings = check.findings.join("\n");
    assert!(findings.is_empty(), "\n{findings}\n");
}

fn is_excluded(name: &str) -> bool {
    EXCLUDED.iter().any(|part| match part.starts_with('.') {
        true => name.ends_with(part),
        false => name.starts_with(part),
    })
}

#[derive(Debug)]
struct Check {
    words: Words,
    findings: Vec<String>,
    /// The exceptions that accepted a word, by index.
    used: BTreeSet<usize>,
}

impl Check {
    const fn new(words: Words) -> Self {
        Self {
            words,
            findings: Vec::new(),
            used: BTreeSet::new(),
        }
    }

    /// Checks the path, the lines and the comments of a file.
    fn file(&mut self, name: &Utf8Path, text: &str) {
        let in_path = self.replaced(name, name.as_str()).into_iter();
        let mut found: Vec<String> = in_path
            .map(|(old, new)| format!("{name}: `{old}` in the path: use `{new}`"))
            .collect();
        for (line, number) in text.lines().zip(1..) {
            let words = self.replaced(name, line).into_iter();
            found.extend(words.map(|(old, new)| format!("{name}:{number}: `{old}`: use `{new}`")));
        }
        let more = found.len().saturating_sub(LISTED_MAX);
        found.truncate(LISTED_MAX);
        if more > 0 {
            found.push(format!("{name}: {more} more replaced words"));
        }
        self.findings.append(&mut found);
        self.findings.extend(what(name, text));
    }

    /// Returns the replaced words in a line, with the terms to use.
    fn replaced(&mut self, name: &Utf8Path, line: &str) -> Vec<(String, String)> {
        let text = normalized(line);
        let mut found = Vec::new();
        for (old, new) in &self.words.replaced {
            if !has_word(&text, old) {
                continue;
            }
            let accepts = |exception: &Exception| {
                let mut texts = exception.within.iter();
                exception.word == *old
                    && texts.any(|text| name.as_str().starts_with(text) || line.contains(text))
            };
            match self.words.exceptions.iter().position(accepts) {
                Some(index) => _ = self.used.insert(index),
                None => found.push((old.clone(), new.clone())),
            }
        }
        found
    }

    fn unused_exceptions(&mut self) {
        for (index, exception) in self.words.exceptions.iter().enumerate() {
            if !self.used.contains(&index) {
                let Exception { word, within } = exception;
                self.findings.push(format!(
                    "no line needs the exception of `{word}` within {within:?}: remove it"
                ));
            }
        }
    }
}

/// Returns a line in lower case, with `_` between words and between the parts of `fooBar`,
/// `foo-bar` and `foo_bar`.
fn normalized(line: &str) -> String {
    let mut text = String::new();
    let mut was_lower = false;
    for letter in line.chars() {
        if letter.is_uppercase() && was_lower {
            text.push('_');
        }
        match letter {
            ' ' | '-' => text.push('_'),
            _ => text.extend(letter.to_lowercase()),
        }
        was_lower = letter.is_lowercase();
    }
    text
}

/// Returns whether a normalized text has the word or its plural.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let rest = &text[at + word.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        !text[..at].ends_with(char::is_alphanumeric) && !rest.starts_with(char::is_alphanumeric)
    })
}

/// Returns a finding if too many comment lines of a file have the word "what".
fn what(name: &Utf8Path, text: &str) -> Option<String> {
    let comments: Vec<&str> = text.lines().filter(|line| is_prose(name, line)).collect();
    let has_what = |line: &&&str| has_word(&normalized(line), "what");
    let with = comments.iter().filter(has_what).count();
    let is_too_much = with > WHAT_LINES_FREE && with * 100 > comments.len() * WHAT_PERCENT_MAX;
    is_too_much.then(|| {
        format!(
            "{name}: {with} of {} comment lines have `what`, more than {WHAT_PERCENT_MAX} %: name \
             the subject",
            comments.len()
        )
    })
}

/// Returns whether a line is a comment of a source file, or a line of a document.
fn is_prose(name: &Utf8Path, line: &str) -> bool {
    let line = line.trim_start();
    match name.extension() {
        Some("md") => !line.is_empty(),
        Some("rs") => line.starts_with("//"),
        Some("c" | "h") => ["/*", "*", "//"].iter().any(|mark| line.starts_with(mark)),
        Some("yaml" | "toml" | "config" | "sh" | "py") => line.starts_with('#'),
        _ => false,
    }
}

fn findings(name: &str, text: &str) -> Vec<String> {
    let mut check = Check::new(words());
    check.file(Utf8Path::new(name), text);
    check.findings
}

#[test]
fn file_refuses_replaced_words_in_text_identifiers_and_paths() {
    for line in [
        "let cell = 1;",
        "struct CellResult;",
        "const CELLS_MAX: usize = 1;",
        "fn of_cell() {}",
        "// a cell of the table",
        "--per-cell",
        "call(hold_point)",
        "// two hold points",
    ] {
        assert_eq!(findings("a.rs", line).len(), 1, "{line}");
    }
    assert_eq!(
        findings("src/cells.rs", ""),
        ["src/cells.rs: `cell` in the path: use `job`"]
    );
}

#[test]
fn file_accepts_exceptions_and_longer_words() {
    for (name, line) in [
        ("a.rs", "use std::cell::OnceCell;"),
        ("a.rs", "cancelled, excellent, profiled, unstacked"),
        ("selftests/src/klog/trace.rs", "// the stack of the task"),
        ("a.c", "sync_point_hold(point);"),
        ("Cargo.toml", "[profile.dev]"),
    ] {
        assert_eq!(findings(name, line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn file_refuses_comments_with_what_above_the_limit() {
    let file = |with: usize, without: usize| {
        "// what it is\n".repeat(with) + &"// plain\n".repeat(without)
    };
    assert_eq!(findings("a.rs", &file(1, 0)).len(), 0);
    assert_eq!(findings("a.rs", &file(2, 100)).len(), 0);
    assert_eq!(
        findings("a.rs", &file(4, 96)),
        ["a.rs: 4 of 100 comment lines have `what`, more than 3 %: name the subject"]
    );
    assert_eq!(findings("a.rs", "let what = 1;\nlet what = 2;\n").len(), 0);
}

#[test]
fn file_limits_the_number_of_listed_words() {
    let found = findings("a.rs", &"let cell = 1;\n".repeat(20));
    assert_eq!(found.len(), LISTED_MAX + 1);
    assert_eq!(found.last().unwrap(), "a.rs: 15 more replaced words");
}

#[test]
fn unused_exceptions_are_reported() {
    let mut check = Check::new(words());
    check.file(Utf8Path::new("Cargo.toml"), "[profile.dev]\n");
    check.unused_exceptions();
    assert_eq!(check.findings.len(), check.words.exceptions.len() - 1);
    assert!(!check.findings.iter().any(|text| text.contains("[profile.")));
}
