// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants: a series with one small change that breaks it.
//!
//! The operators change lines that the series changed: they delete, negate, swap or
//! replace code. Other mutants are patches in the folder `mutants` of a series, or revert one
//! patch of it. This module edits source text only; the build and the tests are elsewhere.
//! The same source gives the same mutants with the same names.

mod change;
mod claim;
mod jumps;
mod locks;
mod loops;
mod operators;
mod reach;
mod references;
mod replacements;
mod site;
mod syntax;

use std::collections::{BTreeMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::diff::{Side, blocks, unified};
use patchbed_host::files::listing;

use self::change::{Change, kebab};
pub use self::claim::{Claim, Condition, KernelFacts, Validity};
use self::syntax::Source;
use crate::checkout::{Checkout, MUTANT_PREFIX, checkout_id};
use crate::error::{Doing, Error, read_yaml};
use crate::mail::{self, Patch};
use crate::overlay::{FileState, Overlay, bytes_of};
use crate::scratch::{Direction, Scratch};
use crate::series::Series;
use crate::tree::Tree;

/// No mutants are made of larger files, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Memory limit of all mutants, in bytes.
const BYTES_MAX: usize = 512 * 1024 * 1024;
const CONTEXT_LINES: usize = 3;

/// The folder of mutants in the folder of a series.
pub const FOLDER: &str = "mutants";
/// The file in it that lists equivalent and unreachable mutants.
pub const EQUIVALENT: &str = "equivalent.yaml";

/// A series with one change that breaks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
            .map(|overlay| overlay.state(tree.root(), path))
            .collect::<Result<Vec<_>, Error>>()?;
        let versions = versions.iter().map(|state| bytes_of(state.as_ref()));
        let versions: Vec<&[u8]> = versions.collect();
        let found = of_file(path, &versions, state.executable, &mut bytes_left);
        mutants.extend(found.ok_or_else(|| {
            Error::input(
                format!("creating mutants: they exceed {BYTES_MAX} bytes of memory at `{path}`"),
                "split the series, and pass the earlier parts with `--prereq`",
            )
        })?);
    }
    Ok(mutants)
}

/// Returns the distinct mutants of a file, or `None` if they take more than `bytes_left`.
fn of_file(
    path: &Utf8Path,
    versions: &[&[u8]],
    executable: bool,
    bytes_left: &mut usize,
) -> Option<Vec<Mutant>> {
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
    let mut mutants = Vec::new();
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
        let origin = origins.get(change.line).copied();
        mutants.push(Mutant {
            name: format!("{name}-{number}"),
            function: place,
            title: change.title,
            file: path.to_owned(),
            line: change.line + 1,
            patch: origin.filter(|&origin| origin > 0 && versions.len() > 2),
            diff: diff(path, last, &bytes),
            changed: Overlay::from_files(BTreeMap::from([(
                path.to_owned(),
                Some(FileState { bytes, executable }),
            )])),
        });
    }
    Some(mutants)
}

/// Returns the part of a mutant's name for a function. Words up to the last word of the
/// file name are dropped: `liveupdate_flb_put_outgoing` in `luo_flb.c` gives
/// `luo-flb-put-outgoing`.
fn place_name(path: &Utf8Path, function: &str) -> String {
    let stem = kebab(path.file_stem().unwrap_or_default().as_bytes());
    let last = stem.rsplit('-').next().unwrap_or_default();
    let words = function.split('-').filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let rest = match words.iter().position(|word| *word == last) {
        Some(at) if at + 1 < words.len() => &words[at + 1..],
        _ => &words,
    };
    [&[stem.as_str()], rest].concat().join("-")
}

fn diff(path: &Utf8Path, before: &[u8], after: &[u8]) -> String {
    let before = Side {
        name: &format!("a/{path}"),
        text: &String::from_utf8_lossy(before),
    };
    let after = Side {
        name: &format!("b/{path}"),
        text: &String::from_utf8_lossy(after),
    };
    unified(before, after, CONTEXT_LINES)
}

/// The folder `mutants` of a series.
#[derive(Clone, Debug, Default)]
pub struct MutantFolder {
    patches: Vec<(String, Patch)>,
    /// Claims that mutants are equivalent or unreachable, by name of the mutant.
    pub equivalent: BTreeMap<String, Claim>,
}

impl MutantFolder {
    /// Reads the folder `mutants` in the folder of a series; it may be missing.
    pub fn read(series: &Utf8Path) -> Result<Self, Error> {
        let folder = series.join(FOLDER);
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let mut files = listing(&folder).doing(format!("listing `{folder}`"))?;
        files.retain(|path| path.extension() == Some("patch"));
        let patch = |path: &Utf8PathBuf| {
            let bytes = fs::read(path).doing("reading a mutant")?;
            let name = path.file_stem().unwrap_or_default().to_owned();
            // `--checkouts` is a comma-separated list.
            if name.contains(|c: char| c == ',' || c.is_control()) {
                return Err(Error::input(
                    format!("reading `{folder}`: invalid name of a mutant `{name}`"),
                    "rename the file without commas and control characters",
                ));
            }
            match mail::parse_one(path.file_name().unwrap_or_default(), &bytes) {
                Some(patch) => Ok((name, patch)),
                None => Err(Error::input(
                    format!("reading `{path}`: it has no diff"),
                    "create it with `git diff` or delete it",
                )),
            }
        };
        let equivalent = Some(folder.join(EQUIVALENT)).filter(|file| file.is_file());
        let equivalent = equivalent.map(|file| read_yaml(&file)).transpose()?;
        Ok(Self {
            patches: files.iter().map(patch).collect::<Result<_, Error>>()?,
            equivalent: equivalent.unwrap_or_default(),
        })
    }

    /// Applies its patches to the checkout of the series. Fails when a patch does not apply.
    pub fn mutants(
        &self,
        tree: &Tree,
        series: &Checkout,
        cancel: &Cancel,
    ) -> Result<Vec<Mutant>, Error> {
        let mut mutants = Vec::new();
        for (name, patch) in &self.patches {
            let mut scratch = Scratch::new(tree.root(), &series.overlay, cancel)?;
            let places = scratch.apply(patch, Direction::Forwards)?;
            if !places.is_empty() {
                let places = places.iter().map(|place| format!("\n  {place}"));
                let (tree, places) = (tree.label(), places.collect::<String>());
                return Err(Error::input(
                    format!(
                        "applying mutant `{name}` to the series on {tree}: it does not apply:{places}"
                    ),
                    format!("rebase it, or delete it from the folder `{FOLDER}` of the series"),
                ));
            }
            mutants.push(Mutant {
                name: name.clone(),
                title: patch.subject.clone(),
                ..between(tree, &series.overlay, scratch.overlay()?)?
            });
        }
        Ok(mutants)
    }
}

/// Returns a mutant without each patch of a series, if the series has several patches and
/// the patch applies in reverse.
pub fn without_each_patch(
    tree: &Tree,
    checkout: &Checkout,
    series: &Series,
    cancel: &Cancel,
) -> Result<Vec<Mutant>, Error> {
    let mut mutants = Vec::new();
    if series.patches.len() < 2 {
        return Ok(mutants);
    }
    for (number, patch) in (1..).zip(&series.patches) {
        let mut scratch = Scratch::new(tree.root(), &checkout.overlay, cancel)?;
        if scratch.apply(patch, Direction::InReverse)?.is_empty() {
            mutants.push(Mutant {
                name: format!("without-patch-{number}"),
                title: format!("revert patch {number}: {}", patch.subject),
                patch: Some(number),
                ..between(tree, &checkout.overlay, scratch.overlay()?)?
            });
        }
    }
    Ok(mutants)
}

/// Returns the difference between two overlays as a mutant without name and title.
fn between(tree: &Tree, series: &Overlay, overlay: Overlay) -> Result<Mutant, Error> {
    let paths = series.files().keys().chain(overlay.files().keys());
    let mut paths: Vec<&Utf8PathBuf> = paths
        .filter(|path| series.files().get(*path) != overlay.files().get(*path))
        .collect();
    // A `.c` file first, since its line is reported.
    paths.sort_by_key(|path| (path.extension() != Some("c"), *path));
    paths.dedup();
    let mut mutant = Mutant::default();
    let mut changed = BTreeMap::new();
    for path in paths {
        let old = series.state(tree.root(), path)?;
        let state = overlay.state(tree.root(), path)?;
        let (before, after) = (bytes_of(old.as_ref()), bytes_of(state.as_ref()));
        mutant.diff += &diff(path, before, after);
        if changed.is_empty() {
            let block = blocks(before, after).first().cloned();
            mutant.file = path.clone();
            mutant.line = block.map_or(1, |block| block.before.start + 1);
        }
        changed.insert(path.clone(), state);
    }
    mutant.changed = Overlay::from_files(changed);
    Ok(mutant)
}

#[cfg(test)]
mod tests;
