// SPDX-License-Identifier: MIT OR Apache-2.0
//! `generate --into` must not overwrite uncommitted work in the tree, or files outside of the
//! tree.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

const TESTS: &str = "tools/testing/selftests";
/// A file in the folder that is replaced.
const WORK: &str = "tools/testing/selftests/liveupdate_pci/work.patch";

/// A folder with the files of a kernel tree that `generate --into` reads.
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

/// Runs `generate --into tree` in the folder `cwd`.
fn generate(cwd: &Path, tree: &str, variables: &[(&str, &Path)]) -> Output {
    let cache = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_patchbed"))
        .args(["generate", "--into", tree])
        .current_dir(cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PATCHBED_CACHE", cache.path())
        .envs(["AUTHOR", "COMMITTER"].map(|role| (format!("GIT_{role}_NAME"), "A")))
        .envs(["AUTHOR", "COMMITTER"].map(|role| (format!("GIT_{role}_EMAIL"), "a@b")))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn is_refused(output: &Output, text: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains(text) && error.contains("\nhint: "),
        "{error}"
    );
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn into_refuses_to_overwrite_uncommitted_and_ignored_files() {
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
fn into_replaces_committed_files_and_commits() {
    let tree = tree();
    let tree = tree.path();
    put(&tree.join(WORK), "old");
    commit_all(tree);
    // Nothing shows that `generate --into` wrote the folder.
    is_refused(&generate(tree, ".", &[]), "did not write");
    put(&tree.join(WORK).with_file_name("kt.h"), "old");
    commit_all(tree);
    let output = generate(tree, ".", &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("committed as"), "{text}");
    assert!(!tree.join(WORK).exists());
}

#[test]
fn into_ignores_git_variables_and_refuses_a_tree_in_another_repository() {
    let tree = tree();
    let tree = tree.path();
    put(&tree.join(WORK), "mine");
    commit_all(tree);
    put(&tree.join(WORK), "mine, changed");
    // The variables are set as in a hook of another repository.
    let other = tempfile::tempdir().unwrap();
    git(other.path(), &["init", "-q"]);
    let of_other = other.path().join(".git");
    let variables = [
        ("GIT_DIR", of_other.as_path()),
        ("GIT_WORK_TREE", other.path()),
    ];
    is_refused(&generate(tree, ".", &variables), "not committed");
    // The tree lies in another repository that ignores it.
    fs::remove_dir_all(tree.join(".git")).unwrap();
    let inner = other.path().join("linux");
    fs::rename(tree, &inner).unwrap();
    put(&other.path().join(".gitignore"), "linux\n");
    is_refused(
        &generate(&inner, ".", &[]),
        "not the top of a git repository",
    );
    let work = fs::read_to_string(inner.join(WORK)).unwrap();
    assert_eq!(work, "mine, changed");
    fs::create_dir(tree).unwrap();
}

#[test]
fn into_refuses_symbolic_links() {
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
        let makefile = |path: &Path| fs::read_to_string(path.join("selftests/Makefile")).ok();
        let before = (makefile(&elsewhere), fs::read_to_string(&elsewhere).ok());
        is_refused(&generate(tree, ".", &[]), "is a symbolic link");
        let after = (makefile(&elsewhere), fs::read_to_string(&elsewhere).ok());
        assert_eq!(before, after);
        let _ = fs::remove_dir_all(&elsewhere);
        let _ = fs::remove_file(&elsewhere);
    }
}

#[test]
fn into_names_a_makefile_that_is_not_utf_8() {
    let tree = tree();
    let makefile = tree.path().join(TESTS).join("Makefile");
    fs::write(makefile, b"TARGETS += \xff\n").unwrap();
    is_refused(&generate(tree.path(), ".", &[]), "selftests/Makefile`");
}
