// SPDX-License-Identifier: GPL-2.0-only
//! Everything that jobs run on, made context, and the jobs of the plan with their share
//! of it.

use anyhow::Context;
use jiff::Timestamp;
use selftests::fault;

use super::coverage::Question;
use super::jobs::{Job, Test};
use super::prepare::{self, Build};
use super::request::Request;
use super::{kselftest, provenance};
use crate::cli::{DEFAULT_MACHINE, TestArgs};
use crate::commands::build::Built;
use crate::commands::environment::Environment;
use crate::commands::sources::Sources;
use crate::plan::{JobPlan, Plan};
use crate::result::{CheckoutResult, JobResult, Provenance, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Everything that jobs run on.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) environment: Environment,
    pub(crate) builds: Vec<Build>,
    /// The plan, with the jobs of the tree's own tests.
    pub(crate) plan: Plan,
    /// The tree's name for people.
    pub(crate) tree: String,
    /// What results say of the checkouts that are judged.
    pub(crate) checkouts: Vec<CheckoutResult>,
    /// All of the circumstances that is known before the first job.
    provenance: Provenance,
    /// Whether the series is in the kernels.
    coverage: Question,
}

impl RunContext {
    /// From kernels to programs that are context to boot on them.
    ///
    /// # Errors
    /// When a program does not compile, or the host fails.
    pub(crate) fn make(
        kernels: Vec<Built>,
        sources: &Sources,
        request: &Request,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let machine = args.machine.as_deref();
        let own = request.scenarios.iter().map(|one| one.machine.as_str());
        let all = own
            .chain([DEFAULT_MACHINE])
            .map(|own| machine.unwrap_or(own))
            .chain([fault::LEAK_MACHINE]);
        let mut environment = Environment::set_up(all, session)?;
        environment.keep_dumps = args.dump_hangs;
        let mut builds = prepare::builds(kernels, sources, request, &environment, session)?;
        let build = builds.first().context("there is no kernel to run")?;
        environment.choose_accelerator(
            machine.unwrap_or(DEFAULT_MACHINE),
            &build.kernel.image(),
            &build.initramfs,
            &build.guest,
            session,
        )?;
        let tests = kselftest::make_run_context(
            &request.kselftests,
            sources,
            &mut builds,
            environment.accelerator,
            session,
        )?;
        Ok(Self {
            coverage: Question::of(sources, &builds, &request.plan.checkouts)?,
            provenance: provenance::look(request, sources, &builds, session)?,
            environment,
            builds,
            plan: request.plan.clone().with_jobs_of(&on_default(tests)),
            tree: sources.tree.label().to_owned(),
            checkouts: sources.results(&request.plan.checkouts),
        })
    }

    /// Returns what a run that began at `began` came to, from the results of its jobs.
    pub(crate) fn result(
        &self,
        jobs: Vec<JobResult>,
        began: Timestamp,
        folder: &RunFolder,
    ) -> RunResult {
        let (tree, plan) = (self.tree.clone(), &self.plan);
        let (series, below) = (plan.series.clone(), plan.prerequisites.clone());
        let coverage = self.coverage.answer(&jobs);
        let result = RunResult::new(tree, series, below, jobs)
            .with_checkouts(self.checkouts.clone())
            .with_coverage(Some(coverage));
        RunResult {
            provenance: provenance::of_run(&self.provenance, began, folder),
            ..result
        }
    }
}

/// The tree's own tests name no machine.
fn on_default(tests: Vec<String>) -> Vec<(String, String)> {
    let machine = DEFAULT_MACHINE.to_owned();
    tests
        .into_iter()
        .map(|test| (test, machine.clone()))
        .collect()
}

/// Returns every job of the plan with what it needs, but for a checkpoint.
///
/// # Errors
/// When there is no kernel or program for one.
pub(crate) fn match_up<'a>(
    request: &'a Request,
    context: &'a RunContext,
) -> anyhow::Result<Vec<Job<'a>>> {
    let find = |job: &'a JobPlan| {
        let build = context
            .builds
            .iter()
            .find(|build| build.checkout == job.checkout && build.config == job.config)?;
        let mut scenarios = request.scenarios.iter();
        let test = match build.kselftest.get(&job.test) {
            Some(kselftest) => Test::Kselftest(kselftest),
            None => Test::Scenario(scenarios.find(|one| one.name == job.test)?),
        };
        Some(Job {
            plan: job,
            test,
            build,
            machine: context.environment.machine(&job.machine).ok()?,
            vm_run: build.vm_runs.get(&job.test)?,
            checkpoint: None,
        })
    };
    let jobs = context.plan.jobs.iter();
    jobs.map(|job| find(job).with_context(|| format!("nothing to run {} on", job.label())))
        .collect()
}
