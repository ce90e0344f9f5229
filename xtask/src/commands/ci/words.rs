// SPDX-License-Identifier: GPL-2.0-only
//! The words of this project: one term for each thing, in text and in identifiers.
//!
//! ARCHITECTURE.md lists the terms. A replaced word is refused in every tracked text file,
//! alone and as a part of an identifier, and so are files whose comments lean on the pronoun
//! "what": their sentences lack a subject.

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::process::Tool;

use crate::session::Session;

/// Of the comment lines of a file, at most this share may hold the word "what".
const WHAT_PERCENT_MAX: usize = 3;
/// A single line with "what" is accepted in a file of any length.
const WHAT_LINES_FREE: usize = 1;
/// Findings that are listed for a file.
const FINDINGS_PER_FILE_MAX: usize = 5;

/// A replaced word.
struct Word {
    /// In lower case; `_` joins two components of an identifier or two words of text.
    old: &'static str,
    /// The term to use.
    new: &'static str,
    /// Where the word has its ordinary meaning: beginnings of paths, or texts in the line.
    except: &'static [&'static str],
}

const fn word(old: &'static str, new: &'static str, except: &'static [&'static str]) -> Word {
    Word { old, new, except }
}

/// The kernel's stacks, not states of the source.
const CALL_STACK: &[&str] = &[
    "selftests/src/klog",
    "selftests/src/hang",
    "selftests/src/fault",
    "vm-images/src/vm/registers.rs",
    "vm-images/src/vm/session/hang_diagnosis.rs",
    "vm-images/src/transcript/hang.rs",
    "selftests/tests/logs.rs",
    "dump_stack",
    "show_stack",
    "stack trace",
    "call stack",
    "the kernel's stack",
    "STACK",
    "stack_depot",
];

/// The replaced words and the terms that the field has for them.
const WORDS: [Word; 40] = [
    word("stack", "checkout", CALL_STACK),
    word("stacks", "checkouts", CALL_STACK),
    word("profile", "config", &["[profile.", "--profile", "release profile", "GCOV"]),
    word("profiles", "configs", &[]),
    word("cell", "job", &["RefCell", "OnceCell", "std::cell"]),
    word("cells", "jobs", &[]),
    word("verdict", "result, expected or status", &[]),
    word("verdicts", "results", &[]),
    word("teeth", "fails without the series", &[]),
    word("toothed", "fails without the series", &[]),
    word("complaint", "kernel report or splat", &[]),
    word("complaints", "kernel reports or splats", &[]),
    word("canary", "fault injection", &[]),
    word("canaries", "faults", &[]),
    word("detector", "self-check", &["LOCKUP_DETECTOR"]),
    word("detectors", "self-checks", &[]),
    word("hold_point", "sync point", &[]),
    word("template", "checkpoint", &["askama", "#[template", "Template", "minijinja", "rust_template"]),
    word("templates", "checkpoints", &["askama", "HTML"]),
    word("unnoticed", "missed", &[]),
    word("noticed", "caught or detected", &[]),
    word("court", "mutation run", &[]),
    word("hearing", "evaluation", &[]),
    word("births", "mutant builder", &[]),
    word("noticers", "test priority", &[]),
    word("blame", "cause", &["git blame"]),
    word("blamed", "cause", &[]),
    word("take_out", "revert patch", &[]),
    word("intree", "kselftest", &[]),
    word("rig", "test environment", &[]),
    word("inquest", "hang diagnosis", &[]),
    word("inquiry", "request", &["PCI"]),
    word("wishes", "request", &[]),
    word("family", "parameterised scenario", &["address family", "AF_", "sa_family", "CPU family"]),
    word("families", "parameterised scenarios", &[]),
    word("stage", "boot", &["staged", "git stage"]),
    word("stages", "boots", &[]),
    word("fickle", "flaky", &[]),
    word("mended", "fixed", &[]),
    word("shims", "compiler wrappers", &[]),
];

/// Files whose words are not ours, or are data that was recorded.
const NOT_OURS: [&str; 8] = [
    "Cargo.lock",
    "LICENSE",
    "selftests/logs/",
    "selftests/snapshots/",
    "kernel-patches/",
    "docs/report-",
    "xtask/src/commands/ci/words.rs",
    "deny.toml",
];

/// Returns the replaced words that are left, a line each.
///
/// # Errors
/// When git cannot list the files, or one of them cannot be read.
pub(super) fn findings(session: &Session) -> anyhow::Result<Vec<String>> {
    let root = session.layout.checkout("ci")?;
    let listed = Tool::new("git")
        .args(["ls-files", "-z"])
        .cwd(root)
        .run(&session.cancel)?;
    let mut all = Vec::new();
    for name in String::from_utf8_lossy(&listed.stdout).split('\0') {
        let is_checked = !name.is_empty() && !is_not_ours(name);
        // A file that was deleted and is not committed yet is still listed.
        if let (true, Ok(bytes)) = (is_checked, fs::read(root.join(name))) {
            let text = String::from_utf8_lossy(&bytes);
            all.extend(in_file(Utf8Path::new(name), &text));
        }
    }
    Ok(all)
}

fn is_not_ours(name: &str) -> bool {
    let is_source = |name: &str| name.starts_with("kernel-patches/") && !name.ends_with(".patch");
    NOT_OURS.iter().any(|place| name.starts_with(place)) && !is_source(name)
        || name.ends_with(".png")
}

/// Returns the findings of one file: in its name, its lines and its comments.
fn in_file(name: &Utf8Path, text: &str) -> Vec<String> {
    let mut found: Vec<String> = replaced(name, name.as_str())
        .map(|word| format!("{name}: `{}` in the name: use `{}`", word.old, word.new))
        .collect();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        found.extend(replaced(name, line).map(|word| {
            format!("{name}:{number}: `{}`: use `{}`", word.old, word.new)
        }));
    }
    let left_out = found.len().saturating_sub(FINDINGS_PER_FILE_MAX);
    found.truncate(FINDINGS_PER_FILE_MAX);
    if left_out > 0 {
        found.push(format!("{name}: {left_out} more replaced words"));
    }
    found.extend(what(name, text));
    found
}

/// Returns the replaced words in a line of a file.
fn replaced<'a>(name: &'a Utf8Path, line: &'a str) -> impl Iterator<Item = &'static Word> + 'a {
    let components = components(line);
    let joined = format!("_{}_", components.join("_"));
    WORDS.iter().filter(move |word| {
        let is_there = joined.contains(&format!("_{}_", word.old));
        let is_ordinary = |text: &&str| name.as_str().starts_with(text) || line.contains(text);
        is_there && !word.except.iter().any(is_ordinary)
    })
}

/// Splits a line into lower-case words; `fooBar`, `FooBar`, `foo_bar` and `foo-bar` are two.
fn components(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in line.chars() {
        let begins = letter.is_uppercase() && was_lower;
        if (!letter.is_alphanumeric() || begins) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Returns a finding where too many comment lines of a file hold the word "what".
fn what(name: &Utf8Path, text: &str) -> Option<String> {
    let comments: Vec<&str> = text.lines().filter(|line| is_prose(name, line)).collect();
    let is_what = |line: &&&str| components(line).iter().any(|word| word == "what");
    let with = comments.iter().filter(is_what).count();
    let is_too_much = with > WHAT_LINES_FREE && with * 100 > comments.len() * WHAT_PERCENT_MAX;
    is_too_much.then(|| {
        format!(
            "{name}: {with} of {} lines of prose hold `what` (at most {WHAT_PERCENT_MAX} %): \
             name the subject",
            comments.len()
        )
    })
}

/// Returns whether a line is prose: a comment of a source file, or any line of a document.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Vec<String> {
        in_file(Utf8Path::new(name), text)
    }

    #[test]
    fn replaced_words_are_found_alone_and_within_identifiers() {
        for line in [
            "let cell = 1;",
            "struct CellResult;",
            "const CELLS_MAX: usize = 1;",
            "fn of_cell() {}",
            "// a cell of the table",
            "--per-cell",
        ] {
            assert_eq!(of("a.rs", line).len(), 1, "{line}");
        }
        assert_eq!(of("src/cells.rs", ""), ["src/cells.rs: `cells` in the name: use `jobs`"]);
    }

    #[test]
    fn ordinary_meanings_and_longer_words_are_accepted() {
        for (name, line) in [
            ("a.rs", "use std::cell::OnceCell;"),
            ("a.rs", "cancelled, excellent, profiled, unstacked"),
            ("selftests/src/klog/trace.rs", "// the stack of the task"),
            ("a.c", "dump_stack();"),
            ("Cargo.toml", "[profile.dev]"),
        ] {
            assert_eq!(of(name, line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn comments_that_lean_on_what_are_refused_above_the_share() {
        let file = |with: usize, without: usize| {
            "// what it is\n".repeat(with) + &"// plain\n".repeat(without)
        };
        assert_eq!(of("a.rs", &file(1, 0)).len(), 0);
        assert_eq!(of("a.rs", &file(2, 100)).len(), 0);
        let found = of("a.rs", &file(4, 96));
        assert_eq!(
            found,
            ["a.rs: 4 of 100 lines of prose hold `what` (at most 3 %): name the subject"]
        );
        assert_eq!(of("a.rs", "let what = 1;\nlet what = 2;\n").len(), 0);
    }

    #[test]
    fn the_findings_of_a_file_are_bounded() {
        let found = of("a.rs", &"let cell = 1;\n".repeat(20));
        assert_eq!(found.len(), FINDINGS_PER_FILE_MAX + 1);
        assert_eq!(found.last().unwrap(), "a.rs: 15 more replaced words");
    }
}
