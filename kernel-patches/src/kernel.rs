// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel: the build of a checkout with a config, cached by content.

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

pub use build::mutant::{MutantBuild, MutantCompiler, Origin};
pub use modules::Modules;
pub use toolchain::Toolchain;

/// Increase when a change of the build steps changes their output: all kernels get new
/// ids, and the objects in build folders are deleted.
pub(crate) const BUILD_FORMAT: &str = "4";
/// Increase when the files of a cached kernel change: all kernels get new ids, and build
/// folders keep their objects.
const ENTRY_FORMAT: &str = "2";
const FACTS: &str = "kernel.json";

/// The metadata of a cached kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// The checkout's name when it was built.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The label of the tree.
    pub tree: String,
    /// Build time in seconds.
    pub build_secs: u64,
    /// Size of the image in bytes; detects a truncated image.
    pub image_bytes: u64,
    /// Size of the list of source files in bytes; detects a truncated list.
    pub sources_bytes: u64,
    /// Content id of its code; `None` for a mutant's kernel.
    pub code: Option<String>,
}

/// A built kernel in the cache.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Content id.
    pub id: String,
    /// Its folder in the cache.
    pub dir: Utf8PathBuf,
    /// Its metadata.
    pub facts: Facts,
    /// Whether this run built it.
    pub is_fresh: bool,
}

impl Kernel {
    /// Returns the path of the boot image.
    pub fn image(&self) -> Utf8PathBuf {
        self.dir.join("bzImage")
    }

    /// Returns the path of the kernel with symbols.
    pub fn symbols(&self) -> Utf8PathBuf {
        self.dir.join("vmlinux")
    }

    /// Returns the path of its `.config`.
    pub fn config(&self) -> Utf8PathBuf {
        self.dir.join("config")
    }

    /// Returns the folder of its user-space headers, with `include/`.
    pub fn headers(&self) -> Utf8PathBuf {
        self.dir.join("headers")
    }

    /// Returns the folder with the tree's `kselftest.h` and `kselftest_harness.h`.
    pub fn selftests(&self) -> Utf8PathBuf {
        self.dir.join("selftests")
    }

    /// Returns the source files that it was built from, relative to the tree.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn sources(&self) -> Result<BTreeSet<String>, Error> {
        let list = self.dir.join(files::FILE_NAME);
        let text = fs::read_to_string(list).map_err(Error::infrastructure(
            "reading the source files of a kernel",
        ))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Returns the kernel in `dir`, if it is complete.
    fn load(dir: &Utf8Path, id: &str, is_fresh: bool) -> Option<Self> {
        let facts: Facts = serde_json::from_slice(&fs::read(dir.join(FACTS)).ok()?).ok()?;
        let image_bytes = fs::metadata(dir.join("bzImage")).ok()?.len();
        let sources = fs::metadata(dir.join(files::FILE_NAME)).ok()?;
        // Without the list, the coverage of a series cannot be computed.
        let is_listed = sources.len() > 0 && sources.len() == facts.sources_bytes;
        (image_bytes == facts.image_bytes && is_listed).then(|| Self {
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        })
    }
}

/// Returns the content id of the kernel of `checkout` and `config`.
pub fn kernel_id(checkout: &Checkout, config: &Config, toolchain: &Toolchain) -> String {
    ContentId::new("kernel")
        .part(BUILD_FORMAT.as_bytes())
        .part(ENTRY_FORMAT.as_bytes())
        .part(checkout.id.as_bytes())
        .part(config.of(checkout).text().as_bytes())
        .part(toolchain.identity.as_bytes())
        .finish()
}

/// A request for kernels.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The tree of the checkouts.
    pub tree: &'a Tree,
    /// The checkouts; one kernel is built of each.
    pub checkouts: &'a [Checkout],
    /// The configuration.
    pub config: &'a Config,
    /// The compiler and linker.
    pub toolchain: &'a Toolchain,
    /// Modules to build against each kernel.
    pub modules: Option<&'a Modules>,
}

impl Wanted<'_> {
    fn entries(&self, cache: &Cache) -> Result<Vec<Entry>, Error> {
        let kernels = cache.dir(&["kernels"])?;
        let entry = |checkout: &Checkout| {
            let id = kernel_id(checkout, self.config, self.toolchain);
            let modules = self
                .modules
                .map(|modules| modules_folder(modules, &id, cache));
            Ok(Entry {
                dir: kernels.join(&id),
                modules: modules.transpose()?,
                id,
            })
        };
        self.checkouts.iter().map(entry).collect()
    }

    /// Returns the indexes of the checkouts to build, in the order to build them.
    fn missing(&self, entries: &[Entry], cache: &Cache) -> Result<Vec<usize>, Error> {
        let missing: Vec<usize> = (0..entries.len())
            .filter(|&at| !entries[at].is_complete())
            .collect();
        if missing.is_empty() {
            return Ok(missing);
        }
        let now = WorkTree::peek(cache, self.tree, &self.config.name)?;
        let contents: Vec<Contents> = missing
            .iter()
            .map(|&at| worktree::contents(&self.checkouts[at].overlay))
            .collect();
        let order = order::nearest_first(&now, &contents);
        Ok(order.into_iter().map(|next| missing[next]).collect())
    }
}

/// The place of a kernel and its modules in the cache.
struct Entry {
    id: String,
    dir: Utf8PathBuf,
    modules: Option<Utf8PathBuf>,
}

impl Entry {
    fn kernel(&self, is_fresh: bool) -> Option<Kernel> {
        Kernel::load(&self.dir, &self.id, is_fresh)
    }

    fn is_complete(&self) -> bool {
        self.kernel(false).is_some() && self.modules.as_ref().is_none_or(|dir| dir.is_dir())
    }

    fn into_result(self, is_fresh: bool) -> Result<(Kernel, Option<Utf8PathBuf>), Error> {
        let kernel = self.kernel(is_fresh).ok_or_else(|| {
            let missing = std::io::Error::other("the kernel is missing");
            Error::infrastructure(format!("reading `{}`", self.dir))(missing)
        })?;
        Ok((kernel, self.modules))
    }
}

/// Returns the folder in the cache for `modules` built against the kernel with this
/// content id. The build creates it.
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

/// Returns the requested kernels in the order of the checkouts, each with the folder of
/// its modules (`NAME.ko`) if modules are requested. Missing kernels are built one after
/// the other, since they share a build folder. A kernel's id does not depend on its
/// modules.
///
/// # Errors
/// [`Error::Input`] when a config option is not set as requested or the source does not
/// compile, [`Error::Infrastructure`] when the host fails.
pub fn make_with_modules(
    wanted: &Wanted<'_>,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Vec<(Kernel, Option<Utf8PathBuf>)>, Error> {
    let entries = wanted.entries(cache)?;
    let mut fresh = vec![false; entries.len()];
    for at in wanted.missing(&entries, cache)? {
        let (entry, checkout) = (&entries[at], &wanted.checkouts[at]);
        fresh[at] = entry.kernel(false).is_none();
        let request = build::BuildRequest {
            tree: wanted.tree,
            checkout: Cow::Borrowed(checkout),
            config: wanted.config.of(checkout),
            dir: &entry.dir,
            modules: wanted.modules.zip(entry.modules.clone()),
        };
        build::build(&request, cache, cancel, observer)?;
    }
    let entries = entries.into_iter().zip(fresh);
    entries
        .map(|(entry, is_fresh)| entry.into_result(is_fresh))
        .collect()
}
