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
#[derive(Clone, Debug)]
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
/// that a checkout contains are added to [`Checkout::contains`].
///
/// # Errors
/// When a prerequisite is missing or a patch does not apply; the error has the patch,
/// the files and the hunks.
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
        Ok(states) => states,
        Err(error) => {
            return Err(builder
                .conflict_without_known(series, known)?
                .unwrap_or(error));
        }
    };
    contains.extend(confirmed_name(series, known));
    contains.extend(series.provides.iter().cloned().chain(replaced));
    configs.extend(series.config.clone());
    builder.find_contained(known, &mut contains)?;
    let mut top = builder.checkout("series", &contains, &configs);
    top.patches = series.patches.len();
    let with_base: Vec<&Overlay> = [&base.overlay].into_iter().chain(&states).collect();
    let pairs = with_base.windows(2);
    let changes = pairs
        .map(|pair| coverage::changes(tree, pair[0], pair[1]))
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
                return Err(Error::input(
                    format!(
                        "`{}` cannot be applied: {} has no `{path}`",
                        current.name,
                        tree.label(),
                    ),
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
        let replaced = known
            .iter()
            .filter(|old| series.provides.contains(&old.name));
        let reverts = series
            .revert
            .iter()
            .chain(replaced.flat_map(|old| &old.revert));
        let found = match self.overlay_with(&series.patches, Direction::InReverse)? {
            Some(without) => Some((without, "")),
            None => self
                .first_revert(reverts)?
                .map(|without| (without, "the change of ")),
        };
        if let Some((without, part)) = found {
            self.overlay = without;
            self.notes.push(format!(
                "{} already has {part}`{}`; it is reverted in `base`",
                self.tree.label(),
                series.name
            ));
            return Ok(Vec::new());
        }
        self.revert_older_version(series, known)
    }

    /// Reverts the change of a known series if `series` applies only without it: a new
    /// version of a merged series.
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
                self.notes.push(format!(
                    "{} already has the change of `{}`; it is reverted in `base`, and `{}` replaces it",
                    self.tree.label(),
                    old.name,
                    series.name
                ));
                return Ok(vec![old.name.clone()]);
            }
        }
        Ok(Vec::new())
    }

    /// Returns the conflict with the tree without a known series that the tree contains,
    /// if more of `series` applies there. A new version of a merged series conflicts
    /// with the unmodified tree in its first patch, which hides the conflicting hunk of a later patch.
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
            let got_further = there.index > here.index + 1;
            let fits_more = there.index == here.index + 1 && there.places.len() < here.places.len();
            if got_further || fits_more {
                let without = format!("{} without `{}`", self.tree.label(), old.name);
                let conflict = Conflict {
                    index: there.index - 1,
                    ..there
                };
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
            if contains.contains(&series.name) {
                continue;
            }
            let is_in = self
                .overlay_with(&series.patches, Direction::InReverse)?
                .is_some()
                || self.first_revert(&series.revert)?.is_some();
            if is_in {
                contains.insert(series.name.clone());
            }
        }
        Ok(())
    }

    /// Applies a series; returns the overlay after each patch, or an empty list if the
    /// tree contains the series.
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
        if self
            .overlay_with(&series.patches, Direction::InReverse)?
            .is_some()
        {
            let name = &series.name;
            self.notes.push(format!("{label} already has `{name}`"));
            return Ok(Vec::new());
        }
        Err(conflict.into_error(series, label))
    }

    /// Returns the overlay after all patches, if they apply.
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
    fn first_revert<'p>(
        &self,
        patches: impl IntoIterator<Item = &'p Patch>,
    ) -> Result<Option<Overlay>, Error> {
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
                    patch: patch.clone(),
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
        let states = states.into_iter().take(between);
        let prefix = |(patches, overlay): (usize, Overlay)| Checkout {
            name: prefix_name(patches),
            id: self.id(&overlay),
            overlay,
            contains: base.contains.clone(),
            partly: top.contains.difference(&base.contains).cloned().collect(),
            patches,
            configs: base.configs.clone(),
            optional_configs: top.configs[base.configs.len()..].to_vec(),
        };
        (1..).zip(states).map(prefix).collect()
    }

    fn checkout(&self, name: &str, contains: &BTreeSet<String>, configs: &[String]) -> Checkout {
        Checkout {
            name: name.to_owned(),
            overlay: self.overlay.clone(),
            contains: contains.clone(),
            partly: BTreeSet::new(),
            patches: 0,
            configs: configs.to_vec(),
            optional_configs: Vec::new(),
            id: self.id(&self.overlay),
        }
    }

    fn id(&self, overlay: &Overlay) -> String {
        checkout_id(self.tree, overlay)
    }
}

/// The result of applying patches.
enum Applied {
    /// The overlay after each patch.
    Whole(Vec<Overlay>),
    Conflict(Conflict),
}

/// Number of conflicts that an error lists.
const PLACES_MAX: usize = 20;

/// A patch that does not apply.
#[derive(Debug)]
struct Conflict {
    index: usize,
    patch: Patch,
    places: Vec<Place>,
}

impl Conflict {
    fn into_error(self, series: &Series, tree: &str) -> Error {
        let line = |place: &Place| format!("  {}", shorten(&place.to_string()));
        let mut places: Vec<String> = self.places.iter().take(PLACES_MAX).map(line).collect();
        if let Some(more @ 1..) = self.places.len().checked_sub(PLACES_MAX) {
            places.push(format!("  ... and {more} more"));
        }
        let hint = self.places.iter().find_map(Place::hint);
        Error::input(
            format!(
                "applying `{}` to {tree}: patch {} of {} (`{}`) does not apply:\n{}",
                series.name,
                self.index + 1,
                series.patches.len(),
                shorten(&self.patch.origin),
                places.join("\n"),
            ),
            hint.unwrap_or("rebase the series onto this tree, or select its tree with `--tree`"),
        )
    }
}

#[cfg(test)]
mod tests;
