// SPDX-License-Identifier: GPL-2.0-only
//! A kernel: what a checkout and a config build to, cached by content.

mod build;
mod code;
mod compiler_wrappers;
mod files;
mod headers;
mod image;
mod in_progress;
mod modules;
mod order;
mod toolchain;

use std::borrow::Cow;
use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Observer;
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::config::Config;
use crate::content::ContentId;
use crate::error::Error;
use crate::tree::Tree;
use crate::worktree::{self, Contents, WorkTree};

pub use build::mutant::{MutantBuild, Nursery, Origin};
pub use modules::Modules;
pub use toolchain::Toolchain;

/// Raise this when the way of building changes what comes out: kernels get other
/// ids, and no build folder keeps its objects.
pub(crate) const BUILD_FORMAT: &str = "4";
/// Raise this when what is kept of a kernel changes. Build folders keep their objects.
const ENTRY_FORMAT: &str = "2";
const FACTS: &str = "kernel.json";

/// What is remembered of a built kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// The checkout's name when it was built.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The tree, for people.
    pub tree: String,
    /// How long the build took, in seconds.
    pub build_secs: u64,
    /// Size of the image in bytes, to notice one that was cut off.
    pub image_bytes: u64,
    /// Size in bytes of the list of files that it was built from.
    pub sources_bytes: u64,
    /// A name for its code: two kernels with the same name do the same. A mutant's kernel
    /// has none.
    pub code: Option<String>,
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

    /// Returns the configuration that it was built with.
    pub fn config(&self) -> Utf8PathBuf {
        self.dir.join("config")
    }

    /// Returns the folder of its user-space headers (`include/` within).
    pub fn headers(&self) -> Utf8PathBuf {
        self.dir.join("headers")
    }

    /// Returns the folder that holds the tree's `kselftest.h` and `kselftest_harness.h`.
    pub fn selftests(&self) -> Utf8PathBuf {
        self.dir.join("selftests")
    }

    /// Returns the files of the tree that it was built from, relative to the tree.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn sources(&self) -> Result<BTreeSet<String>, Error> {
        let list = self.dir.join(files::FILE_NAME);
        let text = fs::read_to_string(list).map_err(Error::host("reading a kernel's files"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Returns the kernel in `dir`, if it is there whole.
    fn load(dir: &Utf8Path, id: &str, is_fresh: bool) -> Option<Self> {
        let facts: Facts = serde_json::from_slice(&fs::read(dir.join(FACTS)).ok()?).ok()?;
        let image_bytes = fs::metadata(dir.join("bzImage")).ok()?.len();
        let sources = fs::metadata(dir.join(files::FILE_NAME)).ok()?;
        // A kernel whose files are not known would count as one that has none, or all.
        let is_listed = sources.len() > 0 && sources.len() == facts.sources_bytes;
        (image_bytes == facts.image_bytes && is_listed).then(|| Self {
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        })
    }
}

/// Returns the content id of the kernel that `checkout` and `config` build to.
pub fn kernel_id(checkout: &Checkout, config: &Config, toolchain: &Toolchain) -> String {
    ContentId::new("kernel")
        .part(BUILD_FORMAT.as_bytes())
        .part(ENTRY_FORMAT.as_bytes())
        .part(checkout.id.as_bytes())
        .part(config.of(checkout).text().as_bytes())
        .part(toolchain.identity.as_bytes())
        .finish()
}

/// Kernels to have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the checkouts are made of.
    pub tree: &'a Tree,
    /// The source states, one kernel each.
    pub checkouts: &'a [Checkout],
    /// The configuration.
    pub config: &'a Config,
    /// What compiles them.
    pub toolchain: &'a Toolchain,
    /// Modules to build against each of them.
    pub modules: Option<&'a Modules>,
}

impl Wanted<'_> {
    fn places(&self, cache: &Cache) -> Result<Vec<Place>, Error> {
        let kernels = cache.dir(&["kernels"])?;
        let place = |checkout: &Checkout| {
            let id = kernel_id(checkout, self.config, self.toolchain);
            let modules = self.modules.map(|these| modules_folder(these, &id, cache));
            Ok(Place {
                dir: kernels.join(&id),
                modules: modules.transpose()?,
                id,
            })
        };
        self.checkouts.iter().map(place).collect()
    }

    /// Returns the numbers of the checkouts that lack something, the nearest first.
    fn lacking(&self, places: &[Place], cache: &Cache) -> Result<Vec<usize>, Error> {
        let lacking: Vec<usize> = (0..places.len())
            .filter(|&at| !places[at].is_filled())
            .collect();
        if lacking.is_empty() {
            return Ok(lacking);
        }
        let now = WorkTree::peek(cache, self.tree, &self.config.name)?;
        let contents: Vec<Contents> = lacking
            .iter()
            .map(|&at| worktree::contents(&self.checkouts[at].overlay))
            .collect();
        let order = order::nearest_first(&now, &contents);
        Ok(order.into_iter().map(|next| lacking[next]).collect())
    }
}

/// Where a kernel and its modules are in the cache, or are to be.
struct Place {
    id: String,
    dir: Utf8PathBuf,
    modules: Option<Utf8PathBuf>,
}

impl Place {
    fn kernel(&self, is_fresh: bool) -> Option<Kernel> {
        Kernel::load(&self.dir, &self.id, is_fresh)
    }

    fn is_filled(&self) -> bool {
        self.kernel(false).is_some() && self.modules.as_ref().is_none_or(|dir| dir.is_dir())
    }

    fn found(self, is_fresh: bool) -> Result<(Kernel, Option<Utf8PathBuf>), Error> {
        let kernel = self.kernel(is_fresh).ok_or_else(|| {
            let lost = std::io::Error::other("the kernel is not there");
            Error::host(format!("reading `{}`", self.dir))(lost)
        })?;
        Ok((kernel, self.modules))
    }
}

/// Returns the folder in the cache for `modules` built against the kernel with this
/// content id. It does not exist until they are built.
///
/// # Errors
/// When the cache cannot be used.
pub fn modules_folder(
    modules: &Modules,
    kernel_id: &str,
    cache: &Cache,
) -> Result<Utf8PathBuf, Error> {
    Ok(cache.dir(&["modules"])?.join(modules.id(kernel_id)))
}

/// Returns the kernels wanted, in the order of the checkouts, each with the folder
/// that has its modules as `NAME.ko`, if modules are wanted: from the cache, or
/// built now, one after the other, since they share objects. A kernel's id does not
/// depend on its modules.
///
/// # Errors
/// When an option does not take effect, or the source of a kernel or a module does
/// not compile (the user's to fix), or the host fails.
pub fn make_with_modules(
    wanted: &Wanted<'_>,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Vec<(Kernel, Option<Utf8PathBuf>)>, Error> {
    let places = wanted.places(cache)?;
    let mut fresh = vec![false; places.len()];
    for at in wanted.lacking(&places, cache)? {
        let (place, checkout) = (&places[at], &wanted.checkouts[at]);
        fresh[at] = place.kernel(false).is_none();
        let order = build::Order {
            tree: wanted.tree,
            checkout: Cow::Borrowed(checkout),
            config: wanted.config.of(checkout),
            dir: &place.dir,
            modules: wanted.modules.zip(place.modules.clone()),
        };
        build::build(&order, cache, cancel, observer)?;
    }
    let found = places.into_iter().zip(fresh);
    found
        .map(|(place, is_fresh)| place.found(is_fresh))
        .collect()
}
