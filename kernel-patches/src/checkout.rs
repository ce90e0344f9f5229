// SPDX-License-Identifier: MIT OR Apache-2.0
//! A checkout: a tree plus a list of series, stored as the files that differ.
//!
//! A tree contains a series if the series applies in reverse, or if a revert patch
//! of the series applies. Commit messages and names are not compared.

use std::collections::BTreeSet;
use std::slice;

use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;

use crate::coverage::{self, FileChange};
use crate::error::{Error, shorten};
use crate::mail::Patch;
use crate::overlay::Overlay;
use crate::scratch::{Direction, Place, Scratch};
use crate::series::Series;
use crate::tree::Tree;

/// One kernel source state.
#[derive(Clone, Debug, Default)]
pub struct Checkout {
    /// `base`, `patch-1` and so on, or `series`.
    pub name: String,
    /// The files that differ from the tree.
    pub overlay: Overlay,
    /// Names of the series that it contains, applied or found in the tree.
    pub contains: BTreeSet<String>,
    /// Names of the series of which it has the first patches only. Tests that require
    /// them may pass or fail.
    pub partly: BTreeSet<String>,
    /// Number of patches of the tested series that are applied.
    pub patches: usize,
    /// Configuration fragments of the applied series, in order.
    pub configs: Vec<String>,
    /// Fragments whose options may be missing: a later patch may add them.
    pub optional_configs: Vec<String>,
    /// Content id of tree and overlay.
    pub id: String,
}

/// Prefix of the names of mutant checkouts.
pub const MUTANT_PREFIX: &str = "mutant-";

pub(crate) fn checkout_id(tree: &Tree, overlay: &Overlay) -> String {
    ContentId::new("checkout")
        .part(tree.id())
        .part(overlay.content_id())
        .finish()
}

/// The checkouts of a run.
#[derive(Clone, Debug)]
pub struct Checkouts {
    /// Tree and prerequisites, without the series.
    pub base: Checkout,
    /// `base` with the first patches of the series, `patch-1` and so on, without the
    /// whole series.
    pub prefixes: Vec<Checkout>,
    /// `base` with the series applied.
    pub series: Checkout,
    /// Sentences for the user: series that the tree contains or that were reverted.
    pub notes: Vec<String>,
    /// The files that each patch of the series changes.
    pub changes: Vec<Vec<FileChange>>,
    /// The files that each prerequisite changes, with its name.
    pub prerequisite_changes: Vec<(String, Vec<FileChange>)>,
}

/// Returns the name of the checkout that has the first `patches` of the series.
#[must_use]
pub fn prefix_name(patches: usize) -> String {
    format!("patch-{patches}")
}

/// Computes `base`, `series` and the prefixes between them: reverts the series if the
/// tree contains it, then applies the prerequisites and the series. `known` series
/// that a checkout contains are added to [`Checkout::contains`]. Fails when a prerequisite is
/// missing or a patch does not apply; the error has the patch, the files and the hunks.
pub fn checkouts(
    tree: &Tree,
    prerequisites: &[Series],
    series: &Series,
    known: &[Series],
    cancel: &Cancel,
) -> Result<Checkouts, Error> {
    check_needs(tree, prerequisites, series)?;
    let mut builder = Builder {
        tree,
        overlay: Overlay::default(),
        cancel,
        notes: Vec::new(),
    };
    let replaced = builder.revert(series, known)?;
    let mut contains = BTreeSet::new();
    let mut configs = Vec::new();
    let mut prerequisite_changes = Vec::new();
    for prerequisite in prerequisites {
        let before = builder.overlay.clone();
        builder.apply(prerequisite)?;
        let changes = coverage::changes(tree, &before, &builder.overlay)?;
        prerequisite_changes.push((prerequisite.name.clone(), changes));
        contains.extend(confirmed_name(prerequisite, known));
        configs.extend(prerequisite.config.clone());
    }
    builder.find_contained(known, &mut contains)?;
    let base = builder.checkout("base", &contains, &configs);
    let states = match builder.apply(series) {
        Err(error) => {
            let better = builder.conflict_without_known(series, known)?;
            return Err(better.unwrap_or(error));
        }
        Ok(states) => states,
    };
    contains.extend(confirmed_name(series, known));
    contains.extend(series.provides.iter().cloned().chain(replaced));
    configs.extend(series.config.clone());
    builder.find_contained(known, &mut contains)?;
    let mut top = builder.checkout("series", &contains, &configs);
    top.patches = series.patches.len();
    let before = std::iter::once(&base.overlay).chain(&states);
    let changes = before
        .zip(&states)
        .map(|(before, after)| coverage::changes(tree, before, after))
        .collect::<Result<_, _>>()?;
    let prefixes = builder.prefixes(&base, &top, states);
    if top.id == base.id {
        return Err(Error::input(
            format!("applying `{}`: it changes nothing on `base`", series.name),
            "if it is also a prerequisite, list the other prerequisites with `--prereq`",
        ));
    }
    Ok(Checkouts {
        base,
        prefixes,
        series: top,
        notes: builder.notes,
        changes,
        prerequisite_changes,
    })
}

/// Checks the paths and series that each series requires.
fn check_needs(tree: &Tree, prerequisites: &[Series], series: &Series) -> Result<(), Error> {
    let all: Vec<&Series> = prerequisites.iter().chain([series]).collect();
    for (index, current) in all.iter().enumerate() {
        for path in &current.needs_in_tree {
            if !tree.root().join(path).exists() {
                let (name, tree) = (&current.name, tree.label());
                return Err(Error::input(
                    format!("`{name}` cannot be applied: {tree} has no `{path}`"),
                    "select another tree with `--tree` (Live Update is in Linux 6.19 and later)",
                ));
            }
        }
        for name in &current.requires {
            let is_below = all[..index].iter().any(|below| below.name == *name);
            if !is_below && !series.provides.contains(name) {
                return Err(Error::input(
                    format!("`{}` cannot be applied: it requires `{name}`", current.name),
                    format!(
                        "add `--prereq {name}`, or `--provides {name}` if your series replaces it"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Returns the name of a series, or `None` if a known series has the same name and other
/// changes: a file name does not prove that the file replaces the known series.
fn confirmed_name(series: &Series, known: &[Series]) -> Option<String> {
    let namesake = known.iter().find(|other| other.name == series.name);
    let is_same = series.is_known || namesake.is_none_or(|other| other.has_changes_of(series));
    is_same.then(|| series.name.clone())
}

/// Returns the patches of `series` after each revert patch of the known series.
fn after_reverts<'k>(
    series: &Series,
    known: &'k [Series],
) -> impl Iterator<Item = (&'k Series, Vec<Patch>)> {
    let reverts = known
        .iter()
        .flat_map(|old| old.revert.iter().map(move |patch| (old, patch)));
    reverts.map(|(old, patch)| (old, [slice::from_ref(patch), &series.patches].concat()))
}

struct Builder<'a> {
    tree: &'a Tree,
    overlay: Overlay,
    cancel: &'a Cancel,
    notes: Vec<String>,
}

impl Builder<'_> {
    /// Reverts `series` if the tree contains it. Returns the names of the known series
    /// that were reverted because `series` replaces them.
    fn revert(&mut self, series: &Series, known: &[Series]) -> Result<Vec<String>, Error> {
        let replaced = known.iter();
        let replaced = replaced.filter(|old| series.provides.contains(&old.name));
        let mut reverts = series.revert.clone();
        reverts.extend(replaced.flat_map(|old| old.revert.clone()));
        let (without, part) = match self.overlay_with(&series.patches, Direction::InReverse)? {
            Some(without) => (without, ""),
            None => match self.first_revert(&reverts)? {
                Some(without) => (without, "the change of "),
                None => return self.revert_older_version(series, known),
            },
        };
        self.overlay = without;
        let (tree, name) = (self.tree.label(), &series.name);
        self.notes.push(format!(
            "{tree} already has {part}`{name}`; it is reverted in `base`"
        ));
        Ok(Vec::new())
    }

    /// Reverts a known series if `series` applies only without it, as a new version of it.
    fn revert_older_version(
        &mut self,
        series: &Series,
        known: &[Series],
    ) -> Result<Vec<String>, Error> {
        let forwards = Direction::Forwards;
        if self.overlay_with(&series.patches, forwards)?.is_some() {
            return Ok(Vec::new());
        }
        for (old, patches) in after_reverts(series, known) {
            let Some(without) = self.overlay_with(&patches[..1], forwards)? else {
                continue;
            };
            if self.overlay_with(&patches, forwards)?.is_some() {
                self.overlay = without;
                let (tree, old, name) = (self.tree.label(), &old.name, &series.name);
                self.notes.push(format!(
                    "{tree} already has the change of `{old}`; it is reverted in `base`, and `{name}` replaces it"
                ));
                return Ok(vec![old.clone()]);
            }
        }
        Ok(Vec::new())
    }

    /// Returns the conflict with the tree without a known series that the tree contains,
    /// if more of `series` applies there. A new version of a merged series conflicts with
    /// the unmodified tree in its first patch, which hides the conflict of a later patch.
    fn conflict_without_known(
        &self,
        series: &Series,
        known: &[Series],
    ) -> Result<Option<Error>, Error> {
        let Applied::Conflict(here) = self.try_apply(&series.patches, Direction::Forwards)? else {
            return Ok(None);
        };
        for (old, patches) in after_reverts(series, known) {
            let Applied::Conflict(there) = self.try_apply(&patches, Direction::Forwards)? else {
                continue;
            };
            let index = there.index.saturating_sub(1);
            let fits_more = there.index == here.index + 1 && there.places.len() < here.places.len();
            if index > here.index || fits_more {
                let without = format!("{} without `{}`", self.tree.label(), old.name);
                let conflict = Conflict { index, ..there };
                return Ok(Some(conflict.into_error(series, &without)));
            }
        }
        Ok(None)
    }

    /// Adds the names of the `known` series that the source contains.
    fn find_contained(
        &self,
        known: &[Series],
        contains: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        for series in known {
            if !contains.contains(&series.name)
                && (self.has(series)? || self.first_revert(&series.revert)?.is_some())
            {
                contains.insert(series.name.clone());
            }
        }
        Ok(())
    }

    fn has(&self, series: &Series) -> Result<bool, Error> {
        let without = self.overlay_with(&series.patches, Direction::InReverse)?;
        Ok(without.is_some())
    }

    /// Returns the overlay after each patch; an empty list if the tree contains the series.
    fn apply(&mut self, series: &Series) -> Result<Vec<Overlay>, Error> {
        let conflict = match self.try_apply(&series.patches, Direction::Forwards)? {
            Applied::Whole(states) => {
                if let Some(whole) = states.last() {
                    self.overlay = whole.clone();
                }
                return Ok(states);
            }
            Applied::Conflict(conflict) => conflict,
        };
        let label = self.tree.label();
        if !self.has(series)? {
            return Err(conflict.into_error(series, label));
        }
        let name = &series.name;
        self.notes.push(format!("{label} already has `{name}`"));
        Ok(Vec::new())
    }

    fn overlay_with(
        &self,
        patches: &[Patch],
        direction: Direction,
    ) -> Result<Option<Overlay>, Error> {
        Ok(match self.try_apply(patches, direction)? {
            Applied::Whole(mut states) => states.pop().or_else(|| Some(self.overlay.clone())),
            Applied::Conflict(_) => None,
        })
    }

    /// Returns the overlay after the first of these single patches that applies.
    fn first_revert(&self, patches: &[Patch]) -> Result<Option<Overlay>, Error> {
        for patch in patches {
            if let Some(without) = self.overlay_with(slice::from_ref(patch), Direction::Forwards)? {
                return Ok(Some(without));
            }
        }
        Ok(None)
    }

    fn try_apply(&self, patches: &[Patch], direction: Direction) -> Result<Applied, Error> {
        let mut scratch = Scratch::new(self.tree.root(), &self.overlay, self.cancel)?;
        let mut order: Vec<(usize, &Patch)> = patches.iter().enumerate().collect();
        if direction == Direction::InReverse {
            order.reverse();
        }
        let mut states = Vec::new();
        for (index, patch) in order {
            let places = scratch.apply(patch, direction)?;
            if !places.is_empty() {
                return Ok(Applied::Conflict(Conflict {
                    index,
                    origin: patch.origin.clone(),
                    places,
                }));
            }
            states.push(scratch.overlay()?);
        }
        Ok(Applied::Whole(states))
    }

    /// Returns the checkouts after each patch but the last.
    fn prefixes(&self, base: &Checkout, top: &Checkout, states: Vec<Overlay>) -> Vec<Checkout> {
        let between = states.len().saturating_sub(1);
        let prefix = |(patches, overlay): (usize, Overlay)| Checkout {
            name: prefix_name(patches),
            id: checkout_id(self.tree, &overlay),
            overlay,
            contains: base.contains.clone(),
            partly: top.contains.difference(&base.contains).cloned().collect(),
            patches,
            configs: base.configs.clone(),
            optional_configs: top.configs[base.configs.len()..].to_vec(),
        };
        (1..).zip(states).take(between).map(prefix).collect()
    }

    fn checkout(&self, name: &str, contains: &BTreeSet<String>, configs: &[String]) -> Checkout {
        Checkout {
            name: name.to_owned(),
            overlay: self.overlay.clone(),
            contains: contains.clone(),
            configs: configs.to_vec(),
            id: checkout_id(self.tree, &self.overlay),
            ..Checkout::default()
        }
    }
}

enum Applied {
    /// The overlay after each patch.
    Whole(Vec<Overlay>),
    Conflict(Conflict),
}

const PLACES_MAX: usize = 20;

#[derive(Debug)]
struct Conflict {
    index: usize,
    origin: String,
    places: Vec<Place>,
}

impl Conflict {
    fn into_error(self, series: &Series, tree: &str) -> Error {
        let line = |place: &Place| format!("\n  {}", shorten(&place.to_string()));
        let mut places: String = self.places.iter().take(PLACES_MAX).map(line).collect();
        if let Some(more @ 1..) = self.places.len().checked_sub(PLACES_MAX) {
            places += &format!("\n  ... and {more} more");
        }
        let hint = self.places.iter().find_map(Place::hint);
        Error::input(
            format!(
                "applying `{}` to {tree}: patch {} of {} (`{}`) does not apply:{places}",
                series.name,
                self.index + 1,
                series.patches.len(),
                shorten(&self.origin),
            ),
            hint.unwrap_or("rebase the series onto this tree, or select its tree with `--tree`"),
        )
    }
}

#[cfg(test)]
mod tests;
