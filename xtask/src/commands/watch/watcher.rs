// SPDX-License-Identifier: GPL-2.0-only
//! Hears from the system that something was saved. Says that it was, not what:
//! that is told by content.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::watched_paths::Root;

/// So many saves may be waiting to be looked at; of more, the rest say nothing new.
const WAITING_MAX: usize = 64;

/// What the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something was saved that a run may rest on.
    Saved,
    /// So much happened at once that some of it was not told. Mostly that is a iteration
    /// that reads a whole kernel tree, since opening a file is told too.
    Missed,
}

/// Which folder it was, not by name: one that was put in its place is another,
/// also when it got the number of the one before.
type Identity = (u64, u64, Option<SystemTime>);

/// Watches the places that a run rests on.
#[derive(Debug)]
pub(super) struct Watcher {
    watcher: RecommendedWatcher,
    watched_paths: Vec<Root>,
    /// The trees that are watched, or were tried to.
    trees: BTreeMap<Utf8PathBuf, Identity>,
}

impl Watcher {
    /// Begins to watch `watched_paths`, and returns where news arrives.
    ///
    /// # Errors
    /// When the system cannot watch files.
    pub(super) fn open(watched_paths: Vec<Root>) -> anyhow::Result<(Self, Receiver<News>)> {
        let (tell, news) = sync_channel(WAITING_MAX);
        let concern = watched_paths.clone();
        let watcher = notify::recommended_watcher(move |event| hear(event, &concern, &tell))
            .context("cannot watch files")?;
        let watcher = Self {
            watcher,
            watched_paths,
            trees: BTreeMap::new(),
        };
        Ok((watcher, news))
    }

    /// Watches what is there now, such as a folder that was put in the place of
    /// another, and returns what the user should know.
    ///
    /// # Errors
    /// When something cannot be watched that a save is expected in.
    pub(super) fn renew(&mut self) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        for (path, mode) in places(&self.watched_paths) {
            let Some(now) = identity(&path) else {
                continue;
            };
            let is_tree = self.is_tree(&path);
            // Thousands of folders; those that come and go within are looked after.
            if is_tree && self.trees.get(&path) == Some(&now) {
                continue;
            }
            match self.watcher.watch(path.as_std_path(), mode) {
                Ok(()) => {}
                Err(error) if is_tree => notes.push(blind(&path, &error)),
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
            .any(|root| matches!(root, Root::Tree(tree) if tree == path))
    }
}

fn blind(path: &Utf8Path, error: &notify::Error) -> String {
    let remedy = match error.kind {
        ErrorKind::MaxFilesWatch => " (`sysctl fs.inotify.max_user_watches` sets the limit)",
        _ => "",
    };
    format!(
        "`{path}` cannot be watched: {error}{remedy}; what is saved there is seen with the next \
         save of a patch or a scenario"
    )
}

/// Returns what to watch for these watched_paths: folders, since a file that is replaced
/// takes its watch with it; and the folder above each, which tells when the folder
/// itself is replaced. What is within a root that is watched with all below it
/// needs none of its own.
fn places(watched_paths: &[Root]) -> Vec<(Utf8PathBuf, RecursiveMode)> {
    let deep: Vec<&Utf8Path> = watched_paths
        .iter()
        .filter(|root| !matches!(root, Root::File(_)))
        .map(Root::path)
        .collect();
    let is_within = |path: &Utf8Path, but: Option<&Utf8Path>| {
        let mut others = deep.iter().filter(|one| Some(**one) != but);
        others.any(|one| path.starts_with(one))
    };
    let mut places: BTreeMap<Utf8PathBuf, RecursiveMode> = BTreeMap::new();
    for root in watched_paths {
        let above = root.path().parent().filter(|path| !is_within(path, None));
        if let Some(above) = above {
            places.insert(above.to_owned(), RecursiveMode::NonRecursive);
        }
    }
    for path in &deep {
        if !is_within(path, Some(path)) {
            places.insert((*path).to_owned(), RecursiveMode::Recursive);
        }
    }
    places.into_iter().collect()
}

fn identity(path: &Utf8Path) -> Option<Identity> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.created().ok()))
}

fn hear(event: notify::Result<notify::Event>, watched_paths: &[Root], tell: &SyncSender<News>) {
    if let Some(news) = news(&event, watched_paths) {
        // When many wait already, one more is no news.
        let _ = tell.try_send(news);
    }
}

fn news(event: &notify::Result<notify::Event>, watched_paths: &[Root]) -> Option<News> {
    let event = match event {
        Err(_) => return Some(News::Missed),
        Ok(event) if event.need_rescan() => return Some(News::Missed),
        Ok(event) => event,
    };
    let is_news =
        is_save(event.kind) && event.paths.iter().any(|path| concerns(watched_paths, path));
    is_news.then_some(News::Saved)
}

fn concerns(watched_paths: &[Root], path: &Path) -> bool {
    Utf8Path::from_path(path)
        .is_some_and(|path| watched_paths.iter().any(|root| root.concerns(path)))
}

/// Reading is no save, and neither is a new time or owner.
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
    /// A report that does not come in this time does not come.
    const QUIET: Duration = Duration::from_millis(200);

    /// A folder to watch, with a name that has no link in it.
    fn place() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let path = path.canonicalize_utf8().unwrap();
        (dir, path)
    }

    fn open(watched_paths: Vec<Root>) -> (Watcher, Receiver<News>) {
        let (mut watcher, news) = Watcher::open(watched_paths).unwrap();
        assert!(watcher.renew().unwrap().is_empty());
        (watcher, news)
    }

    #[test]
    fn reading_and_touching_are_no_saves() {
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
    fn a_save_is_told_from_what_was_missed() {
        let watched_paths = [Root::Folder("/w/series".into())];
        let event = |path: &str| {
            let event = notify::Event::new(EventKind::Modify(ModifyKind::Any));
            Ok(event.add_path(path.into()))
        };
        assert_eq!(
            news(&event("/w/series/1.patch"), &watched_paths),
            Some(News::Saved)
        );
        assert_eq!(news(&event("/w/1.patch"), &watched_paths), None);
        let missed = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(news(&Ok(missed), &watched_paths), Some(News::Missed));
    }

    #[test]
    fn folders_are_watched_with_the_one_above() {
        use RecursiveMode::{NonRecursive, Recursive};
        let watched_paths = [
            Root::File("/w/mail/a.mbox".into()),
            Root::Folder("/w/linux/series".into()),
            Root::Folder("/w/ours/one".into()),
            Root::Folder("/w/ours/two".into()),
            Root::Tree("/w/linux".into()),
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
        assert_eq!(places(&watched_paths), expected);
    }

    #[test]
    fn a_replaced_file_is_reported_once_and_its_neighbour_never() {
        let (_dir, place) = place();
        let (mail, neighbour) = (place.join("a.mbox"), place.join("b.mbox"));
        // A file that comes from another folder is one event in the folder of `mail`.
        let elsewhere = place.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        for text in ["1", "2"] {
            fs::write(elsewhere.join(text), text).unwrap();
        }
        fs::write(&mail, "0").unwrap();
        let (_eyes, news) = open(vec![Root::File(mail.clone())]);
        for text in ["1", "2"] {
            // Events come in order: those of the neighbour before that of `mail`.
            fs::write(&neighbour, text).unwrap();
            fs::remove_file(&neighbour).unwrap();
            fs::read(&mail).unwrap();
            fs::rename(elsewhere.join(text), &mail).unwrap();
            assert_eq!(news.recv_timeout(LIMIT), Ok(News::Saved));
            assert!(news.recv_timeout(QUIET).is_err(), "reported more than once");
        }
    }

    #[test]
    fn a_folder_that_is_made_anew_is_watched_anew() {
        let (_dir, place) = place();
        let series = place.join("series");
        fs::create_dir(&series).unwrap();
        let (mut watcher, news) = open(vec![Root::Folder(series.clone())]);
        fs::remove_dir_all(&series).unwrap();
        news.recv_timeout(LIMIT).unwrap();
        fs::create_dir(&series).unwrap();
        watcher.renew().unwrap();
        // Whatever was under way is through when this one is.
        let (_other, mark) = open(vec![Root::Folder(series.clone())]);
        fs::write(series.join("mark"), "").unwrap();
        mark.recv_timeout(LIMIT).unwrap();
        news.recv_timeout(LIMIT).unwrap();
        while news.recv_timeout(QUIET).is_ok() {}
        fs::write(series.join("1.patch"), "x").unwrap();
        news.recv_timeout(LIMIT).unwrap();
    }
}
