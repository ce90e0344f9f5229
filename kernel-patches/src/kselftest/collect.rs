// SPDX-License-Identifier: GPL-2.0-only
//! From what a build left to the files that go to guests. What make lists and what
//! it left are a stranger's: names are plain, places inside, sizes limited.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::files::read_plain;

use super::build::{Built, Part};
use super::source::SELFTESTS;
use super::wanted::is_file_name;
use super::{Facts, Form, Test, program};
use crate::error::Error;
use crate::problems::without_temporaries;

/// Limits of what goes to guests.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const TOTAL_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Longer `settings` and `config` are none, in bytes.
const TEXT_BYTES_MAX: u64 = 256 * 1024;
/// A longer reason is cut, in characters.
const REASON_MAX: usize = 200;

/// One file that make listed.
#[derive(Debug)]
struct Found {
    part: Part,
    name: String,
    /// What is in it, or why there is nothing.
    content: Result<Vec<u8>, String>,
}

/// Puts the TARGET's files into `files` and says what they are.
pub(super) fn collect(built: &Built, target: &str, files: &Utf8Path) -> Result<Facts, Error> {
    let beside = built.source.join(SELFTESTS).join(target);
    let mut facts = Facts {
        timeout_secs: timeout(&text_of(&beside.join("settings"))),
        config: text_of(&beside.join("config")),
        ..Facts::default()
    };
    let found = find_all(built, &beside, &mut facts.notes)?;
    fs::create_dir_all(files).map_err(Error::host("making a folder"))?;
    let names = who_names_whom(&found);
    for (index, one) in found.iter().enumerate() {
        if let Some(form) = form(index, &found, &names) {
            facts.tests.push(Test {
                name: one.name.clone(),
                by_default: one.part == Part::Run,
                form,
            });
        }
    }
    for name in used(&facts.tests) {
        let one = found.iter().find(|one| one.name == name);
        if let Some(Ok(bytes)) = one.map(|one| &one.content) {
            write(&files.join(name), bytes)?;
        }
    }
    Ok(facts)
}

/// Names of the files that some test needs.
fn used(tests: &[Test]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for test in tests {
        if let Form::Program { companions } = &test.form {
            names.insert(test.name.as_str());
            names.extend(companions.iter().map(String::as_str));
        }
    }
    names
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(Error::host("keeping a selftest"))?;
    let is_program = bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"#!");
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::host("keeping a selftest"))
}

fn find_all(
    built: &Built,
    beside: &Utf8Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>, Error> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<Found> = Vec::new();
    let mut total = 0;
    for (part, word) in &built.words {
        let name = Utf8Path::new(word).file_name().unwrap_or_default();
        if !is_file_name(name) {
            notes.push(format!("`{}` was left out: not a plain name", short(word)));
            continue;
        }
        if found.contains_key(name) {
            notes.push(format!("`{}` was left out: a second `{name}`", short(word)));
            continue;
        }
        let content = content(built, beside, word, *part);
        total += content.as_ref().map_or(0, Vec::len);
        if total > TOTAL_BYTES_MAX {
            return Err(Error::input(
                format!("the selftests in `{beside}` come to more than {TOTAL_BYTES_MAX} bytes"),
                "ask for other selftests",
            ));
        }
        if let (Part::File, Err(reason)) = (part, &content) {
            notes.push(format!("`{}` was left out: it {reason}", short(word)));
            continue;
        }
        found.insert(name.to_owned(), all.len());
        all.push(Found {
            part: *part,
            name: name.to_owned(),
            content,
        });
    }
    Ok(all)
}

/// Reads the file that a word stands for: what was made, or what lies beside the
/// Makefile.
fn content(built: &Built, beside: &Utf8Path, word: &str, part: Part) -> Result<Vec<u8>, String> {
    let places = [built.output.join(word), beside.join(word)];
    let Some(path) = places.iter().find(|path| path.exists()) else {
        return Err(match part {
            Part::File => "is not there".to_owned(),
            _ => unviable(word, built),
        });
    };
    let real = path
        .canonicalize_utf8()
        .map_err(|error| error.to_string())?;
    let room = built.source.parent().unwrap_or(&built.source);
    let inside = room
        .canonicalize_utf8()
        .map_err(|error| error.to_string())?;
    if !real.starts_with(inside) {
        return Err("lies outside of the tree".to_owned());
    }
    if real.is_dir() {
        return Err("is a folder".to_owned());
    }
    read_plain(&real, FILE_BYTES_MAX)
        .map_err(|_| format!("is no plain file of up to {FILE_BYTES_MAX} bytes"))
}

/// Why make left nothing: what was said last before it gave up on the file.
fn unviable(word: &str, built: &Built) -> String {
    let name = Utf8Path::new(word).file_name().unwrap_or(word);
    let problems = built.problems.as_str();
    // What it is made from may have failed instead.
    let (lead, line) = match last_words(name, problems) {
        Some(line) => ("does not build", line),
        None => match problems.lines().find(|line| is_problem(line)) {
            Some(line) => ("was not built; the first problem", line),
            None => return "was not built by the tree's rules".to_owned(),
        },
    };
    let room = built.source.parent().unwrap_or(&built.source);
    let line = line.replace(&format!("{}/", built.source), "");
    let line = line.replace(&format!("{room}/"), "");
    format!("{lead}: {}", short(&without_temporaries(&line)))
}

/// The first problem of those before make gave up on a file, or make's own.
fn last_words<'a>(name: &str, problems: &'a str) -> Option<&'a str> {
    let mut said = None;
    for line in problems.lines() {
        if line.starts_with("make") && line.contains("***") {
            let mut parts = line.split(['/', ' ', ']', '\'']);
            if parts.any(|part| part == name || part.strip_suffix(".o") == Some(name)) {
                return said.or(Some(line));
            }
            said = None;
        } else if said.is_none() && is_problem(line) {
            said = Some(line);
        }
    }
    None
}

fn is_problem(line: &str) -> bool {
    [
        "error:",
        "cannot find",
        "undefined reference",
        "multiple definition",
        "No such file",
    ]
    .iter()
    .any(|words| line.contains(words))
}

/// What a file is as a test; nothing when it is none.
fn form(index: usize, all: &[Found], names: &[Vec<usize>]) -> Option<Form> {
    let one = &all[index];
    let unfit = match &one.content {
        Ok(bytes) => program::unfit(bytes),
        Err(reason) => Some(reason.clone()),
    };
    match (one.part, unfit) {
        // Not everything that is made is a test.
        (Part::File, _) | (Part::MadeFile, Some(_)) => None,
        (_, Some(reason)) => Some(Form::Unfit { reason }),
        (_, None) => Some(Form::Program {
            companions: companions(index, all, names),
        }),
    }
}

/// The files that a program needs: those that lie beside all tests, and of the
/// other programs, which are large, those that it or its companions name.
fn companions(index: usize, all: &[Found], names: &[Vec<usize>]) -> Vec<String> {
    let beside = (0..all.len()).filter(|other| all[*other].part == Part::File);
    let mut chosen: BTreeSet<usize> = beside.chain([index]).collect();
    let mut waiting: Vec<usize> = chosen.iter().copied().collect();
    while let Some(next) = waiting.pop() {
        let fresh = names[next].iter().filter(|other| chosen.insert(**other));
        waiting.extend(fresh);
    }
    chosen.remove(&index);
    let mut companions: Vec<String> = chosen
        .into_iter()
        .map(|one| all[one].name.clone())
        .collect();
    companions.sort();
    companions
}

/// For each file, which of those that are no tests by default it names as a whole word.
fn who_names_whom(all: &[Found]) -> Vec<Vec<usize>> {
    let known: BTreeMap<&[u8], usize> = all
        .iter()
        .enumerate()
        .filter(|(_, one)| one.part != Part::Run && one.content.is_ok())
        .map(|(index, one)| (one.name.as_bytes(), index))
        .collect();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(byte);
    let named = |one: &Found| -> BTreeSet<usize> {
        let bytes = one.content.as_deref().unwrap_or_default();
        let words = bytes.split(|byte| !is_part(byte));
        words.filter_map(|word| known.get(word).copied()).collect()
    };
    all.iter()
        .map(|one| named(one).into_iter().collect())
        .collect()
}

fn text_of(path: &Utf8Path) -> String {
    let is_plain = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    let bytes = is_plain
        .then(|| read_plain(path, TEXT_BYTES_MAX).ok())
        .flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Reads `timeout=SECONDS`; the last one counts, as for the tree's own runner.
fn timeout(settings: &str) -> Option<u64> {
    let lines = settings.lines().map(str::trim);
    let values = lines.filter_map(|line| line.strip_prefix("timeout="));
    values
        .filter_map(|value| value.trim().parse().ok())
        .next_back()
}

fn short(text: &str) -> String {
    let plain = text.trim().replace(char::is_control, "?");
    plain.chars().take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(problems: &str) -> Built {
        Built {
            source: "/room/src".into(),
            output: "/room/out/kselftest/x".into(),
            words: Vec::new(),
            problems: problems.to_owned(),
        }
    }

    #[test]
    fn a_test_that_was_not_built_says_why() {
        let problems = "a.c:1:1: warning: odd\n/room/src/tools/a.c:9:1: error: no such thing\n\
            make[1]: *** [../lib.mk:225: /room/out/kselftest/x/a] Error 1\n\
            /usr/bin/ld: cannot find -lpopt: No such file or directory\ncollect2: error: ld returned 1 exit status\n\
            make[1]: *** [../lib.mk:225: /room/out/kselftest/x/b] Error 1\n";
        let said = |word| unviable(word, &built(problems));
        assert_eq!(
            said("/room/out/kselftest/x/a"),
            "does not build: tools/a.c:9:1: error: no such thing"
        );
        assert_eq!(
            said("/room/out/kselftest/x/b"),
            "does not build: /usr/bin/ld: cannot find -lpopt: No such file or directory"
        );
        assert_eq!(
            said("c"),
            "was not built; the first problem: tools/a.c:9:1: error: no such thing"
        );
        assert_eq!(
            unviable("c", &built("")),
            "was not built by the tree's rules"
        );
    }

    #[test]
    fn settings_are_read_as_the_tree_s_runner_reads_them() {
        assert_eq!(timeout("# timeout=3\ntimeout=120\n"), Some(120));
        assert_eq!(timeout("timeout=0"), Some(0));
        assert_eq!(timeout("nettest=1\n"), None);
    }

    fn found(part: Part, name: &str, holds: &str) -> Found {
        Found {
            part,
            name: name.to_owned(),
            content: Ok(holds.as_bytes().to_vec()),
        }
    }

    #[test]
    fn a_program_takes_along_what_it_names() {
        let all = [
            found(Part::Run, "one", "./helper\0"),
            found(Part::Run, "two", "./helper_else two_helper"),
            found(Part::ByHand, "helper", "exec deeper"),
            found(Part::ByHand, "deeper", ""),
            found(Part::File, "data", ""),
        ];
        let names = who_names_whom(&all);
        assert_eq!(companions(0, &all, &names), ["data", "deeper", "helper"]);
        assert_eq!(companions(1, &all, &names), ["data"]);
    }
}
