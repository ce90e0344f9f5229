// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes that a person wrote down beside a series: patches on top of it, and the
//! reasons why nobody can notice some of the others. A patch left out is one, too.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::diff::blocks;
use serde::Deserialize;

use super::{Mutant, content, diff};
use crate::checkout::Checkout;
use crate::error::Error;
use crate::mail::{self, Patch};
use crate::overlay::{FileState, Overlay};
use crate::scratch::{Direction, Scratch};
use crate::series::Series;
use crate::tree::Tree;
use crate::yaml;

/// The folder beside the patches of a series.
pub const FOLDER: &str = "mutants";
/// The file in it that says which mutants nobody can notice.
pub const EQUIVALENT: &str = "equivalent.yaml";

/// Why nobody can notice a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In words.
    pub why: String,
    /// The configs in which that is so; all, when none is named.
    #[serde(default)]
    pub configs: Vec<String>,
}

impl Reason {
    /// Returns whether it holds in a config.
    pub fn holds_in(&self, config: &str) -> bool {
        self.configs.is_empty() || self.configs.iter().any(|one| one == config)
    }
}

/// What a person wrote down about mutants of a series.
#[derive(Clone, Debug, Default)]
pub struct Notebook {
    patches: Vec<(String, Patch)>,
    /// By a mutant's name, why nobody can notice it.
    pub equivalent: BTreeMap<String, Reason>,
}

impl Notebook {
    /// Reads what is in the folder `mutants` of a series' folder; nothing, if there is none.
    ///
    /// # Errors
    /// When a file holds a mistake.
    pub fn read(series: &Utf8Path) -> Result<Self, Error> {
        let folder = series.join(FOLDER);
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let mut files: Vec<Utf8PathBuf> = folder
            .read_dir_utf8()
            .map_err(Error::host(format!("listing `{folder}`")))?
            .filter_map(Result::ok)
            .map(|entry| entry.path().to_owned())
            .filter(|path| path.extension() == Some("patch"))
            .collect();
        files.sort();
        let patch = |path: &Utf8PathBuf| {
            let bytes = fs::read(path).map_err(Error::host("reading a mutant"))?;
            let name = path.file_stem().unwrap_or_default().to_owned();
            // `--checkouts` has a list with commas.
            if name.contains(|c: char| c == ',' || c.is_control()) {
                return Err(Error::input(
                    format!("no checkout can be called `{name}`, as the mutant in `{folder}` is"),
                    "rename the file, without commas and control characters",
                ));
            }
            let patch = mail::parse_one(path.file_name().unwrap_or_default(), &bytes);
            let patch = patch.ok_or_else(|| {
                Error::input(format!("`{path}` holds no diff"), "fix or remove the file")
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

    /// Returns the mutants that its patches make of a series' source state.
    ///
    /// # Errors
    /// When one does not apply.
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
                let places: Vec<String> = places.iter().map(|one| format!("  {one}")).collect();
                return Err(Error::input(
                    format!(
                        "the mutant `{name}` does not apply to the series on {}:\n{}",
                        tree.label(),
                        places.join("\n")
                    ),
                    format!("rebase it, or remove it from `{FOLDER}` beside the series"),
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

/// Returns the mutants of which each lacks one patch of a series of several; where the
/// others do not stand without it, there is none.
///
/// # Errors
/// When the host fails.
pub fn without_one(
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
                title: format!("patch {number} is left out: {}", patch.subject),
                patch: Some(number),
                ..between(tree, &checkout.overlay, scratch.overlay()?)?
            });
        }
    }
    Ok(mutants)
}

/// Returns what makes one source state of another; its name and title are not known.
fn between(tree: &Tree, series: &Overlay, overlay: Overlay) -> Result<Mutant, Error> {
    let paths = series.files().keys().chain(overlay.files().keys());
    let mut paths: Vec<&Utf8PathBuf> = paths
        .filter(|path| series.files().get(*path) != overlay.files().get(*path))
        .collect();
    // Code first: it says more than a header.
    paths.sort_by_key(|path| (path.extension() != Some("c"), *path));
    paths.dedup();
    let mut whole = String::new();
    let (mut first, mut changed) = (None, BTreeMap::new());
    for path in &paths {
        let (before, after) = (content(tree, series, path)?, content(tree, &overlay, path)?);
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

/// Returns a file as the tree has it.
fn state_in(tree: &Tree, path: &Utf8Path) -> Result<Option<FileState>, Error> {
    let Ok(meta) = fs::symlink_metadata(tree.root().join(path)) else {
        return Ok(None);
    };
    Ok(Some(FileState {
        bytes: content(tree, &Overlay::default(), path)?,
        executable: meta.permissions().mode() & 0o111 != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: &str) -> String {
        format!("diff --git a/f.c b/f.c\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-{from}\n+{to}\n")
    }

    #[test]
    fn what_a_person_wrote_down_is_put_on_top() {
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
            revert: Vec::new(),
            requires: Vec::new(),
            needs_in_tree: Vec::new(),
            config: None,
            provides: Vec::new(),
            is_ours: false,
        };
        let cancel = Cancel::new();
        let checkouts = crate::checkout::checkouts(&tree, &[], &series, &[], &cancel).unwrap();
        let notebook = Notebook::read(&root.join("s")).unwrap();
        let reason = &notebook.equivalent["x-1"];
        assert!(reason.holds_in("fast") && !reason.holds_in("kasan"));
        let mutants = notebook.mutants(&tree, &checkouts.series, &cancel).unwrap();
        assert_eq!(mutants.len(), 1);
        assert_eq!((mutants[0].name.as_str(), mutants[0].line), ("slip", 1));
        assert!(mutants[0].diff.contains("-b\n+c\n"), "{}", mutants[0].diff);
        let error = notebook
            .mutants(&tree, &checkouts.base, &cancel)
            .unwrap_err();
        assert!(
            error.to_string().contains("`slip` does not apply"),
            "{error}"
        );
        let named = root.join("s/mutants/a,b.patch");
        fs::rename(root.join("s/mutants/slip.patch"), named).unwrap();
        let error = Notebook::read(&root.join("s")).unwrap_err().to_string();
        assert!(error.contains("no checkout can be called `a,b`"), "{error}");
        // The last patch can go, the first one not without it.
        let left_out = without_one(&tree, &checkouts.series, &series, &cancel).unwrap();
        let names: Vec<&str> = left_out.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["without-patch-2"]);
        assert!(Notebook::read(root).unwrap().equivalent.is_empty());
    }
}
