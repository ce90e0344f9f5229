// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exit code, standard output and standard error of calls with wrong arguments. No test
//! builds a kernel or starts a VM.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder, with a cache in it.
fn patchbed(place: &tempfile::TempDir, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_patchbed"))
        .args(words)
        .current_dir(place.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PATCHBED_CACHE", place.path().join("cache"))
        .output()
        .unwrap()
}

/// Runs the program with an empty cache; returns the exit code and the output.
fn run(words: &[&str]) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = patchbed(&place, words);
    let text = format!(
        "exit code {}\n-- stdout\n{}-- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    text.replace(place.path().to_str().unwrap(), "PLACE")
}

fn run_in(tree: &Path, words: &[&str]) -> String {
    let tree_text = tree.to_str().unwrap();
    let mut all = words.to_vec();
    all.extend(["--tree", tree_text]);
    run(&all).replace(tree_text, "TREE")
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
fn test_rejects_an_unknown_scenario_and_suggests_similar_names() {
    insta::assert_snapshot!(run(&["test", "live-update-kexek"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: unknown scenario `live-update-kexek`
    hint: did you mean `live-update-kexec`?
    "#);
    insta::assert_snapshot!(run(&["test", "incoming-get-*"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: unknown scenario `incoming-get-*`
    hint: similar names: incoming-get-after-finish, incoming-get-unknown-name, incoming-get-waits, incoming-get-without-live-update
    ");
    let scenario_file = run(&["test", "--dry-run", "incoming-get-waits.*"]);
    assert!(scenario_file.contains("jobs:      4\n"), "{scenario_file}");
}

#[test]
fn test_rejects_an_unknown_checkout() {
    insta::assert_snapshot!(run(&["test", "--checkouts", "base,mutant"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: unknown checkout `mutant`
    hint: use base, series, each (after every patch of the series), patch-N (after its first N patches), mutants (all mutants of the series), or mutant-NAME
    "#);
}

#[test]
fn build_rejects_an_unknown_config() {
    insta::assert_snapshot!(run(&["build", "--config", "slow"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: unknown config `slow`
    hint: use one of: fast, kasan
    "#);
}

#[test]
fn apply_rejects_an_unknown_series() {
    insta::assert_snapshot!(run(&["apply", "--series", "no-such.mbox"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: cannot open the series `no-such.mbox`: no such file or folder
    hint: pass a folder of `.patch` files, one patch, or an mbox
    ");
}

#[test]
fn test_rejects_an_unknown_machine() {
    insta::assert_snapshot!(run(&["test", "--machine", "cray"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: unknown machine `cray`
    hint: known machines: edu-pair, edu-pair-leaks, edu-pair-panics, iommu, sriov, switch
    "#);
}

#[test]
fn apply_rejects_a_missing_tree() {
    insta::assert_snapshot!(run(&["apply", "--tree", "/no/such/tree"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: opening kernel tree `/no/such/tree`: no such directory
    hint: pass a directory, or a git repository and a revision as `GIT@REV`
    "#);
}

#[test]
fn apply_rejects_a_folder_that_is_not_a_kernel_tree() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(run_in(folder.path(), &["apply"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: opening kernel tree `TREE`: it has no `Kbuild`
    hint: pass the top folder of a Linux source tree
    "#);
}

#[test]
fn apply_rejects_a_tree_without_live_update() {
    insta::assert_snapshot!(run_in(bare_tree().path(), &["apply"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `pci-liveupdate` cannot be applied: `TREE` has no `kernel/liveupdate`
    hint: select another tree with `--tree` (Live Update is in Linux 6.19 and later)
    "#);
}

#[test]
fn apply_rejects_a_series_without_its_prerequisite() {
    let words = ["apply", "--prereq", "liveupdate-test-driver"];
    insta::assert_snapshot!(run_in(bare_tree().path(), &words), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `liveupdate-test-driver` cannot be applied: it requires `pci-liveupdate`
    hint: add `--prereq pci-liveupdate`, or `--provides pci-liveupdate` if your series replaces it
    "#);
}

#[test]
fn ci_rejects_an_unknown_step_and_lists_all_steps() {
    insta::assert_snapshot!(run(&["ci", "--only", "matrics"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: no step has `matrics` in its name
    hint: known steps: `format`, `lints`, `licences`, `words`, `unit tests`, `host tests`, `generated files`, `kernel style`, `matrix fast`, `html report in a browser`, `vm tests`, `kselftest with kexec`, `matrix of other catalogues`, `matrix kasan (smoke)`, `output formats`
    ");
}

#[test]
fn report_rejects_a_missing_run() {
    insta::assert_snapshot!(run(&["report", "/no/such/run"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: `/no/such/run` is not the folder of a finished run
    hint: give the folder that a run printed, or the link `latest` beside it
    "#);
}

#[test]
fn b4_check_rejects_empty_standard_input() {
    insta::assert_snapshot!(run(&["b4-check"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: cannot read a mail from standard input: it is empty or larger than 67108864 bytes
    hint: b4 passes the mail to the command; to test it, run `cargo xtask b4-check < MAIL`
    ");
}

#[test]
fn report_rejects_an_origin_that_kcidb_refuses() {
    insta::assert_snapshot!(run(&["report", "--origin", "My CI"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: invalid value 'My CI' for '--origin <NAME>': use lower-case letters, digits and `_`

    For more information, try '--help'.
    ");
}

#[test]
fn test_prints_the_plan_with_dry_run() {
    let words = ["live-update-kexec", "sysfs-remove-while-preserved"];
    let words = [&["test", "--dry-run", "--config", "fast,kasan"], &words[..]].concat();
    insta::assert_snapshot!(run(&words), @r#"
    exit code 0
    -- stdout
    tree:      newest linux-source-7.x of Debian
    checkout:  base = tree + pci-liveupdate + liveupdate-test-driver + pciehp-lock-order
    checkout:  series = tree + pci-liveupdate + liveupdate-test-driver + pciehp-lock-order + flb-refcount
    configs:   fast, kasan
    machine:   as named by each scenario
    snapshots: checked
    jobs:      8
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
fn test_rejects_an_invalid_kselftest_name() {
    insta::assert_snapshot!(run(&["test", "--kselftest", "liveupdate/../x", "--dry-run"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: invalid kselftest `liveupdate/../x`
    hint: use `TARGET` or `TARGET:TEST`, for example `liveupdate:luo_kexec_simple`
    ");
}

#[test]
fn test_rejects_a_run_folder_that_is_a_file_with_dry_run() {
    insta::assert_snapshot!(run(&["test", "--dry-run", "--out", "/dev/null"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: cannot use `/dev/null` as run folder: Not a directory (os error 20)
    hint: give a new or an empty folder with `--out`
    "#);
}

#[test]
fn test_rejects_a_missing_tree_with_dry_run() {
    insta::assert_snapshot!(run(&["test", "--dry-run", "--tree", "/no/such/tree"]), @r#"
    exit code 2
    -- stdout
    -- stderr
    error: opening kernel tree `/no/such/tree`: no such directory
    hint: pass a directory, or a git repository and a revision as `GIT@REV`
    "#);
}

#[test]
fn apply_rejects_an_output_folder_that_is_a_file() {
    insta::assert_snapshot!(run(&["apply", "--out", "/dev/null"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: `/dev/null` is not a folder
    hint: give a new or an empty folder with `--out`
    ");
}

#[test]
fn new_writes_a_catalogue_a_scenario_and_a_verb_that_work() {
    let place = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let output = patchbed(&place, words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = place.path().join("my-tests");
    let folder = folder.to_str().unwrap();
    run(&["new", "catalogue", folder]);
    run(&["--catalogue", folder, "new", "scenario", "second-test"]);
    run(&["--catalogue", folder, "new", "verb", "read_all"]);
    let plan = run(&["--catalogue", folder, "test", "--dry-run"]);
    assert!(plan.contains("second-test on series (fast)"), "{plan}");
    run(&["--catalogue", folder, "generate"]);
    assert!(
        place
            .path()
            .join("my-tests/generated/my_tests/my_tests.h")
            .is_file()
    );
    for words in [
        ["new", "catalogue", folder],
        ["new", "scenario", "../third"],
        ["new", "verb", "read all"],
    ] {
        let output = patchbed(&place, &[&["--catalogue", folder], &words[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}

#[test]
fn generate_refuses_a_kselftest_folder_outside_of_the_catalogue() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("mine");
    let words = ["new", "catalogue", folder.to_str().unwrap()];
    assert_eq!(patchbed(&place, &words).status.code(), Some(0));
    let manifest = folder.join("catalogue.yaml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let kept = place.path().join("keep/precious.c");
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, "mine").unwrap();
    for name in ["../../keep", "", ".", "/tmp/x", "a b"] {
        std::fs::write(
            &manifest,
            text.replace("kselftest: mine", &format!("kselftest: \"{name}\"")),
        )
        .unwrap();
        let words = ["--catalogue", folder.to_str().unwrap(), "generate"];
        let output = patchbed(&place, &words);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("invalid name"), "{error}");
        assert!(error.contains("hint: use lower-case"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
}
