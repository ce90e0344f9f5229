// SPDX-License-Identifier: GPL-2.0-only
//! Mutants: a series with one mistake put into it, to see whether the tests notice.
//!
//! What a series changed is changed once more, in small steps that a person could have
//! taken by mistake: something forgotten, turned round, in the wrong order. This is
//! about source text only; what comes of a mutant is found out elsewhere. The same
//! source gives the same mutants with the same names.

mod change;
mod lexer;
mod locks;
mod named;
mod operators;
mod origin;
mod reach;
mod revert;
mod syntax;

use std::collections::{BTreeMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::diff::{Side, unified};

use self::change::{Change, kebab};
pub use self::named::{EQUIVALENT, FOLDER, Notebook, Reason, without_one};
use self::syntax::Source;
use crate::content::ContentId;
use crate::error::Error;
use crate::overlay::{FileState, Overlay};
use crate::tree::Tree;

/// Larger files have no mutants, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Mutants may take this much memory, in bytes.
const BYTES_MAX: usize = 512 * 1024 * 1024;
/// Lines around a change in a mutant's diff.
const CONTEXT_LINES: usize = 3;

/// A series with a mistake in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, made of the file, the function, what was done, and a number.
    pub name: String,
    /// What was done, in a sentence.
    pub title: String,
    /// The words of the name for the function that it is in.
    pub function: String,
    /// The file, relative to the tree; the first of several.
    pub file: Utf8PathBuf,
    /// The line in the file with the whole series applied, from 1.
    pub line: usize,
    /// The number of the patch, from 1, whose change it is; none where it is that of
    /// several, or not known.
    pub patch: Option<usize>,
    /// Its difference from the series, as a unified diff.
    pub diff: String,
    /// The files in which its source differs from the series.
    pub changed: Overlay,
}

impl Mutant {
    /// Returns the files in which it differs from the series.
    pub fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.changed.files().keys()
    }
}

/// Returns the mutants of what was changed between the first and the last of some
/// states of a tree, which are the series' own in their order: without any of its
/// patches, with one more each, with all.
///
/// # Errors
/// When a file of the tree cannot be read.
pub fn automatic(tree: &Tree, states: &[&Overlay]) -> Result<Vec<Mutant>, Error> {
    let (Some(first), Some(last)) = (states.first(), states.last()) else {
        return Ok(Vec::new());
    };
    let (mut mutants, mut room) = (Vec::new(), BYTES_MAX);
    for (path, state) in last.files() {
        let Some(state) = state else {
            continue;
        };
        let is_code = matches!(path.extension(), Some("c" | "h"));
        if !is_code || first.files().get(path) == last.files().get(path) {
            continue;
        }
        let versions = states
            .iter()
            .map(|overlay| content(tree, overlay, path))
            .collect::<Result<Vec<_>, _>>()?;
        let versions: Vec<&[u8]> = versions.iter().map(Vec::as_slice).collect();
        let drafts = of_file(path, &versions, &mut room).ok_or_else(|| {
            Error::input(
                format!("the series changes too much for mutants, up to `{path}`"),
                "judge it in parts, each a series with those before it as `--prereq`",
            )
        })?;
        mutants.extend(drafts.into_iter().map(|draft| draft.mutant(path, state)));
    }
    Ok(mutants)
}

/// Returns what is in a file of a tree with an overlay; nothing if it is not there.
fn content(tree: &Tree, overlay: &Overlay, path: &Utf8Path) -> Result<Vec<u8>, Error> {
    match overlay.files().get(path) {
        Some(Some(state)) => Ok(state.bytes.clone()),
        Some(None) => Ok(Vec::new()),
        None => match fs::read(tree.root().join(path)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::host("reading the tree")(error)),
        },
    }
}

/// Returns a C source without comments and the space between its words.
pub(crate) fn words(source: &[u8]) -> Vec<&[u8]> {
    let tokens = lexer::tokens(source).into_iter();
    tokens.map(|token| &source[token.place]).collect()
}

/// A mutant of one file.
#[derive(Clone, Debug)]
struct Draft {
    name: String,
    function: String,
    title: String,
    /// From 0.
    line: usize,
    patch: Option<usize>,
    bytes: Vec<u8>,
}

impl Draft {
    fn mutant(self, path: &Utf8Path, state: &FileState) -> Mutant {
        let diff = diff(path, &state.bytes, &self.bytes);
        let mutated = FileState {
            bytes: self.bytes,
            executable: state.executable,
        };
        let changed = BTreeMap::from([(path.to_owned(), Some(mutated))]);
        Mutant {
            name: self.name,
            function: self.function,
            title: self.title,
            file: path.to_owned(),
            line: self.line + 1,
            patch: self.patch,
            diff,
            changed: Overlay::from_files(changed),
        }
    }
}

/// Returns the mutants of a file of which these are the versions; no two are the same.
/// Nothing, if they take more bytes than there is `room` for.
fn of_file(path: &Utf8Path, versions: &[&[u8]], room: &mut usize) -> Option<Vec<Draft>> {
    let Some(last) = versions.last().filter(|last| last.len() <= FILE_BYTES_MAX) else {
        return Some(Vec::new());
    };
    let origins = origin::origins(versions);
    let is_changed = |line: usize| origins.get(line).is_some_and(|&origin| origin > 0);
    let source = Source::of(last);
    let mut found: Vec<(String, Change)> = Vec::new();
    for function in &source.functions {
        let changes = operators::changes(&source, function, &is_changed);
        let name = kebab(function.name.as_bytes());
        found.extend(changes.into_iter().map(|change| (name.clone(), change)));
    }
    found.extend(revert::changes(versions[0], &source));
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let named = |bytes: &[u8]| ContentId::new("mutant").part(bytes).finish();
    let mut seen = HashSet::from([named(last)]);
    let mut drafts = Vec::new();
    for (function, change) in found {
        let bytes = change.made_in(last);
        if !seen.insert(named(&bytes)) {
            continue;
        }
        *room = room.checked_sub(bytes.len())?;
        let place = place_name(path, &function);
        let name = format!("{place}-{}", change.operator);
        let number = numbers.entry(name.clone()).or_default();
        *number += 1;
        let origin = origins
            .get(change.line)
            .copied()
            .filter(|&origin| origin > 0);
        drafts.push(Draft {
            name: format!("{name}-{number}"),
            function: place,
            title: change.title,
            line: change.line,
            patch: origin.filter(|_| versions.len() > 2),
            bytes,
        });
    }
    Some(drafts)
}

/// Returns the words for a function of a file, without those that say the same twice:
/// `luo-flb` and `put-outgoing` for `liveupdate_flb_put_outgoing` of `luo_flb.c`.
fn place_name(path: &Utf8Path, function: &str) -> String {
    let stem = kebab(path.file_stem().unwrap_or_default().as_bytes());
    let last = stem.rsplit('-').next().unwrap_or_default();
    let words: Vec<&str> = function
        .split('-')
        .filter(|word| !word.is_empty())
        .collect();
    let known = words.iter().position(|word| *word == last);
    let rest = match known {
        Some(at) if at + 1 < words.len() => &words[at + 1..],
        _ => &words,
    };
    std::iter::once(stem.as_str())
        .chain(rest.iter().copied())
        .collect::<Vec<_>>()
        .join("-")
}

fn diff(path: &Utf8Path, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let before = Side {
        name: &format!("a/{path}"),
        text: &before,
    };
    let after = Side {
        name: &format!("b/{path}"),
        text: &after,
    };
    unified(before, after, CONTEXT_LINES)
}

#[cfg(test)]
mod tests;
