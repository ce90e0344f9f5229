// SPDX-License-Identifier: GPL-2.0-only
//! A stack: a tree plus a list of series, held as the files that differ.
//!
//! Whether a tree already has a series is told by content alone: the series
//! applies in reverse, or a patch made for that purpose takes it out.

use std::collections::BTreeSet;

use testbed_host::cancel::Cancel;

use crate::conflict::Place;
use crate::content::ContentId;
use crate::error::Error;
use crate::mail::Patch;
use crate::mutant::Mutant;
use crate::overlay::Overlay;
use crate::scratch::{Direction, Scratch};
use crate::series::Series;
use crate::tree::Tree;

/// One kernel source state.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `base` or `series`.
    pub name: String,
    /// How its source differs from the tree.
    pub overlay: Overlay,
    /// Names of the series it contains, applied or found in the tree.
    pub contains: BTreeSet<String>,
    /// Configuration fragments of the series applied, in their order.
    pub configs: Vec<String>,
    /// A name for its content: tree and overlay.
    pub id: String,
}

impl Stack {
    /// Returns the source state of a mutant of this one. It contains the same series by
    /// name: what it lacks of them is what is to be noticed.
    #[must_use]
    pub fn mutated(&self, mutant: &Mutant, tree: &Tree) -> Self {
        Self {
            name: format!("{MUTANT_PREFIX}{}", mutant.name),
            overlay: mutant.overlay.clone(),
            id: stack_id(tree, &mutant.overlay),
            ..self.clone()
        }
    }
}

/// What the names of mutants' stacks begin with.
pub const MUTANT_PREFIX: &str = "mutant-";

fn stack_id(tree: &Tree, overlay: &Overlay) -> String {
    ContentId::new("stack")
        .part(tree.id().as_bytes())
        .part(overlay.content_id().as_bytes())
        .finish()
}

/// The stacks of a run, and how they came about, for people.
#[derive(Clone, Debug)]
pub struct Stacks {
    /// Tree and prerequisites, without the series.
    pub base: Stack,
    /// The same with the series on top.
    pub series: Stack,
    /// Sentences on what was found already there or taken out.
    pub notes: Vec<String>,
}

/// Works out `base` and `series`: takes the series out of the tree where it is
/// already in, puts the prerequisites on, and the series on top of them. Of the
/// `known` series, those that a stack has by content are noted as contained.
///
/// # Errors
/// When a prerequisite is missing, or a patch does not fit; said with patch,
/// file and hunk.
pub fn stacks(
    tree: &Tree,
    prerequisites: &[Series],
    series: &Series,
    known: &[Series],
    cancel: &Cancel,
) -> Result<Stacks, Error> {
    check_needs(tree, prerequisites, series)?;
    let mut work = Work {
        tree,
        overlay: Overlay::default(),
        cancel,
        notes: Vec::new(),
    };
    let replaced = work.take_out(series, known)?;
    let mut contains = BTreeSet::new();
    let mut configs = Vec::new();
    for prerequisite in prerequisites {
        work.put_on(prerequisite)?;
        contains.insert(prerequisite.name.clone());
        configs.extend(prerequisite.config.clone());
    }
    work.look_for(known, &mut contains)?;
    let base = work.stack("base", &contains, &configs);
    if let Err(error) = work.put_on(series) {
        return Err(work.better_explanation(series, known)?.unwrap_or(error));
    }
    contains.insert(series.name.clone());
    contains.extend(series.provides.iter().cloned().chain(replaced));
    configs.extend(series.config.clone());
    work.look_for(known, &mut contains)?;
    let top = work.stack("series", &contains, &configs);
    if top.id == base.id {
        return Err(Error::input(
            format!("`{}` changes nothing on top of `base`", series.name),
            "it may be among the prerequisites already; name the others with `--prereq`",
        ));
    }
    Ok(Stacks {
        base,
        series: top,
        notes: work.notes,
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

struct Work<'a> {
    tree: &'a Tree,
    overlay: Overlay,
    cancel: &'a Cancel,
    notes: Vec<String>,
}

impl Work<'_> {
    /// Takes `series` out of the tree if it is in it, in these or other words.
    /// Returns the names of known series whose place it takes.
    fn take_out(&mut self, series: &Series, known: &[Series]) -> Result<Vec<String>, Error> {
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
        let take_out = stands_for.flat_map(|old| &old.take_out);
        for patch in series.take_out.iter().chain(take_out) {
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
            for patch in &old.take_out {
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
            for patch in &old.take_out {
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
            for patch in &series.take_out {
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

    fn put_on(&mut self, series: &Series) -> Result<(), Error> {
        match self.attempt(&series.patches, Direction::Forwards)? {
            Ok(with) => {
                self.overlay = with;
                Ok(())
            }
            Err(misfit) => {
                if self.attempt(&series.patches, Direction::InReverse)?.is_ok() {
                    self.notes.push(format!(
                        "{} already has `{}`",
                        self.tree.label(),
                        series.name
                    ));
                    return Ok(());
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
        let mut scratch = Scratch::new(self.tree.root(), &self.overlay, self.cancel)?;
        let mut order: Vec<(usize, &Patch)> = patches.iter().enumerate().collect();
        if direction == Direction::InReverse {
            order.reverse();
        }
        for (index, patch) in order {
            let places = scratch.apply(patch, direction)?;
            if !places.is_empty() {
                return Ok(Err(Misfit {
                    index,
                    patch: patch.clone(),
                    places,
                }));
            }
        }
        Ok(Ok(scratch.overlay()?))
    }

    fn stack(&self, name: &str, contains: &BTreeSet<String>, configs: &[String]) -> Stack {
        let id = stack_id(self.tree, &self.overlay);
        Stack {
            name: name.to_owned(),
            overlay: self.overlay.clone(),
            contains: contains.clone(),
            configs: configs.to_vec(),
            id,
        }
    }
}

/// A patch that does not fit, and where.
#[derive(Debug)]
struct Misfit {
    index: usize,
    patch: Patch,
    places: Vec<Place>,
}

impl Misfit {
    fn into_error(self, series: &Series, tree: &str) -> Error {
        let places: Vec<String> = self
            .places
            .iter()
            .map(|place| format!("  {place}"))
            .collect();
        Error::input(
            format!(
                "patch {} of {} of `{}` (`{}`) does not apply to {}:\n{}",
                self.index + 1,
                series.patches.len(),
                series.name,
                self.patch.origin,
                tree,
                places.join("\n"),
            ),
            "rebase the series on this tree, or give the tree it was made for with `--kernel`",
        )
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use fs_err as fs;

    use super::*;
    use crate::mail;

    struct Ground {
        dir: tempfile::TempDir,
    }

    impl Ground {
        fn new(text: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("f"), text).unwrap();
            Self { dir }
        }

        fn tree(&self) -> Tree {
            let root = Utf8Path::from_path(self.dir.path()).unwrap();
            Tree::fixed("test", root, "the test tree")
        }
    }

    fn series(name: &str, diffs: &[&str]) -> Series {
        let patches: Vec<Patch> = diffs
            .iter()
            .filter_map(|diff| mail::parse_one(name, diff.as_bytes()))
            .collect();
        Series {
            name: name.to_owned(),
            title: String::new(),
            patches,
            take_out: Vec::new(),
            requires: Vec::new(),
            needs_in_tree: Vec::new(),
            config: None,
            provides: Vec::new(),
            is_ours: false,
        }
    }

    fn change(from: &str, to: &str) -> String {
        format!("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{from}\n+{to}\n")
    }

    fn text(stack: &Stack) -> Option<String> {
        let state = stack.overlay.files().get(Utf8Path::new("f"))?.as_ref()?;
        Some(String::from_utf8(state.bytes.clone()).unwrap())
    }

    #[test]
    fn a_series_that_the_tree_lacks_is_put_on() {
        let ground = Ground::new("a\n");
        let got = stacks(
            &ground.tree(),
            &[],
            &series("s", &[&change("a", "b")]),
            &[],
            &Cancel::new(),
        );
        let got = got.unwrap();
        assert_eq!(text(&got.base), None);
        assert_eq!(text(&got.series).as_deref(), Some("b\n"));
        assert!(got.series.contains.contains("s") && !got.base.contains.contains("s"));
        assert_eq!(
            fs::read_to_string(ground.dir.path().join("f")).unwrap(),
            "a\n"
        );
    }

    #[test]
    fn a_series_that_the_tree_has_is_taken_out_by_content() {
        let ground = Ground::new("c\n");
        let two = series("s", &[&change("a", "b"), &change("b", "c")]);
        let got = stacks(&ground.tree(), &[], &two, &[], &Cancel::new()).unwrap();
        assert_eq!(text(&got.base).as_deref(), Some("a\n"));
        assert_eq!(
            text(&got.series),
            None,
            "the series stack is the tree itself"
        );
        assert!(got.notes[0].contains("reverting"), "{:?}", got.notes);
    }

    #[test]
    fn a_change_in_other_words_is_taken_out_by_its_own_patch() {
        let ground = Ground::new("B, in other words\n");
        let mut ours = series("s", &[&change("a", "b")]);
        ours.take_out = series("t", &[&change("B, in other words", "a")]).patches;
        let got = stacks(&ground.tree(), &[], &ours, &[], &Cancel::new()).unwrap();
        assert_eq!(text(&got.base).as_deref(), Some("a\n"));
        assert_eq!(text(&got.series).as_deref(), Some("b\n"));
    }

    #[test]
    fn a_strangers_copy_of_a_known_series_counts_as_contained() {
        let ground = Ground::new("a\n");
        let known = [series("known", &[&change("a", "b")])];
        let theirs = series("theirs", &[&change("a", "b")]);
        let got = stacks(&ground.tree(), &[], &theirs, &known, &Cancel::new()).unwrap();
        assert!(got.series.contains.contains("known"));
        assert!(!got.base.contains.contains("known"));
    }

    #[test]
    fn a_new_version_of_a_merged_series_takes_its_place() {
        let ground = Ground::new("B, as merged\n");
        let mut known = series("known", &[&change("a", "b")]);
        known.take_out = series("t", &[&change("B, as merged", "a")]).patches;
        let v2 = series("v2", &[&change("a", "B, second version")]);
        let got = stacks(&ground.tree(), &[], &v2, &[known], &Cancel::new()).unwrap();
        assert_eq!(text(&got.base).as_deref(), Some("a\n"));
        assert_eq!(text(&got.series).as_deref(), Some("B, second version\n"));
        assert!(got.series.contains.contains("known"));
    }

    #[test]
    fn a_new_version_that_nearly_fits_is_explained_where_it_fits_best() {
        let ground = Ground::new("B, as merged\n");
        let mut known = series("known", &[&change("a", "b")]);
        known.take_out = series("t", &[&change("B, as merged", "a")]).patches;
        let v2 = series("v2", &[&change("a", "c"), &change("typo", "d")]);
        let error = stacks(&ground.tree(), &[], &v2, &[known], &Cancel::new()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("patch 2 of 2 of `v2`"), "{text}");
        assert!(text.contains("the test tree without `known`"), "{text}");
    }

    #[test]
    fn a_conflict_names_patch_file_and_hunk() {
        let ground = Ground::new("z\n");
        let two = series("s", &[&change("z", "y"), &change("q", "r")]);
        let error = stacks(&ground.tree(), &[], &two, &[], &Cancel::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("patch 2 of 2 of `s`"), "{error}");
        assert!(error.contains("`f`, hunk 1"), "{error}");
    }

    #[test]
    fn what_a_series_needs_is_checked_first() {
        let ground = Ground::new("a\n");
        let mut one = series("s", &[&change("a", "b")]);
        one.requires = vec!["below".to_owned()];
        let error = stacks(&ground.tree(), &[], &one, &[], &Cancel::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("--prereq below"), "{error}");
        one.requires.clear();
        one.needs_in_tree = vec!["kernel/liveupdate".into()];
        let error = stacks(&ground.tree(), &[], &one, &[], &Cancel::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("has no `kernel/liveupdate`"), "{error}");
    }
}
