// SPDX-License-Identifier: GPL-2.0-only
//! Runs scenarios on mutants of the series, until one notices.
//!
//! A mutant is caught when two jobs on it come to something else than on the series:
//! those of two scenarios, or one twice, for pass_rate must not speak for a test. Where a
//! scenario shows a known finding of the series, its failing in another way counts. While
//! the scenarios run on one, the next is built.

mod builder;
mod evaluation;
mod known;
mod order;
mod worker;

use anyhow::Context;

use self::known::Known;
use self::order::TestPriority;
use self::worker::Worker;
use super::history::History;
use super::{Request, RunContext};
use crate::checkouts::SERIES;
use crate::cli::TestArgs;
use crate::commands::sources::Sources;
use crate::plan::Plan;
use crate::result::{JobResult, MutantResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// What mutants are judged with.
#[derive(Clone, Copy, Debug)]
pub(super) struct MutationRun<'a> {
    pub(super) request: &'a Request,
    pub(super) sources: &'a Sources,
    pub(super) context: &'a RunContext,
    pub(super) folder: &'a RunFolder,
    pub(super) args: &'a TestArgs,
    pub(super) session: &'a Session,
}

impl MutationRun<'_> {
    /// Returns what came of each mutant that is wanted, given what jobs came to on the
    /// series.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn judge(&self, on_series: &[JobResult]) -> anyhow::Result<Vec<MutantResult>> {
        let mut results = Vec::new();
        if self.sources.mutants.is_empty() {
            return Ok(results);
        }
        for config in &self.context.plan.configs {
            let mut builds = self.context.builds.iter();
            let build = builds
                .find(|build| build.checkout == SERIES && build.config == *config)
                .context("there is no kernel of the series")?;
            let scenarios = &self.request.scenarios;
            let known = Known::of(scenarios, config, on_series, self.folder.path());
            let mut worker = Worker {
                mutation_run: self,
                plan: Plan {
                    check_snapshots: false,
                    ..self.context.plan.clone()
                },
                build,
                scenarios: scenarios.iter().filter(|one| known.has(one)).collect(),
                known,
                priority: TestPriority::load(self.session, &self.request.source_request.series),
                history: History::load(self.session),
            };
            results.extend(worker.all()?);
        }
        Ok(results)
    }
}
