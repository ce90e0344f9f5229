// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scratch folder with copies of the files that patches touch.
//!
//! A kernel tree has about 90,000 files and a series touches a few of them. Running
//! `git apply` on copies takes milliseconds and cannot change the tree. Its messages
//! (git-apply(1), `--reject --verbose`) give the places where a patch does not apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Output;

use crate::error::{Doing, Error, shorten};
use crate::mail::Patch;
use crate::overlay::{FileState, Overlay, parents, write_state};

const APPLY_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forwards,
    InReverse,
}

/// The scratch folder; deleted on drop.
#[derive(Debug)]
pub(crate) struct Scratch<'a> {
    tree: &'a Utf8Path,
    dir: tempfile::TempDir,
    touched: BTreeSet<Utf8PathBuf>,
    cancel: &'a Cancel,
}

impl<'a> Scratch<'a> {
    pub(crate) fn new(
        tree: &'a Utf8Path,
        overlay: &Overlay,
        cancel: &'a Cancel,
    ) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("patchbed-apply-")
            .tempdir()
            .doing("creating a scratch folder")?;
        let mut scratch = Self {
            tree,
            dir,
            touched: BTreeSet::new(),
            cancel,
        };
        overlay.write_over(scratch.root()?)?;
        scratch.touched.extend(overlay.files().keys().cloned());
        Ok(scratch)
    }

    fn root(&self) -> Result<&Utf8Path, Error> {
        Utf8Path::from_path(self.dir.path()).ok_or_else(|| {
            Error::input(
                "creating a scratch folder: the path of temporary files is not UTF-8",
                "set `TMPDIR` to another folder",
            )
        })
    }

    /// Applies a patch; returns the places where it does not apply. After a conflict, the
    /// scratch folder must not be used again.
    pub(crate) fn apply(
        &mut self,
        patch: &Patch,
        direction: Direction,
    ) -> Result<Vec<Place>, Error> {
        for path in self.touched_by(patch)? {
            self.fetch(&path, patch)?;
        }
        let output = self.git(patch, direction, &[])?;
        if output.status.success() {
            // `git apply` only warns about file modes. For a patch that changes modes only,
            // the warnings show whether the tree contains it.
            return Ok(match direction {
                Direction::InReverse if !patch.changes_content() => {
                    other_modes(&output.stderr_text())
                }
                _ => Vec::new(),
            });
        }
        let verbose = self.git(patch, direction, &["--reject", "--verbose"])?;
        let mut found = places(&verbose.stderr_text());
        if found.is_empty() {
            found = places(&output.stderr_text());
        }
        if found.is_empty() {
            found.push(Place::new(None, output.stderr_text().trim()));
        }
        Ok(found)
    }

    /// Returns the paths that a patch reads or writes, from `git apply --numstat`. For a
    /// rename, it prints the new name, and the old name with `--reverse`.
    fn touched_by(&self, patch: &Patch) -> Result<BTreeSet<Utf8PathBuf>, Error> {
        let mut paths = BTreeSet::new();
        for direction in [Direction::Forwards, Direction::InReverse] {
            // `apply` reports a patch that git cannot parse.
            let output = self.git(patch, direction, &["--numstat", "-z"])?;
            paths.append(&mut numstat_paths(&output.stdout)?);
        }
        Ok(paths)
    }

    fn git(&self, patch: &Patch, direction: Direction, extra: &[&str]) -> Result<Output, Error> {
        let root = self.root()?;
        let mut git = crate::tree::git()
            .args(["apply", "--whitespace=nowarn"])
            .args(extra)
            .cwd(root)
            // Use no repository above the folder and no git configuration.
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(patch.text.clone())
            .deadline("git apply", APPLY_LIMIT);
        if direction == Direction::InReverse {
            git = git.arg("--reverse");
        }
        git.run_unchecked(self.cancel)
            .doing(format!("applying `{}`", shorten(&patch.origin)))
    }

    /// Copies a file of the tree, once.
    fn fetch(&mut self, path: &Utf8Path, patch: &Patch) -> Result<(), Error> {
        if !self.touched.insert(path.to_owned()) {
            return Ok(());
        }
        check_path(self.tree, path, patch)?;
        match FileState::read(self.tree, path)? {
            Some(state) => write_state(self.root()?, path, Some(&state)),
            None => Ok(()),
        }
    }

    /// Returns the files that differ from the tree.
    pub(crate) fn overlay(&self) -> Result<Overlay, Error> {
        let root = self.root()?;
        let mut files = BTreeMap::new();
        for path in &self.touched {
            let now = FileState::read(root, path)?;
            if now != FileState::read(self.tree, path)? {
                files.insert(path.clone(), now);
            }
        }
        Ok(Overlay::from_files(files))
    }
}

/// Rejects a path that is no regular file in the tree, or that leads through a symbolic link
/// or a file: a symbolic link may lead out of the tree.
fn check_path(tree: &Utf8Path, path: &Utf8Path, patch: &Patch) -> Result<(), Error> {
    let doing = format!("applying `{}`", shorten(&patch.origin));
    let kind = |path: &Utf8Path| fs::symlink_metadata(tree.join(path)).ok();
    for parent in parents(path) {
        if let Some(kind) = kind(parent).filter(|kind| !kind.is_dir()) {
            let found = match kind.is_symlink() {
                true => "a symbolic link",
                false => "a file",
            };
            return Err(Error::input(
                format!("{doing}: `{parent}` in the path `{path}` is {found} in the tree"),
                "use the path without symbolic links in the patch",
            ));
        }
    }
    let Some(kind) = kind(path).filter(|kind| !kind.is_file()) else {
        return Ok(());
    };
    let found = match kind.is_symlink() {
        true => "a symbolic link",
        false => "not a regular file",
    };
    Err(Error::input(
        format!("{doing}: `{path}` is {found} in the tree"),
        "use patches of regular files only",
    ))
}

/// Parses `git apply --numstat -z`: `added TAB deleted TAB path NUL`. Rejects paths outside of
/// the tree and paths that are not UTF-8.
fn numstat_paths(output: &[u8]) -> Result<BTreeSet<Utf8PathBuf>, Error> {
    let mut paths = BTreeSet::new();
    let records = output.split(|&byte| byte == 0);
    for record in records.filter(|record| !record.is_empty()) {
        let path = record.splitn(3, |&byte| byte == b'\t').nth(2);
        let path = path.unwrap_or(record);
        let Ok(path) = std::str::from_utf8(path) else {
            return Err(Error::input(
                format!(
                    "reading a patch: the path `{}` is not UTF-8",
                    String::from_utf8_lossy(path)
                ),
                "use UTF-8 paths",
            ));
        };
        let path = Utf8PathBuf::from(path);
        let is_plain = |part| matches!(part, Utf8Component::Normal(_));
        if !path.components().all(is_plain) || path.as_str().is_empty() {
            return Err(Error::input(
                format!("reading a patch: the path `{path}` is outside of the tree"),
                "the patch may be malicious; read it before you use it",
            ));
        }
        paths.insert(path);
    }
    Ok(paths)
}

/// A place where a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `None` if the patch is damaged or git rejects it.
    file: Option<String>,
    why: String,
}

impl Place {
    pub(crate) fn new(file: Option<&str>, why: impl Into<String>) -> Self {
        Self {
            file: file.map(str::to_owned),
            why: why.into(),
        }
    }

    /// Returns a hint if the patch cannot apply to any tree, so that a rebase is no fix.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        const BINARY: &str =
            "create patches of binary files with `git format-patch --binary --full-index`";
        const DAMAGED: &str = "create the patch again with `git format-patch`";
        const HINTS: [(&str, &str); 5] = [
            ("without full index line", BINARY),
            ("corrupt binary patch", BINARY),
            ("corrupt patch", DAMAGED),
            ("patch fragment without header", DAMAGED),
            ("No valid patches", DAMAGED),
        ];
        let is_hint = |(message, _): &&(&str, _)| self.why.contains(message);
        let hint = HINTS.iter().find(is_hint)?;
        self.file.is_none().then_some(hint.1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "`{file}`: ")?;
        }
        f.write_str(&self.why)
    }
}

fn places(output: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut current = "";
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("Applying patch ") {
            current = rest.split(" with ").next().unwrap_or(rest);
        } else if let Some(number) = line.strip_prefix("Rejected hunk #") {
            let hunk = number.trim_end_matches('.');
            let why = format!("hunk {hunk} does not match");
            places.push(Place::new(Some(current), why));
        } else if let Some(rest) = line.strip_prefix("error: ") {
            places.extend(from_error(rest));
        }
    }
    places
}

/// Parses git's warnings `warning: FILE has type 100644, expected 100755`.
fn other_modes(output: &str) -> Vec<Place> {
    let place = |line: &str| {
        let (file, mode) = line.strip_prefix("warning: ")?.rsplit_once(" has type ")?;
        Some(Place::new(Some(file), format!("its mode is {mode}")))
    };
    output.lines().filter_map(place).collect()
}

fn from_error(rest: &str) -> Option<Place> {
    // The "Rejected hunk" lines have the hunk numbers.
    let redundant = ["patch failed: ", "while searching for:"];
    let is_redundant = redundant.iter().any(|prefix| rest.starts_with(prefix))
        || rest.ends_with("patch does not apply");
    let file_and_why = rest.rsplit_once(": ");
    let place = match file_and_why.filter(|(file, _)| !file.contains(' ')) {
        Some((file, why)) => Place::new(Some(file), why),
        None => Place::new(None, rest),
    };
    (!is_redundant).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::{remove_below, write_below};

    #[test]
    fn numstat_paths_parses_records() {
        let output = b"1\t0\tx/f.c\x00-\t-\twith space\x000\t0\todd\xc3\xa9\x00";
        let paths: Vec<_> = numstat_paths(output).unwrap().into_iter().collect();
        assert_eq!(paths, ["odd\u{e9}", "with space", "x/f.c"]);
    }

    #[test]
    fn numstat_paths_rejects_paths_outside_of_the_tree() {
        for path in ["../etc/passwd", "/etc/passwd", "a/../../b", ""] {
            let record = format!("1\t0\t{path}\0");
            assert!(numstat_paths(record.as_bytes()).is_err(), "{path}");
        }
        assert!(numstat_paths(b"1\t0\t\xff\x00").is_err());
    }

    #[test]
    fn scratch_does_not_follow_symbolic_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("outside")).unwrap();
        fs::write(root.join("outside/f"), "precious\n").unwrap();
        fs::create_dir_all(root.join("tree")).unwrap();
        fs_err::os::unix::fs::symlink(root.join("outside"), root.join("tree/link")).unwrap();
        let text = b"diff --git a/link/f b/link/f\n--- a/link/f\n+++ b/link/f\n@@ -1 +1 @@\n-precious\n+pwned\n";
        let patch = crate::mail::parse_one("p", text).unwrap();
        let cancel = Cancel::new();
        let tree = root.join("tree");
        let mut scratch = Scratch::new(&tree, &Overlay::default(), &cancel).unwrap();
        let error = scratch
            .apply(&patch, Direction::Forwards)
            .unwrap_err()
            .to_string();
        assert!(error.contains("symbolic link"), "{error}");
        write_below(&tree, Utf8Path::new("link/f"), b"new", false).unwrap();
        remove_below(&tree, Utf8Path::new("link/f")).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("outside/f")).unwrap(),
            "precious\n"
        );
    }

    #[test]
    fn places_returns_file_and_number_of_rejected_hunks() {
        let output = "Checking patch f.c...\nerror: while searching for:\nxyz\n\
            error: patch failed: f.c:12\nChecking patch g.c...\n\
            Applying patch f.c with 1 reject...\nHunk #1 applied cleanly.\nRejected hunk #2.\n\
            Applied patch g.c cleanly.\n";
        assert_eq!(
            places(output),
            [Place::new(Some("f.c"), "hunk 2 does not match")]
        );
    }

    #[test]
    fn places_returns_missing_files_and_invalid_paths() {
        assert_eq!(
            places("error: drivers/x.c: No such file or directory\n"),
            [Place::new(Some("drivers/x.c"), "No such file or directory")]
        );
        assert_eq!(
            places("error: invalid path '../x'\n"),
            [Place::new(None, "invalid path '../x'")]
        );
    }
}
