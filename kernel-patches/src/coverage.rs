// SPDX-License-Identifier: GPL-2.0-only
//! Which changes of a series are in the kernels that were run.
//!
//! A driver that the configuration leaves out, or code of another architecture, changes no
//! image: a test that passes on such a kernel says nothing about the series.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::error::Error;
use crate::mutant;
use crate::overlay::Overlay;
use crate::tree::Tree;

/// Endings of files that a kernel is compiled from.
const SOURCE: [&str; 10] = [
    "c", "h", "S", "s", "lds", "rs", "dts", "dtsi", "dtso", "asm",
];
/// Endings of files in which comments are those of C.
const WITH_COMMENTS: [&str; 5] = ["c", "h", "dts", "dtsi", "dtso"];
/// Folders of files that are part of no kernel, or only of one that asks for samples.
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
    /// Its path, relative to the tree.
    pub path: Utf8PathBuf,
    /// What the patch does to it.
    pub how: How,
}

/// What a patch does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Adds it; a file that is renamed is added under its new name.
    Added,
    /// Changes its content.
    Changed,
    /// Changes only comments and white space.
    Comments,
    /// Removes it.
    Removed,
}

/// Returns the files that differ in content between two states of a tree.
///
/// # Errors
/// When a file of the tree cannot be read.
pub fn changes(tree: &Tree, before: &Overlay, after: &Overlay) -> Result<Vec<FileChange>, Error> {
    let paths = before.files().keys().chain(after.files().keys());
    let paths: BTreeSet<&Utf8PathBuf> = paths.collect();
    let mut changes = Vec::new();
    for path in paths {
        if before.files().get(path) == after.files().get(path) {
            continue;
        }
        let how = match (content(tree, before, path)?, content(tree, after, path)?) {
            (None, Some(_)) => How::Added,
            (Some(_), None) => How::Removed,
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) if is_same_but_for_comments(path, &old, &new) => How::Comments,
            (Some(_), Some(_)) => How::Changed,
            (None, None) => continue,
        };
        let path = path.clone();
        changes.push(FileChange { path, how });
    }
    Ok(changes)
}

fn content(tree: &Tree, overlay: &Overlay, path: &Utf8Path) -> Result<Option<Vec<u8>>, Error> {
    if let Some(state) = overlay.files().get(path) {
        return Ok(state.as_ref().map(|state| state.bytes.clone()));
    }
    match fs::read(tree.root().join(path)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::host("reading the tree")(error)),
    }
}

fn is_same_but_for_comments(path: &Utf8Path, old: &[u8], new: &[u8]) -> bool {
    let ending = path.extension().unwrap_or_default();
    WITH_COMMENTS.contains(&ending) && mutant::words(old) == mutant::words(new)
}

/// A kernel that was run.
#[derive(Clone, Debug)]
pub struct RunKernel {
    /// The name of its configuration.
    pub config: String,
    /// How many patches of the series are in it.
    pub patches: usize,
    /// The files that it was built from.
    pub sources: BTreeSet<String>,
    /// A name for its code, if it is known.
    pub code: Option<String>,
}

impl RunKernel {
    fn has(&self, path: &Utf8Path) -> bool {
        self.sources.contains(path.as_str())
    }

    /// Returns whether something below a folder was compiled.
    fn has_below(&self, folder: &Utf8Path) -> bool {
        if folder.as_str().is_empty() {
            return true;
        }
        let begin = format!("{folder}/");
        let mut after = self.sources.range(begin.clone()..);
        after.next().is_some_and(|path| path.starts_with(&begin))
    }
}

/// Where the files of a patch are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchCoverage {
    /// The patch's number, from 1.
    pub number: usize,
    /// Files that a kernel that was run was built from, or selftests that were run.
    pub inside: Vec<Utf8PathBuf>,
    /// Files that belong to a kernel, but to none that was run.
    pub outside: Vec<Utf8PathBuf>,
    /// Files that no kernel is built from: documents, tools, changed comments.
    pub apart: Vec<Utf8PathBuf>,
}

impl PatchCoverage {
    /// Returns those of the files inside that are part of a kernel, not of selftests.
    pub fn in_kernel(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        let inside = self.inside.iter();
        inside.filter(|path| !path.starts_with(SELFTESTS))
    }
}

/// What of a series was in the kernels that were run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The patches that at least one kernel was built with.
    pub patches: Vec<PatchCoverage>,
    /// Numbers of patches that leave the code of every kernel as it was.
    pub unchanged: Vec<usize>,
    /// Whether kernels without the series have the same code as those with it.
    pub is_same_code: bool,
}

/// Returns what of a series is in kernels. `changes` are those of its patches in their
/// order, `wanted` the highest number of patches that is under test, and `targets` the
/// kselftest targets that were run.
pub fn judge(
    changes: &[Vec<FileChange>],
    kernels: &[RunKernel],
    wanted: usize,
    targets: &[&str],
) -> Coverage {
    let question = Question {
        changes,
        kernels,
        targets,
    };
    let patches = (1..=wanted.min(changes.len())).map(|number| question.patch(number));
    let patches: Vec<PatchCoverage> = patches.collect();
    let unchanged = unchanged(kernels, wanted);
    let has_both = kernels.iter().any(|one| one.patches == 0) && wanted > 0;
    Coverage {
        is_same_code: has_both && unchanged.len() == wanted,
        patches,
        unchanged,
    }
}

struct Question<'a> {
    changes: &'a [Vec<FileChange>],
    kernels: &'a [RunKernel],
    targets: &'a [&'a str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Inside,
    Outside,
    Apart,
}

impl Question<'_> {
    fn patch(&self, number: usize) -> PatchCoverage {
        let mut patch = PatchCoverage {
            number,
            ..PatchCoverage::default()
        };
        for change in &self.changes[number - 1] {
            let list = match self.place(number, change) {
                Where::Inside => &mut patch.inside,
                Where::Outside => &mut patch.outside,
                Where::Apart => &mut patch.apart,
            };
            list.push(change.path.clone());
        }
        patch
    }

    fn place(&self, number: usize, change: &FileChange) -> Where {
        let path = &change.path;
        if change.how == How::Comments {
            return Where::Apart;
        }
        let first = self.number_of(path, How::Added, 1..=number);
        let range = match change.how {
            // The kernels that still have the file.
            How::Removed => first.unwrap_or(0)..=number - 1,
            _ => {
                let later = number + 1..=self.changes.len();
                let removed = self.number_of(path, How::Removed, later);
                number..=removed.map_or(usize::MAX, |removed| removed - 1)
            }
        };
        let having = || {
            self.kernels
                .iter()
                .filter(|one| range.contains(&one.patches))
        };
        let is_inside = if is_rule(path) {
            let folder = path.parent().unwrap_or(Utf8Path::new(""));
            having().any(|one| one.has_below(folder))
        } else {
            having().any(|one| one.has(path))
        };
        if is_inside || self.is_run_selftest(path) {
            return Where::Inside;
        }
        if is_apart(path) {
            return Where::Apart;
        }
        if having().next().is_some() {
            return Where::Outside;
        }
        // No kernel that was run has the file: the series itself adds and removes it, or
        // the kernel without the patch was not run.
        match first {
            Some(_) => Where::Apart,
            None => self.place_of_lost(number, path),
        }
    }

    /// Returns where a file of the tree is that the series removes, when no kernel was run
    /// that has the change to it: the kernels without the change, or else its folder, show
    /// whether it is compiled.
    fn place_of_lost(&self, number: usize, path: &Utf8Path) -> Where {
        let mut before = self.kernels.iter().filter(|one| one.patches < number);
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let is_inside = match before.clone().next() {
            Some(_) => before.any(|one| one.has(path)),
            None => self.kernels.iter().any(|one| one.has_below(folder)),
        };
        if is_inside {
            Where::Inside
        } else {
            Where::Outside
        }
    }

    /// Returns the number of the first patch in a range that does this to a file.
    fn number_of(
        &self,
        path: &Utf8Path,
        how: How,
        mut range: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        range.find(|number| {
            let mut changes = self.changes[number - 1].iter();
            changes.any(|one| one.path == path && one.how == how)
        })
    }

    fn is_run_selftest(&self, path: &Utf8Path) -> bool {
        let below = path.strip_prefix(SELFTESTS);
        below.is_ok_and(|below| self.targets.iter().any(|target| below.starts_with(target)))
    }
}

/// Returns whether a file is a rule of the build, which takes part where its folder does.
fn is_rule(path: &Utf8Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let begins = ["Makefile", "Kbuild", "Kconfig"];
    begins.iter().any(|begin| name.starts_with(begin))
}

fn is_apart(path: &Utf8Path) -> bool {
    let is_source = is_rule(path) || SOURCE.contains(&path.extension().unwrap_or_default());
    !is_source || APART.iter().any(|folder| path.starts_with(folder))
}

/// Returns the numbers of the patches that change the code of no kernel: every
/// configuration has the same code before and after them.
fn unchanged(kernels: &[RunKernel], wanted: usize) -> Vec<usize> {
    let numbers: BTreeSet<usize> = kernels.iter().map(|one| one.patches).collect();
    let numbers: Vec<usize> = numbers.into_iter().filter(|one| *one <= wanted).collect();
    let configs: BTreeSet<&str> = kernels.iter().map(|one| one.config.as_str()).collect();
    let code = |config: &str, patches: usize| {
        let mut kernels = kernels.iter();
        let kernel = kernels.find(|one| one.config == config && one.patches == patches);
        kernel.and_then(|one| one.code.as_deref())
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
