// SPDX-License-Identifier: GPL-2.0-only
//! The files of a live tree, by content.
//!
//! A user's directory has no commit to name it, so its files are hashed; size,
//! time and inode tell which have to be read again.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use testbed_host::cache::publish;
use testbed_host::events::{Activity, Observer};

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

/// What a build inside the tree leaves behind and a build outside must not see.
fn is_build_product(path: &Utf8Path) -> bool {
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

/// Returns the name of a link's content, which is where it leads.
pub(crate) fn link_content(target: &std::path::Path) -> String {
    ContentId::new("link")
        .part(target.to_string_lossy().as_bytes())
        .finish()
}

/// Reads the files below `root`; those that look as they did last time are not
/// read again. What was seen is kept in the file `memory`.
pub(crate) fn read(
    root: &Utf8Path,
    memory: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Index, Error> {
    let known: Index = fs::read(memory)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let activity = Activity::start(observer, format!("reading {root}"), None);
    let mut index = Index::new();
    let walk = walkdir::WalkDir::new(root)
        .into_iter()
        .filter_entry(|entry| {
            Utf8Path::from_path(entry.path())
                .and_then(|path| path.strip_prefix(root).ok())
                .is_some_and(|path| !is_build_product(path))
        });
    for entry in walk {
        let entry = entry.map_err(Error::host(format!("reading `{root}`")))?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let Ok(below) = path.strip_prefix(root) else {
            continue;
        };
        let meta = entry
            .metadata()
            .map_err(Error::host(format!("reading `{path}`")))?;
        // A pipe or a socket is no source, and reading it might never end.
        if !meta.is_file() && !meta.is_symlink() {
            continue;
        }
        let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let old = known.get(below).filter(|seen| {
            (seen.bytes, seen.mtime_ns, seen.inode) == (meta.len(), mtime_ns, meta.ino())
        });
        let content = match old {
            Some(seen) => seen.content.clone(),
            None if meta.is_symlink() => {
                let target = fs::read_link(path).map_err(Error::host("reading a link"))?;
                link_content(&target)
            }
            None => {
                let bytes = fs::read(path).map_err(Error::host("reading the tree"))?;
                file_content(&bytes)
            }
        };
        let executable = meta.permissions().mode() & 0o111 != 0;
        let seen = Seen {
            bytes: meta.len(),
            mtime_ns,
            inode: meta.ino(),
            executable,
            content,
        };
        index.insert(below.to_owned(), seen);
        if index.len().is_multiple_of(2000) {
            activity.advance(index.len() as u64, below.as_str());
        }
    }
    if index != known {
        let text = serde_json::to_vec(&index).map_err(Error::host("remembering a tree"))?;
        publish(memory, &text).map_err(Error::host("remembering a tree"))?;
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

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
