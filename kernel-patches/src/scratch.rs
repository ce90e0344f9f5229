// SPDX-License-Identifier: GPL-2.0-only
//! A scratch folder with only the files that patches touch.
//!
//! A kernel tree has some 90,000 files and a series touches a few, so a checkout
//! is worked out on copies of those few: in milliseconds, and without a pass_rate
//! to harm the tree. `git apply` does the applying.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Output;

use crate::conflict::{self, Place};
use crate::error::{Error, brief};
use crate::mail::Patch;
use crate::overlay::{FileState, Overlay};

const APPLY_LIMIT: Duration = Duration::from_secs(60);

/// Which way to apply a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forwards,
    InReverse,
}

/// The scratch folder; goes away on drop.
#[derive(Debug)]
pub(crate) struct Scratch<'a> {
    tree: &'a Utf8Path,
    dir: tempfile::TempDir,
    touched: BTreeSet<Utf8PathBuf>,
    cancel: &'a Cancel,
}

impl<'a> Scratch<'a> {
    /// Returns a scratch copy of `tree` with `overlay` on it.
    pub(crate) fn new(
        tree: &'a Utf8Path,
        overlay: &Overlay,
        cancel: &'a Cancel,
    ) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("patchbed-apply-")
            .tempdir()
            .map_err(Error::host("making a scratch folder"))?;
        let mut scratch = Self {
            tree,
            dir,
            touched: BTreeSet::new(),
            cancel,
        };
        for (path, state) in overlay.files() {
            scratch.touched.insert(path.clone());
            if let Some(state) = state {
                scratch.write(path, &state.bytes, state.executable)?;
            }
        }
        Ok(scratch)
    }

    fn root(&self) -> Result<&Utf8Path, Error> {
        Utf8Path::from_path(self.dir.path()).ok_or_else(|| {
            Error::input(
                "the folder for temporary files has a name that is not UTF-8".to_owned(),
                "set `TMPDIR` to another folder",
            )
        })
    }

    /// Applies a patch; returns the places where it does not fit, and then the
    /// scratch folder is of no further use.
    pub(crate) fn apply(
        &mut self,
        patch: &Patch,
        direction: Direction,
    ) -> Result<Vec<Place>, Error> {
        for path in self.touched_by(patch)? {
            self.fetch(&path)?;
        }
        let output = self.git(patch, direction, &[])?;
        if output.status.success() {
            // Git warns of other modes and goes on. Where there is nothing else to a patch,
            // they alone tell whether the tree has it.
            let is_there = patch.changes_content() || direction == Direction::Forwards;
            let said = output.stderr_text();
            return Ok(match is_there {
                true => Vec::new(),
                false => conflict::other_modes(&said),
            });
        }
        let told = self.git(patch, direction, &["--reject", "--verbose"])?;
        let mut places = conflict::places(&told.stderr_text());
        if places.is_empty() {
            places = conflict::places(&output.stderr_text());
        }
        if places.is_empty() {
            places.push(Place::Patch {
                why: output.stderr_text().trim().to_owned(),
            });
        }
        Ok(places)
    }

    /// Returns the paths that a patch reads or writes, in git's own reading of
    /// it: both names of a rename come from looking at it from both sides.
    fn touched_by(&self, patch: &Patch) -> Result<BTreeSet<Utf8PathBuf>, Error> {
        let mut paths = BTreeSet::new();
        for direction in [Direction::Forwards, Direction::InReverse] {
            // A patch that git cannot read is refused when it is applied.
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
            // Not a repository, whatever lies above, and nobody's configuration.
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(patch.text.clone())
            .deadline("git apply", APPLY_LIMIT);
        if direction == Direction::InReverse {
            git = git.arg("--reverse");
        }
        git.run_unchecked(self.cancel)
            .map_err(Error::tool(format!("applying `{}`", brief(&patch.origin))))
    }

    /// Copies a file of the tree here, once.
    fn fetch(&mut self, path: &Utf8Path) -> Result<(), Error> {
        if !self.touched.insert(path.to_owned()) {
            return Ok(());
        }
        check_parents(self.tree, path)?;
        let source = self.tree.join(path);
        let Ok(kind) = fs::symlink_metadata(&source) else {
            return Ok(());
        };
        if !kind.is_file() {
            let what = if kind.is_symlink() {
                "a symbolic link"
            } else {
                "no plain file"
            };
            return Err(Error::input(
                format!("the series touches `{path}`, which is {what} in the tree"),
                "only patches of plain files are supported",
            ));
        }
        let bytes = fs::read(&source).map_err(Error::host("reading the tree"))?;
        self.write(path, &bytes, kind.permissions().mode() & 0o111 != 0)
    }

    fn write(&self, path: &Utf8Path, bytes: &[u8], executable: bool) -> Result<(), Error> {
        write_below(self.root()?, path, bytes, executable)
            .map_err(Error::host("filling the scratch folder"))
    }

    /// Returns how the scratch folder differs from the tree.
    pub(crate) fn overlay(&self) -> Result<Overlay, Error> {
        let root = self.root()?;
        let mut files = BTreeMap::new();
        for path in &self.touched {
            let now = state_of(&root.join(path), path)?;
            let before = state_of(&self.tree.join(path), path)?;
            if now != before {
                files.insert(path.clone(), now);
            }
        }
        Ok(Overlay::from_files(files))
    }
}

/// Refuses a path that goes through a link or a file of the tree: what lies
/// behind a link may be anybody's.
fn check_parents(tree: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
    for parent in parents(path) {
        let Ok(kind) = fs::symlink_metadata(tree.join(parent)) else {
            continue;
        };
        if !kind.is_dir() {
            let what = if kind.is_symlink() {
                "a symbolic link"
            } else {
                "a file"
            };
            return Err(Error::input(
                format!("the series touches `{path}`, but `{parent}` is {what} in the tree"),
                "name the file by its real place",
            ));
        }
    }
    Ok(())
}

/// Returns the folders that a relative path goes through, the outermost first.
fn parents(path: &Utf8Path) -> Vec<&Utf8Path> {
    let mut parents: Vec<&Utf8Path> = path
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_str().is_empty())
        .collect();
    parents.reverse();
    parents
}

/// Writes a file below `root`, in folders made if need be; never through a link
/// in the way, nor into an existing file, which may be a hard link into a tree
/// that must not change.
pub(crate) fn write_below(
    root: &Utf8Path,
    path: &Utf8Path,
    bytes: &[u8],
    executable: bool,
) -> std::io::Result<()> {
    for parent in parents(path) {
        let folder = root.join(parent);
        if fs::symlink_metadata(&folder).is_ok_and(|kind| !kind.is_dir()) {
            fs::remove_file(&folder)?;
        }
    }
    remove_below(root, path)?;
    let target = root.join(path);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&target, bytes)?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(target, std::fs::Permissions::from_mode(mode))
}

/// Removes a file below `root`, if it is there and not behind a link.
pub(crate) fn remove_below(root: &Utf8Path, path: &Utf8Path) -> std::io::Result<()> {
    let is_behind_a_link = |parent: &&Utf8Path| {
        fs::symlink_metadata(root.join(parent)).is_ok_and(|kind| kind.is_symlink())
    };
    if parents(path).iter().any(is_behind_a_link) {
        return Ok(());
    }
    match fs::remove_file(root.join(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn state_of(file: &Utf8Path, shown: &Utf8Path) -> Result<Option<FileState>, Error> {
    let Ok(kind) = fs::symlink_metadata(file) else {
        return Ok(None);
    };
    if kind.is_symlink() {
        return Err(Error::input(
            format!("the series makes `{shown}` a symbolic link"),
            "patches of links are not supported",
        ));
    }
    if !kind.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(file).map_err(Error::host("reading a patched file"))?;
    Ok(Some(FileState {
        bytes,
        executable: kind.permissions().mode() & 0o111 != 0,
    }))
}

/// Reads `git apply --numstat -z`: `added TAB deleted TAB path NUL`.
///
/// # Errors
/// When a path leads out of the tree or is not UTF-8.
fn numstat_paths(output: &[u8]) -> Result<BTreeSet<Utf8PathBuf>, Error> {
    let mut paths = BTreeSet::new();
    for record in output
        .split(|&byte| byte == 0)
        .filter(|record| !record.is_empty())
    {
        let path = record
            .splitn(3, |&byte| byte == b'\t')
            .nth(2)
            .unwrap_or(record);
        let Ok(path) = std::str::from_utf8(path) else {
            return Err(Error::input(
                format!("a patch names the path `{}`", String::from_utf8_lossy(path)),
                "only paths in UTF-8 are supported",
            ));
        };
        let path = Utf8PathBuf::from(path);
        let is_inside = path
            .components()
            .all(|part| matches!(part, Utf8Component::Normal(_)));
        if !is_inside || path.as_str().is_empty() {
            return Err(Error::input(
                format!("a patch names the path `{path}`, which leads out of the tree"),
                "do not apply this patch before you have read it",
            ));
        }
        paths.insert(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_git_says_them() {
        let output = b"1\t0\tx/f.c\x00-\t-\twith space\x000\t0\todd\xc3\xa9\x00";
        let paths: Vec<_> = numstat_paths(output).unwrap().into_iter().collect();
        assert_eq!(paths, ["odd\u{e9}", "with space", "x/f.c"]);
    }

    #[test]
    fn paths_out_of_the_tree_are_refused() {
        for path in ["../etc/passwd", "/etc/passwd", "a/../../b", ""] {
            let record = format!("1\t0\t{path}\0");
            assert!(numstat_paths(record.as_bytes()).is_err(), "{path}");
        }
        assert!(numstat_paths(b"1\t0\t\xff\x00").is_err());
    }

    #[test]
    fn what_lies_behind_a_link_is_neither_read_nor_written() {
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
}
