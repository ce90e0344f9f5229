// SPDX-License-Identifier: GPL-2.0-only
//! What `generate --into` must let lie: work in the tree that nobody has a copy of, and
//! what lies outside of the tree.

#![expect(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

const TESTS: &str = "tools/testing/selftests";
/// A file in the folder that is replaced.
const WORK: &str = "tools/testing/selftests/liveupdate_pci/work.patch";

/// A folder that looks like a kernel tree, as far as its tests go.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join(TESTS)).unwrap();
    fs::write(tree.path().join(TESTS).join("lib.mk"), "").unwrap();
    let targets = "TARGETS += alsa\nTARGETS += zram\n";
    fs::write(tree.path().join(TESTS).join("Makefile"), targets).unwrap();
    tree
}

fn git(folder: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@b"];
    let done = Command::new("git")
        .args(identity)
        .args(words)
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(done.success(), "git {words:?}");
}

fn commit_all(folder: &Path) {
    git(folder, &["init", "-q"]);
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "all"]);
}

/// Puts the selftests into `tree`, called from `cwd`.
fn generate(cwd: &Path, tree: &str, variables: &[(&str, &Path)]) -> Output {
    let cache = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_patchbed"))
        .args(["generate", "--into", tree])
        .current_dir(cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PATCHBED_CACHE", cache.path())
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "A")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "a@b")))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn is_refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(words) && said.contains("\nhint: "), "{said}");
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn work_that_is_not_committed_stays() {
    let tree = tree();
    let tree = tree.path();
    commit_all(tree);
    put(&tree.join(WORK), "mine");
    for (cwd, name) in [
        (tree, "."),
        (tree, tree.to_str().unwrap()),
        (&tree.join("tools"), ".."),
    ] {
        is_refused(&generate(cwd, name, &[]), "not committed");
        assert_eq!(fs::read_to_string(tree.join(WORK)).unwrap(), "mine");
    }
    put(&tree.join(".gitignore"), "*.patch\n");
    is_refused(&generate(tree, ".", &[]), "!! ");
    git(tree, &["config", "status.showUntrackedFiles", "no"]);
    put(&tree.join(".gitignore"), "");
    is_refused(&generate(tree, ".", &[]), "?? ");
    assert_eq!(fs::read_to_string(tree.join(WORK)).unwrap(), "mine");
}

#[test]
fn what_is_committed_is_replaced_and_committed_again() {
    let tree = tree();
    let tree = tree.path();
    put(&tree.join(WORK), "old");
    commit_all(tree);
    let output = generate(tree, ".", &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("committed as"), "{said}");
    assert!(!tree.join(WORK).exists());
}

#[test]
fn another_repository_speaks_for_no_tree() {
    let tree = tree();
    let tree = tree.path();
    put(&tree.join(WORK), "mine");
    commit_all(tree);
    put(&tree.join(WORK), "mine, changed");
    // As in a hook of another repository.
    let other = tempfile::tempdir().unwrap();
    git(other.path(), &["init", "-q"]);
    let of_other = other.path().join(".git");
    let variables = [
        ("GIT_DIR", of_other.as_path()),
        ("GIT_WORK_TREE", other.path()),
    ];
    is_refused(&generate(tree, ".", &variables), "not committed");
    // And one that the tree lies in, and that ignores it.
    fs::remove_dir_all(tree.join(".git")).unwrap();
    let inner = other.path().join("linux");
    fs::rename(tree, &inner).unwrap();
    put(&other.path().join(".gitignore"), "linux\n");
    is_refused(
        &generate(&inner, ".", &[]),
        "not the top of a git repository",
    );
    let kept = fs::read_to_string(inner.join(WORK)).unwrap();
    assert_eq!(kept, "mine, changed");
    fs::create_dir(tree).unwrap();
}

#[test]
fn nothing_is_written_through_a_link() {
    for link in [
        "tools/testing/selftests/liveupdate_pci",
        "tools/testing/selftests/Makefile",
        "tools/testing",
    ] {
        let tree = tree();
        let tree = tree.path();
        let elsewhere = tree.with_extension("elsewhere");
        if tree.join(link).exists() {
            fs::rename(tree.join(link), &elsewhere).unwrap();
        }
        symlink(&elsewhere, tree.join(link)).unwrap();
        let kept = |path: &Path| fs::read_to_string(path.join("selftests/Makefile")).ok();
        let before = (kept(&elsewhere), fs::read_to_string(&elsewhere).ok());
        is_refused(&generate(tree, ".", &[]), "is a symbolic link");
        let after = (kept(&elsewhere), fs::read_to_string(&elsewhere).ok());
        assert_eq!(before, after);
        let _ = fs::remove_dir_all(&elsewhere);
        let _ = fs::remove_file(&elsewhere);
    }
}

#[test]
fn a_makefile_that_is_no_text_is_named() {
    let tree = tree();
    let makefile = tree.path().join(TESTS).join("Makefile");
    fs::write(makefile, b"TARGETS += \xff\n").unwrap();
    is_refused(&generate(tree.path(), ".", &[]), "selftests/Makefile`");
}
