// SPDX-License-Identifier: GPL-2.0-only
//! The headers that user space compiles against, installed when something that
//! they are made from differs, and shared by all kernels for which it does not.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::content::ContentId;
use crate::error::Error;
use crate::overlay::Overlay;
use crate::tree::Tree;

/// A file that is there whenever all are.
const STAMP: &str = "include/linux/version.h";

/// The installed headers of a build folder.
#[derive(Debug)]
pub(super) struct Headers {
    /// Where they are.
    pub(super) folder: Utf8PathBuf,
    /// Remembers the name of those that are there.
    memory: Utf8PathBuf,
    /// The name of those that should be there.
    key: String,
}

impl Headers {
    /// Returns those of `tree` with `overlay` on it, to be kept in `home`.
    pub(super) fn of(home: &Utf8Path, tree: &Tree, overlay: &Overlay) -> Self {
        Self {
            folder: home.join("headers"),
            memory: home.join("headers.key"),
            key: key(tree, overlay),
        }
    }

    /// Returns whether the right ones are there.
    pub(super) fn are_there(&self) -> bool {
        fs::read_to_string(&self.memory).is_ok_and(|known| known == self.key)
            && self.folder.join(STAMP).is_file()
    }

    /// Makes room for others; installing removes none that are gone.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let _ = fs::remove_file(&self.memory);
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::host("clearing old headers")(error))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that the right ones are there now.
    pub(super) fn remember(&self) -> Result<(), Error> {
        fs::write(&self.memory, &self.key).map_err(Error::host("remembering the headers"))
    }
}

/// Returns a name for everything in `tree` with `overlay` on it that the headers
/// are made from.
fn key(tree: &Tree, overlay: &Overlay) -> String {
    let mut id = ContentId::new("headers");
    match tree.index() {
        None => id = id.part(tree.id().as_bytes()),
        Some(index) => {
            for (path, seen) in index.iter().filter(|(path, _)| matters(path)) {
                id = id
                    .part(path.as_str().as_bytes())
                    .part(seen.content.as_bytes());
            }
        }
    }
    for (path, state) in overlay.files().iter().filter(|(path, _)| matters(path)) {
        id = id.part(b"over it").part(path.as_str().as_bytes());
        id = match state {
            Some(state) => id.part(&state.bytes),
            None => id.part(b"removed"),
        };
    }
    id.finish()
}

/// Whether the headers may be made from this file: they themselves, the tables
/// of system calls, the version, and the scripts and rules of the build.
fn matters(path: &Utf8Path) -> bool {
    let is_rule = path
        .file_name()
        .is_some_and(|name| name.starts_with("Makefile") || name.starts_with("Kbuild"));
    let is_near = path
        .parent()
        .is_some_and(|folder| ["", "arch/x86", "include", "usr"].contains(&folder.as_str()));
    path.starts_with("scripts")
        || path.starts_with("arch/x86/entry/syscalls")
        || path.components().any(|part| part.as_str() == "uapi")
        || path.starts_with("usr/include")
        || (is_rule && is_near)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::overlay::FileState;

    fn overlay(path: &str, text: &str) -> Overlay {
        let state = FileState {
            bytes: text.into(),
            executable: false,
        };
        Overlay::from_files(BTreeMap::from([(path.into(), Some(state))]))
    }

    #[test]
    fn only_what_headers_are_made_from_changes_their_name() {
        let tree = Tree::fixed("tree", Utf8Path::new("/no/such"), "a tree");
        let plain = key(&tree, &Overlay::default());
        for path in ["kernel/fork.c", "include/linux/fs.h", "arch/x86/Kconfig"] {
            assert_eq!(key(&tree, &overlay(path, "new")), plain, "{path}");
        }
        for path in [
            "include/uapi/linux/liveupdate.h",
            "arch/x86/include/uapi/asm/kvm.h",
            "arch/x86/entry/syscalls/syscall_64.tbl",
            "scripts/headers_install.sh",
            "Makefile",
            "arch/x86/Makefile",
        ] {
            let one = key(&tree, &overlay(path, "new"));
            assert_ne!(one, plain, "{path}");
            assert_ne!(one, key(&tree, &overlay(path, "newer")), "{path}");
        }
    }

    #[test]
    fn headers_are_known_while_they_are_there_and_the_right_ones() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let tree = Tree::fixed("tree", Utf8Path::new("/no/such"), "a tree");
        let plain = Headers::of(home, &tree, &Overlay::default());
        let other = Headers::of(home, &tree, &overlay("include/uapi/linux/x.h", "new"));
        assert!(!plain.are_there());
        fs::create_dir_all(plain.folder.join("include/linux")).unwrap();
        fs::write(plain.folder.join(STAMP), "").unwrap();
        plain.remember().unwrap();
        assert!(plain.are_there() && !other.are_there());
        other.clear().unwrap();
        assert!(!plain.are_there() && !plain.folder.exists());
        plain.remember().unwrap();
        assert!(!plain.are_there());
    }
}
