// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds mutants one after the other and sends them to the worker.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::Context;
use kernel_patches::checkout::MUTANT_PREFIX;
use kernel_patches::kernel::{MutantBuild, MutantCompiler, Origin, Toolchain};
use kernel_patches::mutant::Mutant;

use super::MutationRun;
use crate::engine::checkouts::SERIES;
use crate::engine::prepare::Build;

/// A mutant and the outcome of its build.
#[derive(Debug)]
pub(super) struct BuiltMutant<'a> {
    pub(super) mutant: &'a Mutant,
    pub(super) mutant_build: MutantBuild,
    pub(super) took: Duration,
}

/// Builds the mutants of a config.
#[derive(Clone, Copy, Debug)]
pub(super) struct MutantBuilder<'a> {
    pub(super) mutation_run: &'a MutationRun<'a>,
    /// The build of the series with this config.
    pub(super) build: &'a Build,
}

impl<'a> MutantBuilder<'a> {
    /// Builds all mutants; returns early if the receiver is gone.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn build_all(self, send: &SyncSender<BuiltMutant<'a>>) -> anyhow::Result<()> {
        let MutationRun {
            request,
            sources,
            folder,
            session,
            ..
        } = *self.mutation_run;
        let series = sources.checkouts.iter().find(|one| one.name == SERIES);
        let config = &self.build.config;
        let mut configs = request.configs.iter();
        let modules = request.modules(!self.mutation_run.args.no_self_check)?;
        let folder_of_modules = self.build.modules.as_deref();
        let toolchain = Toolchain::detect(&session.cancel)?;
        let origin = Origin {
            tree: &sources.tree,
            series: series.context("no checkout of the series")?,
            config: configs
                .find(|one| one.name == *config)
                .context("unknown config")?,
            toolchain: &toolchain,
            modules: modules.as_ref().zip(folder_of_modules),
        };
        let files = sources.mutants.iter().flat_map(Mutant::files);
        let context = session.context();
        let files = files.map(camino::Utf8PathBuf::as_path);
        let mut compiler = MutantCompiler::open(origin, files, &context)?;
        for mutant in &sources.mutants {
            let begun = Instant::now();
            let kernels = folder.path().join("kernels").join(config);
            fs_err::create_dir_all(&kernels)?;
            let place = kernels.join(format!("{MUTANT_PREFIX}{}", mutant.name));
            let built = BuiltMutant {
                mutant,
                mutant_build: compiler.build(mutant, &place)?,
                took: begun.elapsed(),
            };
            if send.send(built).is_err() {
                break;
            }
        }
        Ok(())
    }
}
