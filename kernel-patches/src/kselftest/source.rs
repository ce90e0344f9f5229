// SPDX-License-Identifier: MIT OR Apache-2.0
//! The TARGETs of a checkout, and the source files that they are built from. The files are
//! hashed, so that checkouts with the same test sources share a build, and copied, because
//! some Makefiles write to the source folder.
//!
//! Only the listed paths are copied. A test that needs another path does not build, so a
//! build never depends on a file that is not hashed.

use std::collections::BTreeSet;
use std::fmt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::walk;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::checkout::Checkout;
use crate::error::{Doing, Error};
use crate::kernel::{Kernel, Toolchain};
use crate::overlay::{Overlay, normalize};
use crate::tree::Tree;
use crate::worktree::copy_file;

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

/// Number of folders in the name of a TARGET.
const DEPTH_MAX: usize = 5;
const NAMES_SHOWN: usize = 24;

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

pub(super) fn copy(request: &Request<'_>, to: &Utf8Path) -> Result<(), Error> {
    let (mut files, mut bytes) = (0, 0);
    for path in paths(request)? {
        let meta = fs::symlink_metadata(request.tree.root().join(&path));
        files += 1;
        bytes += meta.doing("reading the tree")?.len();
        if files > FILES_MAX || bytes > TOTAL_BYTES_MAX {
            let tree = request.tree.label();
            return Err(Error::input(
                format!(
                    "copying the kselftests of {tree}: they exceed {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes"
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
        let folder = root.join(part);
        if is_behind_a_link(root, part) || !folder.exists() {
            continue;
        }
        for entry in walk(&folder) {
            let (below, kind) = entry.doing(format!("reading `{folder}`"))?;
            // The part itself may be a file.
            match below.as_str() {
                _ if kind.is_dir() => {}
                "" => paths.push(part.to_owned()),
                _ => paths.push(part.join(below)),
            }
        }
    }
    Ok(paths)
}

/// Copies a file, or a symbolic link whose target is inside of the tree.
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
    copy_file(tree, to, path)
}

fn is_behind_a_link(root: &Utf8Path, path: &Utf8Path) -> bool {
    path.ancestors()
        .filter(|part| !part.as_str().is_empty())
        .any(|part| fs::symlink_metadata(root.join(part)).is_ok_and(|meta| meta.is_symlink()))
}

/// Returns whether the target of a link at `path` is inside of the tree.
fn stays_inside(path: &Utf8Path, target: &Utf8Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    target.is_relative() && !normalize(&folder.join(target)).starts_with("..")
}

/// `TARGET` or `TARGET:TEST`, as in `kselftest-list.txt`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wanted {
    /// The TARGET.
    pub target: String,
    /// A test of the TARGET; `None` for all tests.
    pub test: Option<String>,
}

impl Wanted {
    /// Parses an argument. Fails when it is not a valid name of a TARGET and a test.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(2, ':');
        let (target, test) = (parts.next().unwrap_or_default(), parts.next());
        if !is_target_name(target) || !test.is_none_or(is_file_name) {
            return Err(Error::input(
                format!("invalid kselftest `{text}`"),
                "use `TARGET` or `TARGET:TEST`, for example `liveupdate:luo_kexec_simple`",
            ));
        }
        Ok(Self {
            target: target.to_owned(),
            test: test.map(str::to_owned),
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        match &self.test {
            Some(test) => write!(f, ":{test}"),
            None => Ok(()),
        }
    }
}

/// Returns whether a name has no special meaning for make and the guest.
pub(super) fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    name.bytes().all(plain)
        && !name.is_empty()
        && name.len() <= 100
        && !name.starts_with(['.', '-'])
}

fn is_target_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= DEPTH_MAX && parts.iter().all(|part| is_file_name(part))
}

/// Returns whether a checkout has this TARGET.
pub fn has_target(tree: &Tree, checkout: &Checkout, target: &str) -> bool {
    let makefile = Utf8Path::new(SELFTESTS).join(target).join("Makefile");
    let root = tree.root();
    is_target_name(target)
        && match checkout.overlay.files().get(&makefile) {
            Some(state) => state.is_some(),
            None => root.join(&makefile).is_file() && !is_behind_a_link(root, &makefile),
        }
}

/// Returns the error for a TARGET that is in no checkout.
pub fn no_such_target(tree: &Tree, checkouts: &[&Checkout], target: &str) -> Error {
    let mut names = targets_of(tree);
    for checkout in checkouts {
        let changed = checkout.overlay.files().keys();
        names.extend(changed.filter_map(|path| target_of(path)));
    }
    let is_in = |name: &str| checkouts.iter().any(|it| has_target(tree, it, name));
    names.retain(|name| is_in(name));
    let hint = match names.is_empty() {
        true => "select a tree that has `tools/testing/selftests`".to_owned(),
        false => hint_of_names(target, names.iter().map(String::as_str)),
    };
    let label = tree.label();
    Error::input(
        format!("unknown kselftest TARGET `{target}` in {label}"),
        hint,
    )
}

fn targets_of(tree: &Tree) -> BTreeSet<String> {
    let root = tree.root();
    let walk = walkdir::WalkDir::new(root.join(SELFTESTS)).max_depth(DEPTH_MAX + 1);
    let target = |entry: walkdir::DirEntry| {
        target_of(Utf8Path::from_path(entry.path())?.strip_prefix(root).ok()?)
    };
    let files = walk.into_iter().filter_map(Result::ok);
    files.filter_map(target).collect()
}

/// Returns the TARGET of a Makefile.
fn target_of(path: &Utf8Path) -> Option<String> {
    let below = path.strip_prefix(SELFTESTS).ok()?;
    let is_plain = |part| matches!(part, Utf8Component::Normal(_));
    let target = below.parent().filter(|_| below.ends_with("Makefile"))?;
    (is_target_name(target.as_str()) && target.components().all(is_plain))
        .then(|| target.to_string())
}

/// Returns a hint with up to [`NAMES_SHOWN`] names, the most similar to `wrong` first.
pub(super) fn hint_of_names<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_by_cached_key(|name| strsim::levenshtein(wrong, name));
    let shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => format!("use one of: {shown}"),
        more => format!("use one of: {shown} and {more} more"),
    }
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

    #[test]
    fn parse_rejects_paths_and_special_characters() {
        let wanted = Wanted::parse("liveupdate:luo_kexec_simple").unwrap();
        assert_eq!(wanted.target, "liveupdate");
        assert_eq!(wanted.test.as_deref(), Some("luo_kexec_simple"));
        assert_eq!(wanted.to_string(), "liveupdate:luo_kexec_simple");
        assert_eq!(Wanted::parse("filesystems/epoll").unwrap().test, None);
        for wrong in [
            "",
            ":",
            "a:",
            ":b",
            "../x",
            "/x",
            "a//b",
            "a:b/c",
            "a b",
            "-C",
            "a:$(x)",
            "a:b:c",
            "a/b/c/d/e/f",
        ] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn target_of_returns_the_folder_of_a_makefile() {
        let target = |path: &str| target_of(path.into());
        assert_eq!(
            target("tools/testing/selftests/net/lib/Makefile").as_deref(),
            Some("net/lib")
        );
        assert_eq!(target("tools/testing/selftests/Makefile"), None);
        assert_eq!(target("tools/testing/selftests/kcmp/kcmp_test.c"), None);
        assert_eq!(target("tools/testing/kunit/Makefile"), None);
    }

    #[test]
    fn hint_of_names_sorts_by_similarity() {
        let names = ["kvm", "live", "liveupdate", "mm"];
        assert_eq!(
            hint_of_names("liveupdte", names.into_iter()),
            "use one of: liveupdate, live, kvm, mm"
        );
    }
}
