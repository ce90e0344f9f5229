// SPDX-License-Identifier: GPL-2.0-only
//! What a user who mistypes gets: exit code, standard output and standard error.
//! Nothing here builds a kernel or starts a VM.

#![expect(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::Path;
use std::process::Command;

/// Runs the program with an empty cache and returns all that it said.
fn said(words: &[&str]) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_patchbed"))
        .args(words)
        .current_dir(place.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PATCHBED_CACHE", place.path().join("cache"))
        .output()
        .unwrap();
    let text = format!(
        "exit code {}\n-- stdout\n{}-- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    text.replace(place.path().to_str().unwrap(), "PLACE")
}

fn said_in(tree: &Path, words: &[&str]) -> String {
    let tree_text = tree.to_str().unwrap();
    let mut all = words.to_vec();
    all.extend(["--tree", tree_text]);
    said(&all).replace(tree_text, "TREE")
}

/// A folder that looks like a kernel tree without live update.
fn bare_tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for file in ["Kbuild", "Kconfig", "Makefile", "scripts/kconfig/Makefile"] {
        let path = tree.path().join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, "").unwrap();
    }
    tree
}

#[test]
fn an_unknown_scenario() {
    insta::assert_snapshot!(said(&["test", "live-update-kexek"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no scenario `live-update-kexek`
    hint: did you mean `live-update-kexec`?
    "#);
    insta::assert_snapshot!(said(&["test", "incoming-get-*"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: there is no scenario `incoming-get-*`
    hint: some that begin like it: incoming-get-after-finish, incoming-get-unknown-name, incoming-get-waits, incoming-get-without-live-update
    ");
    let scenario_file = said(&["test", "--dry-run", "incoming-get-waits.*"]);
    assert!(scenario_file.contains("jobs:     4\n"), "{scenario_file}");
}

#[test]
fn an_unknown_checkout() {
    insta::assert_snapshot!(said(&["test", "--checkouts", "base,mutant"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no checkout `mutant`
    hint: checkouts are: base, series, each (after every patch of the series), patch-N (after its first N patches), mutants (the series with a mistake put into it, each in its turn), or mutant-NAME
    "#);
}

#[test]
fn an_unknown_config() {
    insta::assert_snapshot!(said(&["build", "--config", "slow"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no config `slow`
    hint: configs are: fast, kasan
    "#);
}

#[test]
fn an_unknown_series() {
    insta::assert_snapshot!(said(&["apply", "--series", "no-such.mbox"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no series `no-such.mbox`
    hint: give a folder of `.patch` files, an mbox, or one of ours: flb-failed-retrieve, flb-incoming-count, flb-outgoing-count, flb-refcount, flb-registered-late, liveupdate-test-driver, memfd-late-seals, memfd-noexec, memfd-read-only, pci-liveupdate, pciehp-lock-order, session-close-refused, session-name-taken, session-retrieve-answer
    "#);
}

#[test]
fn an_unknown_machine() {
    insta::assert_snapshot!(said(&["test", "--machine", "cray"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no machine `cray`
    hint: machines are: edu-pair, edu-pair-leaks, edu-pair-panics, iommu, sriov, switch
    "#);
}

#[test]
fn a_tree_that_is_not_there() {
    insta::assert_snapshot!(said(&["apply", "--tree", "/no/such/tree"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no kernel tree at `/no/such/tree`
    hint: give a directory, or a git repository and a revision as `GIT@REV`
    "#);
}

#[test]
fn a_folder_that_is_no_tree() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(said_in(folder.path(), &["apply"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `TREE` is not a kernel tree: it has no `Kbuild`
    hint: give the top folder of a Linux source tree
    "#);
}

#[test]
fn a_tree_without_live_update() {
    insta::assert_snapshot!(said_in(bare_tree().path(), &["apply"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `TREE` has no `kernel/liveupdate`, which the series `pci-liveupdate` needs
    hint: give a tree that has it (Live Update came with Linux 6.19), or other series
    "#);
}

#[test]
fn a_series_without_what_it_needs_below() {
    let words = ["apply", "--prereq", "liveupdate-test-driver"];
    insta::assert_snapshot!(said_in(bare_tree().path(), &words), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: the series `liveupdate-test-driver` needs `pci-liveupdate` below it
    hint: add `--prereq pci-liveupdate` before it; if a series there offers the same, say `--provides pci-liveupdate`
    "#);
}

#[test]
fn a_step_of_ci_that_there_is_not() {
    insta::assert_snapshot!(said(&["ci", "--only", "matrics"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: no step has `matrics` in its name
    hint: steps are: `format`, `lints`, `licences of files and dependencies`, `unit and snapshot tests`, `generated files are up to date`, `kernel style of patches and generated C`, `matrix, config fast`, `the page of that run, in a browser`, `virtual machines that hang, panic, are saved and killed`, `a selftest of the tree's own, two kernels`, `matrix, config kasan, a part of the catalogue`, `formats, validated by other people's tools`
    ");
}

#[test]
fn a_run_that_is_none() {
    insta::assert_snapshot!(said(&["report", "/no/such/run"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `/no/such/run` is not the folder of a finished run
    hint: a run prints its folder last; `latest` beside it is the newest finished one
    "#);
}

#[test]
fn a_mail_that_is_none() {
    insta::assert_snapshot!(said(&["b4-check"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: standard input is no mail
    hint: b4 gives the mail to a check command; by hand: `cargo xtask b4-check < MAIL`
    "#);
}

#[test]
fn a_name_that_kcidb_would_refuse() {
    insta::assert_snapshot!(said(&["report", "--origin", "My CI"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: invalid value 'My CI' for '--origin <NAME>': use small letters, digits and `_`

    For more information, try '--help'.
    "#);
}

#[test]
fn a_plan_touches_nothing() {
    let words = ["live-update-kexec", "sysfs-remove-while-preserved"];
    let words = [&["test", "--dry-run", "--config", "fast,kasan"], &words[..]].concat();
    insta::assert_snapshot!(said(&words), @r#"
    exit code 0
    -- stdout
    tree:      the newest linux-source-7.x that Debian offers
    checkout:     base = tree + pci-liveupdate + liveupdate-test-driver + pciehp-lock-order
    checkout:     series = tree + pci-liveupdate + liveupdate-test-driver + pciehp-lock-order + flb-refcount
    configs:  fast, kasan
    machine:   the one that each scenario names
    snapshots: checked
    jobs:     8
      live-update-kexec on base (fast)
      live-update-kexec on series (fast)
      sysfs-remove-while-preserved on base (fast)
      sysfs-remove-while-preserved on series (fast)
      live-update-kexec on base (kasan)
      live-update-kexec on series (kasan)
      sysfs-remove-while-preserved on base (kasan)
      sysfs-remove-while-preserved on series (kasan)
    -- stderr
    "#);
}

#[test]
fn a_selftest_that_no_tree_can_have() {
    insta::assert_snapshot!(said(&["test", "--kselftest", "liveupdate/../x", "--dry-run"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: `liveupdate/../x` names no selftest
    hint: give `TARGET` or `TARGET:TEST`, such as `liveupdate:luo_kexec_simple`
    ");
}

#[test]
fn a_plan_for_a_place_that_is_none() {
    insta::assert_snapshot!(said(&["test", "--dry-run", "--out", "/dev/null"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `/dev/null` is no folder to use: Not a directory (os error 20)
    hint: give a new or an empty folder with `--out`
    "#);
}

#[test]
fn a_plan_for_a_tree_that_is_not_there() {
    insta::assert_snapshot!(said(&["test", "--dry-run", "--tree", "/no/such/tree"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: there is no kernel tree at `/no/such/tree`
    hint: give a directory, or a git repository and a revision as `GIT@REV`
    "#);
}

#[test]
fn checkouts_in_the_place_of_a_file() {
    insta::assert_snapshot!(said(&["apply", "--out", "/dev/null"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `/dev/null` is no folder
    hint: give a new or an empty folder with `--out`
    "#);
}
