// SPDX-License-Identifier: GPL-2.0-only
//! Runs scenarios on mutants of the series, until one notices.
//!
//! A mutant is noticed when two cells on it do not pass that must on the series: those of
//! two scenarios, or one twice, for chance must not speak for a test. While the scenarios
//! run on one, the next is built.

mod births;
mod hearing;
mod order;
mod trial;

use anyhow::Context;
use selftests::scenario::Scenario;

use self::order::Noticers;
use self::trial::Trial;
use super::history::History;
use super::{Inquiry, Ready};
use crate::cli::TestArgs;
use crate::commands::sources::Sources;
use crate::plan::Plan;
use crate::result::{CellResult, MutantResult, Verdict};
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
            let passes = |scenario: &&Scenario| passes(scenario, profile, on_series);
            let scenarios = self.inquiry.scenarios.iter().filter(passes);
            let mut trial = Trial {
                court: self,
                plan: Plan {
                    check_snapshots: false,
                    ..self.ready.plan.clone()
                },
                ground,
                scenarios: scenarios.collect(),
                noticers: Noticers::load(self.session, &self.inquiry.request.series),
                history: History::load(self.session),
            };
            results.extend(trial.all()?);
            trial.noticers.save();
        }
        Ok(results)
    }
}

/// Returns whether a scenario came to what it must on the series, each time that it ran.
fn passes(scenario: &Scenario, profile: &str, cells: &[CellResult]) -> bool {
    let mut cells = cells.iter().filter(|cell| {
        cell.stack == SERIES && cell.profile == profile && cell.scenario == scenario.name
    });
    let is_good = |cell: &CellResult| cell.outcome == "pass" && cell.verdict == Verdict::Ok;
    cells.next().is_some_and(is_good) && cells.all(is_good)
}
