// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user-space headers of a kernel, installed only when one of their sources changed.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::content::ContentId;
use crate::error::Error;
use crate::overlay::Overlay;
use crate::tree::Tree;

/// A file that every complete installation has.
const STAMP: &str = "include/linux/version.h";

/// The installed headers of a build folder.
#[derive(Debug)]
pub(super) struct Headers {
    /// Their folder.
    pub(super) folder: Utf8PathBuf,
    /// Stores the key of the installed headers.
    key_file: Utf8PathBuf,
    /// Hash of the sources of the required headers.
    key: String,
}

impl Headers {
    /// Returns the headers of `tree` with `overlay`, in the build folder `home`.
    pub(super) fn of(home: &Utf8Path, tree: &Tree, overlay: &Overlay) -> Self {
        Self {
            folder: home.join("headers"),
            key_file: home.join("headers.key"),
            key: key(tree, overlay),
        }
    }

    /// Returns whether the required headers are installed.
    pub(super) fn are_current(&self) -> bool {
        fs::read_to_string(&self.key_file).is_ok_and(|installed| installed == self.key)
            && self.folder.join(STAMP).is_file()
    }

    /// Deletes all headers, since `headers_install` does not delete removed headers.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let _ = fs::remove_file(&self.key_file);
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::infrastructure("deleting old headers")(error))
            }
            _ => Ok(()),
        }
    }

    /// Records that the required headers are installed.
    pub(super) fn store_key(&self) -> Result<(), Error> {
        fs::write(&self.key_file, &self.key)
            .map_err(Error::infrastructure("storing the key of the headers"))
    }
}

/// Returns the hash of all sources of the headers in `tree` with `overlay`.
fn key(tree: &Tree, overlay: &Overlay) -> String {
    let mut id = ContentId::new("headers");
    match tree.index() {
        None => id = id.part(tree.id().as_bytes()),
        Some(index) => {
            for (path, file) in index.iter().filter(|(path, _)| matters(path)) {
                id = id
                    .part(path.as_str().as_bytes())
                    .part(file.content.as_bytes());
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

/// Returns whether the headers may depend on this file: a header, a system call table, the
/// version, or a script or Makefile of the build.
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
    fn key_depends_on_sources_of_headers_only() {
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
            let changed = key(&tree, &overlay(path, "new"));
            assert_ne!(changed, plain, "{path}");
            assert_ne!(changed, key(&tree, &overlay(path, "newer")), "{path}");
        }
    }

    #[test]
    fn are_current_requires_the_key_and_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let tree = Tree::fixed("tree", Utf8Path::new("/no/such"), "a tree");
        let plain = Headers::of(home, &tree, &Overlay::default());
        let other = Headers::of(home, &tree, &overlay("include/uapi/linux/x.h", "new"));
        assert!(!plain.are_current());
        fs::create_dir_all(plain.folder.join("include/linux")).unwrap();
        fs::write(plain.folder.join(STAMP), "").unwrap();
        plain.store_key().unwrap();
        assert!(plain.are_current() && !other.are_current());
        other.clear().unwrap();
        assert!(!plain.are_current() && !plain.folder.exists());
        plain.store_key().unwrap();
        assert!(!plain.are_current());
    }
}
