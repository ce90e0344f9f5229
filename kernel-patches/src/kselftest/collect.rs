// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the files for guests from a build. The build is untrusted: names must be plain,
//! paths inside of the tree, and sizes limited.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;
use fs_err as fs;
use object::Endianness;
use object::elf::{ELFCLASS64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use patchbed_host::files::read_plain;

use super::build::{Built, Part};
use super::source::{SELFTESTS, is_file_name};
use super::suite::{FILE_BYTES_MAX, Facts, Form, Test};
use crate::error::{Doing, Error};
use crate::make::without_temporaries;

/// Size limit of all files for guests, in bytes.
const TOTAL_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Size limit of `settings` and `config`, in bytes; larger files are ignored.
const TEXT_BYTES_MAX: u64 = 256 * 1024;
/// Length limit of a reason, in characters.
const REASON_MAX: usize = 200;

#[derive(Debug)]
struct Found {
    part: Part,
    name: String,
    /// Content, or the reason why it cannot be used.
    content: Result<Vec<u8>, String>,
}

/// Copies the TARGET's files for guests to `files` and returns the metadata.
pub(super) fn collect(built: &Built, target: &str, files: &Utf8Path) -> Result<Facts, Error> {
    let source = built.source.join(SELFTESTS).join(target);
    let mut facts = Facts {
        timeout_secs: timeout(&text_of(&source.join("settings"))),
        config: text_of(&source.join("config")),
        ..Facts::default()
    };
    let found = find_all(built, &source, &mut facts.notes)?;
    fs::create_dir_all(files).doing("creating a folder")?;
    let references = references(&found);
    let mut used = BTreeSet::new();
    for (index, file) in found.iter().enumerate() {
        let Some(form) = form(index, &found, &references) else {
            continue;
        };
        if let Form::Program { companions } = &form {
            used.insert(file.name.clone());
            used.extend(companions.iter().cloned());
        }
        facts.tests.push(Test {
            name: file.name.clone(),
            by_default: file.part == Part::Run,
            form,
        });
    }
    for file in found.iter().filter(|file| used.contains(&file.name)) {
        if let Ok(bytes) = &file.content {
            write(&files.join(&file.name), bytes)?;
        }
    }
    Ok(facts)
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).doing("storing a kselftest")?;
    let is_program = bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"#!");
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).doing("storing a kselftest")
}

fn find_all(
    built: &Built,
    source: &Utf8Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>, Error> {
    let mut all: Vec<Found> = Vec::new();
    let mut total = 0;
    for (part, word) in &built.words {
        let name = Utf8Path::new(word).file_name().unwrap_or_default();
        let mut skip = |why: &str| notes.push(format!("skipped `{}`: {why}", shorten(word)));
        if !is_file_name(name) {
            skip("its name has special characters");
            continue;
        }
        if all.iter().any(|file| file.name == name) {
            skip(&format!("another file is named `{name}`"));
            continue;
        }
        let content = content(built, source, word, *part);
        total += content.as_ref().map_or(0, Vec::len);
        if total > TOTAL_BYTES_MAX {
            let doing = format!("reading the kselftests in `{source}`");
            return Err(Error::input(
                format!("{doing}: they exceed {TOTAL_BYTES_MAX} bytes"),
                "select other kselftests",
            ));
        }
        if let (Part::File, Err(reason)) = (part, &content) {
            skip(&format!("it {reason}"));
            continue;
        }
        all.push(Found {
            part: *part,
            name: name.to_owned(),
            content,
        });
    }
    Ok(all)
}

/// Reads the file of a Makefile entry from the output folder or the source folder.
fn content(built: &Built, source: &Utf8Path, word: &str, part: Part) -> Result<Vec<u8>, String> {
    let paths = [built.output.join(word), source.join(word)];
    let Some(path) = paths.iter().find(|path| path.exists()) else {
        return Err(match part {
            Part::File => "does not exist".to_owned(),
            _ => build_failure(word, built),
        });
    };
    let resolve = |path: &Utf8Path| path.canonicalize_utf8().map_err(|error| error.to_string());
    let real = resolve(path)?;
    if !real.starts_with(resolve(&built.work)?) {
        return Err("is outside of the tree".to_owned());
    }
    if real.is_dir() {
        return Err("is a folder".to_owned());
    }
    read_plain(&real, FILE_BYTES_MAX)
        .map_err(|_| format!("is not a regular file of at most {FILE_BYTES_MAX} bytes"))
}

fn build_failure(word: &str, built: &Built) -> String {
    let name = Utf8Path::new(word).file_name().unwrap_or(word);
    let problems = built.problems.as_str();
    // Without an error of this file, one of its prerequisites may have failed.
    let (lead, line) = match error_of(name, problems) {
        Some(line) => ("does not build", line),
        None => match problems.lines().find(|line| is_problem(line)) {
            Some(line) => ("was not built; the first error of the TARGET", line),
            None => return "is not built by the tree's Makefiles".to_owned(),
        },
    };
    let line = line.replace(&format!("{}/", built.source), "");
    let line = line.replace(&format!("{}/", built.work), "");
    format!("{lead}: {}", shorten(&without_temporaries(&line)))
}

/// Returns the first error before make's `***` line of a file, or that line.
fn error_of<'a>(name: &str, problems: &'a str) -> Option<&'a str> {
    let mut error = None;
    for line in problems.lines() {
        if line.starts_with("make") && line.contains("***") {
            let mut parts = line.split(['/', ' ', ']', '\'']);
            if parts.any(|part| part == name || part.strip_suffix(".o") == Some(name)) {
                return error.or(Some(line));
            }
            error = None;
        } else if error.is_none() && is_problem(line) {
            error = Some(line);
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
    .any(|message| line.contains(message))
}

/// Returns the form of a test; `None` for files that are not tests.
fn form(index: usize, all: &[Found], references: &[BTreeSet<usize>]) -> Option<Form> {
    let file = &all[index];
    let unfit = match &file.content {
        Ok(bytes) => unfit(bytes),
        Err(reason) => Some(reason.clone()),
    };
    match (file.part, unfit) {
        // A generated file that cannot run may be data.
        (Part::File, _) | (Part::Generated, Some(_)) => None,
        (_, Some(reason)) => Some(Form::Unfit { reason }),
        (_, None) => Some(Form::Program {
            companions: companions(index, all, references),
        }),
    }
}

/// Returns the files that a program needs: the `TEST_FILES`, and of the other programs,
/// which are large, only the programs that it or its companions reference.
fn companions(index: usize, all: &[Found], references: &[BTreeSet<usize>]) -> Vec<String> {
    let data = (0..all.len()).filter(|other| all[*other].part == Part::File);
    let mut chosen: BTreeSet<usize> = data.chain([index]).collect();
    let mut waiting: Vec<usize> = chosen.iter().copied().collect();
    while let Some(next) = waiting.pop() {
        let referenced = references[next].iter();
        waiting.extend(referenced.filter(|other| chosen.insert(**other)));
    }
    chosen.remove(&index);
    let names = chosen.into_iter().map(|chosen| all[chosen].name.clone());
    let names: BTreeSet<String> = names.collect();
    names.into_iter().collect()
}

/// Returns for each file the other files, except [`Part::Run`], whose names are words in it.
fn references(all: &[Found]) -> Vec<BTreeSet<usize>> {
    let known = all.iter().enumerate();
    let known = known.filter(|(_, file)| file.part != Part::Run && file.content.is_ok());
    let known = known.map(|(index, file)| (file.name.as_bytes(), index));
    let known: BTreeMap<&[u8], usize> = known.collect();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(byte);
    let referenced = |file: &Found| {
        let bytes = file.content.as_deref().unwrap_or_default();
        let words = bytes.split(|byte| !is_part(byte));
        words.filter_map(|word| known.get(word).copied()).collect()
    };
    all.iter().map(referenced).collect()
}

fn text_of(path: &Utf8Path) -> String {
    let bytes = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => read_plain(path, TEXT_BYTES_MAX).unwrap_or_default(),
        _ => Vec::new(),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses `timeout=SECONDS`; the last line counts, as in the tree's `runner.sh`.
fn timeout(settings: &str) -> Option<u64> {
    let value = |line: &str| line.trim().strip_prefix("timeout=")?.trim().parse().ok();
    settings.lines().filter_map(value).next_back()
}

fn shorten(text: &str) -> String {
    let plain = text.trim().replace(char::is_control, "?");
    plain.chars().take(REASON_MAX).collect()
}

/// Length limit of a quoted interpreter, in characters.
const INTERPRETER_MAX: usize = 100;

/// Returns the reason why a file cannot run in a guest without a shell and shared libraries.
fn unfit(bytes: &[u8]) -> Option<String> {
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let shown: String = shorten(&line).chars().take(INTERPRETER_MAX).collect();
        return Some(format!(
            "is a script for `{shown}`, which is not in the guest"
        ));
    }
    let reason = if !bytes.starts_with(b"\x7fELF") {
        "is neither an ELF program nor a script"
    } else if bytes.get(4) != Some(&ELFCLASS64.0) {
        "is not a 64-bit program"
    } else {
        match has_interpreter(bytes) {
            Some(false) => return None,
            Some(true) => "is linked dynamically, and the guest has no shared libraries",
            None => "is a damaged ELF program",
        }
    };
    Some(reason.to_owned())
}

/// Returns whether a 64-bit program needs a dynamic linker; `None` if it is damaged.
fn has_interpreter(bytes: &[u8]) -> Option<bool> {
    let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let mut headers = header.program_headers(endian, bytes).ok()?.iter();
    Some(headers.any(|header| header.p_type(endian) == PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(problems: &str) -> Built {
        Built {
            work: "/build".into(),
            source: "/build/src".into(),
            output: "/build/out/kselftest/x".into(),
            words: Vec::new(),
            problems: problems.to_owned(),
        }
    }

    #[test]
    fn build_failure_returns_the_compiler_error() {
        let problems = "a.c:1:1: warning: odd\n/build/src/tools/a.c:9:1: error: no such thing\n\
            make[1]: *** [../lib.mk:225: /build/out/kselftest/x/a] Error 1\n\
            /usr/bin/ld: cannot find -lpopt: No such file or directory\ncollect2: error: ld returned 1 exit status\n\
            make[1]: *** [../lib.mk:225: /build/out/kselftest/x/b] Error 1\n";
        let reason = |word| build_failure(word, &built(problems));
        assert_eq!(
            reason("/build/out/kselftest/x/a"),
            "does not build: tools/a.c:9:1: error: no such thing"
        );
        assert_eq!(
            reason("/build/out/kselftest/x/b"),
            "does not build: /usr/bin/ld: cannot find -lpopt: No such file or directory"
        );
        assert_eq!(
            reason("c"),
            "was not built; the first error of the TARGET: tools/a.c:9:1: error: no such thing"
        );
        assert_eq!(
            build_failure("c", &built("")),
            "is not built by the tree's Makefiles"
        );
    }

    #[test]
    fn timeout_returns_the_last_setting() {
        assert_eq!(timeout("# timeout=3\ntimeout=120\n"), Some(120));
        assert_eq!(timeout("timeout=0"), Some(0));
        assert_eq!(timeout("nettest=1\n"), None);
    }

    fn found(part: Part, name: &str, text: &str) -> Found {
        Found {
            part,
            name: name.to_owned(),
            content: Ok(text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn companions_includes_referenced_programs() {
        let all = [
            found(Part::Run, "one", "./helper\0"),
            found(Part::Run, "two", "./helper_else two_helper"),
            found(Part::ByHand, "helper", "exec deeper"),
            found(Part::ByHand, "deeper", ""),
            found(Part::File, "data", ""),
        ];
        let references = references(&all);
        assert_eq!(
            companions(0, &all, &references),
            ["data", "deeper", "helper"]
        );
        assert_eq!(companions(1, &all, &references), ["data"]);
    }

    /// Returns an ELF file with one program header of this type.
    fn elf(class: u8, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = class;
        (bytes[5], bytes[6]) = (1, 1);
        (bytes[32], bytes[54], bytes[56]) = (64, 56, 1);
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 52]);
        bytes
    }

    #[test]
    fn unfit_accepts_static_programs_only() {
        assert_eq!(unfit(&elf(2, 1)), None);
        let reason = |bytes: &[u8]| unfit(bytes).unwrap();
        assert!(reason(&elf(2, 3)).contains("linked dynamically"));
        assert!(reason(&elf(1, 1)).contains("64-bit"));
        assert_eq!(
            reason(b"#!/usr/bin/env  bash\r\necho"),
            "is a script for `/usr/bin/env  bash`, which is not in the guest"
        );
        assert!(reason(b"plain text").contains("neither"));
    }

    #[test]
    fn unfit_returns_a_reason_for_truncated_programs() {
        let whole = elf(2, 1);
        for cut in 0..whole.len() {
            let reason = unfit(&whole[..cut]);
            assert!(cut >= 68 || reason.is_some(), "cut at {cut}");
        }
        let mut wild = whole;
        wild[32..40].fill(0xff);
        assert!(unfit(&wild).is_some());
    }
}
