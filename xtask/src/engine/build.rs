// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds kernels of checkouts and configs.

use camino::Utf8PathBuf;
use kernel_patches::config::Config;
use kernel_patches::kernel::{self, Kernel, Modules, Toolchain, Wanted};

use crate::engine::session::Session;
use crate::engine::sources::Sources;

/// A kernel, with the names of the checkout and config that it was built from.
#[derive(Clone, Debug)]
pub struct Built {
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The kernel.
    pub kernel: Kernel,
    /// The folder of the modules that were built for it, if any were requested.
    pub modules: Option<Utf8PathBuf>,
}

/// Looks up configs by name.
///
/// # Errors
/// When a config does not exist.
pub fn find_configs(names: &[String], session: &Session) -> anyhow::Result<Vec<Config>> {
    let mut seen = std::collections::BTreeSet::new();
    let folder = session.layout.configs();
    names
        .iter()
        .filter(|name| seen.insert(*name))
        .map(|name| Ok(Config::find(name, &folder)?))
        .collect()
}

/// Builds every checkout with every config, and the requested modules for each kernel.
///
/// # Errors
/// When a kernel cannot be built.
pub fn build_all(
    sources: &Sources,
    configs: &[Config],
    modules: Option<&Modules>,
    session: &Session,
) -> anyhow::Result<Vec<Built>> {
    let toolchain = Toolchain::detect(&session.cancel)?;
    let mut built = Vec::new();
    for config in configs {
        let wanted = Wanted {
            tree: &sources.tree,
            checkouts: &sources.checkouts,
            config,
            toolchain: &toolchain,
            modules,
        };
        let kernels = kernel::make_with_modules(&wanted, &session.context())?;
        let named = sources.checkouts.iter().zip(kernels);
        built.extend(named.map(|(checkout, (kernel, modules))| Built {
            checkout: checkout.name.clone(),
            config: config.name.clone(),
            kernel,
            modules,
        }));
    }
    Ok(built)
}
