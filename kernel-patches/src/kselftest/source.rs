// SPDX-License-Identifier: GPL-2.0-only
//! The part of a checkout's source that selftests are built from: named, so that
//! checkouts which do not differ in it share what is built, and copied, because the
//! rules of some tests write beside their source.
//!
//! What is not named here is not in the copy either: a test that reaches for more
//! does not build, and never builds from a source that its name does not cover.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;

use crate::checkout::Checkout;
use crate::content::ContentId;
use crate::error::Error;
use crate::index;
use crate::overlay::Overlay;
use crate::scratch::write_below;
use crate::tree::Tree;

/// Where the tree keeps its selftests.
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

/// Limits of a copy: a tree is nobody's to trust.
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

/// Returns a name for the source that selftests of this checkout are built from.
pub(super) fn content(tree: &Tree, checkout: &Checkout) -> String {
    let mut id =
        ContentId::new("selftest source").part(overlay_of(checkout).content_id().as_bytes());
    match tree.index() {
        None => id = id.part(tree.id().as_bytes()),
        Some(index) => {
            for (path, seen) in index.iter().filter(|(path, _)| is_part(path)) {
                id = id.part(path.as_str().as_bytes());
                id = id.part(seen.content.as_bytes());
                id = id.part(&[u8::from(seen.executable)]);
            }
        }
    }
    id.finish()
}

/// Copies the source of this checkout's selftests below `to`.
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
            let entry = entry.map_err(Error::host(format!("reading `{from}`")))?;
            let path = Utf8Path::from_path(entry.path());
            let Some(Ok(below)) = path.map(|path| path.strip_prefix(self.tree.root())) else {
                continue;
            };
            if !entry.file_type().is_dir() {
                self.copy(below)?;
            }
        }
        Ok(())
    }

    /// Copies a file or a link. What a live tree's file holds must still be what
    /// its name was made from.
    fn copy(&mut self, path: &Utf8Path) -> Result<(), Error> {
        let from = self.tree.root().join(path);
        let meta = fs::symlink_metadata(&from).map_err(Error::host("reading the tree"))?;
        self.count(meta.len())?;
        if meta.is_symlink() {
            return self.copy_link(&from, path);
        }
        if !meta.is_file() {
            return Ok(());
        }
        let bytes = read_plain(&from, FILE_BYTES_MAX)
            .map_err(Error::host("reading a selftest's source"))?;
        let seen = self.tree.index().and_then(|index| index.get(path));
        if seen.is_some_and(|seen| seen.content != index::file_content(&bytes)) {
            return Err(Error::input(
                format!(
                    "`{path}` of {} changed while it was read",
                    self.tree.label()
                ),
                "run it again when the tree is at rest",
            ));
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        write_below(self.to, path, &bytes, executable)
            .map_err(Error::host("copying a selftest's source"))
    }

    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.files += 1;
        self.bytes += bytes;
        if self.files > FILES_MAX || self.bytes > TOTAL_BYTES_MAX {
            return Err(Error::input(
                format!(
                    "the selftests of {} are more than {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes",
                    self.tree.label()
                ),
                "clean the tree of what builds left in it",
            ));
        }
        Ok(())
    }

    /// Copies a link that stays inside; others would read what is not the tree's.
    fn copy_link(&self, from: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
        let target = fs::read_link(from).map_err(Error::host("reading a link"))?;
        let Ok(target) = Utf8PathBuf::try_from(target) else {
            return Ok(());
        };
        if !stays_inside(path, &target) {
            return Ok(());
        }
        let place = self.to.join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(Error::host("making a folder"))?;
        }
        fs_err::os::unix::fs::symlink(&target, &place).map_err(Error::host("copying a link"))
    }
}

/// Whether a relative path goes through a link.
pub(super) fn is_behind_a_link(root: &Utf8Path, path: &Utf8Path) -> bool {
    path.ancestors()
        .filter(|part| !part.as_str().is_empty())
        .any(|part| fs::symlink_metadata(root.join(part)).is_ok_and(|meta| meta.is_symlink()))
}

/// Whether a link at `path` with this target leads to a place below the top.
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
    fn a_link_may_lead_about_the_tree_and_not_out_of_it() {
        let inside = |path: &str, target: &str| stays_inside(path.into(), target.into());
        assert!(inside("tools/a/link", "../b"));
        assert!(inside("tools/a/link", "../../lib/x.c"));
        assert!(!inside("tools/a/link", "../../../x"));
        assert!(!inside("tools/a/link", "/etc/passwd"));
        assert!(!inside("link", "b/../../x"));
    }

    #[test]
    fn only_what_tests_are_built_from_is_a_part() {
        assert!(is_part("tools/testing/selftests/kcmp/Makefile".into()));
        assert!(is_part("mm/gup_test.h".into()));
        assert!(!is_part("mm/gup_test.c".into()));
        assert!(!is_part("kernel/liveupdate/luo_flb.c".into()));
    }
}
