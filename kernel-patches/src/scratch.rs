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
use patchbed_host::files::is_executable;
use patchbed_host::process::Output;

use crate::error::{Doing, Error, shorten};
use crate::mail::Patch;
use crate::overlay::{FileState, Overlay, parents, write_below};

const APPLY_LIMIT: Duration = Duration::from_secs(60);

/// Direction of `git apply`.
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
    /// Returns a scratch folder for `tree` with `overlay`.
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
            let applies = patch.changes_content() || direction == Direction::Forwards;
            let warnings = output.stderr_text();
            return Ok(match applies {
                true => Vec::new(),
                false => other_modes(&warnings),
            });
        }
        let verbose = self.git(patch, direction, &["--reject", "--verbose"])?;
        let mut found = places(&verbose.stderr_text());
        if found.is_empty() {
            found = places(&output.stderr_text());
        }
        if found.is_empty() {
            found.push(Place::Patch {
                why: output.stderr_text().trim().to_owned(),
            });
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
        check_parents(self.tree, path, patch)?;
        let source = self.tree.join(path);
        let Ok(kind) = fs::symlink_metadata(&source) else {
            return Ok(());
        };
        if !kind.is_file() {
            let reason = if kind.is_symlink() {
                "is a symbolic link"
            } else {
                "is not a regular file"
            };
            return Err(Error::input(
                format!(
                    "applying `{}`: `{path}` {reason} in the tree",
                    shorten(&patch.origin)
                ),
                "use patches of regular files only",
            ));
        }
        let bytes = fs::read(&source).doing("reading the tree")?;
        self.write(path, &bytes, is_executable(&kind))
    }

    fn write(&self, path: &Utf8Path, bytes: &[u8], executable: bool) -> Result<(), Error> {
        write_below(self.root()?, path, bytes, executable)
            .doing("copying files to the scratch folder")
    }

    /// Returns the files that differ from the tree.
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

/// Rejects a path through a symbolic link, which may lead out of the tree, or through a
/// regular file.
fn check_parents(tree: &Utf8Path, path: &Utf8Path, patch: &Patch) -> Result<(), Error> {
    for parent in parents(path) {
        let Ok(kind) = fs::symlink_metadata(tree.join(parent)) else {
            continue;
        };
        if !kind.is_dir() {
            let parent_kind = if kind.is_symlink() {
                "a symbolic link"
            } else {
                "a file"
            };
            return Err(Error::input(
                format!(
                    "applying `{}`: `{parent}` in the path `{path}` is {parent_kind} in the tree",
                    shorten(&patch.origin)
                ),
                "use the path without symbolic links in the patch",
            ));
        }
    }
    Ok(())
}

fn state_of(file: &Utf8Path, relative: &Utf8Path) -> Result<Option<FileState>, Error> {
    let Ok(kind) = fs::symlink_metadata(file) else {
        return Ok(None);
    };
    if kind.is_symlink() {
        return Err(Error::input(
            format!("applying the series: it makes `{relative}` a symbolic link"),
            "use patches of regular files only",
        ));
    }
    if !kind.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(file).doing("reading a patched file")?;
    Ok(Some(FileState {
        bytes,
        executable: is_executable(&kind),
    }))
}

/// Parses `git apply --numstat -z`: `added TAB deleted TAB path NUL`.
///
/// # Errors
/// When a path is outside of the tree or is not UTF-8.
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
                format!(
                    "reading a patch: the path `{}` is not UTF-8",
                    String::from_utf8_lossy(path)
                ),
                "use UTF-8 paths",
            ));
        };
        let path = Utf8PathBuf::from(path);
        let is_inside = path
            .components()
            .all(|part| matches!(part, Utf8Component::Normal(_)));
        if !is_inside || path.as_str().is_empty() {
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
pub(crate) enum Place {
    /// A hunk whose context lines are not in the file.
    Hunk {
        file: String,
        /// The hunk's number within that file's part of the patch, from 1.
        hunk: u32,
    },
    /// A file that cannot be patched.
    File { file: String, why: String },
    /// The patch is damaged or git rejects it.
    Patch { why: String },
}

impl Place {
    /// Returns a hint if the patch cannot apply to any tree, so that a rebase is no fix.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Self::Patch { why } = self else {
            return None;
        };
        let has = |messages: &[&str]| messages.iter().any(|message| why.contains(message));
        if has(&["without full index line", "corrupt binary patch"]) {
            return Some(
                "create patches of binary files with `git format-patch --binary --full-index`",
            );
        }
        let damaged = [
            "corrupt patch",
            "patch fragment without header",
            "No valid patches",
        ];
        has(&damaged).then_some("create the patch again with `git format-patch`")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hunk { file, hunk } => write!(f, "`{file}`: hunk {hunk} does not match"),
            Self::File { file, why } => write!(f, "`{file}`: {why}"),
            Self::Patch { why } => f.write_str(why),
        }
    }
}

/// Returns the places in the output of `git apply --reject --verbose`.
fn places(output: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut current = "";
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("Applying patch ") {
            current = rest.split(" with ").next().unwrap_or(rest);
        } else if let Some(number) = line.strip_prefix("Rejected hunk #") {
            let hunk = number.trim_end_matches('.').parse().unwrap_or(0);
            places.push(Place::Hunk {
                file: current.to_owned(),
                hunk,
            });
        } else if let Some(rest) = line.strip_prefix("error: ") {
            places.extend(from_error(rest));
        }
    }
    places
}

/// Returns the files whose mode differs from the patch, from git's warnings
/// `warning: FILE has type 100644, expected 100755`.
fn other_modes(output: &str) -> Vec<Place> {
    let place = |line: &str| {
        let (file, why) = line.strip_prefix("warning: ")?.rsplit_once(" has type ")?;
        Some(Place::File {
            file: file.to_owned(),
            why: format!("its mode is {why}"),
        })
    };
    output.lines().filter_map(place).collect()
}

fn from_error(rest: &str) -> Option<Place> {
    // The "Rejected hunk" lines have the hunk numbers.
    let redundant = ["patch failed: ", "while searching for:"];
    if redundant.iter().any(|prefix| rest.starts_with(prefix))
        || rest.ends_with("patch does not apply")
    {
        return None;
    }
    match rest.rsplit_once(": ") {
        Some((file, why)) if !file.contains(' ') => Some(Place::File {
            file: file.to_owned(),
            why: why.to_owned(),
        }),
        _ => Some(Place::Patch {
            why: rest.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::remove_below;

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
            [Place::Hunk {
                file: "f.c".into(),
                hunk: 2
            }]
        );
    }

    #[test]
    fn places_returns_missing_files_and_invalid_paths() {
        assert_eq!(
            places("error: drivers/x.c: No such file or directory\n"),
            [Place::File {
                file: "drivers/x.c".into(),
                why: "No such file or directory".into()
            }]
        );
        assert_eq!(
            places("error: invalid path '../x'\n"),
            [Place::Patch {
                why: "invalid path '../x'".into()
            }]
        );
    }
}
