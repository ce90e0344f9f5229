// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel: the build of a checkout with a config, cached by content.

mod build;
mod cached;
mod code;
mod files;
mod modules;
mod mutant;
mod state;
mod toolchain;

use std::borrow::Cow;

use camino::Utf8PathBuf;
use patchbed_host::cache::Cache;
use patchbed_host::context::Context;

use self::build::BuildRequest;
use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::Error;
use crate::tree::Tree;
use crate::worktree::{self, Contents, WorkTree};

pub use cached::{Facts, Kernel, kernel_id};
pub use modules::Modules;
pub use mutant::{MutantBuild, MutantCompiler, Origin};
pub use state::InProgress;
pub use toolchain::Toolchain;

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
        let order = worktree::nearest_first(&now, &contents);
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

    fn result(&self, is_fresh: bool) -> Result<(Kernel, Option<Utf8PathBuf>), Error> {
        let kernel = self.kernel(is_fresh).ok_or_else(|| {
            Error::unexpected(format!("reading `{}`", self.dir), "the kernel is missing")
        })?;
        Ok((kernel, self.modules.clone()))
    }
}

/// Returns the folder in the cache for `modules` built against the kernel with this
/// content id. The build creates it.
pub fn modules_folder(
    modules: &Modules,
    kernel_id: &str,
    cache: &Cache,
) -> Result<Utf8PathBuf, Error> {
    Ok(cache.dir(&["modules"])?.join(modules.id(kernel_id)))
}

/// Makes the requested kernels, and passes each to `ready` with the index of its checkout and
/// the folder of its modules (`NAME.ko`), if modules are requested: first the kernels in the
/// cache, then the others as they are built, one after the other, since they share a build
/// folder. Stops when `ready` returns `false`. A kernel's id does not depend on its modules.
///
/// # Errors
/// [`Error::Input`] when a config option is not set as requested or the source does not
/// compile, [`Error::Infrastructure`] when the host fails.
pub fn make_each(
    wanted: &Wanted<'_>,
    context: &Context,
    mut ready: impl FnMut(usize, Kernel, Option<Utf8PathBuf>) -> bool,
) -> Result<(), Error> {
    let entries = wanted.entries(&context.cache)?;
    let missing = wanted.missing(&entries, &context.cache)?;
    let cached = (0..entries.len()).filter(|at| !missing.contains(at));
    for at in cached.chain(missing.iter().copied()) {
        let (entry, checkout) = (&entries[at], &wanted.checkouts[at]);
        let is_fresh = entry.kernel(false).is_none();
        if missing.contains(&at) {
            let request = BuildRequest {
                tree: wanted.tree,
                checkout: Cow::Borrowed(checkout),
                config: wanted.config.of(checkout),
                arch: wanted.toolchain.arch,
                dir: &entry.dir,
                modules: wanted.modules.zip(entry.modules.clone()),
            };
            build::build(&request, context)?;
        }
        let (kernel, modules) = entry.result(is_fresh)?;
        if !ready(at, kernel, modules) {
            break;
        }
    }
    Ok(())
}
