// SPDX-License-Identifier: GPL-2.0-only
//! A checkout: a tree plus a list of series, held as the files that differ.
//!
//! Whether a tree already has a series is told by content alone: the series
//! applies in reverse, or a patch made for that purpose takes it out.

use std::collections::BTreeSet;

use patchbed_host::cancel::Cancel;

use crate::conflict::Place;
use crate::content::ContentId;
use crate::coverage::{self, FileChange};
use crate::error::{Error, brief};
use crate::mail::Patch;
use crate::mutant::Mutant;
use crate::overlay::Overlay;
use crate::scratch::{Direction, Scratch};
use crate::series::Series;
use crate::tree::Tree;

/// One kernel source state.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// `base`, `patch-1` and so on, or `series`.
    pub name: String,
    /// How its source differs from the tree.
    pub overlay: Overlay,
    /// Names of the series it contains, applied or found in the tree.
    pub contains: BTreeSet<String>,
    /// Names of the series that its next checkouts are on the way to: it has some of the
    /// patches, and nobody can say what of them is whole.
    pub partly: BTreeSet<String>,
    /// How many patches of the series that is judged are in it.
    pub patches: usize,
    /// Configuration fragments of the series applied, in their order.
    pub configs: Vec<String>,
    /// A fragment of which options may not exist yet.
    pub plan_request: Vec<String>,
    /// A name for its content: tree and overlay.
    pub id: String,
}

impl Checkout {
    /// Returns the source state of a mutant of this one. It contains the same series by
    /// name: what it lacks of them is what is to be caught.
    #[must_use]
    pub fn mutated(&self, mutant: &Mutant, tree: &Tree) -> Self {
        let overlay = self.overlay.with(&mutant.changed);
        Self {
            name: format!("{MUTANT_PREFIX}{}", mutant.name),
            id: checkout_id(tree, &overlay),
            overlay,
            ..self.clone()
        }
    }
}

/// What the names of mutants' checkouts begin with.
pub const MUTANT_PREFIX: &str = "mutant-";

fn checkout_id(tree: &Tree, overlay: &Overlay) -> String {
    ContentId::new("checkout")
        .part(tree.id().as_bytes())
        .part(overlay.content_id().as_bytes())
        .finish()
}

/// The checkouts of a run, and how they came about, for people.
#[derive(Clone, Debug)]
pub struct Checkouts {
    /// Tree and prerequisites, without the series.
    pub base: Checkout,
    /// The same with the first patches of the series, `patch-1` and so on; the last is
    /// not the whole series.
    pub prefixes: Vec<Checkout>,
    /// The same with the series on top.
    pub series: Checkout,
    /// Sentences on what was found already there or taken out.
    pub notes: Vec<String>,
    /// The files that each patch of the series changes.
    pub changes: Vec<Vec<FileChange>>,
    /// The files that each prerequisite changes, by its name.
    pub changes_below: Vec<(String, Vec<FileChange>)>,
}

/// Returns the name of the checkout that has the first `patches` of the series.
#[must_use]
pub fn prefix_name(patches: usize) -> String {
    format!("patch-{patches}")
}

/// Works out `base`, `series` and what lies between: takes the series out of the tree where it is
/// already in, puts the prerequisites on, and the series on top of them. Of the
/// `known` series, those that a checkout has by content are noted as contained.
///
/// # Errors
/// When a prerequisite is missing, or a patch does not fit; said with patch,
/// file and hunk.
pub fn checkouts(
    tree: &Tree,
    prerequisites: &[Series],
    series: &Series,
    known: &[Series],
    cancel: &Cancel,
) -> Result<Checkouts, Error> {
    check_needs(tree, prerequisites, series)?;
    let mut work = Work {
        tree,
        overlay: Overlay::default(),
        cancel,
        notes: Vec::new(),
    };
    let replaced = work.revert(series, known)?;
    let mut contains = BTreeSet::new();
    let mut configs = Vec::new();
    let mut changes_below = Vec::new();
    for prerequisite in prerequisites {
        let before = work.overlay.clone();
        work.put_on(prerequisite)?;
        let changes = coverage::changes(tree, &before, &work.overlay)?;
        changes_below.push((prerequisite.name.clone(), changes));
        contains.extend(own_name(prerequisite, known));
        configs.extend(prerequisite.config.clone());
    }
    work.look_for(known, &mut contains)?;
    let base = work.checkout("base", &contains, &configs);
    let states = match work.put_on(series) {
        Ok(states) => states,
        Err(error) => return Err(work.better_explanation(series, known)?.unwrap_or(error)),
    };
    contains.extend(own_name(series, known));
    contains.extend(series.provides.iter().cloned().chain(replaced));
    configs.extend(series.config.clone());
    work.look_for(known, &mut contains)?;
    let mut top = work.checkout("series", &contains, &configs);
    top.patches = series.patches.len();
    let with_base: Vec<&Overlay> = [&base.overlay].into_iter().chain(&states).collect();
    let pairs = with_base.windows(2);
    let changes = pairs
        .map(|pair| coverage::changes(tree, pair[0], pair[1]))
        .collect::<Result<_, _>>()?;
    let prefixes = work.prefixes(&base, &top, states);
    if top.id == base.id {
        return Err(Error::input(
            format!("`{}` changes nothing on top of `base`", series.name),
            "it may be among the prerequisites already; name the others with `--prereq`",
        ));
    }
    Ok(Checkouts {
        base,
        prefixes,
        series: top,
        notes: work.notes,
        changes,
        changes_below,
    })
}

/// Refuses trees and lists of series that cannot work, before anything is built.
fn check_needs(tree: &Tree, prerequisites: &[Series], series: &Series) -> Result<(), Error> {
    let all: Vec<&Series> = prerequisites.iter().chain([series]).collect();
    for (index, one) in all.iter().enumerate() {
        for path in &one.needs_in_tree {
            if !tree.root().join(path).exists() {
                return Err(Error::input(
                    format!(
                        "{} has no `{path}`, which the series `{}` needs",
                        tree.label(),
                        one.name
                    ),
                    "give a tree that has it (Live Update came with Linux 6.19), or other series",
                ));
            }
        }
        for name in &one.requires {
            let is_below = all[..index].iter().any(|below| below.name == *name);
            if !is_below && !series.provides.contains(name) {
                return Err(Error::input(
                    format!("the series `{}` needs `{name}` below it", one.name),
                    format!(
                        "add `--prereq {name}` before it; if a series there offers the same, say `--provides {name}`"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Returns the name of a series, unless it is that of a known one with other changes: what
/// a stranger calls a file proves nothing, and what it stands for is said apart.
fn own_name(series: &Series, known: &[Series]) -> Option<String> {
    let namesake = known.iter().find(|one| one.name == series.name);
    let is_own = series.is_ours || namesake.is_none_or(|one| one.has_changes_of(series));
    is_own.then(|| series.name.clone())
}

struct Work<'a> {
    tree: &'a Tree,
    overlay: Overlay,
    cancel: &'a Cancel,
    notes: Vec<String>,
}

impl Work<'_> {
    /// Takes `series` out of the tree if it is in it, in these or other words.
    /// Returns the names of known series whose place it takes.
    fn revert(&mut self, series: &Series, known: &[Series]) -> Result<Vec<String>, Error> {
        let (name, tree) = (&series.name, self.tree.label());
        if let Ok(without) = self.attempt(&series.patches, Direction::InReverse)? {
            self.overlay = without;
            self.notes.push(format!(
                "{tree} already has `{name}`; `base` is made by reverting it"
            ));
            return Ok(Vec::new());
        }
        let stands_for = known
            .iter()
            .filter(|old| series.provides.contains(&old.name));
        let revert = stands_for.flat_map(|old| &old.revert);
        for patch in series.revert.iter().chain(revert) {
            if let Ok(without) = self.attempt(std::slice::from_ref(patch), Direction::Forwards)? {
                self.overlay = without;
                self.notes.push(format!(
                    "{tree} already has the change of `{name}`; `base` is made by taking it out"
                ));
                return Ok(Vec::new());
            }
        }
        self.make_room(series, known)
    }

    /// Takes a known series' change out of the tree if that is what it takes for
    /// `series` to apply: a new version of a series that has been merged.
    fn make_room(&mut self, series: &Series, known: &[Series]) -> Result<Vec<String>, Error> {
        if self.attempt(&series.patches, Direction::Forwards)?.is_ok() {
            return Ok(Vec::new());
        }
        for old in known {
            for patch in &old.revert {
                let mut patches = vec![patch.clone()];
                let Ok(without) = self.attempt(&patches, Direction::Forwards)? else {
                    continue;
                };
                patches.extend(series.patches.iter().cloned());
                if self.attempt(&patches, Direction::Forwards)?.is_ok() {
                    self.overlay = without;
                    self.notes.push(format!(
                        "{} already has the change of `{}`; `base` is made by taking it out, and `{}` takes its place",
                        self.tree.label(), old.name, series.name
                    ));
                    return Ok(vec![old.name.clone()]);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Returns how the series fits a tree without a known series that the tree
    /// has: a new version of it with one bad hunk fits the tree as it is nowhere.
    fn better_explanation(
        &self,
        series: &Series,
        known: &[Series],
    ) -> Result<Option<Error>, Error> {
        let Err(here) = self.attempt(&series.patches, Direction::Forwards)? else {
            return Ok(None);
        };
        for old in known {
            for patch in &old.revert {
                let mut patches = vec![patch.clone()];
                patches.extend(series.patches.iter().cloned());
                let Err(there) = self.attempt(&patches, Direction::Forwards)? else {
                    continue;
                };
                let got_further = there.index > here.index + 1;
                let fits_more =
                    there.index == here.index + 1 && there.places.len() < here.places.len();
                if got_further || fits_more {
                    let without = format!("{} without `{}`", self.tree.label(), old.name);
                    let misfit = Misfit {
                        index: there.index - 1,
                        ..there
                    };
                    return Ok(Some(misfit.into_error(series, &without)));
                }
            }
        }
        Ok(None)
    }

    /// Adds the names of `known` series that are in by content, in these or other words.
    fn look_for(&self, known: &[Series], contains: &mut BTreeSet<String>) -> Result<(), Error> {
        for series in known {
            if contains.contains(&series.name) {
                continue;
            }
            let mut is_in = self.attempt(&series.patches, Direction::InReverse)?.is_ok();
            for patch in &series.revert {
                is_in = is_in
                    || self
                        .attempt(std::slice::from_ref(patch), Direction::Forwards)?
                        .is_ok();
            }
            if is_in {
                contains.insert(series.name.clone());
            }
        }
        Ok(())
    }

    /// Puts a series on; returns what it was after each of its patches, or nothing
    /// where the tree has it.
    fn put_on(&mut self, series: &Series) -> Result<Vec<Overlay>, Error> {
        match self.attempt_each(&series.patches, Direction::Forwards)? {
            Ok(states) => {
                if let Some(whole) = states.last() {
                    self.overlay = whole.clone();
                }
                Ok(states)
            }
            Err(misfit) => {
                if self.attempt(&series.patches, Direction::InReverse)?.is_ok() {
                    self.notes.push(format!(
                        "{} already has `{}`",
                        self.tree.label(),
                        series.name
                    ));
                    return Ok(Vec::new());
                }
                Err(misfit.into_error(series, self.tree.label()))
            }
        }
    }

    /// Returns the overlay after all patches, or the first that does not fit.
    fn attempt(
        &self,
        patches: &[Patch],
        direction: Direction,
    ) -> Result<Result<Overlay, Misfit>, Error> {
        let whole = |mut states: Vec<Overlay>| states.pop().unwrap_or_else(|| self.overlay.clone());
        Ok(self.attempt_each(patches, direction)?.map(whole))
    }

    /// Returns the overlays after each of the patches, or the first that does not fit.
    fn attempt_each(
        &self,
        patches: &[Patch],
        direction: Direction,
    ) -> Result<Result<Vec<Overlay>, Misfit>, Error> {
        let mut scratch = Scratch::new(self.tree.root(), &self.overlay, self.cancel)?;
        let mut order: Vec<(usize, &Patch)> = patches.iter().enumerate().collect();
        if direction == Direction::InReverse {
            order.reverse();
        }
        let mut states = Vec::new();
        for (index, patch) in order {
            let places = scratch.apply(patch, direction)?;
            if !places.is_empty() {
                return Ok(Err(Misfit {
                    index,
                    patch: patch.clone(),
                    places,
                }));
            }
            states.push(scratch.overlay()?);
        }
        Ok(Ok(states))
    }

    /// Returns the checkouts between `base` and `top`: after each patch but the last.
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
            plan_request: top.configs[base.configs.len()..].to_vec(),
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
            plan_request: Vec::new(),
            id: self.id(&self.overlay),
        }
    }

    fn id(&self, overlay: &Overlay) -> String {
        checkout_id(self.tree, overlay)
    }
}

/// Of the places where a patch does not fit, so many are named.
const PLACES_MAX: usize = 20;

/// A patch that does not fit, and where.
#[derive(Debug)]
struct Misfit {
    index: usize,
    patch: Patch,
    places: Vec<Place>,
}

impl Misfit {
    fn into_error(self, series: &Series, tree: &str) -> Error {
        let line = |place: &Place| format!("  {}", brief(&place.to_string()));
        let mut places: Vec<String> = self.places.iter().take(PLACES_MAX).map(line).collect();
        if let Some(more @ 1..) = self.places.len().checked_sub(PLACES_MAX) {
            places.push(format!("  ... and {more} more"));
        }
        let hint = self.places.iter().find_map(Place::hint);
        Error::input(
            format!(
                "patch {} of {} of `{}` (`{}`) does not apply to {}:\n{}",
                self.index + 1,
                series.patches.len(),
                series.name,
                brief(&self.patch.origin),
                tree,
                places.join("\n"),
            ),
            hint.unwrap_or(
                "rebase the series on this tree, or give the tree it was made for with `--kernel`",
            ),
        )
    }
}

#[cfg(test)]
mod tests;
