// SPDX-License-Identifier: GPL-2.0-only
//! Runs scenarios on mutants of the series, until one notices.
//!
//! A mutant is noticed when two cells on it come to something else than on the series:
//! those of two scenarios, or one twice, for chance must not speak for a test. Where a
//! scenario shows a known finding of the series, its failing in another way counts. While
//! the scenarios run on one, the next is built.

mod births;
mod hearing;
mod known;
mod order;
mod trial;

use anyhow::Context;

use self::known::Known;
use self::order::Noticers;
use self::trial::Trial;
use super::history::History;
use super::{Inquiry, Ready};
use crate::cli::TestArgs;
use crate::commands::sources::Sources;
use crate::plan::Plan;
use crate::result::{CellResult, MutantResult};
use crate::run_folder::RunFolder;
use crate::session::Session;
use crate::stacks::SERIES;

/// What mutants are judged with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Court<'a> {
    pub(super) inquiry: &'a Inquiry,
    pub(super) sources: &'a Sources,
    pub(super) ready: &'a Ready,
    pub(super) folder: &'a RunFolder,
    pub(super) args: &'a TestArgs,
    pub(super) session: &'a Session,
}

impl Court<'_> {
    /// Returns what came of each mutant that is wanted, given what cells came to on the
    /// series.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn judge(&self, on_series: &[CellResult]) -> anyhow::Result<Vec<MutantResult>> {
        let mut results = Vec::new();
        if self.sources.mutants.is_empty() {
            return Ok(results);
        }
        for profile in &self.ready.plan.profiles {
            let mut grounds = self.ready.grounds.iter();
            let ground = grounds
                .find(|ground| ground.stack == SERIES && ground.profile == *profile)
                .context("there is no kernel of the series")?;
            let scenarios = &self.inquiry.scenarios;
            let known = Known::of(scenarios, profile, on_series, self.folder.path());
            let mut trial = Trial {
                court: self,
                plan: Plan {
                    check_snapshots: false,
                    ..self.ready.plan.clone()
                },
                ground,
                scenarios: scenarios.iter().filter(|one| known.has(one)).collect(),
                known,
                noticers: Noticers::load(self.session, &self.inquiry.source_request.series),
                history: History::load(self.session),
            };
            results.extend(trial.all()?);
        }
        Ok(results)
    }
}
