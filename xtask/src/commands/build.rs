// SPDX-License-Identifier: GPL-2.0-only
//! `build`: stacks and profiles to kernels.

use camino::Utf8PathBuf;
use kernel_patches::kernel::{self, Kernel, Modules, Toolchain, Wanted};
use kernel_patches::profile::Profile;

use crate::cli::BuildArgs;
use crate::commands::sources::{SourceRequest, Sources};
use crate::exit::Exit;
use crate::render;
use crate::session::Session;

/// Builds and prints where each kernel is.
pub(crate) fn run(args: &BuildArgs, session: &Session) -> anyhow::Result<Exit> {
    let source_request = SourceRequest::from_args(&args.source, session)?;
    source_request.refuse_mutants("build")?;
    let profiles = find_profiles(&args.profiles.profile, session)?;
    let sources = source_request.apply(session)?;
    let kernels = build_all(&sources, &profiles, None, session)?;
    session.progress.clear();
    for built in kernels {
        let how = if built.kernel.is_fresh {
            "built"
        } else {
            "from the cache"
        };
        render::to_stdout(&format!(
            "{} ({}): {} {how}",
            built.stack,
            built.profile,
            built.kernel.image()
        ))?;
    }
    Ok(Exit::Ok)
}

/// A kernel and what it was built from.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) stack: String,
    pub(crate) profile: String,
    pub(crate) kernel: Kernel,
    /// The folder of the modules that were built against it, if any were wanted.
    pub(crate) modules: Option<Utf8PathBuf>,
}

/// Looks up profiles by name.
///
/// # Errors
/// When there is no such profile.
pub(crate) fn find_profiles(names: &[String], session: &Session) -> anyhow::Result<Vec<Profile>> {
    let mut seen = std::collections::BTreeSet::new();
    let folder = session.layout.profiles();
    names
        .iter()
        .filter(|name| seen.insert(*name))
        .map(|name| Ok(Profile::find(name, &folder)?))
        .collect()
}

/// Builds every stack with every profile, and modules against each if any are wanted.
///
/// # Errors
/// When a kernel cannot be built.
pub(crate) fn build_all(
    sources: &Sources,
    profiles: &[Profile],
    modules: Option<&Modules>,
    session: &Session,
) -> anyhow::Result<Vec<Built>> {
    let toolchain = Toolchain::detect(&session.cancel)?;
    let mut built = Vec::new();
    for profile in profiles {
        let wanted = Wanted {
            tree: &sources.tree,
            stacks: &sources.stacks,
            profile,
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
        let named = sources.stacks.iter().zip(kernels);
        built.extend(named.map(|(stack, (kernel, modules))| Built {
            stack: stack.name.clone(),
            profile: profile.name.clone(),
            kernel,
            modules,
        }));
    }
    Ok(built)
}
