// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel: the build of a checkout with a config, cached by content.

mod build;
mod cached;
mod files;
mod mutant;
mod state;
mod toolchain;

use std::borrow::Cow;

use camino::Utf8PathBuf;
use patchbed_host::cache::Cache;
use patchbed_host::context::Context;

use self::build::{BuildRequest, make_kernel};
use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::Error;
use crate::tree::Tree;
use crate::worktree::{self, Contents, WorkTree};

pub use cached::{Facts, Kernel, Modules, kernel_id};
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
    fn requests(&self, cache: &Cache) -> Result<Vec<BuildRequest<'_>>, Error> {
        let kernels = cache.dir(&["kernels"])?;
        let request = |checkout| {
            let id = kernel_id(checkout, self.config, self.toolchain);
            let modules = match self.modules {
                Some(modules) => Some((modules, modules_folder(modules, &id, cache)?)),
                None => None,
            };
            Ok(BuildRequest {
                tree: self.tree,
                checkout: Cow::Borrowed(checkout),
                config: self.config.of(checkout),
                arch: self.toolchain.arch,
                dir: kernels.join(&id),
                id,
                modules,
            })
        };
        self.checkouts.iter().map(request).collect()
    }

    /// Returns the indexes of the checkouts in the order to make their kernels.
    fn order(&self, requests: &[BuildRequest<'_>], cache: &Cache) -> Result<Vec<usize>, Error> {
        let all = 0..requests.len();
        let (mut order, missing): (Vec<usize>, Vec<usize>) =
            all.partition(|&at| requests[at].is_complete());
        if !missing.is_empty() {
            let now = WorkTree::peek(cache, self.tree, &self.config.name)?;
            let overlays = missing.iter().map(|&at| &self.checkouts[at].overlay);
            let contents: Vec<Contents> = overlays.map(worktree::contents).collect();
            let nearest_first = worktree::nearest_first(&now, &contents);
            order.extend(nearest_first.into_iter().map(|next| missing[next]));
        }
        Ok(order)
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
    let requests = wanted.requests(&context.cache)?;
    for at in wanted.order(&requests, &context.cache)? {
        let kernel = make_kernel(&requests[at], context)?;
        let modules = requests[at].modules.as_ref();
        if !ready(at, kernel, modules.map(|(_, dir)| dir.clone())) {
            break;
        }
    }
    Ok(())
}
