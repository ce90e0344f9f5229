// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches files and folders for saves. An event does not name the file, because changes are
//! detected by content.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::SystemTime;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::watched_paths::WatchedPath;

/// Limit of the queued events. Further events are dropped, because the queued ones start an
/// iteration anyway.
const QUEUE_MAX: usize = 64;

/// An event from the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// A file was saved that a run may read.
    Saved,
    /// The system's queue overflowed and events were lost. The usual cause is an iteration
    /// that reads a whole kernel tree, because opening a file is an event too.
    Missed,
}

/// Device, inode and time of creation of a folder. They distinguish it from a folder that
/// replaced it, even with the same inode number.
type Identity = (u64, u64, Option<SystemTime>);

/// Watches the files and folders that a run reads.
#[derive(Debug)]
pub(super) struct Watcher {
    watcher: RecommendedWatcher,
    watched_paths: Vec<WatchedPath>,
    /// The trees that are watched, or cannot be watched.
    trees: BTreeMap<Utf8PathBuf, Identity>,
}

impl Watcher {
    /// Returns a watcher for `watched_paths` and the queue of its events. The paths are watched
    /// after the first call of `renew`.
    pub(super) fn open(
        watched_paths: Vec<WatchedPath>,
    ) -> anyhow::Result<(Self, Receiver<FileEvent>)> {
        let (queue, events) = sync_channel(QUEUE_MAX);
        let paths = watched_paths.clone();
        let watcher = notify::recommended_watcher(move |event| {
            if let Some(event) = file_event(&event, &paths) {
                let _ = queue.try_send(event);
            }
        })
        .context("cannot watch files")?;
        let watcher = Self {
            watcher,
            watched_paths,
            trees: BTreeMap::new(),
        };
        Ok((watcher, events))
    }

    /// Watches the current folders, such as a folder that replaced another. Returns notes for
    /// the user about trees that cannot be watched.
    ///
    /// # Errors
    /// When another folder than a tree cannot be watched.
    pub(super) fn renew(&mut self) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        for (path, mode) in folders_to_watch(&self.watched_paths) {
            let Some(now) = identity(&path) else {
                continue;
            };
            let is_tree = self.is_tree(&path);
            // It takes long to watch a tree again, and `notify` tracks its subfolders.
            if is_tree && self.trees.get(&path) == Some(&now) {
                continue;
            }
            match self.watcher.watch(path.as_std_path(), mode) {
                Ok(()) => {}
                Err(error) if is_tree => notes.push(not_watched(&path, &error)),
                Err(error) => anyhow::bail!("cannot watch `{path}`: {error}"),
            }
            if is_tree {
                self.trees.insert(path, now);
            }
        }
        Ok(notes)
    }

    fn is_tree(&self, path: &Utf8Path) -> bool {
        self.watched_paths
            .iter()
            .any(|watched| matches!(watched, WatchedPath::Tree(tree) if tree == path))
    }
}

fn not_watched(path: &Utf8Path, error: &notify::Error) -> String {
    let remedy = match error.kind {
        ErrorKind::MaxFilesWatch => " (`sysctl fs.inotify.max_user_watches` sets the limit)",
        _ => "",
    };
    format!(
        "`{path}` cannot be watched: {error}{remedy}; changes there are detected at the next \
         save of a patch or a scenario"
    )
}

/// Returns the folders to watch. A watch on a file ends when the file is replaced, so its
/// folder is watched. The parent of each folder is watched, too, to detect that the folder is
/// replaced. Folders inside a folder that is watched recursively are left out.
fn folders_to_watch(watched_paths: &[WatchedPath]) -> Vec<(Utf8PathBuf, RecursiveMode)> {
    let deep: Vec<&Utf8Path> = watched_paths
        .iter()
        .filter(|watched| !matches!(watched, WatchedPath::File(_)))
        .map(WatchedPath::path)
        .collect();
    let is_within = |path: &Utf8Path, excluded: Option<&Utf8Path>| {
        let mut others = deep.iter().filter(|folder| Some(**folder) != excluded);
        others.any(|folder| path.starts_with(folder))
    };
    let mut folders: BTreeMap<Utf8PathBuf, RecursiveMode> = BTreeMap::new();
    for watched in watched_paths {
        let above = watched
            .path()
            .parent()
            .filter(|path| !is_within(path, None));
        if let Some(above) = above {
            folders.insert(above.to_owned(), RecursiveMode::NonRecursive);
        }
    }
    for path in &deep {
        if !is_within(path, Some(path)) {
            folders.insert((*path).to_owned(), RecursiveMode::Recursive);
        }
    }
    folders.into_iter().collect()
}

fn identity(path: &Utf8Path) -> Option<Identity> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.created().ok()))
}

fn file_event(
    event: &notify::Result<notify::Event>,
    watched_paths: &[WatchedPath],
) -> Option<FileEvent> {
    let event = match event {
        Err(_) => return Some(FileEvent::Missed),
        Ok(event) if event.need_rescan() => return Some(FileEvent::Missed),
        Ok(event) => event,
    };
    let is_included = |path: &PathBuf| includes(watched_paths, path);
    let is_saved = is_save(event.kind) && event.paths.iter().any(is_included);
    is_saved.then_some(FileEvent::Saved)
}

fn includes(watched_paths: &[WatchedPath], path: &Path) -> bool {
    Utf8Path::from_path(path)
        .is_some_and(|path| watched_paths.iter().any(|watched| watched.includes(path)))
}

/// Returns whether an event may change the content of a file. Reading does not, and neither
/// does a new time or owner.
fn is_save(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    /// How long to wait for an event that must not come.
    const QUIET: Duration = Duration::from_millis(200);

    /// A folder to watch, with a path without symbolic links.
    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let path = path.canonicalize_utf8().unwrap();
        (dir, path)
    }

    fn open(watched_paths: Vec<WatchedPath>) -> (Watcher, Receiver<FileEvent>) {
        let (mut watcher, events) = Watcher::open(watched_paths).unwrap();
        assert!(watcher.renew().unwrap().is_empty());
        (watcher, events)
    }

    #[test]
    fn is_save_rejects_reads_and_metadata_changes() {
        use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};
        for kind in [
            EventKind::Access(AccessKind::Open(AccessMode::Any)),
            EventKind::Access(AccessKind::Close(AccessMode::Read)),
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
        ] {
            assert!(!is_save(kind), "{kind:?}");
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Modify(ModifyKind::Data(DataChange::Any)),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Create(CreateKind::File),
            EventKind::Remove(RemoveKind::File),
        ] {
            assert!(is_save(kind), "{kind:?}");
        }
    }

    #[test]
    fn file_event_distinguishes_saves_from_lost_events() {
        let watched_paths = [WatchedPath::Folder("/w/series".into())];
        let event = |path: &str| {
            let event = notify::Event::new(EventKind::Modify(ModifyKind::Any));
            Ok(event.add_path(path.into()))
        };
        assert_eq!(
            file_event(&event("/w/series/1.patch"), &watched_paths),
            Some(FileEvent::Saved)
        );
        assert_eq!(file_event(&event("/w/1.patch"), &watched_paths), None);
        let missed = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(
            file_event(&Ok(missed), &watched_paths),
            Some(FileEvent::Missed)
        );
    }

    #[test]
    fn folders_to_watch_include_the_parents() {
        use RecursiveMode::{NonRecursive, Recursive};
        let watched_paths = [
            WatchedPath::File("/w/mail/a.mbox".into()),
            WatchedPath::Folder("/w/linux/series".into()),
            WatchedPath::Folder("/w/ours/one".into()),
            WatchedPath::Folder("/w/ours/two".into()),
            WatchedPath::Tree("/w/linux".into()),
        ];
        let expected = [
            ("/w", NonRecursive),
            ("/w/linux", Recursive),
            ("/w/mail", NonRecursive),
            ("/w/ours", NonRecursive),
            ("/w/ours/one", Recursive),
            ("/w/ours/two", Recursive),
        ];
        let expected: Vec<_> = expected
            .map(|(path, mode)| (Utf8PathBuf::from(path), mode))
            .to_vec();
        assert_eq!(folders_to_watch(&watched_paths), expected);
    }

    #[test]
    fn events_report_a_replaced_file_once_and_ignore_its_neighbour() {
        let (_dir, folder) = folder();
        let (mail, neighbour) = (folder.join("a.mbox"), folder.join("b.mbox"));
        // Renaming a file from another folder is a single event in the folder of `mail`.
        let elsewhere = folder.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        for text in ["1", "2"] {
            fs::write(elsewhere.join(text), text).unwrap();
        }
        fs::write(&mail, "0").unwrap();
        let (_watcher, events) = open(vec![WatchedPath::File(mail.clone())]);
        for text in ["1", "2"] {
            // Events come in order: first the events of the neighbour.
            fs::write(&neighbour, text).unwrap();
            fs::remove_file(&neighbour).unwrap();
            fs::read(&mail).unwrap();
            fs::rename(elsewhere.join(text), &mail).unwrap();
            assert_eq!(events.recv_timeout(LIMIT), Ok(FileEvent::Saved));
            assert!(
                events.recv_timeout(QUIET).is_err(),
                "reported more than once"
            );
        }
    }

    #[test]
    fn renew_watches_a_replaced_folder() {
        let (_dir, folder) = folder();
        let series = folder.join("series");
        fs::create_dir(&series).unwrap();
        let (mut watcher, events) = open(vec![WatchedPath::Folder(series.clone())]);
        fs::remove_dir_all(&series).unwrap();
        events.recv_timeout(LIMIT).unwrap();
        fs::create_dir(&series).unwrap();
        watcher.renew().unwrap();
        // When another watcher reports `mark`, all earlier events have arrived.
        let (_other, mark) = open(vec![WatchedPath::Folder(series.clone())]);
        fs::write(series.join("mark"), "").unwrap();
        mark.recv_timeout(LIMIT).unwrap();
        events.recv_timeout(LIMIT).unwrap();
        while events.recv_timeout(QUIET).is_ok() {}
        fs::write(series.join("1.patch"), "x").unwrap();
        events.recv_timeout(LIMIT).unwrap();
    }
}
