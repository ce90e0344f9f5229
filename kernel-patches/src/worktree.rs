// SPDX-License-Identifier: GPL-2.0-only
//! The folder a kernel is built in: a copy of the tree that is turned from one
//! checkout into the next by touching only the files that differ.
//!
//! All checkouts of a tree and a config share one copy and one object folder, so
//! that make rebuilds what changed and nothing else. A lock keeps two runs apart.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::lock::FileLock;
use serde::{Deserialize, Serialize};

use crate::content::ContentId;
use crate::error::Error;
use crate::index;
use crate::kernel::BUILD_FORMAT;
use crate::overlay::{FileState, Overlay};
use crate::scratch::{remove_below, write_below};
use crate::tree::Tree;

/// Remembers what a build folder's copy holds.
const STATE: &str = "state.json";
/// The format of build folders that do not name theirs.
const UNNAMED_FORMAT: &str = "4";

/// Files by what is in them.
pub(crate) type Contents = BTreeMap<Utf8PathBuf, String>;

/// What the copy holds now; absent while a change is under way.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The way of building that the objects came from.
    #[serde(default = "unnamed_format")]
    format: String,
    /// Of a fixed tree its id, of a live one the empty string.
    tree: String,
    /// Files copied from a live tree, by content. They are many, and compare faster
    /// as text than as paths.
    copied: BTreeMap<String, String>,
    /// Files that differ from the tree, by content.
    overlaid: Contents,
}

fn unnamed_format() -> String {
    UNNAMED_FORMAT.to_owned()
}

impl State {
    /// Returns that of an empty folder.
    fn empty() -> Self {
        Self {
            format: BUILD_FORMAT.to_owned(),
            tree: String::new(),
            copied: BTreeMap::new(),
            overlaid: Contents::new(),
        }
    }

    /// Reads what is known. Of a folder with objects that another way of building
    /// made, nothing is: make would keep them.
    fn read(home: &Utf8Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&fs::read(home.join(STATE)).ok()?).ok()?;
        (state.format == BUILD_FORMAT).then_some(state)
    }
}

/// A locked build folder.
#[derive(Debug)]
pub struct WorkTree {
    home: Utf8PathBuf,
    _lock: FileLock,
}

/// When a source folder was last turned: every turn writes its state anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(std::time::SystemTime, u64)>);

impl WorkTree {
    /// Takes the build folder for `tree` and the config named `config`.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn take(
        cache: &Cache,
        tree: &Tree,
        config: &str,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let home = cache.dir(&["work", &tree.place(), config])?;
        let what = format!("the build folder of {} ({config})", tree.label());
        let lock = FileLock::acquire(&home.join("lock"), &what, cancel, observer)?;
        Ok(Self { home, _lock: lock })
    }

    /// Returns the files that differ from the tree in what the build folder of
    /// `tree` and a config holds now, by content; looked up without its lock,
    /// so it is good for guesses only.
    pub(crate) fn peek(cache: &Cache, tree: &Tree, config: &str) -> Result<Contents, Error> {
        let home = cache.dir(&["work", &tree.place(), config])?;
        Ok(State::read(&home)
            .map(|state| state.overlaid)
            .unwrap_or_default())
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

    /// Returns by what it is told that the source folder was turned meanwhile, into
    /// whatever.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        match fs::metadata(self.home.join(STATE)) {
            Ok(meta) => Ok(Stamp(Some((
                meta.modified()
                    .map_err(Error::host("looking at a build folder"))?,
                meta.ino(),
            )))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Stamp(None)),
            Err(error) => Err(Error::host("looking at a build folder")(error)),
        }
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
        let memory = self.home.join(STATE);
        let before = State::read(&self.home);
        // A change that is cut off half way must not be taken for a whole one.
        let _ = fs::remove_file(&memory);
        let now = match tree.index() {
            None => self.turn_fixed(tree, overlay, before, observer)?,
            Some(_) => self.turn_live(tree, overlay, before, observer)?,
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
        let is_whole = self.source().join("Makefile").is_file();
        let before = match before.filter(|state| is_whole && state.tree == tree.id()) {
            Some(state) => state,
            None => {
                let _activity =
                    Activity::start(observer, format!("copying {}", tree.label()), None);
                self.start_over()?;
                link_tree(tree.root(), &self.source())?;
                State {
                    tree: tree.id().to_owned(),
                    ..State::empty()
                }
            }
        };
        let overlaid = self.lay(tree, overlay, &before.overlaid)?;
        Ok(State { overlaid, ..before })
    }

    /// Forgets source and objects: links to the tree's files are as old as those,
    /// and make would take an object of another checkout for newer than its source.
    fn start_over(&self) -> Result<(), Error> {
        for folder in [self.source(), self.objects()] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::host("clearing a build folder")(error));
                }
                _ => {}
            }
        }
        for memory in ["configured", "headers.key"] {
            match fs::remove_file(self.home.join(memory)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::host("clearing a build folder")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn turn_live(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        before: Option<State>,
        observer: &dyn Observer,
    ) -> Result<State, Error> {
        let before = match before {
            Some(state) => state,
            None => {
                self.start_over()?;
                State::empty()
            }
        };
        let Some(index) = tree.index() else {
            return Ok(before);
        };
        let activity = Activity::start(
            observer,
            format!("copying {}", tree.label()),
            Some(index.len() as u64),
        );
        let mut copied = before.copied;
        let there: HashSet<&str> = index.keys().map(|path| path.as_str()).collect();
        let gone = |path: &String| !there.contains(path.as_str());
        for path in copied.keys().filter(|path| gone(path)) {
            self.remove(Utf8Path::new(path))?;
        }
        copied.retain(|path, _| !gone(path));
        for (count, (path, seen)) in index.iter().enumerate() {
            if count % 2000 == 0 {
                activity.advance(count as u64, path.as_str());
            }
            let is_right = copied.get(path.as_str()) == Some(&seen.content);
            if !is_right && !overlay.files().contains_key(path) {
                self.copy(tree, path)?;
                copied.insert(path.to_string(), seen.content.clone());
            }
        }
        let overlaid = self.lay(tree, overlay, &before.overlaid)?;
        // An overlaid file is not the tree's; it is copied again when the overlay goes.
        for path in overlaid.keys() {
            copied.remove(path.as_str());
        }
        Ok(State {
            copied,
            overlaid,
            ..State::empty()
        })
    }

    /// Puts the overlay's files down, and the tree's own back where the last
    /// overlay had others. A file that is right already is not touched.
    fn lay(&self, tree: &Tree, overlay: &Overlay, before: &Contents) -> Result<Contents, Error> {
        let gone = before
            .keys()
            .filter(|path| !overlay.files().contains_key(*path));
        for path in gone {
            if fs::symlink_metadata(tree.root().join(path)).is_ok() {
                self.copy(tree, path)?;
            } else {
                self.remove(path)?;
            }
        }
        let mut laid = BTreeMap::new();
        for (path, state) in overlay.files() {
            let content = name_of(state.as_ref());
            if before.get(path) != Some(&content) {
                match state {
                    Some(state) => {
                        write_below(&self.source(), path, &state.bytes, state.executable)
                            .map_err(Error::host("writing a checkout's file"))?;
                    }
                    None => self.remove(path)?,
                }
            }
            laid.insert(path.clone(), content);
        }
        Ok(laid)
    }

    fn remove(&self, path: &Utf8Path) -> Result<(), Error> {
        remove_below(&self.source(), path).map_err(Error::host("removing a file"))
    }

    /// Copies a file with a fresh time stamp, so that make sees it changed. What
    /// a live tree's file holds must still be what its id was made from.
    fn copy(&self, tree: &Tree, path: &Utf8Path) -> Result<(), Error> {
        let content = copy(tree.root(), &self.source(), path)?;
        let seen = tree.index().and_then(|index| index.get(path));
        if seen.is_some_and(|seen| seen.content != content) {
            return Err(Error::input(
                format!("`{path}` of {} changed while it was read", tree.label()),
                "run it again when the tree is at rest",
            ));
        }
        Ok(())
    }
}

/// Returns an overlay's files by what is in them.
pub(crate) fn contents(overlay: &Overlay) -> Contents {
    let named =
        |(path, state): (&Utf8PathBuf, &Option<FileState>)| (path.clone(), name_of(state.as_ref()));
    overlay.files().iter().map(named).collect()
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

/// Copies one file or link between folders, with a fresh time stamp; returns
/// the name of its content.
fn copy(from: &Utf8Path, to: &Utf8Path, path: &Utf8Path) -> Result<String, Error> {
    let source = from.join(path);
    let meta = fs::symlink_metadata(&source).map_err(Error::host("reading the tree"))?;
    if meta.is_symlink() {
        let target = fs::read_link(&source).map_err(Error::host("reading a link"))?;
        // An empty file first: it makes the folders and clears the way.
        write_below(to, path, b"", false).map_err(Error::host("copying a link"))?;
        remove_below(to, path).map_err(Error::host("copying a link"))?;
        fs_err::os::unix::fs::symlink(&target, to.join(path))
            .map_err(Error::host("copying a link"))?;
        return Ok(index::link_content(&target));
    }
    let bytes = fs::read(&source).map_err(Error::host("reading the tree"))?;
    let executable = meta.permissions().mode() & 0o111 != 0;
    write_below(to, path, &bytes, executable).map_err(Error::host("copying the tree"))?;
    Ok(index::file_content(&bytes))
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
            copy(from, to, below)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use patchbed_host::events::Silent;

    use super::*;

    struct Fixture {
        _dir: tempfile::TempDir,
        tree: Tree,
        cache: Cache,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        fs::create_dir_all(root.join("tree/sub")).unwrap();
        fs::write(root.join("tree/a"), "a").unwrap();
        fs::write(root.join("tree/Makefile"), "").unwrap();
        fs::write(root.join("tree/sub/b"), "b").unwrap();
        let tree = Tree::fixed("t1", &root.join("tree"), "the tree");
        let cache = Cache::at(root.join("cache")).unwrap();
        Fixture {
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
    fn a_copy_of_unknown_state_does_not_keep_its_objects() {
        let Fixture { _dir, tree, cache } = fixture();
        let work = WorkTree::take(&cache, &tree, "p", &Cancel::new(), &Silent).unwrap();
        work.turn_into(&tree, &overlay(&[("a", Some("A"))]), &Silent)
            .unwrap();
        fs::create_dir_all(work.objects()).unwrap();
        fs::write(work.objects().join("a.o"), "made from A").unwrap();
        fs::remove_file(work.home().join("state.json")).unwrap();
        work.turn_into(&tree, &Overlay::default(), &Silent).unwrap();
        assert!(!work.objects().join("a.o").exists());
    }

    #[test]
    fn objects_of_another_way_of_building_go_and_those_of_an_unnamed_one_stay() {
        let Fixture { _dir, tree, cache } = fixture();
        let work = WorkTree::take(&cache, &tree, "p", &Cancel::new(), &Silent).unwrap();
        let object = work.objects().join("a.o");
        let state = work.home().join(STATE);
        let stays_when_format_is = |format: Option<&str>| {
            work.turn_into(&tree, &Overlay::default(), &Silent).unwrap();
            fs::create_dir_all(work.objects()).unwrap();
            fs::write(&object, "").unwrap();
            let named = format!("\"format\":\"{BUILD_FORMAT}\",");
            let text = fs::read_to_string(&state).unwrap();
            assert!(text.contains(&named), "{text}");
            let other = format.map_or(String::new(), |format| format!("\"format\":\"{format}\","));
            fs::write(&state, text.replace(&named, &other)).unwrap();
            work.turn_into(&tree, &Overlay::default(), &Silent).unwrap();
            object.exists()
        };
        assert!(stays_when_format_is(Some(BUILD_FORMAT)));
        assert!(!stays_when_format_is(Some("other")));
        assert_eq!(stays_when_format_is(None), UNNAMED_FORMAT == BUILD_FORMAT);
    }

    #[test]
    fn turning_there_and_back_touches_only_what_differs_and_never_the_tree() {
        let Fixture { _dir, tree, cache } = fixture();
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
