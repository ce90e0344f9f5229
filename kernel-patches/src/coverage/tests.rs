// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coverage of constructed changes and kernels.

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
