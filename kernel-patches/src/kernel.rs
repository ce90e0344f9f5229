// SPDX-License-Identifier: GPL-2.0-only
//! A kernel: what a stack and a profile build to, cached by content.

mod build;
mod headers;
mod image;
mod order;
mod shims;
mod toolchain;
mod unfinished;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use testbed_host::cache::Cache;
use testbed_host::cancel::Cancel;
use testbed_host::events::Observer;

use crate::content::ContentId;
use crate::error::Error;
use crate::profile::Profile;
use crate::stack::Stack;
use crate::tree::Tree;
use crate::worktree::{self, Contents, WorkTree};

pub use toolchain::Toolchain;

/// Raise this when the way of building changes what comes out: kernels get other
/// ids, and no build folder keeps its objects.
pub(crate) const BUILD_FORMAT: &str = "4";
const FACTS: &str = "kernel.json";

/// What is remembered of a built kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// The stack's name when it was built.
    pub stack: String,
    /// The profile's name.
    pub profile: String,
    /// The tree, for people.
    pub tree: String,
    /// How long the build took, in seconds.
    pub build_secs: u64,
    /// Size of the image in bytes, to notice one that was cut off.
    pub image_bytes: u64,
}

/// A built kernel in the cache.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its content id.
    pub id: String,
    /// Its folder in the cache.
    pub dir: Utf8PathBuf,
    /// What is remembered of it.
    pub facts: Facts,
    /// Whether it was built just now.
    pub is_fresh: bool,
}

impl Kernel {
    /// Returns the image that boots.
    pub fn image(&self) -> Utf8PathBuf {
        self.dir.join("bzImage")
    }

    /// Returns the kernel with symbols.
    pub fn symbols(&self) -> Utf8PathBuf {
        self.dir.join("vmlinux")
    }

    /// Returns the folder of its user-space headers (`include/` within).
    pub fn headers(&self) -> Utf8PathBuf {
        self.dir.join("headers")
    }

    /// Returns the folder that holds the tree's `kselftest.h` and `kselftest_harness.h`.
    pub fn selftests(&self) -> Utf8PathBuf {
        self.dir.join("selftests")
    }

    /// Returns the kernel in `dir`, if it is there whole.
    fn load(dir: &Utf8Path, id: &str, is_fresh: bool) -> Option<Self> {
        let facts: Facts = serde_json::from_slice(&fs::read(dir.join(FACTS)).ok()?).ok()?;
        let image_bytes = fs::metadata(dir.join("bzImage")).ok()?.len();
        (image_bytes == facts.image_bytes).then(|| Self {
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        })
    }
}

/// Returns the content id of the kernel that `stack` and `profile` build to.
pub fn kernel_id(stack: &Stack, profile: &Profile, toolchain: &Toolchain) -> String {
    ContentId::new("kernel")
        .part(BUILD_FORMAT.as_bytes())
        .part(stack.id.as_bytes())
        .part(profile.with(&stack.configs).text().as_bytes())
        .part(toolchain.identity.as_bytes())
        .finish()
}

/// Returns the kernels for `stacks` and `profile`, in the order of the stacks:
/// from the cache, or built now, one after the other, since they share objects.
///
/// # Errors
/// When an option does not take effect or the source does not compile (the
/// user's to mend), or the host fails.
pub fn make_all(
    tree: &Tree,
    stacks: &[Stack],
    profile: &Profile,
    toolchain: &Toolchain,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Vec<Kernel>, Error> {
    let place = cache.dir(&["kernels"])?;
    let look_up = |stack: &Stack| {
        let id = kernel_id(stack, profile, toolchain);
        Kernel::load(&place.join(&id), &id, false)
    };
    let mut kernels: Vec<Option<Kernel>> = stacks.iter().map(look_up).collect();
    let lacking: Vec<usize> = (0..stacks.len())
        .filter(|&at| kernels[at].is_none())
        .collect();
    if !lacking.is_empty() {
        let now = WorkTree::peek(cache, tree, &profile.name)?;
        let wanted: Vec<Contents> = lacking
            .iter()
            .map(|&at| worktree::contents(&stacks[at].overlay))
            .collect();
        for next in order::nearest_first(&now, &wanted) {
            let at = lacking[next];
            let kernel = make(
                tree,
                &stacks[at],
                profile,
                toolchain,
                cache,
                cancel,
                observer,
            )?;
            kernels[at] = Some(kernel);
        }
    }
    Ok(kernels.into_iter().flatten().collect())
}

/// Returns the kernel for `stack` and `profile`: from the cache, or built now.
fn make(
    tree: &Tree,
    stack: &Stack,
    profile: &Profile,
    toolchain: &Toolchain,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Kernel, Error> {
    let id = kernel_id(stack, profile, toolchain);
    let dir = cache.dir(&["kernels"])?.join(&id);
    if let Some(kernel) = Kernel::load(&dir, &id, false) {
        return Ok(kernel);
    }
    let order = build::Order {
        tree,
        stack,
        profile: profile.with(&stack.configs),
        dir: &dir,
    };
    build::build(&order, cache, cancel, observer)?;
    Kernel::load(&dir, &id, true).ok_or_else(|| {
        Error::host(format!("reading `{dir}`"))(std::io::Error::other("the kernel is not there"))
    })
}
