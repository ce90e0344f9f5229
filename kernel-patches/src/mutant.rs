// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants: a series with one small change that breaks it.
//!
//! The operators change lines that the series changed: they delete, negate, swap or
//! replace code. This module edits source text only; the build and the tests are
//! elsewhere. The same source gives the same mutants with the same names.

mod change;
mod named;
mod operators;
mod reach;
mod syntax;

use std::collections::{BTreeMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::content::ContentId;
use patchbed_host::diff::{Side, unified};

use self::change::{Change, kebab};
pub use self::named::{EQUIVALENT, FOLDER, MutantFolder, Reason, without_each_patch};
use self::syntax::Source;
use crate::checkout::{Checkout, MUTANT_PREFIX, checkout_id};
use crate::error::Error;
use crate::overlay::{FileState, Overlay};
use crate::tree::Tree;

/// No mutants are made of larger files, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Memory limit of all mutants, in bytes.
const BYTES_MAX: usize = 512 * 1024 * 1024;
/// Context lines in a mutant's diff.
const CONTEXT_LINES: usize = 3;

/// A series with one change that breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Name: file, function, operator and number.
    pub name: String,
    /// Description of the change.
    pub title: String,
    /// The part of the name for file and function.
    pub function: String,
    /// The first changed file, relative to the tree.
    pub file: Utf8PathBuf,
    /// The line in the file after the series, from 1.
    pub line: usize,
    /// The number of the patch, from 1, that last changed the line; `None` if unknown or
    /// if the mutant affects several patches.
    pub patch: Option<usize>,
    /// Unified diff to the series.
    pub diff: String,
    /// The files that differ from the series.
    pub changed: Overlay,
}

impl Mutant {
    /// Returns the paths that differ from the series.
    pub fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.changed.files().keys()
    }

    /// Returns the checkout of this mutant. It lists the same series as contained, so that
    /// tests are expected to pass and a failure catches the mutant.
    #[must_use]
    pub fn checkout(&self, series: &Checkout, tree: &Tree) -> Checkout {
        let overlay = series.overlay.with(&self.changed);
        Checkout {
            name: format!("{MUTANT_PREFIX}{}", self.name),
            id: checkout_id(tree, &overlay),
            overlay,
            ..series.clone()
        }
    }
}

/// Returns the mutants of the lines that a series changes. `states` are the overlays
/// without the series, after each of its patches in order, and after all.
pub fn automatic(tree: &Tree, states: &[&Overlay]) -> Result<Vec<Mutant>, Error> {
    let (Some(first), Some(last)) = (states.first(), states.last()) else {
        return Ok(Vec::new());
    };
    let (mut mutants, mut bytes_left) = (Vec::new(), BYTES_MAX);
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
            .map(|overlay| Ok(overlay.read(tree.root(), path)?.unwrap_or_default()))
            .collect::<Result<Vec<_>, Error>>()?;
        let versions: Vec<&[u8]> = versions.iter().map(Vec::as_slice).collect();
        let drafts = of_file(path, &versions, &mut bytes_left).ok_or_else(|| {
            Error::input(
                format!("creating mutants: they exceed {BYTES_MAX} bytes of memory at `{path}`"),
                "split the series, and pass the earlier parts with `--prereq`",
            )
        })?;
        mutants.extend(drafts.into_iter().map(|draft| draft.mutant(path, state)));
    }
    Ok(mutants)
}

/// A mutant of one file.
#[derive(Clone, Debug)]
struct Draft {
    name: String,
    function: String,
    title: String,
    /// Counted from 0.
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

/// Returns the distinct mutants of a file with these versions, or `None` if they take
/// more than `bytes_left`.
fn of_file(path: &Utf8Path, versions: &[&[u8]], bytes_left: &mut usize) -> Option<Vec<Draft>> {
    let is_small = |text: &&[u8]| text.len() <= FILE_BYTES_MAX;
    let Some(last) = versions.last().filter(|_| versions.iter().all(is_small)) else {
        return Some(Vec::new());
    };
    let origins = change::origins(versions);
    let is_changed = |line: usize| origins.get(line).is_some_and(|&origin| origin > 0);
    let source = Source::of(last);
    let mut found: Vec<(String, Change)> = Vec::new();
    for function in &source.functions {
        let changes = operators::changes(&source, function, &is_changed);
        let name = kebab(function.name.as_bytes());
        found.extend(changes.into_iter().map(|change| (name.clone(), change)));
    }
    found.extend(change::reverts(versions[0], &source));
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let id = |bytes: &[u8]| ContentId::new("mutant").part(bytes).finish();
    let mut seen = HashSet::from([id(last)]);
    let mut drafts = Vec::new();
    for (function, change) in found {
        let bytes = change.apply(last);
        if !seen.insert(id(&bytes)) {
            continue;
        }
        *bytes_left = bytes_left.checked_sub(bytes.len())?;
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

/// Returns the part of a mutant's name for a function. Words up to the last word of the
/// file name are dropped: `liveupdate_flb_put_outgoing` in `luo_flb.c` gives
/// `luo-flb-put-outgoing`.
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
