// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requested kselftests, and a check by file names whether a checkout has them, before
//! anything is built.

use std::collections::BTreeSet;
use std::fmt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::source::{SELFTESTS, is_behind_a_link};
use crate::checkout::Checkout;
use crate::error::Error;
use crate::tree::Tree;

/// Number of folders in the name of a TARGET.
const DEPTH_MAX: usize = 5;
/// Number of names in a hint.
const NAMES_SHOWN: usize = 24;

/// `TARGET` or `TARGET:TEST`, as in `kselftest-list.txt`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wanted {
    /// The TARGET.
    pub target: String,
    /// A test of the TARGET; `None` for all tests.
    pub test: Option<String>,
}

impl Wanted {
    /// Parses an argument.
    ///
    /// # Errors
    /// When it is not a valid name of a TARGET and a test.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (target, test) = match text.split_once(':') {
            Some((target, test)) => (target, Some(test)),
            None => (text, None),
        };
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
    is_target_name(target) && has_file(tree, checkout, &makefile(target))
}

fn makefile(target: &str) -> Utf8PathBuf {
    Utf8Path::new(SELFTESTS).join(target).join("Makefile")
}

fn has_file(tree: &Tree, checkout: &Checkout, path: &Utf8Path) -> bool {
    match checkout.overlay.files().get(path) {
        Some(state) => state.is_some(),
        None => tree.root().join(path).is_file() && !is_behind_a_link(tree.root(), path),
    }
}

/// Returns the error for a TARGET that is in no checkout.
pub fn no_such_target(tree: &Tree, checkouts: &[&Checkout], target: &str) -> Error {
    let mut names = targets_of(tree);
    for checkout in checkouts {
        names.extend(
            checkout
                .overlay
                .files()
                .keys()
                .filter_map(|path| target_of(path)),
        );
    }
    names.retain(|name| {
        checkouts
            .iter()
            .any(|checkout| has_target(tree, checkout, name))
    });
    let hint = if names.is_empty() {
        "select a tree that has `tools/testing/selftests`".to_owned()
    } else {
        format!(
            "use one of: {}",
            nearest_first(target, names.iter().map(String::as_str))
        )
    };
    Error::input(
        format!("unknown kselftest TARGET `{target}` in {}", tree.label()),
        hint,
    )
}

fn targets_of(tree: &Tree) -> BTreeSet<String> {
    let root = tree.root();
    let walk = walkdir::WalkDir::new(root.join(SELFTESTS)).max_depth(DEPTH_MAX + 1);
    let files = walk.into_iter().filter_map(Result::ok);
    files
        .filter(|entry| entry.file_name() == "Makefile")
        .filter_map(|entry| target_of(Utf8Path::from_path(entry.path())?.strip_prefix(root).ok()?))
        .collect()
}

/// Returns the TARGET of a Makefile.
fn target_of(path: &Utf8Path) -> Option<String> {
    let below = path.strip_prefix(SELFTESTS).ok()?;
    let is_plain = |part| matches!(part, Utf8Component::Normal(_));
    let target = below.parent().filter(|_| below.ends_with("Makefile"))?;
    (is_target_name(target.as_str()) && target.components().all(is_plain))
        .then(|| target.to_string())
}

/// Returns up to [`NAMES_SHOWN`] names, sorted by similarity to `wrong`.
pub(super) fn nearest_first<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let similarity = |name: &str| {
        let same = wrong.bytes().zip(name.bytes());
        let front = same.take_while(|(a, b)| a == b).count();
        let end = wrong.bytes().rev().zip(name.bytes().rev());
        front + end.take_while(|(a, b)| a == b).count()
    };
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|name| std::cmp::Reverse(similarity(name)));
    let more = names.len().saturating_sub(NAMES_SHOWN);
    names.truncate(NAMES_SHOWN);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn nearest_first_sorts_by_similarity() {
        let names = ["kvm", "live", "liveupdate", "mm"];
        assert_eq!(
            nearest_first("liveupdte", names.into_iter()),
            "liveupdate, live, kvm, mm"
        );
    }
}
