// SPDX-License-Identifier: GPL-2.0-only
//! Changes against the lists of files of made-up kernels.

use std::collections::BTreeMap;

use super::*;
use crate::overlay::FileState;

fn change(path: &str, how: How) -> FileChange {
    FileChange {
        path: path.into(),
        how,
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

/// Returns the files inside, outside and apart, of one patch on `base` and `series`.
fn placed(path: &str, how: How) -> &'static str {
    let kernels = [kernel(0, &BUILT), kernel(1, &BUILT)];
    let coverage = judge(&[vec![change(path, how)]], &kernels, 1, &["kvm"]);
    let patch = &coverage.patches[0];
    match (patch.inside.len(), patch.outside.len(), patch.apart.len()) {
        (1, 0, 0) => "inside",
        (0, 1, 0) => "outside",
        (0, 0, 1) => "apart",
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn judge_places_each_kind_of_file() {
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
        assert_eq!(placed(path, How::Changed), expected, "{path}");
    }
    assert_eq!(placed("drivers/watchdog/a.c", How::Comments), "apart");
    assert_eq!(placed("kernel/fork.c", How::Removed), "inside");
    assert_eq!(placed("drivers/watchdog/a.c", How::Removed), "outside");
}

#[test]
fn judge_counts_a_file_that_one_of_several_configurations_builds() {
    let mut other = kernel(1, &["drivers/watchdog/a.c"]);
    other.config = "kasan".to_owned();
    let kernels = [kernel(1, &BUILT), other];
    let changes = [vec![change("drivers/watchdog/a.c", How::Changed)]];
    assert!(
        judge(&changes, &kernels, 1, &[]).patches[0]
            .outside
            .is_empty()
    );
}

#[test]
fn judge_follows_files_that_the_series_adds_renames_and_removes() {
    let changes = [
        vec![change("mm/old.c", How::Added)],
        vec![
            change("mm/old.c", How::Removed),
            change("mm/new.c", How::Added),
        ],
        vec![change("mm/memfd.c", How::Changed)],
        vec![change("mm/memfd.c", How::Removed)],
    ];
    let series = ["kernel/fork.c", "mm/new.c"];
    let outside = |kernels: &[RunKernel]| {
        let patches = judge(&changes, kernels, 4, &[]).patches;
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
fn judge_reports_patches_that_leave_the_code_as_it_was() {
    let changes = vec![vec![change("kernel/fork.c", How::Changed)]; 3];
    let with = |codes: &[(usize, &str)]| {
        let kernels = codes.iter().map(|(patches, code)| RunKernel {
            code: Some((*code).to_owned()),
            ..kernel(*patches, &BUILT)
        });
        let coverage = judge(&changes, &kernels.collect::<Vec<_>>(), 3, &[]);
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
    assert!(!judge(&changes, &both, 3, &[]).is_same_code);
}

#[test]
fn judge_asks_about_no_patch_that_no_kernel_under_test_has() {
    let changes = [vec![change("drivers/watchdog/a.c", How::Changed)]];
    let coverage = judge(&changes, &[kernel(0, &BUILT)], 0, &[]);
    assert_eq!(coverage, Coverage::default());
}

#[test]
fn changes_compares_contents_of_two_states() {
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
            change("a.c", How::Comments),
            change("b.c", How::Removed),
            change("d.c", How::Changed),
            change("e.c", How::Added),
        ]
    );
}
