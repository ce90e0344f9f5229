// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants from the folder `mutants` of a series: patches on top of it, and reasons why
//! some mutants are equivalent. Also mutants that revert one patch of the series.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::diff::blocks;
use patchbed_host::files::{is_executable, listing};
use serde::Deserialize;

use super::{Mutant, diff};
use crate::checkout::Checkout;
use crate::error::{Doing, Error};
use crate::mail::{self, Patch};
use crate::overlay::{FileState, Overlay};
use crate::scratch::{Direction, Scratch};
use crate::series::Series;
use crate::tree::Tree;
use crate::yaml;

/// The folder of mutants in the folder of a series.
pub const FOLDER: &str = "mutants";
/// The file in it that lists equivalent mutants.
pub const EQUIVALENT: &str = "equivalent.yaml";

/// The reason why a mutant is equivalent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The explanation.
    pub why: String,
    /// The configs to which it applies; empty for all.
    #[serde(default)]
    pub configs: Vec<String>,
}

impl Reason {
    /// Returns whether it applies to a config.
    pub fn holds_in(&self, config: &str) -> bool {
        self.configs.is_empty() || self.configs.iter().any(|name| name == config)
    }
}

/// The folder `mutants` of a series.
#[derive(Clone, Debug, Default)]
pub struct MutantFolder {
    patches: Vec<(String, Patch)>,
    /// Equivalent mutants by name.
    pub equivalent: BTreeMap<String, Reason>,
}

impl MutantFolder {
    /// Reads the folder `mutants` in the folder of a series; it may be missing.
    ///
    /// # Errors
    /// When a file is invalid.
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
            let patch = mail::parse_one(path.file_name().unwrap_or_default(), &bytes);
            let patch = patch.ok_or_else(|| {
                Error::input(
                    format!("reading `{path}`: it has no diff"),
                    "create it with `git diff` or delete it",
                )
            })?;
            Ok((name, patch))
        };
        let equivalent = folder.join(EQUIVALENT);
        Ok(Self {
            patches: files.iter().map(patch).collect::<Result<_, Error>>()?,
            equivalent: match equivalent.is_file() {
                true => yaml::read(&equivalent)?,
                false => BTreeMap::new(),
            },
        })
    }

    /// Applies its patches to the checkout of the series.
    ///
    /// # Errors
    /// When a patch does not apply.
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
                let places: Vec<String> = places.iter().map(|place| format!("  {place}")).collect();
                return Err(Error::input(
                    format!(
                        "applying mutant `{name}` to the series on {}: it does not apply:\n{}",
                        tree.label(),
                        places.join("\n")
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
    for (number, patch) in (1..).zip(&series.patches) {
        if series.patches.len() < 2 {
            break;
        }
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
    let mut whole = String::new();
    let (mut first, mut changed) = (None, BTreeMap::new());
    for path in &paths {
        let before = series.read(tree.root(), path)?.unwrap_or_default();
        let after = overlay.read(tree.root(), path)?.unwrap_or_default();
        whole += &diff(path, &before, &after);
        let block = blocks(&before, &after).first().cloned();
        let line = block.map_or(0, |block| block.before.start);
        first = first.or(Some(((*path).clone(), line)));
        let state = match overlay.files().get(*path) {
            Some(state) => state.clone(),
            None => state_in(tree, path)?,
        };
        changed.insert((*path).clone(), state);
    }
    let (file, line) = first.unwrap_or_default();
    Ok(Mutant {
        name: String::new(),
        title: String::new(),
        function: String::new(),
        line: line + 1,
        patch: None,
        diff: whole,
        file,
        changed: Overlay::from_files(changed),
    })
}

/// Returns a file of the tree.
fn state_in(tree: &Tree, path: &Utf8Path) -> Result<Option<FileState>, Error> {
    let Ok(meta) = fs::symlink_metadata(tree.root().join(path)) else {
        return Ok(None);
    };
    Ok(Some(FileState {
        bytes: Overlay::default()
            .read(tree.root(), path)?
            .unwrap_or_default(),
        executable: is_executable(&meta),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: &str) -> String {
        format!("diff --git a/f.c b/f.c\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-{from}\n+{to}\n")
    }

    #[test]
    fn mutant_folder_applies_patches_to_the_series() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("tree")).unwrap();
        fs::create_dir_all(root.join("s/mutants")).unwrap();
        fs::write(root.join("tree/f.c"), "a\n").unwrap();
        fs::write(root.join("s/mutants/slip.patch"), change("b", "c")).unwrap();
        fs::write(
            root.join("s/mutants/equivalent.yaml"),
            "x-1:\n  why: Because.\n  configs: [fast]\n",
        )
        .unwrap();
        let tree = Tree::fixed("test", &root.join("tree"), "the test tree");
        let series = Series {
            name: "s".to_owned(),
            title: String::new(),
            patches: [("a", "x"), ("x", "b")]
                .map(|(from, to)| mail::parse_one("p", change(from, to).as_bytes()).unwrap())
                .to_vec(),
            ..Series::default()
        };
        let cancel = Cancel::new();
        let checkouts = crate::checkout::checkouts(&tree, &[], &series, &[], &cancel).unwrap();
        let folder = MutantFolder::read(&root.join("s")).unwrap();
        let reason = &folder.equivalent["x-1"];
        assert!(reason.holds_in("fast") && !reason.holds_in("kasan"));
        let mutants = folder.mutants(&tree, &checkouts.series, &cancel).unwrap();
        assert_eq!(mutants.len(), 1);
        assert_eq!((mutants[0].name.as_str(), mutants[0].line), ("slip", 1));
        assert!(mutants[0].diff.contains("-b\n+c\n"), "{}", mutants[0].diff);
        let error = folder.mutants(&tree, &checkouts.base, &cancel).unwrap_err();
        assert!(
            error.to_string().contains("applying mutant `slip`"),
            "{error}"
        );
        let named = root.join("s/mutants/a,b.patch");
        fs::rename(root.join("s/mutants/slip.patch"), named).unwrap();
        let error = MutantFolder::read(&root.join("s")).unwrap_err().to_string();
        assert!(error.contains("invalid name of a mutant `a,b`"), "{error}");
        // The first patch cannot be reverted without the second.
        let reverted = without_each_patch(&tree, &checkouts.series, &series, &cancel).unwrap();
        let names: Vec<&str> = reverted.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(names, ["without-patch-2"]);
        assert!(MutantFolder::read(root).unwrap().equivalent.is_empty());
    }
}
