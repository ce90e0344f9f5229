// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutation testing: runs scenarios on mutants of the series until a mutant is caught.
//!
//! A mutant is caught if two jobs differ from the series: jobs of two scenarios, or two
//! repetitions of one scenario. A single difference could be a flaky test. A scenario that
//! fails on the series differs if it passes or has another timeline. The next mutant is
//! built while scenarios run on the current mutant.

mod baseline;
mod builder;
mod evaluation;
mod priority;
mod worker;

use anyhow::Context;

use self::baseline::Baseline;
use self::priority::TestPriority;
use self::worker::Worker;
use crate::engine::checkouts::SERIES;
use crate::engine::context::RunContext;
use crate::engine::history::History;
use crate::engine::options::TestOptions;
use crate::engine::plan::Plan;
use crate::engine::request::Request;
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::result::{JobResult, MutantResult};

/// The run that mutants are part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct MutationRun<'a> {
    pub(super) request: &'a Request,
    pub(super) sources: &'a Sources,
    pub(super) context: &'a RunContext,
    pub(super) folder: &'a RunFolder,
    pub(super) args: &'a TestOptions,
    pub(super) session: &'a Session,
}

impl MutationRun<'_> {
    /// Returns the results of the selected mutants. `on_series` are the results of the jobs on
    /// the series.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn run(&self, on_series: &[JobResult]) -> anyhow::Result<Vec<MutantResult>> {
        let mut results = Vec::new();
        if self.sources.mutants.is_empty() {
            return Ok(results);
        }
        for config in &self.context.plan.configs {
            let mut builds = self.context.builds.iter();
            let build = builds
                .find(|build| build.checkout == SERIES && build.config == *config)
                .context("no kernel of the series was built")?;
            let scenarios = &self.request.scenarios;
            let baseline = Baseline::of(scenarios, config, on_series, self.folder.path());
            let mut worker = Worker {
                mutation_run: self,
                plan: Plan {
                    check_snapshots: false,
                    ..self.context.plan.clone()
                },
                build,
                scenarios: scenarios.iter().filter(|one| baseline.has(one)).collect(),
                baseline,
                priority: TestPriority::load(self.session, &self.request.source_request.series),
                history: History::load(self.session),
            };
            results.extend(worker.run()?);
        }
        Ok(results)
    }
}
