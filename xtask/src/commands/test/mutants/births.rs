// SPDX-License-Identifier: GPL-2.0-only
//! Builds mutants one after the other, and hands on what came of each.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::Context;
use kernel_patches::kernel::{Birth, Nursery, Origin, Toolchain};
use kernel_patches::mutant::Mutant;
use kernel_patches::stack::MUTANT_PREFIX;

use super::Court;
use crate::commands::test::prepare::Ground;
use crate::stacks::SERIES;

/// A mutant, and what came of building it.
#[derive(Debug)]
pub(super) struct Born<'a> {
    pub(super) mutant: &'a Mutant,
    pub(super) birth: Birth,
    pub(super) took: Duration,
}

/// Where the mutants of a profile are built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birthplace<'a> {
    pub(super) court: &'a Court<'a>,
    /// The series under that profile.
    pub(super) ground: &'a Ground,
}

impl<'a> Birthplace<'a> {
    /// Builds all; ends early when nobody wants to hear of them any more.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn build_all(self, send: &SyncSender<Born<'a>>) -> anyhow::Result<()> {
        let Court {
            inquiry,
            sources,
            folder,
            session,
            ..
        } = *self.court;
        let series = sources.stacks.iter().find(|one| one.name == SERIES);
        let profile = &self.ground.profile;
        let mut profiles = inquiry.profiles.iter();
        let modules = inquiry.modules(!self.court.args.no_canaries)?;
        let folder_of_modules = self.ground.modules.as_deref();
        let toolchain = Toolchain::detect(&session.cancel)?;
        let origin = Origin {
            tree: &sources.tree,
            series: series.context("no series to put mistakes into")?,
            profile: profiles
                .find(|one| one.name == *profile)
                .context("no such profile")?,
            toolchain: &toolchain,
            modules: modules.as_ref().zip(folder_of_modules),
        };
        let files = sources.mutants.iter().flat_map(Mutant::files);
        let (cache, cancel) = (&session.cache, &session.cancel);
        let files = files.map(camino::Utf8PathBuf::as_path);
        let mut nursery = Nursery::open(origin, files, cache, cancel, &session.progress)?;
        for mutant in &sources.mutants {
            let begun = Instant::now();
            let place = folder.path().join("kernels").join(profile);
            fs_err::create_dir_all(&place)?;
            let place = place.join(format!("{MUTANT_PREFIX}{}", mutant.name));
            let born = Born {
                mutant,
                birth: nursery.build(mutant, &place)?,
                took: begun.elapsed(),
            };
            if send.send(born).is_err() {
                break;
            }
        }
        Ok(())
    }
}
