// SPDX-License-Identifier: MIT OR Apache-2.0
//! Computes which changes of a series are in the kernels that were run.
//!
//! A change of a driver that the config disables, or of another architecture, is in no
//! image. A pass on such a kernel does not test the series.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Error;
use crate::lexer::token_texts;
use crate::overlay::Overlay;
use crate::tree::Tree;

/// Extensions of files that are compiled into a kernel.
const SOURCE: [&str; 10] = [
    "c", "h", "S", "s", "lds", "rs", "dts", "dtsi", "dtso", "asm",
];
/// Extensions of files with C comments.
const WITH_COMMENTS: [&str; 5] = ["c", "h", "dts", "dtsi", "dtso"];
/// Folders whose files are not part of a kernel, or only if it is configured with samples.
const APART: [&str; 6] = [
    "Documentation",
    "LICENSES",
    "samples",
    "scripts",
    "tools",
    "usr/include",
];
const SELFTESTS: &str = "tools/testing/selftests";

/// A file that a patch changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Path relative to the tree.
    pub path: Utf8PathBuf,
    /// The kind of the change.
    pub kind: ChangeKind,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The file is added; a renamed file is added under its new name.
    Added,
    /// Its code changes.
    Changed,
    /// Only comments and white space change.
    Comments,
    /// The file is removed.
    Removed,
}

/// Returns the files whose content differs between two overlays of a tree.
pub fn changes(tree: &Tree, before: &Overlay, after: &Overlay) -> Result<Vec<FileChange>, Error> {
    let paths = before.files().keys().chain(after.files().keys());
    let paths: BTreeSet<&Utf8PathBuf> = paths.collect();
    let (root, mut changes) = (tree.root(), Vec::new());
    for path in paths {
        if before.files().get(path) == after.files().get(path) {
            continue;
        }
        let kind = match (before.read(root, path)?, after.read(root, path)?) {
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) if differs_in_comments_only(path, &old, &new) => {
                ChangeKind::Comments
            }
            (Some(_), Some(_)) => ChangeKind::Changed,
            (None, None) => continue,
        };
        let path = path.clone();
        changes.push(FileChange { path, kind });
    }
    Ok(changes)
}

fn differs_in_comments_only(path: &Utf8Path, old: &[u8], new: &[u8]) -> bool {
    let extension = path.extension().unwrap_or_default();
    WITH_COMMENTS.contains(&extension) && token_texts(old) == token_texts(new)
}

/// A kernel that was run.
#[derive(Clone, Debug)]
pub struct RunKernel {
    /// Name of its config.
    pub config: String,
    /// Number of applied patches of the series.
    pub patches: usize,
    /// Its source files.
    pub sources: BTreeSet<String>,
    /// Content id of its code, if known.
    pub code: Option<String>,
}

impl RunKernel {
    fn has(&self, path: &Utf8Path) -> bool {
        self.sources.contains(path.as_str())
    }

    /// Returns whether a file in a folder or its subfolders was compiled.
    fn has_file_in(&self, folder: &Utf8Path) -> bool {
        if folder.as_str().is_empty() {
            return true;
        }
        let prefix = format!("{folder}/");
        let mut paths = self.sources.range(prefix.clone()..);
        paths.next().is_some_and(|path| path.starts_with(&prefix))
    }
}

/// The files of a patch by placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchCoverage {
    /// Number of the patch, from 1.
    pub number: usize,
    /// Source files of a kernel that was run, and kselftests that were run.
    pub inside: Vec<Utf8PathBuf>,
    /// Source files of kernels that were not run.
    pub outside: Vec<Utf8PathBuf>,
    /// Files without effect on any kernel: documentation, tools, changed comments.
    pub apart: Vec<Utf8PathBuf>,
}

impl PatchCoverage {
    /// Returns the files of `inside` that are not kselftests.
    pub fn in_kernel(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        let inside = self.inside.iter();
        inside.filter(|path| !path.starts_with(SELFTESTS))
    }
}

/// The changes of a series in the kernels that were run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The patches under test.
    pub patches: Vec<PatchCoverage>,
    /// Numbers of the patches that do not change the code of any kernel.
    pub unchanged: Vec<usize>,
    /// Whether the kernels with and without the series have the same code.
    pub is_same_code: bool,
}

/// Returns the coverage of a series. `changes` are the changes of its patches in order,
/// `wanted` is the highest number of patches under test, and `targets` are TARGET and TEST of
/// the kselftests that were run.
pub fn compute(
    changes: &[Vec<FileChange>],
    kernels: &[RunKernel],
    wanted: usize,
    targets: &[(&str, &str)],
) -> Coverage {
    let analysis = Analysis {
        changes,
        kernels,
        targets,
    };
    let patches = (1..=wanted.min(changes.len())).map(|number| analysis.patch(number));
    let patches: Vec<PatchCoverage> = patches.collect();
    let unchanged = unchanged(kernels, wanted);
    let has_both = kernels.iter().any(|kernel| kernel.patches == 0) && wanted > 0;
    Coverage {
        is_same_code: has_both && unchanged.len() == wanted,
        patches,
        unchanged,
    }
}

struct Analysis<'a> {
    changes: &'a [Vec<FileChange>],
    kernels: &'a [RunKernel],
    targets: &'a [(&'a str, &'a str)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    Inside,
    Outside,
    Apart,
}

impl Analysis<'_> {
    fn patch(&self, number: usize) -> PatchCoverage {
        let mut patch = PatchCoverage {
            number,
            ..PatchCoverage::default()
        };
        for change in &self.changes[number - 1] {
            let list = match self.place(number, change) {
                Placement::Inside => &mut patch.inside,
                Placement::Outside => &mut patch.outside,
                Placement::Apart => &mut patch.apart,
            };
            list.push(change.path.clone());
        }
        patch
    }

    fn place(&self, number: usize, change: &FileChange) -> Placement {
        let path = &change.path;
        if change.kind == ChangeKind::Comments {
            return Placement::Apart;
        }
        let added = self.number_of(path, ChangeKind::Added, 1..=number);
        let range = match change.kind {
            // The kernels before the removal.
            ChangeKind::Removed => added.unwrap_or(0)..=number - 1,
            _ => {
                let later = number + 1..=self.changes.len();
                let removed = self.number_of(path, ChangeKind::Removed, later);
                number..=removed.map_or(usize::MAX, |removed| removed - 1)
            }
        };
        let kernels_with_change = || {
            let kernels = self.kernels.iter();
            kernels.filter(|kernel| range.contains(&kernel.patches))
        };
        let is_inside = if is_build_rule(path) {
            let folder = path.parent().unwrap_or(Utf8Path::new(""));
            kernels_with_change().any(|kernel| kernel.has_file_in(folder))
        } else {
            kernels_with_change().any(|kernel| kernel.has(path))
        };
        if is_inside || self.is_run_selftest(path) {
            return Placement::Inside;
        }
        if is_apart(path) {
            return Placement::Apart;
        }
        if kernels_with_change().next().is_some() {
            return Placement::Outside;
        }
        // No kernel with the change was run: the series adds and removes the file, or the
        // kernel before the removal was not run.
        match added {
            Some(_) => Placement::Apart,
            None => self.place_removed(number, path),
        }
    }

    /// Returns the placement of a file of the tree that the series removes, if no kernel
    /// with the change was run. The kernels without the change show whether it is compiled;
    /// if they were not run either, the other files of its folder do.
    fn place_removed(&self, number: usize, path: &Utf8Path) -> Placement {
        let mut before = self.kernels.iter().filter(|kernel| kernel.patches < number);
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let is_inside = match before.clone().next() {
            Some(_) => before.any(|kernel| kernel.has(path)),
            None => self.kernels.iter().any(|kernel| kernel.has_file_in(folder)),
        };
        if is_inside {
            Placement::Inside
        } else {
            Placement::Outside
        }
    }

    /// Returns the number of the first patch in a range with this change of a file.
    fn number_of(
        &self,
        path: &Utf8Path,
        kind: ChangeKind,
        mut range: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        range.find(|number| {
            let mut changes = self.changes[number - 1].iter();
            changes.any(|change| change.path == path && change.kind == kind)
        })
    }

    fn is_run_selftest(&self, path: &Utf8Path) -> bool {
        let relative = path.strip_prefix(SELFTESTS);
        // A source file belongs to the program of its name; other files of a TARGET may belong
        // to each of its programs.
        let is_of = |path: &Utf8Path, target: &str, test: &str| {
            path.starts_with(target)
                && (path.extension() != Some("c") || path.file_stem() == Some(test))
        };
        relative.is_ok_and(|path| {
            let mut targets = self.targets.iter();
            targets.any(|(target, test)| is_of(path, target, test))
        })
    }
}

/// Returns whether a file is a Makefile or Kconfig file, which counts as compiled if a file
/// of its folder is.
fn is_build_rule(path: &Utf8Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let prefixes = ["Makefile", "Kbuild", "Kconfig"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn is_apart(path: &Utf8Path) -> bool {
    let is_source = is_build_rule(path) || SOURCE.contains(&path.extension().unwrap_or_default());
    !is_source || APART.iter().any(|folder| path.starts_with(folder))
}

/// Returns the numbers of the patches before and after which the kernels of every config
/// have the same code.
fn unchanged(kernels: &[RunKernel], wanted: usize) -> Vec<usize> {
    let numbers: BTreeSet<usize> = kernels.iter().map(|kernel| kernel.patches).collect();
    let numbers: Vec<usize> = numbers
        .into_iter()
        .filter(|number| *number <= wanted)
        .collect();
    let configs: BTreeSet<&str> = kernels
        .iter()
        .map(|kernel| kernel.config.as_str())
        .collect();
    let code = |config: &str, patches: usize| {
        let mut kernels = kernels.iter();
        let kernel = kernels.find(|kernel| kernel.config == config && kernel.patches == patches);
        kernel.and_then(|kernel| kernel.code.as_deref())
    };
    let pairs = numbers.windows(2).filter(|pair| {
        configs.iter().all(|config| {
            let (before, after) = (code(config, pair[0]), code(config, pair[1]));
            before.is_some() && before == after
        })
    });
    pairs.flat_map(|pair| pair[0] + 1..=pair[1]).collect()
}

#[cfg(test)]
mod tests;
