// SPDX-License-Identifier: MIT OR Apache-2.0
//! `build`: builds the kernels of checkouts and configs.

use camino::Utf8PathBuf;
use kernel_patches::config::Config;
use kernel_patches::kernel::{self, Kernel, Modules, Toolchain, Wanted};

use crate::cli::BuildArgs;
use crate::commands::sources::{SourceRequest, Sources};
use crate::exit::Exit;
use crate::render;
use crate::session::Session;

/// Builds the kernels and prints the path of each image.
pub(crate) fn run(args: &BuildArgs, session: &Session) -> anyhow::Result<Exit> {
    let source_request = SourceRequest::from_args(&args.source, session)?;
    source_request.refuse_mutants("build")?;
    let configs = find_configs(&args.configs.config, session)?;
    let sources = source_request.apply(session)?;
    let kernels = build_all(&sources, &configs, None, session)?;
    session.progress.clear();
    for built in kernels {
        let how = if built.kernel.is_fresh {
            "built"
        } else {
            "from the cache"
        };
        render::to_stdout(&format!(
            "{} ({}): {} {how}",
            built.checkout,
            built.config,
            built.kernel.image()
        ))?;
    }
    Ok(Exit::Ok)
}

/// A kernel, with the names of the checkout and config that it was built from.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) kernel: Kernel,
    /// The folder of the modules that were built for it, if any were requested.
    pub(crate) modules: Option<Utf8PathBuf>,
}

/// Looks up configs by name.
///
/// # Errors
/// When a config does not exist.
pub(crate) fn find_configs(names: &[String], session: &Session) -> anyhow::Result<Vec<Config>> {
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
pub(crate) fn build_all(
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
        let Session {
            cache,
            cancel,
            progress,
            ..
        } = session;
        let kernels = kernel::make_with_modules(&wanted, cache, cancel, progress)?;
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
