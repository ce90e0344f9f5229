// SPDX-License-Identifier: GPL-2.0-only
//! A scratch folder with only the files that patches touch.
//!
//! A kernel tree has some 90,000 files and a series touches a few, so a stack
//! is worked out on copies of those few: in milliseconds, and without a chance
//! to harm the tree. `git apply` does the applying.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use testbed_host::cancel::Cancel;
use testbed_host::process::{Output, Tool};

use crate::conflict::{self, Place};
use crate::error::Error;
use crate::mail::Patch;
use crate::stack::{FileState, Overlay};

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
            .prefix("flb-testbed-apply-")
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
        for path in touched_paths(&patch.text)? {
            self.fetch(&path)?;
        }
        let output = self.git(patch, direction, &[])?;
        if output.status.success() {
            return Ok(Vec::new());
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

    fn git(&self, patch: &Patch, direction: Direction, extra: &[&str]) -> Result<Output, Error> {
        let root = self.root()?;
        let mut git = Tool::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .args(extra)
            .cwd(root)
            // Not a repository, whatever lies above, and nobody's configuration.
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(patch.text.clone())
            .deadline("git apply", APPLY_LIMIT);
        if direction == Direction::InReverse {
            git = git.arg("--reverse");
        }
        git.run_unchecked(self.cancel)
            .map_err(Error::tool(format!("applying `{}`", patch.origin)))
    }

    /// Copies a file of the tree here, once.
    fn fetch(&mut self, path: &Utf8Path) -> Result<(), Error> {
        if !self.touched.insert(path.to_owned()) {
            return Ok(());
        }
        let source = self.tree.join(path);
        let Ok(kind) = fs::symlink_metadata(&source) else {
            return Ok(());
        };
        if kind.is_symlink() {
            return Err(Error::input(
                format!("the series touches `{path}`, which is a symbolic link"),
                "patches of links are not supported",
            ));
        }
        if !kind.is_file() {
            return Ok(());
        }
        let bytes = fs::read(&source).map_err(Error::host("reading the tree"))?;
        self.write(path, &bytes, kind.permissions().mode() & 0o111 != 0)
    }

    fn write(&self, path: &Utf8Path, bytes: &[u8], executable: bool) -> Result<(), Error> {
        let target = self.root()?.join(path);
        write_file(&target, bytes, executable).map_err(Error::host("filling the scratch folder"))
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

/// Writes a file, in a folder made if need be, never through an existing one.
pub(crate) fn write_file(target: &Utf8Path, bytes: &[u8], executable: bool) -> std::io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    // The old file may be a hard link into a tree that must not change.
    match fs::remove_file(target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(target, bytes)?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(target, std::fs::Permissions::from_mode(mode))
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

/// Returns the paths that a patch reads or writes, with the first folder
/// (`a/`, `b/`) taken off.
///
/// # Errors
/// When a path leads out of the tree.
fn touched_paths(text: &[u8]) -> Result<BTreeSet<Utf8PathBuf>, Error> {
    const HEADERS: [&str; 6] = [
        "--- ",
        "+++ ",
        "rename from ",
        "rename to ",
        "copy from ",
        "copy to ",
    ];
    let mut paths = BTreeSet::new();
    for line in String::from_utf8_lossy(text).lines() {
        if let Some(both) = line.strip_prefix("diff --git ") {
            for word in both.split(' ') {
                add_path(&mut paths, word, true)?;
            }
            continue;
        }
        for header in HEADERS {
            if let Some(path) = line.strip_prefix(header) {
                add_path(
                    &mut paths,
                    path.split('\t').next().unwrap_or(path),
                    header.len() == 4,
                )?;
            }
        }
    }
    Ok(paths)
}

fn add_path(paths: &mut BTreeSet<Utf8PathBuf>, word: &str, prefixed: bool) -> Result<(), Error> {
    let stripped = if prefixed {
        match word.strip_prefix("a/").or_else(|| word.strip_prefix("b/")) {
            Some(path) => path,
            // `/dev/null`, or a line of a removed file that looks like a header.
            None => return Ok(()),
        }
    } else {
        word
    };
    let path = Utf8PathBuf::from(stripped.trim_end());
    let inside = path
        .components()
        .all(|part| matches!(part, Utf8Component::Normal(_)));
    if !inside || path.as_str().is_empty() {
        return Err(Error::input(
            format!("a patch names the path `{word}`, which leads out of the tree"),
            "do not apply this patch before you have read it",
        ));
    }
    paths.insert(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_paths_are_read_from_all_headers() {
        let text = b"diff --git a/x/f.c b/x/f.c\n--- a/x/f.c\n+++ b/x/f.c\n\
            diff --git a/old b/new\nrename from old\nrename to new\n--- /dev/null\n+++ b/made\n";
        let paths: Vec<_> = touched_paths(text).unwrap().into_iter().collect();
        assert_eq!(paths, ["made", "new", "old", "x/f.c"]);
    }

    #[test]
    fn paths_out_of_the_tree_are_refused() {
        for text in ["+++ b/../../etc/passwd\n", "diff --git a//etc/x b/x\n"] {
            assert!(touched_paths(text.as_bytes()).is_err(), "{text}");
        }
    }
}
