// SPDX-License-Identifier: GPL-2.0-only
//! The files of a live tree, by content.
//!
//! A user's directory has no commit to name it, so its files are hashed; size,
//! time and inode tell which have to be read again.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::content::ContentId;
use crate::error::Error;

/// Identity of a file of a live tree: enough to see that it changed, and its content's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Whether it may be executed.
    pub executable: bool,
    /// A name for its content.
    pub content: String,
}

/// The files of a live tree, by path.
pub type Index = BTreeMap<Utf8PathBuf, Seen>;

/// Returns whether a file of a tree is what a build inside it leaves behind, which
/// a build outside must not see. The path is relative to the tree.
pub fn is_build_product(path: &Utf8Path) -> bool {
    const FOLDERS: [&str; 4] = [
        "include/config",
        "include/generated",
        "arch/x86/include/generated",
        "debian",
    ];
    const ENDINGS: [&str; 7] = ["o", "a", "ko", "cmd", "mod", "order", "rej"];
    let top = matches!(
        path.as_str(),
        ".config" | ".config.old" | "vmlinux" | "System.map" | "tags"
    );
    let git = path
        .components()
        .next()
        .is_some_and(|part| part.as_str() == ".git");
    top || git
        || FOLDERS.iter().any(|folder| path.starts_with(folder))
        || path
            .extension()
            .is_some_and(|ending| ENDINGS.contains(&ending))
}

/// Returns the name of a plain file's content.
pub(crate) fn file_content(bytes: &[u8]) -> String {
    ContentId::new("file").part(bytes).finish()
}

/// Returns the same of a file as it lies there, which may be larger than memory.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let file = fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok(ContentId::new("file").part_from(file, bytes)?.finish())
}

/// Returns the name of a link's content, which is where it leads.
pub(crate) fn link_content(target: &std::path::Path) -> String {
    ContentId::new("link")
        .part(target.to_string_lossy().as_bytes())
        .finish()
}

/// What is remembered of a tree is no larger, in bytes: a kernel's takes some 20 MB.
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads the files below `root`; those that look as they did last time are not
/// read again. What was seen is kept in the file `memory`.
pub(crate) fn read(
    root: &Utf8Path,
    memory: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Index, Error> {
    let known: Vec<(String, Seen)> = read_plain(memory, MEMORY_BYTES_MAX)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let by_path: HashMap<&str, &Seen> = known
        .iter()
        .map(|(path, seen)| (path.as_str(), seen))
        .collect();
    let activity = Activity::start(observer, format!("reading {root}"), None);
    let mut files: Vec<(String, Seen)> = Vec::with_capacity(known.len());
    // The order in which paths compare: what is sorted already makes a map fast.
    let walk = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| below(root, entry).is_some_and(|path| !is_build_product(path)));
    for entry in walk {
        let entry = entry.map_err(Error::host(format!("reading `{root}`")))?;
        let Some(path) = below(root, &entry) else {
            continue;
        };
        let meta = entry
            .metadata()
            .map_err(Error::host(format!("reading `{root}/{path}`")))?;
        // A pipe or a socket is no source, and reading it might never end.
        if !meta.is_file() && !meta.is_symlink() {
            continue;
        }
        let seen = look_at(&root.join(path), &meta, by_path.get(path.as_str()).copied())?;
        files.push((path.to_string(), seen));
        if files.len().is_multiple_of(2000) {
            activity.advance(files.len() as u64, path.as_str());
        }
    }
    if files != known {
        let text = serde_json::to_vec(&files).map_err(Error::host("remembering a tree"))?;
        publish(memory, &text).map_err(Error::host("remembering a tree"))?;
    }
    let with_paths = |(path, seen)| (Utf8PathBuf::from(path), seen);
    Ok(files.into_iter().map(with_paths).collect())
}

/// Returns the path of an entry below `root`; one that is not UTF-8 is no source.
fn below<'a>(root: &Utf8Path, entry: &'a walkdir::DirEntry) -> Option<&'a Utf8Path> {
    let path = Utf8Path::from_path(entry.path())?.as_str();
    let below = path.strip_prefix(root.as_str())?;
    Some(Utf8Path::new(below.trim_start_matches('/')))
}

/// Returns a file's identity; its content is read unless it looks as it did when
/// it was `known`.
fn look_at(path: &Utf8Path, meta: &Metadata, known: Option<&Seen>) -> Result<Seen, Error> {
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let known = known.filter(|seen| {
        (seen.bytes, seen.mtime_ns, seen.inode) == (meta.len(), mtime_ns, meta.ino())
    });
    let content = match known {
        Some(seen) => seen.content.clone(),
        None if meta.is_symlink() => {
            let target = fs::read_link(path).map_err(Error::host("reading a link"))?;
            link_content(&target)
        }
        None => content_of(path).map_err(Error::host("reading the tree"))?,
    };
    Ok(Seen {
        bytes: meta.len(),
        mtime_ns,
        inode: meta.ino(),
        executable: meta.permissions().mode() & 0o111 != 0,
        content,
    })
}

#[cfg(test)]
mod tests {
    use patchbed_host::events::Silent;

    use super::*;

    #[test]
    fn what_changed_is_seen_and_what_did_not_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let memory = root.with_extension("json");
        fs::create_dir_all(root.join("a")).unwrap();
        for (path, text) in [("a/z", "1"), ("a.c", "2"), ("b", "3")] {
            fs::write(root.join(path), text).unwrap();
        }
        let first = read(&root, &memory, &Silent).unwrap();
        let paths: Vec<&str> = first.keys().map(|path| path.as_str()).collect();
        assert_eq!(paths, ["a/z", "a.c", "b"]);
        assert_eq!(read(&root, &memory, &Silent).unwrap(), first);
        fs::write(root.join("b"), "longer").unwrap();
        fs::remove_file(root.join("a.c")).unwrap();
        let second = read(&root, &memory, &Silent).unwrap();
        assert_eq!(second.len(), 2);
        assert_eq!(second[Utf8Path::new("a/z")], first[Utf8Path::new("a/z")]);
        assert_eq!(second[Utf8Path::new("b")].content, file_content(b"longer"));
    }

    #[test]
    fn a_memory_that_is_no_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let memory = root.with_extension("json");
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("f"), "text").unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&memory)
            .status()
            .unwrap();
        assert!(made.success());
        let files = read(&root, &memory, &Silent).unwrap();
        assert_eq!(files[Utf8Path::new("f")].content, file_content(b"text"));
        assert!(memory.is_file(), "and is remembered there from now on");
    }

    #[test]
    fn build_products_are_not_source() {
        for path in [
            ".config",
            "include/generated/x.h",
            "kernel/fork.o",
            ".git/HEAD",
        ] {
            assert!(is_build_product(Utf8Path::new(path)), "{path}");
        }
        for path in [
            "kernel/fork.c",
            "include/linux/config.h",
            "kernel/configs/debug.config",
        ] {
            assert!(!is_build_product(Utf8Path::new(path)), "{path}");
        }
    }
}
