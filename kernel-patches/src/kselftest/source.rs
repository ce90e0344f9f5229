// SPDX-License-Identifier: MIT OR Apache-2.0
//! The source files that selftests are built from. They are hashed, so that checkouts with
//! the same test sources share a build, and copied, because some Makefiles write to the
//! source folder.
//!
//! Only the listed paths are copied. A test that needs another path does not build, so a
//! build never depends on a file that is not hashed.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::walk;

use crate::arch::Arch;
use crate::checkout::Checkout;
use crate::error::{Doing, Error};
use crate::kernel::{Kernel, Toolchain};
use crate::overlay::Overlay;
use crate::tree::Tree;
use crate::worktree::copy_file;

/// Folder of the selftests.
pub(super) const SELFTESTS: &str = "tools/testing/selftests";

/// Files and folders of the tree that selftests are built from.
const PARTS: &[&str] = &[
    SELFTESTS,
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

fn parts(arch: &'static Arch) -> impl Iterator<Item = &'static str> {
    PARTS.iter().chain(arch.selftest_sources).copied()
}

fn is_part(path: &Utf8Path, arch: &'static Arch) -> bool {
    parts(arch).any(|part| path.starts_with(part))
}

/// A request to build a TARGET.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tree of the checkout.
    pub tree: &'a Tree,
    /// The checkout whose selftests are built.
    pub checkout: &'a Checkout,
    /// A kernel of that checkout; the tests are compiled against its headers.
    pub kernel: &'a Kernel,
    /// The compiler.
    pub toolchain: &'a Toolchain,
    /// The TARGET as in the Makefile of the selftests: `liveupdate`, `filesystems/epoll`.
    pub target: &'a str,
}

impl Request<'_> {
    fn is_part(&self, path: &Utf8Path) -> bool {
        is_part(path, self.toolchain.arch)
    }

    fn overlay(&self) -> Overlay {
        self.checkout.overlay.only(|path| self.is_part(path))
    }
}

/// Returns the content id of the test sources of a checkout.
pub(super) fn content(request: &Request<'_>) -> String {
    let mut id = ContentId::new("selftest source").part(request.overlay().content_id());
    match request.tree.index() {
        None => id = id.part(request.tree.id()),
        Some(index) => {
            for (path, file) in index.iter().filter(|(path, _)| request.is_part(path)) {
                id = id.part(path.as_str()).part(&file.content);
                id = id.part([u8::from(file.executable)]);
            }
        }
    }
    id.finish()
}

/// Copies the test sources of a checkout to `to`.
pub(super) fn copy(request: &Request<'_>, to: &Utf8Path) -> Result<(), Error> {
    let (mut files, mut bytes) = (0, 0);
    for path in paths(request)? {
        let meta = fs::symlink_metadata(request.tree.root().join(&path));
        files += 1;
        bytes += meta.doing("reading the tree")?.len();
        if files > FILES_MAX || bytes > TOTAL_BYTES_MAX {
            return Err(Error::input(
                format!(
                    "copying the kselftests of {}: they exceed {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes",
                    request.tree.label()
                ),
                "delete build products in the tree, for example with `make mrproper`",
            ));
        }
        copy_one(request.tree, &path, to)?;
    }
    request.overlay().write_over(to)
}

/// Returns the paths of the test sources in the tree, without folders.
fn paths(request: &Request<'_>) -> Result<Vec<Utf8PathBuf>, Error> {
    if let Some(index) = request.tree.index() {
        let parts = index.keys().filter(|path| request.is_part(path));
        return Ok(parts.cloned().collect());
    }
    let root = request.tree.root();
    let mut paths = Vec::new();
    for part in parts(request.toolchain.arch).map(Utf8Path::new) {
        if is_behind_a_link(root, part) || !root.join(part).exists() {
            continue;
        }
        for entry in walk(&root.join(part)) {
            let (below, kind) = entry.doing(format!("reading `{}`", root.join(part)))?;
            if !kind.is_dir() {
                // The part itself may be a file.
                let is_file = below.as_str().is_empty();
                paths.push(match is_file {
                    true => part.to_owned(),
                    false => part.join(below),
                });
            }
        }
    }
    Ok(paths)
}

/// Copies a file, or a symbolic link whose target is inside of the tree. Fails if a file of a
/// live tree changed since it was hashed.
fn copy_one(tree: &Tree, path: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    let from = tree.root().join(path);
    let meta = fs::symlink_metadata(&from).doing("reading the tree")?;
    if meta.is_symlink() {
        let target = fs::read_link(&from).doing("reading a symbolic link")?;
        if !Utf8PathBuf::try_from(target).is_ok_and(|target| stays_inside(path, &target)) {
            return Ok(());
        }
    } else if !meta.is_file() {
        return Ok(());
    } else if meta.len() > FILE_BYTES_MAX {
        return Err(Error::unexpected(
            "reading the source of a kselftest",
            format!("`{from}` has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    let content = copy_file(tree.root(), to, path)?;
    let file = tree.index().and_then(|index| index.get(path));
    if file.is_some_and(|file| file.content != content) {
        return Err(Error::input(
            format!("copying {}: `{path}` changed during the run", tree.label()),
            "run again without editing the tree",
        ));
    }
    Ok(())
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
    use crate::arch::X86_64;

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
        assert!(is_part(
            "tools/testing/selftests/kcmp/Makefile".into(),
            &X86_64
        ));
        assert!(is_part("mm/gup_test.h".into(), &X86_64));
        assert!(!is_part("mm/gup_test.c".into(), &X86_64));
        assert!(!is_part("kernel/liveupdate/luo_flb.c".into(), &X86_64));
    }
}
