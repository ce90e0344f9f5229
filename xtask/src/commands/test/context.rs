// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that jobs run on: environment, builds and plan.

use anyhow::Context;
use jiff::Timestamp;
use selftests::fault;

use super::coverage::CoverageInput;
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

/// The environment, builds and plan of a run.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) environment: Environment,
    pub(crate) builds: Vec<Build>,
    /// The plan, including the jobs of kselftests.
    pub(crate) plan: Plan,
    /// The label of the tree in results.
    pub(crate) tree: String,
    /// The checkouts under test, as listed in the result.
    pub(crate) checkouts: Vec<CheckoutResult>,
    /// Complete except for name, start and end of the run.
    provenance: Provenance,
    coverage: CoverageInput,
}

impl RunContext {
    /// Builds the test programs and prepares the environment for the kernels.
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
        let of_scenarios = request.scenarios.iter().map(|one| one.machine.as_str());
        let machines = of_scenarios
            .chain([DEFAULT_MACHINE])
            .map(|name| machine.unwrap_or(name))
            .chain([fault::LEAK_MACHINE]);
        let mut environment = Environment::set_up(machines, session)?;
        environment.keep_dumps = args.dump_hangs;
        let mut builds = prepare::builds(kernels, sources, request, &environment, session)?;
        let build = builds.first().context("no kernel was built")?;
        environment.choose_accelerator(
            machine.unwrap_or(DEFAULT_MACHINE),
            &build.kernel.image(),
            &build.initramfs,
            &build.guest,
            session,
        )?;
        let tests = kselftest::prepare(
            &request.kselftests,
            sources,
            &mut builds,
            environment.accelerator,
            session,
        )?;
        Ok(Self {
            coverage: CoverageInput::of(sources, &builds, &request.plan.checkouts)?,
            provenance: provenance::collect(request, sources, &builds, session)?,
            environment,
            builds,
            plan: request.plan.clone().with_jobs_of(&on_default(tests)),
            tree: sources.tree.label().to_owned(),
            checkouts: sources.results(&request.plan.checkouts),
        })
    }

    /// Returns the result of a run that started at `began`, from the results of its jobs.
    pub(crate) fn result(
        &self,
        jobs: Vec<JobResult>,
        began: Timestamp,
        folder: &RunFolder,
    ) -> RunResult {
        let (tree, plan) = (self.tree.clone(), &self.plan);
        let (series, below) = (plan.series.clone(), plan.prerequisites.clone());
        let coverage = self.coverage.coverage(&jobs);
        let result = RunResult::new(tree, series, below, jobs)
            .with_checkouts(self.checkouts.clone())
            .with_coverage(Some(coverage));
        RunResult {
            provenance: provenance::of_run(&self.provenance, began, folder),
            ..result
        }
    }
}

/// Assigns the default machine to kselftests.
fn on_default(tests: Vec<String>) -> Vec<(String, String)> {
    let machine = DEFAULT_MACHINE.to_owned();
    tests
        .into_iter()
        .map(|test| (test, machine.clone()))
        .collect()
}

/// Returns the jobs of the plan with their tests, builds and machines; checkpoints are
/// assigned later.
///
/// # Errors
/// When a job has no build, test or machine.
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
    jobs.map(|job| {
        find(job).with_context(|| format!("no build, test or machine for {}", job.label()))
    })
    .collect()
}
