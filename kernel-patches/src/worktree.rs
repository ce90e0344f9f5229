// SPDX-License-Identifier: GPL-2.0-only
//! The folder a kernel is built in: a copy of the tree that is turned from one
//! stack into the next by touching only the files that differ.
//!
//! All stacks of a tree and a profile share one copy and one object folder, so
//! that make rebuilds what changed and nothing else. A lock keeps two runs apart.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use testbed_host::cache::Cache;
use testbed_host::cancel::Cancel;
use testbed_host::events::{Activity, Observer};
use testbed_host::lock::FileLock;

use crate::content::ContentId;
use crate::error::Error;
use crate::scratch::write_file;
use crate::stack::{FileState, Overlay};
use crate::tree::Tree;

/// What the copy holds now; absent while a change is under way.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Of a fixed tree its id, of a live one the empty string.
    tree: String,
    /// Files copied from a live tree, by content.
    copied: BTreeMap<Utf8PathBuf, String>,
    /// Files that differ from the tree, by content.
    overlaid: BTreeMap<Utf8PathBuf, String>,
}

/// A locked build folder.
#[derive(Debug)]
pub struct WorkTree {
    home: Utf8PathBuf,
    _lock: FileLock,
}

impl WorkTree {
    /// Takes the build folder for `tree` and the profile named `profile`.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn take(
        cache: &Cache,
        tree: &Tree,
        profile: &str,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let home = cache.dir(&["work", &tree.place(), profile])?;
        let what = format!("the build folder of {} ({profile})", tree.label());
        let lock = FileLock::acquire(&home.join("lock"), &what, cancel, observer)?;
        Ok(Self { home, _lock: lock })
    }

    /// Returns the source folder.
    pub fn source(&self) -> Utf8PathBuf {
        self.home.join("src")
    }

    /// Returns the object folder.
    pub fn objects(&self) -> Utf8PathBuf {
        self.home.join("obj")
    }

    /// Returns the folder itself, for what is remembered from build to build.
    pub fn home(&self) -> &Utf8Path {
        &self.home
    }

    /// Turns the source folder into `tree` with `overlay` on it.
    ///
    /// # Errors
    /// When files cannot be copied or written.
    pub fn turn_into(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let memory = self.home.join("state.json");
        let before: Option<State> = fs::read(&memory)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // A change that is cut off half way must not be taken for a whole one.
        let _ = fs::remove_file(&memory);
        let now = match tree.index() {
            None => self.turn_fixed(tree, overlay, before, observer)?,
            Some(_) => self.turn_live(tree, overlay, before.unwrap_or_default(), observer)?,
        };
        let text = serde_json::to_vec(&now).map_err(Error::host("remembering a build folder"))?;
        fs::write(&memory, text).map_err(Error::host("remembering a build folder"))
    }

    fn turn_fixed(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        before: Option<State>,
        observer: &dyn Observer,
    ) -> Result<State, Error> {
        let before = match before {
            Some(state) if state.tree == tree.id() => state,
            _ => {
                let _activity =
                    Activity::start(observer, format!("copying {}", tree.label()), None);
                let _ = fs::remove_dir_all(self.source());
                link_tree(tree.root(), &self.source())?;
                State {
                    tree: tree.id().to_owned(),
                    ..State::default()
                }
            }
        };
        let overlaid = self.lay(tree, overlay, &before.overlaid)?;
        Ok(State { overlaid, ..before })
    }

    fn turn_live(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        before: State,
        observer: &dyn Observer,
    ) -> Result<State, Error> {
        let Some(index) = tree.index() else {
            return Ok(before);
        };
        let activity = Activity::start(
            observer,
            format!("copying {}", tree.label()),
            Some(index.len() as u64),
        );
        let mut copied = before.copied;
        let gone: Vec<Utf8PathBuf> = copied
            .keys()
            .filter(|path| !index.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            remove(&self.source().join(&path))?;
            copied.remove(&path);
        }
        for (count, (path, seen)) in index.iter().enumerate() {
            if count % 2000 == 0 {
                activity.advance(count as u64, path.as_str());
            }
            if copied.get(path) != Some(&seen.content) && !overlay.files().contains_key(path) {
                copy(
                    &tree.root().join(path),
                    &self.source().join(path),
                    seen.executable,
                )?;
                copied.insert(path.clone(), seen.content.clone());
            }
        }
        let overlaid = self.lay(tree, overlay, &before.overlaid)?;
        // An overlaid file is not the tree's; it is copied again when the overlay goes.
        copied.retain(|path, _| !overlaid.contains_key(path));
        Ok(State {
            tree: String::new(),
            copied,
            overlaid,
        })
    }

    /// Puts the overlay's files down, and the tree's own back where the last
    /// overlay had others. A file that is right already is not touched.
    fn lay(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        before: &BTreeMap<Utf8PathBuf, String>,
    ) -> Result<BTreeMap<Utf8PathBuf, String>, Error> {
        for path in before
            .keys()
            .filter(|path| !overlay.files().contains_key(*path))
        {
            let origin = tree.root().join(path);
            if origin.is_file() {
                let executable = tree
                    .index()
                    .is_some_and(|index| index.get(path).is_some_and(|seen| seen.executable));
                copy(&origin, &self.source().join(path), executable)?;
            } else {
                remove(&self.source().join(path))?;
            }
        }
        let mut laid = BTreeMap::new();
        for (path, state) in overlay.files() {
            let content = name_of(state.as_ref());
            if before.get(path) != Some(&content) {
                let target = self.source().join(path);
                match state {
                    Some(state) => write_file(&target, &state.bytes, state.executable)
                        .map_err(Error::host("writing a stack's file"))?,
                    None => remove(&target)?,
                }
            }
            laid.insert(path.clone(), content);
        }
        Ok(laid)
    }
}

fn name_of(state: Option<&FileState>) -> String {
    match state {
        Some(state) => ContentId::new("file")
            .part(&[u8::from(state.executable)])
            .part(&state.bytes)
            .finish(),
        None => "removed".to_owned(),
    }
}

fn remove(path: &Utf8Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::host("removing a file")(error))
        }
        _ => Ok(()),
    }
}

/// Copies a file with a fresh time stamp, so that make sees it changed.
fn copy(from: &Utf8Path, to: &Utf8Path, executable: bool) -> Result<(), Error> {
    let meta = fs::symlink_metadata(from).map_err(Error::host("reading the tree"))?;
    if meta.is_symlink() {
        let target = fs::read_link(from).map_err(Error::host("reading a link"))?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(Error::host("making a folder"))?;
        }
        remove(to)?;
        return fs_err::os::unix::fs::symlink(target, to).map_err(Error::host("copying a link"));
    }
    let bytes = fs::read(from).map_err(Error::host("reading the tree"))?;
    let executable = executable || {
        use std::os::unix::fs::PermissionsExt;
        meta.permissions().mode() & 0o111 != 0
    };
    write_file(to, &bytes, executable).map_err(Error::host("copying the tree"))
}

/// Makes a copy of a fixed tree out of hard links: nothing ever writes through
/// one, since every changed file is removed before it is written.
fn link_tree(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(Error::host(format!("reading `{from}`")))?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let Ok(below) = path.strip_prefix(from) else {
            continue;
        };
        let target = to.join(below);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(Error::host("making a folder"))?;
        } else if entry.file_type().is_symlink() || fs::hard_link(path, &target).is_err() {
            copy(path, &target, false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use testbed_host::events::Silent;

    use super::*;

    struct Ground {
        _dir: tempfile::TempDir,
        tree: Tree,
        cache: Cache,
    }

    fn ground() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        fs::create_dir_all(root.join("tree/sub")).unwrap();
        fs::write(root.join("tree/a"), "a").unwrap();
        fs::write(root.join("tree/sub/b"), "b").unwrap();
        let tree = Tree::fixed("t1", &root.join("tree"), "the tree");
        let cache = Cache::at(root.join("cache")).unwrap();
        Ground {
            _dir: dir,
            tree,
            cache,
        }
    }

    fn overlay(files: &[(&str, Option<&str>)]) -> Overlay {
        Overlay::from_files(
            files
                .iter()
                .map(|(path, text)| {
                    let state = text.map(|text| FileState {
                        bytes: text.into(),
                        executable: false,
                    });
                    (Utf8PathBuf::from(*path), state)
                })
                .collect(),
        )
    }

    #[test]
    fn turning_there_and_back_touches_only_what_differs_and_never_the_tree() {
        let Ground { _dir, tree, cache } = ground();
        let work = WorkTree::take(&cache, &tree, "p", &Cancel::new(), &Silent).unwrap();
        let read = |path: &str| fs::read_to_string(work.source().join(path)).ok();
        let changes = overlay(&[("a", Some("A")), ("sub/b", None), ("new/c", Some("c"))]);
        work.turn_into(&tree, &changes, &Silent).unwrap();
        assert_eq!((read("a"), read("sub/b")), (Some("A".into()), None));
        assert_eq!(read("new/c").as_deref(), Some("c"));
        let stamp = fs::metadata(work.source().join("a"))
            .unwrap()
            .modified()
            .unwrap();
        work.turn_into(&tree, &overlay(&[("a", Some("A"))]), &Silent)
            .unwrap();
        assert_eq!(
            fs::metadata(work.source().join("a"))
                .unwrap()
                .modified()
                .unwrap(),
            stamp
        );
        assert_eq!((read("sub/b").as_deref(), read("new/c")), (Some("b"), None));
        work.turn_into(&tree, &Overlay::default(), &Silent).unwrap();
        assert_eq!(read("a").as_deref(), Some("a"));
        assert_eq!(fs::read_to_string(tree.root().join("a")).unwrap(), "a");
    }
}
