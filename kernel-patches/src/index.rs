// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content ids of the files of a live tree.
//!
//! A directory has no commit id, so its files are hashed. A file is read again only if
//! its size, modification time or inode changed.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::{is_executable, read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::arch;
use crate::error::{Doing, Error};

/// A file of a live tree: the fields that detect a change, and its content id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Whether it is executable.
    pub executable: bool,
    /// Content id.
    pub content: String,
}

/// The files of a live tree, by path.
pub type Index = BTreeMap<Utf8PathBuf, FileRecord>;

/// Returns whether a file, by its path relative to the tree, is left from an in-tree
/// build. An out-of-tree build must not
/// use these files.
pub fn is_build_product(path: &Utf8Path) -> bool {
    const FOLDERS: [&str; 3] = ["include/config", "include/generated", "debian"];
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
        || arch::is_generated(path)
        || FOLDERS.iter().any(|folder| path.starts_with(folder))
        || path
            .extension()
            .is_some_and(|ending| ENDINGS.contains(&ending))
}

pub(crate) fn file_content(bytes: &[u8]) -> String {
    ContentId::new("file").part(bytes).finish()
}

/// Returns the content id of a regular file on disk, which may be larger than stored.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let file = fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok(ContentId::new("file").part_from(file, bytes)?.finish())
}

/// Returns the content id of a symbolic link: the hash of its target.
pub(crate) fn link_content(target: &std::path::Path) -> String {
    ContentId::new("link")
        .part(target.to_string_lossy().as_bytes())
        .finish()
}

/// Size limit of a stored index, in bytes; the index of a kernel tree has about 20 MB.
const STORED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Returns the files below `root`, and stores them in the file `stored`. Files that did
/// not change since the stored index are not read.
pub(crate) fn read(
    root: &Utf8Path,
    stored: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Index, Error> {
    let known: Option<Vec<(String, FileRecord)>> = read_json(stored, STORED_BYTES_MAX);
    let known = known.unwrap_or_default();
    let by_path: HashMap<&str, &FileRecord> = known
        .iter()
        .map(|(path, file)| (path.as_str(), file))
        .collect();
    let activity = Activity::start(observer, format!("reading {root}"), None);
    let mut files: Vec<(String, FileRecord)> = Vec::with_capacity(known.len());
    // Sorted input makes building the map fast.
    let walk = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| below(root, entry).is_some_and(|path| !is_build_product(path)));
    for entry in walk {
        let entry = entry.doing(format!("reading `{root}`"))?;
        let Some(path) = below(root, &entry) else {
            continue;
        };
        let meta = entry.metadata().doing(format!("reading `{root}/{path}`"))?;
        // Reading a pipe or a socket may block forever.
        if !meta.is_file() && !meta.is_symlink() {
            continue;
        }
        let record = record(&root.join(path), &meta, by_path.get(path.as_str()).copied())?;
        files.push((path.to_string(), record));
        if files.len().is_multiple_of(2000) {
            activity.advance(files.len() as u64, path.as_str());
        }
    }
    if files != known {
        write_json(stored, &files).doing("storing the file index of a tree")?;
    }
    let with_paths = |(path, record)| (Utf8PathBuf::from(path), record);
    Ok(files.into_iter().map(with_paths).collect())
}

/// Returns the path of an entry relative to `root`, if it is UTF-8.
fn below<'a>(root: &Utf8Path, entry: &'a walkdir::DirEntry) -> Option<&'a Utf8Path> {
    let path = Utf8Path::from_path(entry.path())?.as_str();
    let below = path.strip_prefix(root.as_str())?;
    Some(Utf8Path::new(below.trim_start_matches('/')))
}

/// Returns the record of a file; reads the file only if it differs from `known`.
fn record(
    path: &Utf8Path,
    meta: &Metadata,
    known: Option<&FileRecord>,
) -> Result<FileRecord, Error> {
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let known = known.filter(|file| {
        (file.bytes, file.mtime_ns, file.inode) == (meta.len(), mtime_ns, meta.ino())
    });
    let content = match known {
        Some(file) => file.content.clone(),
        None if meta.is_symlink() => {
            let target = fs::read_link(path).doing("reading a symbolic link")?;
            link_content(&target)
        }
        None => content_of(path).doing("reading the tree")?,
    };
    Ok(FileRecord {
        bytes: meta.len(),
        mtime_ns,
        inode: meta.ino(),
        executable: is_executable(meta),
        content,
    })
}

#[cfg(test)]
mod tests {
    use patchbed_host::events::Silent;

    use super::*;

    #[test]
    fn read_updates_changed_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let stored = root.with_extension("json");
        fs::create_dir_all(root.join("a")).unwrap();
        for (path, text) in [("a/z", "1"), ("a.c", "2"), ("b", "3")] {
            fs::write(root.join(path), text).unwrap();
        }
        let first = read(&root, &stored, &Silent).unwrap();
        let paths: Vec<&str> = first.keys().map(|path| path.as_str()).collect();
        assert_eq!(paths, ["a/z", "a.c", "b"]);
        assert_eq!(read(&root, &stored, &Silent).unwrap(), first);
        fs::write(root.join("b"), "longer").unwrap();
        fs::remove_file(root.join("a.c")).unwrap();
        let second = read(&root, &stored, &Silent).unwrap();
        assert_eq!(second.len(), 2);
        assert_eq!(second[Utf8Path::new("a/z")], first[Utf8Path::new("a/z")]);
        assert_eq!(second[Utf8Path::new("b")].content, file_content(b"longer"));
    }

    #[test]
    fn read_replaces_a_stored_index_that_is_not_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let stored = root.with_extension("json");
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("f"), "text").unwrap();
        let status = std::process::Command::new("mkfifo")
            .arg(&stored)
            .status()
            .unwrap();
        assert!(status.success());
        let files = read(&root, &stored, &Silent).unwrap();
        assert_eq!(files[Utf8Path::new("f")].content, file_content(b"text"));
        assert!(stored.is_file());
    }

    #[test]
    fn is_build_product_selects_outputs_of_in_tree_builds() {
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
