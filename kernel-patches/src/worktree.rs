// SPDX-License-Identifier: MIT OR Apache-2.0
//! The build folder of a kernel: a copy of the tree that is switched between checkouts by
//! writing only the files that differ.
//!
//! All checkouts of a tree and a config share one copy and one object folder, so that
//! make rebuilds only the changed files. A lock excludes concurrent runs.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::{is_executable, missing_is_removed, read_json, walk, write_json};
use patchbed_host::lock::FileLock;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::overlay::{FileState, Overlay, remove_below, write_below, write_state};
use crate::tree::{Index, Tree, file_content, link_content};

/// Increase when a change of the build steps changes their output: all kernels get new
/// ids, and the objects in build folders are deleted.
pub(crate) const BUILD_FORMAT: &str = "4";
const STATE: &str = "state.json";
/// Size limit of the state, in bytes; a live kernel tree has about 10 MB.
const STATE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The format of build folders whose state has no `format`.
const UNNAMED_FORMAT: &str = "4";

/// Content ids of files.
pub(crate) type Contents = BTreeMap<Utf8PathBuf, String>;

/// The content of the source folder; the file is deleted while the folder changes.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The [`BUILD_FORMAT`] of the objects.
    #[serde(default = "unnamed_format")]
    format: String,
    /// The id of a fixed tree; empty for a live tree.
    tree: String,
    /// Content ids of files copied from a live tree. Strings compare faster than paths.
    copied: BTreeMap<String, String>,
    /// Content ids of files that differ from the tree.
    overlaid: Contents,
}

fn unnamed_format() -> String {
    UNNAMED_FORMAT.to_owned()
}

impl State {
    fn empty() -> Self {
        Self {
            format: BUILD_FORMAT.to_owned(),
            ..Self::default()
        }
    }

    /// Reads the state; `None` if it is unknown or if the objects have another format,
    /// since make would reuse them.
    fn read(home: &Utf8Path) -> Option<Self> {
        let state: Self = read_json(&home.join(STATE), STATE_BYTES_MAX)?;
        (state.format == BUILD_FORMAT).then_some(state)
    }
}

/// A locked build folder.
#[derive(Debug)]
pub struct WorkTree {
    home: Utf8PathBuf,
    _lock: FileLock,
}

/// Identifies the last switch of a source folder, which rewrites the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(std::time::SystemTime, u64)>);

impl WorkTree {
    /// Locks the build folder for `tree` and the config `config`.
    pub fn lock(tree: &Tree, config: &str, context: &Context) -> Result<Self, Error> {
        let home = context.cache.dir(&["work", &tree.place(), config])?;
        let name = format!("the build folder of {} ({config})", tree.label());
        let lock = context.lock(&home.join("lock"), &name)?;
        Ok(Self { home, _lock: lock })
    }

    /// Returns the files that differ from `tree` in the build folder of a config. The
    /// folder is not locked, so the result may be outdated; use it for estimates only.
    pub(crate) fn peek(cache: &Cache, tree: &Tree, config: &str) -> Result<Contents, Error> {
        let home = cache.dir(&["work", &tree.place(), config])?;
        Ok(State::read(&home).map_or_else(Contents::new, |state| state.overlaid))
    }

    /// Returns the source folder.
    pub fn source(&self) -> Utf8PathBuf {
        self.home.join("src")
    }

    /// Returns the object folder.
    pub fn objects(&self) -> Utf8PathBuf {
        self.home.join("obj")
    }

    /// Returns the build folder, which also stores state between builds.
    pub fn home(&self) -> &Utf8Path {
        &self.home
    }

    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        let meta = fs::metadata(self.home.join(STATE));
        let state = match meta.and_then(|meta| Ok((meta.modified()?, meta.ino()))) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            state => Some(state.doing("reading the state of a build folder")?),
        };
        Ok(Stamp(state))
    }

    /// Switches the source folder to `tree` with `overlay`.
    pub fn switch_to(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let state_file = self.home.join(STATE);
        let before = State::read(&self.home);
        // An interrupted switch must leave no state file.
        let _ = fs::remove_file(&state_file);
        let now = match tree.index() {
            None => self.switch_fixed(tree, overlay, before, observer)?,
            Some(index) => self.switch_live(tree, index, overlay, before, observer)?,
        };
        write_json(&state_file, &now).doing("writing the state of a build folder")
    }

    fn switch_fixed(
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
                let name = format!("copying {}", tree.label());
                let _activity = Activity::start(observer, name, None);
                self.start_over()?;
                link_tree(tree, &self.source())?;
                State {
                    tree: tree.id().to_owned(),
                    ..State::empty()
                }
            }
        };
        let overlaid = self.write_overlay(tree, overlay, &before.overlaid)?;
        Ok(State { overlaid, ..before })
    }

    /// Deletes source and objects. Hard links have the old modification times of the tree,
    /// so make would treat objects of another checkout as up to date.
    fn start_over(&self) -> Result<(), Error> {
        let doing = "clearing a build folder";
        for folder in [self.source(), self.objects()] {
            missing_is_removed(fs::remove_dir_all(folder)).doing(doing)?;
        }
        for state in ["configured", "headers.key"] {
            missing_is_removed(fs::remove_file(self.home.join(state))).doing(doing)?;
        }
        Ok(())
    }

    fn switch_live(
        &self,
        tree: &Tree,
        index: &Index,
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
        let name = format!("copying {}", tree.label());
        let activity = Activity::start(observer, name, Some(index.len() as u64));
        let mut copied = before.copied;
        let paths: HashSet<&str> = index.keys().map(|path| path.as_str()).collect();
        let gone = |path: &String| !paths.contains(path.as_str());
        for path in copied.keys().filter(|path| gone(path)) {
            write_state(&self.source(), Utf8Path::new(path), None)?;
        }
        copied.retain(|path, _| !gone(path));
        for (count, (path, file)) in index.iter().enumerate() {
            if count % 2000 == 0 {
                activity.advance(count as u64, path.as_str());
            }
            let is_current = copied.get(path.as_str()) == Some(&file.content);
            if !is_current && !overlay.files().contains_key(path) {
                copy_file(tree, &self.source(), path)?;
                copied.insert(path.to_string(), file.content.clone());
            }
        }
        let overlaid = self.write_overlay(tree, overlay, &before.overlaid)?;
        // Overlaid files are copied again when a later overlay does not have them.
        for path in overlaid.keys() {
            copied.remove(path.as_str());
        }
        Ok(State {
            copied,
            overlaid,
            ..State::empty()
        })
    }

    /// Writes the overlay's files and restores the tree's files that only the previous
    /// overlay changed. Files with the right content are not touched.
    fn write_overlay(
        &self,
        tree: &Tree,
        overlay: &Overlay,
        before: &Contents,
    ) -> Result<Contents, Error> {
        let (source, files) = (self.source(), overlay.files());
        for path in before.keys().filter(|path| !files.contains_key(*path)) {
            match fs::symlink_metadata(tree.root().join(path)) {
                Ok(_) => copy_file(tree, &source, path)?,
                Err(_) => write_state(&source, path, None)?,
            }
        }
        let now = contents(overlay);
        for (path, content) in &now {
            if before.get(path) != Some(content) {
                write_state(&source, path, files[path].as_ref())?;
            }
        }
        Ok(now)
    }
}

pub(crate) fn contents(overlay: &Overlay) -> Contents {
    let content = |state: &FileState| {
        let id = ContentId::new("file").part([u8::from(state.executable)]);
        id.part(&state.bytes).finish()
    };
    let with_id = |(path, state): (&Utf8PathBuf, &Option<FileState>)| {
        let content = state.as_ref().map_or_else(|| "removed".to_owned(), content);
        (path.clone(), content)
    };
    overlay.files().iter().map(with_id).collect()
}

/// Copies a file or symbolic link with the current time as modification time, so that make
/// rebuilds its objects. Fails if a file of a live tree changed since it was hashed.
pub(crate) fn copy_file(tree: &Tree, to: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
    let source = tree.root().join(path);
    let meta = fs::symlink_metadata(&source).doing("reading the tree")?;
    let content = if meta.is_symlink() {
        let target = fs::read_link(&source).doing("reading a symbolic link")?;
        // Creates the folders and removes symbolic links in the path.
        write_below(to, path, b"", false).doing("copying a symbolic link")?;
        remove_below(to, path).doing("copying a symbolic link")?;
        fs_err::os::unix::fs::symlink(&target, to.join(path)).doing("copying a symbolic link")?;
        link_content(&target)
    } else {
        let bytes = fs::read(&source).doing("reading the tree")?;
        write_below(to, path, &bytes, is_executable(&meta)).doing("copying the tree")?;
        file_content(&bytes)
    };
    let file = tree.index().and_then(|index| index.get(path));
    if file.is_some_and(|file| file.content != content) {
        return Err(Error::input(
            format!("copying {}: `{path}` changed during the run", tree.label()),
            "run again without editing the tree",
        ));
    }
    Ok(())
}

/// Copies a fixed tree by hard links. Changed files are removed before they are written,
/// so the tree does not change.
fn link_tree(tree: &Tree, to: &Utf8Path) -> Result<(), Error> {
    let from = tree.root();
    for entry in walk(from) {
        let (path, kind) = entry.doing(format!("reading `{from}`"))?;
        let target = to.join(&path);
        if kind.is_dir() {
            fs::create_dir_all(&target).doing("creating a folder")?;
        } else if kind.is_symlink() || fs::hard_link(from.join(&path), &target).is_err() {
            copy_file(tree, to, &path)?;
        }
    }
    Ok(())
}

/// Returns the indexes of `checkouts` in a greedy order, since each file that differs from the
/// previous checkout rebuilds its dependents: starting with the folder's content
/// `now`, the next checkout is the nearest; ties keep the given order.
pub(crate) fn nearest_first(now: &Contents, checkouts: &[Contents]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..checkouts.len()).collect();
    let mut order = Vec::new();
    let mut here = now;
    while let Some(at) = (0..left.len()).min_by_key(|&at| distance(here, &checkouts[left[at]])) {
        let nearest = left.remove(at);
        here = &checkouts[nearest];
        order.push(nearest);
    }
    order
}

/// Returns the number of files that differ. A header counts for the files that include it.
fn distance(from: &Contents, to: &Contents) -> usize {
    const INCLUDERS: usize = 20;
    from.keys()
        .chain(to.keys().filter(|path| !from.contains_key(*path)))
        .filter(|path| from.get(*path) != to.get(*path))
        .map(|path| match path.extension() {
            Some("h") => INCLUDERS,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use patchbed_host::cancel::Cancel;
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

    fn lock(tree: &Tree, cache: &Cache) -> Result<WorkTree, Error> {
        let context = Context {
            cache: cache.clone(),
            cancel: Cancel::new(),
            observer: Arc::new(Silent),
        };
        WorkTree::lock(tree, "p", &context)
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
    fn switch_to_deletes_objects_without_a_state_file() {
        let Fixture { _dir, tree, cache } = fixture();
        let work = lock(&tree, &cache).unwrap();
        work.switch_to(&tree, &overlay(&[("a", Some("A"))]), &Silent)
            .unwrap();
        fs::create_dir_all(work.objects()).unwrap();
        fs::write(work.objects().join("a.o"), "object of A").unwrap();
        fs::remove_file(work.home().join("state.json")).unwrap();
        work.switch_to(&tree, &Overlay::default(), &Silent).unwrap();
        assert!(!work.objects().join("a.o").exists());
    }

    #[test]
    fn switch_to_deletes_objects_of_another_format() {
        let Fixture { _dir, tree, cache } = fixture();
        let work = lock(&tree, &cache).unwrap();
        let object = work.objects().join("a.o");
        let state = work.home().join(STATE);
        let stays_when_format_is = |format: Option<&str>| {
            work.switch_to(&tree, &Overlay::default(), &Silent).unwrap();
            fs::create_dir_all(work.objects()).unwrap();
            fs::write(&object, "").unwrap();
            let named = format!("\"format\":\"{BUILD_FORMAT}\",");
            let text = fs::read_to_string(&state).unwrap();
            assert!(text.contains(&named), "{text}");
            let other = format.map_or(String::new(), |format| format!("\"format\":\"{format}\","));
            fs::write(&state, text.replace(&named, &other)).unwrap();
            work.switch_to(&tree, &Overlay::default(), &Silent).unwrap();
            object.exists()
        };
        assert!(stays_when_format_is(Some(BUILD_FORMAT)));
        assert!(!stays_when_format_is(Some("other")));
        assert_eq!(stays_when_format_is(None), UNNAMED_FORMAT == BUILD_FORMAT);
    }

    #[test]
    fn switch_to_writes_only_changed_files_and_never_the_tree() {
        let Fixture { _dir, tree, cache } = fixture();
        let work = lock(&tree, &cache).unwrap();
        let read = |path: &str| fs::read_to_string(work.source().join(path)).ok();
        let changes = overlay(&[("a", Some("A")), ("sub/b", None), ("new/c", Some("c"))]);
        work.switch_to(&tree, &changes, &Silent).unwrap();
        assert_eq!((read("a"), read("sub/b")), (Some("A".into()), None));
        assert_eq!(read("new/c").as_deref(), Some("c"));
        let stamp = fs::metadata(work.source().join("a"))
            .unwrap()
            .modified()
            .unwrap();
        work.switch_to(&tree, &overlay(&[("a", Some("A"))]), &Silent)
            .unwrap();
        assert_eq!(
            fs::metadata(work.source().join("a"))
                .unwrap()
                .modified()
                .unwrap(),
            stamp
        );
        assert_eq!((read("sub/b").as_deref(), read("new/c")), (Some("b"), None));
        work.switch_to(&tree, &Overlay::default(), &Silent).unwrap();
        assert_eq!(read("a").as_deref(), Some("a"));
        assert_eq!(fs::read_to_string(tree.root().join("a")).unwrap(), "a");
    }

    fn contents(files: &[(&str, &str)]) -> Contents {
        files
            .iter()
            .map(|(path, content)| ((*path).into(), (*content).to_owned()))
            .collect()
    }

    #[test]
    fn nearest_first_starts_at_the_current_content() {
        let base = contents(&[]);
        let series = contents(&[("f.c", "new"), ("f.h", "new")]);
        let mutant = contents(&[("f.c", "broken"), ("f.h", "new")]);
        let checkouts = [base.clone(), series.clone(), mutant];
        assert_eq!(nearest_first(&base, &checkouts), [0, 1, 2]);
        assert_eq!(nearest_first(&series, &checkouts), [1, 2, 0]);
        assert_eq!(nearest_first(&base, &[]), Vec::<usize>::new());
    }

    #[test]
    fn nearest_first_counts_a_header_as_many_files() {
        let now = contents(&[]);
        let header = contents(&[("f.h", "new")]);
        let files = contents(&[("a.c", "new"), ("b.c", "new"), ("c.c", "new")]);
        assert_eq!(nearest_first(&now, &[header, files]), [1, 0]);
    }
}
