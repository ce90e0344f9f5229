// SPDX-License-Identifier: MIT OR Apache-2.0
//! The source files that selftests are built from. They are hashed, so that checkouts with
//! the same test sources share a build, and copied, because some Makefiles write to the
//! source folder.
//!
//! Only the listed paths are copied. A test that needs another path does not build, so a
//! build never depends on a file that is not hashed.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::read_plain;

use crate::checkout::Checkout;
use crate::error::{Doing, Error};
use crate::index;
use crate::overlay::{Overlay, write_below};
use crate::tree::Tree;

/// Folder of the selftests.
pub(super) const SELFTESTS: &str = "tools/testing/selftests";

/// Files and folders of the tree that selftests are built from.
const PARTS: &[&str] = &[
    SELFTESTS,
    "arch/x86/entry/vdso",
    "arch/x86/include",
    "include/uapi",
    "include/vdso",
    "lib/test_hmm_uapi.h",
    "lib/vdso",
    "mm/gup_test.h",
    "samples/check-exec",
    "scripts/Makefile.compiler",
    "scripts/subarch.include",
    "tools/arch",
    "tools/build",
    "tools/include",
    "tools/lib",
    "tools/scripts",
];

/// Limits of a copy; the tree is untrusted.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const FILES_MAX: usize = 50_000;
const TOTAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

fn is_part(path: &Utf8Path) -> bool {
    PARTS.iter().any(|part| path.starts_with(part))
}

fn overlay_of(checkout: &Checkout) -> Overlay {
    let files = checkout.overlay.files().iter();
    let parts = files.filter(|(path, _)| is_part(path));
    Overlay::from_files(
        parts
            .map(|(path, state)| (path.clone(), state.clone()))
            .collect(),
    )
}

/// Returns the content id of the test sources of a checkout.
pub(super) fn content(tree: &Tree, checkout: &Checkout) -> String {
    let mut id = ContentId::new("selftest source").part(overlay_of(checkout).content_id());
    match tree.index() {
        None => id = id.part(tree.id()),
        Some(index) => {
            for (path, file) in index.iter().filter(|(path, _)| is_part(path)) {
                id = id.part(path.as_str());
                id = id.part(&file.content);
                id = id.part([u8::from(file.executable)]);
            }
        }
    }
    id.finish()
}

/// Copies the test sources of a checkout to `to`.
pub(super) fn copy(tree: &Tree, checkout: &Checkout, to: &Utf8Path) -> Result<(), Error> {
    let mut copier = Copier {
        tree,
        to,
        files: 0,
        bytes: 0,
    };
    match tree.index() {
        Some(index) => {
            for path in index.keys().filter(|path| is_part(path)) {
                copier.copy(path)?;
            }
        }
        None => {
            for part in PARTS {
                copier.copy_part(Utf8Path::new(part))?;
            }
        }
    }
    overlay_of(checkout).write_over(to)
}

struct Copier<'a> {
    tree: &'a Tree,
    to: &'a Utf8Path,
    files: usize,
    bytes: u64,
}

impl Copier<'_> {
    fn copy_part(&mut self, part: &Utf8Path) -> Result<(), Error> {
        if is_behind_a_link(self.tree.root(), part) {
            return Ok(());
        }
        let from = self.tree.root().join(part);
        if !from.exists() {
            return Ok(());
        }
        for entry in walkdir::WalkDir::new(&from) {
            let entry = entry.doing(format!("reading `{from}`"))?;
            let path = Utf8Path::from_path(entry.path());
            let Some(Ok(relative)) = path.map(|path| path.strip_prefix(self.tree.root())) else {
                continue;
            };
            if !entry.file_type().is_dir() {
                self.copy(relative)?;
            }
        }
        Ok(())
    }

    /// Copies a file or a symbolic link. Fails if a file of a live tree changed since it was
    /// hashed.
    fn copy(&mut self, path: &Utf8Path) -> Result<(), Error> {
        let from = self.tree.root().join(path);
        let meta = fs::symlink_metadata(&from).doing("reading the tree")?;
        self.count(meta.len())?;
        if meta.is_symlink() {
            return self.copy_link(&from, path);
        }
        if !meta.is_file() {
            return Ok(());
        }
        let bytes = read_plain(&from, FILE_BYTES_MAX).doing("reading the source of a kselftest")?;
        let file = self.tree.index().and_then(|index| index.get(path));
        if file.is_some_and(|file| file.content != index::file_content(&bytes)) {
            return Err(Error::input(
                format!(
                    "copying {}: `{path}` changed during the run",
                    self.tree.label()
                ),
                "run again without editing the tree",
            ));
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        write_below(self.to, path, &bytes, executable).doing("copying the source of a kselftest")
    }

    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.files += 1;
        self.bytes += bytes;
        if self.files > FILES_MAX || self.bytes > TOTAL_BYTES_MAX {
            return Err(Error::input(
                format!(
                    "copying the kselftests of {}: they exceed {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes",
                    self.tree.label()
                ),
                "delete build products in the tree, for example with `make mrproper`",
            ));
        }
        Ok(())
    }

    /// Copies a symbolic link, unless its target is outside of the tree.
    fn copy_link(&self, from: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
        let target = fs::read_link(from).doing("reading a symbolic link")?;
        let Ok(target) = Utf8PathBuf::try_from(target) else {
            return Ok(());
        };
        if !stays_inside(path, &target) {
            return Ok(());
        }
        let place = self.to.join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).doing("creating a folder")?;
        }
        fs_err::os::unix::fs::symlink(&target, &place).doing("copying a symbolic link")
    }
}

/// Returns whether a relative path contains a symbolic link.
pub(super) fn is_behind_a_link(root: &Utf8Path, path: &Utf8Path) -> bool {
    path.ancestors()
        .filter(|part| !part.as_str().is_empty())
        .any(|part| fs::symlink_metadata(root.join(part)).is_ok_and(|meta| meta.is_symlink()))
}

/// Returns whether the target of a link at `path` is inside of the tree.
fn stays_inside(path: &Utf8Path, target: &Utf8Path) -> bool {
    let mut depth = path.components().count() - 1;
    for part in target.components() {
        match part {
            Utf8Component::Normal(_) => depth += 1,
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside_rejects_targets_outside_of_the_tree() {
        let inside = |path: &str, target: &str| stays_inside(path.into(), target.into());
        assert!(inside("tools/a/link", "../b"));
        assert!(inside("tools/a/link", "../../lib/x.c"));
        assert!(!inside("tools/a/link", "../../../x"));
        assert!(!inside("tools/a/link", "/etc/passwd"));
        assert!(!inside("link", "b/../../x"));
    }

    #[test]
    fn is_part_selects_test_sources_only() {
        assert!(is_part("tools/testing/selftests/kcmp/Makefile".into()));
        assert!(is_part("mm/gup_test.h".into()));
        assert!(!is_part("mm/gup_test.c".into()));
        assert!(!is_part("kernel/liveupdate/luo_flb.c".into()));
    }
}
