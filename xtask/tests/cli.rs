// SPDX-License-Identifier: GPL-2.0-only
//! What a user who mistypes gets: exit code, standard output and standard error.
//! Nothing here builds a kernel or starts a VM.

use std::path::Path;
use std::process::Command;

/// Runs the program with an empty cache and returns all that it said.
fn said(words: &[&str]) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(words)
        .current_dir(place.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TESTBED_CACHE", place.path().join("cache"))
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
    all.extend(["--kernel", tree_text]);
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
    insta::assert_snapshot!(said(&["test", "live-update-kexek"]), @"");
}

#[test]
fn an_unknown_stack() {
    insta::assert_snapshot!(said(&["test", "--stacks", "base,mutants"]), @"");
}

#[test]
fn an_unknown_profile() {
    insta::assert_snapshot!(said(&["build", "--profile", "slow"]), @"");
}

#[test]
fn an_unknown_series() {
    insta::assert_snapshot!(said(&["apply", "--series", "no-such.mbox"]), @"");
}

#[test]
fn an_unknown_machine() {
    insta::assert_snapshot!(said(&["test", "--machine", "cray"]), @"");
}

#[test]
fn a_tree_that_is_not_there() {
    insta::assert_snapshot!(said(&["apply", "--kernel", "/no/such/tree"]), @"");
}

#[test]
fn a_folder_that_is_no_tree() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(said_in(folder.path(), &["apply"]), @"");
}

#[test]
fn a_tree_without_live_update() {
    insta::assert_snapshot!(said_in(bare_tree().path(), &["apply"]), @"");
}

#[test]
fn a_series_without_what_it_needs_below() {
    let words = ["apply", "--prereq", "liveupdate-test-driver"];
    insta::assert_snapshot!(said_in(bare_tree().path(), &words), @"");
}

#[test]
fn a_run_that_is_none() {
    insta::assert_snapshot!(said(&["report", "/no/such/run"]), @"");
}

#[test]
fn a_plan_touches_nothing() {
    insta::assert_snapshot!(said(&["test", "--dry-run", "--profile", "fast,kasan"]), @"");
}
