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
        let has_comments = WITH_COMMENTS.contains(&path.extension().unwrap_or_default());
        let kind = match (before.state(root, path)?, after.state(root, path)?) {
            (None, None) => continue,
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(old), Some(new)) if old.bytes == new.bytes => continue,
            (Some(old), Some(new))
                if has_comments && token_texts(&old.bytes) == token_texts(&new.bytes) =>
            {
                ChangeKind::Comments
            }
            (Some(_), Some(_)) => ChangeKind::Changed,
        };
        let path = path.clone();
        changes.push(FileChange { path, kind });
    }
    Ok(changes)
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
    let unchanged = unchanged(kernels, wanted);
    let has_both = kernels.iter().any(|kernel| kernel.patches == 0) && wanted > 0;
    Coverage {
        patches: patches.collect(),
        is_same_code: has_both && unchanged.len() == wanted,
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
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let kernels = self.kernels.iter();
        let mut with_change = kernels.filter(|kernel| range.contains(&kernel.patches));
        let was_run = with_change.clone().next().is_some();
        let is_compiled = with_change.any(|kernel| match is_build_rule(path) {
            true => kernel.has_file_in(folder),
            false => kernel.has(path),
        });
        if is_compiled || self.is_run_selftest(path) {
            return Placement::Inside;
        }
        match added {
            _ if is_apart(path) => Placement::Apart,
            _ if was_run => Placement::Outside,
            // The series adds and removes the file.
            Some(_) => Placement::Apart,
            None => self.place_removed(number, path, folder),
        }
    }

    /// Returns the placement of a file of the tree that the series removes, if no kernel
    /// with the change was run. The kernels without the change show whether it is compiled;
    /// if they were not run either, the other files of its folder do.
    fn place_removed(&self, number: usize, path: &Utf8Path, folder: &Utf8Path) -> Placement {
        let mut before = self.kernels.iter().filter(|kernel| kernel.patches < number);
        let is_inside = match before.clone().next() {
            Some(_) => before.any(|kernel| kernel.has(path)),
            None => self.kernels.iter().any(|kernel| kernel.has_file_in(folder)),
        };
        match is_inside {
            true => Placement::Inside,
            false => Placement::Outside,
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
        let Ok(path) = path.strip_prefix(SELFTESTS) else {
            return false;
        };
        // A source file belongs to the program of its name; other files of a TARGET may belong
        // to each of its programs.
        let is_of = |test: &str| path.extension() != Some("c") || path.file_stem() == Some(test);
        let mut targets = self.targets.iter();
        targets.any(|(target, test)| path.starts_with(target) && is_of(test))
    }
}

/// Returns whether a file counts as compiled if a file of its folder is.
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
    let numbers = kernels.iter().map(|kernel| kernel.patches);
    let numbers: BTreeSet<usize> = numbers.filter(|number| *number <= wanted).collect();
    let numbers: Vec<usize> = numbers.into_iter().collect();
    let configs = kernels.iter().map(|kernel| kernel.config.as_str());
    let configs: BTreeSet<&str> = configs.collect();
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
mod tests {
    use std::collections::BTreeMap;

    use fs_err as fs;

    use super::*;
    use crate::overlay::FileState;

    fn change(path: &str, kind: ChangeKind) -> FileChange {
        FileChange {
            path: path.into(),
            kind,
        }
    }

    fn kernel(patches: usize, sources: &[&str]) -> RunKernel {
        RunKernel {
            config: "fast".to_owned(),
            patches,
            sources: sources.iter().map(|path| (*path).to_owned()).collect(),
            code: Some(format!("code-{patches}")),
        }
    }

    const BUILT: [&str; 4] = [
        "drivers/pci/probe.c",
        "include/linux/pci.h",
        "kernel/fork.c",
        "mm/memfd.c",
    ];

    /// Returns the placement of a file that a patch changes, with kernels of `base` and `series`.
    fn placed(path: &str, kind: ChangeKind) -> &'static str {
        let kernels = [kernel(0, &BUILT), kernel(1, &BUILT)];
        let coverage = compute(&[vec![change(path, kind)]], &kernels, 1, &[("kvm", "a")]);
        let patch = &coverage.patches[0];
        match (patch.inside.len(), patch.outside.len(), patch.apart.len()) {
            (1, 0, 0) => "inside",
            (0, 1, 0) => "outside",
            (0, 0, 1) => "apart",
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn compute_places_each_kind_of_file() {
        for (path, expected) in [
            ("kernel/fork.c", "inside"),
            ("include/linux/pci.h", "inside"),
            ("drivers/watchdog/sp5100_tco.c", "outside"),
            ("arch/arm64/kernel/setup.c", "outside"),
            ("include/linux/watchdog.h", "outside"),
            ("arch/arm64/boot/dts/a.dts", "outside"),
            ("drivers/pci/Kconfig", "inside"),
            ("drivers/Makefile", "inside"),
            ("Makefile", "inside"),
            ("drivers/watchdog/Kconfig", "outside"),
            ("drivers/pc/Makefile", "outside"),
            ("Documentation/mm/memfd.rst", "apart"),
            ("MAINTAINERS", "apart"),
            ("arch/x86/configs/x86_64_defconfig", "apart"),
            ("samples/kobject/a.c", "apart"),
            ("scripts/mod/modpost.c", "apart"),
            ("tools/testing/selftests/net/a.c", "apart"),
            ("tools/testing/selftests/kvm/a.c", "inside"),
        ] {
            assert_eq!(placed(path, ChangeKind::Changed), expected, "{path}");
        }
        assert_eq!(
            placed("drivers/watchdog/a.c", ChangeKind::Comments),
            "apart"
        );
        assert_eq!(placed("kernel/fork.c", ChangeKind::Removed), "inside");
        assert_eq!(
            placed("drivers/watchdog/a.c", ChangeKind::Removed),
            "outside"
        );
    }

    #[test]
    fn compute_counts_a_file_that_is_built_in_one_of_two_configs() {
        let mut other = kernel(1, &["drivers/watchdog/a.c"]);
        other.config = "kasan".to_owned();
        let kernels = [kernel(1, &BUILT), other];
        let changes = [vec![change("drivers/watchdog/a.c", ChangeKind::Changed)]];
        assert!(
            compute(&changes, &kernels, 1, &[]).patches[0]
                .outside
                .is_empty()
        );
    }

    #[test]
    fn compute_follows_added_renamed_and_removed_files() {
        let changes = [
            vec![change("mm/old.c", ChangeKind::Added)],
            vec![
                change("mm/old.c", ChangeKind::Removed),
                change("mm/new.c", ChangeKind::Added),
            ],
            vec![change("mm/memfd.c", ChangeKind::Changed)],
            vec![change("mm/memfd.c", ChangeKind::Removed)],
        ];
        let series = ["kernel/fork.c", "mm/new.c"];
        let outside = |kernels: &[RunKernel]| {
            let patches = compute(&changes, kernels, 4, &[]).patches;
            let outside = patches.into_iter().flat_map(|patch| patch.outside);
            outside.map(Utf8PathBuf::into_string).collect::<Vec<_>>()
        };
        let ends = [kernel(0, &BUILT), kernel(4, &series)];
        assert!(outside(&ends).is_empty(), "{:?}", outside(&ends));
        assert!(outside(&[kernel(4, &series)]).is_empty());
        let unviable = [kernel(0, &["kernel/fork.c"]), kernel(4, &["kernel/fork.c"])];
        assert_eq!(outside(&unviable), ["mm/new.c", "mm/memfd.c", "mm/memfd.c"]);
    }

    #[test]
    fn compute_reports_patches_that_do_not_change_the_code() {
        let changes = vec![vec![change("kernel/fork.c", ChangeKind::Changed)]; 3];
        let with = |codes: &[(usize, &str)]| {
            let kernels = codes.iter().map(|(patches, code)| RunKernel {
                code: Some((*code).to_owned()),
                ..kernel(*patches, &BUILT)
            });
            let coverage = compute(&changes, &kernels.collect::<Vec<_>>(), 3, &[]);
            (coverage.unchanged, coverage.is_same_code)
        };
        assert_eq!(with(&[(0, "a"), (3, "b")]), (vec![], false));
        assert_eq!(with(&[(0, "a"), (3, "a")]), (vec![1, 2, 3], true));
        assert_eq!(with(&[(0, "a"), (2, "a"), (3, "b")]), (vec![1, 2], false));
        assert_eq!(with(&[(1, "a"), (3, "a")]), (vec![2, 3], false));
        let unknown = RunKernel {
            code: None,
            ..kernel(0, &BUILT)
        };
        let both = [
            unknown.clone(),
            RunKernel {
                patches: 3,
                ..unknown
            },
        ];
        assert!(!compute(&changes, &both, 3, &[]).is_same_code);
    }

    #[test]
    fn compute_omits_patches_that_are_not_under_test() {
        let changes = [vec![change("drivers/watchdog/a.c", ChangeKind::Changed)]];
        let coverage = compute(&changes, &[kernel(0, &BUILT)], 0, &[]);
        assert_eq!(coverage, Coverage::default());
    }

    #[test]
    fn changes_compares_contents_of_two_overlays() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for (path, text) in [
            ("a.c", "int a; /* x */\n"),
            ("b.c", "int b;\n"),
            ("c.txt", "c\n"),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        let tree = Tree::fixed("tree", root, "a tree");
        let overlay = |files: &[(&str, Option<&str>)]| {
            let state = |text: &str| FileState {
                bytes: text.into(),
                executable: false,
            };
            let files = files.iter();
            let files = files.map(|(path, text)| ((*path).into(), text.map(state)));
            Overlay::from_files(files.collect::<BTreeMap<_, _>>())
        };
        let before = overlay(&[("d.c", Some("int d;"))]);
        let after = overlay(&[
            ("a.c", Some("/* y */ int\na;\n")),
            ("b.c", None),
            ("c.txt", Some("c\n")),
            ("d.c", Some("int d = 1;")),
            ("e.c", Some("")),
        ]);
        assert_eq!(
            changes(&tree, &before, &after).unwrap(),
            [
                change("a.c", ChangeKind::Comments),
                change("b.c", ChangeKind::Removed),
                change("d.c", ChangeKind::Changed),
                change("e.c", ChangeKind::Added),
            ]
        );
    }
}
