// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that jobs run on: environment, builds and plan.

use anyhow::Context;
use jiff::Timestamp;
use selftests::fault;

use super::{kselftest, provenance};
use crate::engine::build::Built;
use crate::engine::coverage::CoverageInput;
use crate::engine::environment::Environment;
use crate::engine::jobs::{Job, Test};
use crate::engine::options::{DEFAULT_MACHINE, TestOptions};
use crate::engine::plan::{JobPlan, Plan};
use crate::engine::prepare::{self, Build};
use crate::engine::request::Request;
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::result::{CheckoutResult, JobResult, Provenance, RunResult};

/// The environment, builds and plan of a run.
#[derive(Debug)]
pub struct RunContext {
    pub(crate) environment: Environment,
    pub(crate) builds: Vec<Build>,
    /// The plan, including the jobs of kselftests.
    pub plan: Plan,
    /// The label of the tree in results.
    pub tree: String,
    /// The checkouts under test, as listed in the result.
    pub checkouts: Vec<CheckoutResult>,
    /// Complete except for name, start and end of the run.
    provenance: Provenance,
    coverage: CoverageInput,
}

impl RunContext {
    /// Builds the test programs and prepares the environment for the kernels.
    ///
    /// # Errors
    /// When a program does not compile, or the host fails.
    pub fn make(
        kernels: Vec<Built>,
        sources: &Sources,
        request: &Request,
        args: &TestOptions,
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
    pub fn result(&self, jobs: Vec<JobResult>, began: Timestamp, folder: &RunFolder) -> RunResult {
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
pub fn match_up<'a>(request: &'a Request, context: &'a RunContext) -> anyhow::Result<Vec<Job<'a>>> {
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
