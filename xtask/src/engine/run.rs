// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a request from its sources to its result.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use jiff::Timestamp;

use crate::engine::build::build_all;
use crate::engine::context::{RunContext, match_up};
use crate::engine::jobs::Job;
use crate::engine::kselftest;
use crate::engine::mutants::MutationRun;
use crate::engine::options::TestOptions;
use crate::engine::plan::{JobPlan, Plan};
use crate::engine::request::Request;
use crate::engine::result_cache::{self, Identity, ResultCache};
use crate::engine::run_folder::RunFolder;
use crate::engine::running::run_jobs;
use crate::engine::self_checks;
use crate::engine::session::Session;
use crate::result::{JobResult, RunResult};

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// Its folder.
    pub folder: RunFolder,
    /// The plan, including the jobs of kselftests.
    pub plan: Plan,
    /// The result, as in `result.json`.
    pub result: RunResult,
    /// The time that each step took, in order.
    pub times: Vec<(&'static str, Duration)>,
}

/// Measures the steps of a run.
struct Times {
    last: Instant,
    steps: Vec<(&'static str, Duration)>,
}

impl Times {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Ends the step `name`, which began when the step before it ended.
    fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push((name, now - self.last));
        self.last = now;
    }
}

/// Runs all jobs of a request. The files are in the folder `out`, or in a new folder among
/// the runs.
///
/// # Errors
/// When a patch does not apply, a kernel or a test does not compile, the host fails, or the
/// user interrupts the run.
pub fn run(
    request: &Request,
    options: &TestOptions,
    out: Option<&Utf8Path>,
    session: &Session,
) -> anyhow::Result<Finished> {
    let finished = run_changed(request, options, out, None, session)?;
    Ok(finished.expect("without a cache, every input is new"))
}

/// Like [`run`], with the results of earlier runs of the same process: only jobs whose inputs
/// differ are run, and no self-check. Returns `None` if the inputs of all jobs are those of
/// the result that was printed last.
///
/// # Errors
/// As [`run`].
pub fn run_changed(
    request: &Request,
    options: &TestOptions,
    out: Option<&Utf8Path>,
    cache: Option<&ResultCache>,
    session: &Session,
) -> anyhow::Result<Option<Finished>> {
    let began = Timestamp::now();
    let mut times = Times::start();
    let sources = request.source_request.apply(session)?;
    kselftest::check(&request.kselftests, &sources)?;
    times.end("sources");
    let with_self_check = cache.is_none() && !options.no_self_check;
    let modules = request.modules(with_self_check)?;
    let kernels = build_all(&sources, &request.configs, modules.as_ref(), session)?;
    times.end("kernels");
    let context = RunContext::make(kernels, &sources, request, options, session)?;
    times.end("selftests");
    let plan = context.plan.clone();
    let jobs = match_up(request, &context)?;
    let identities = match cache {
        Some(_) => result_cache::identities(&jobs, &context, session)?,
        None => Vec::new(),
    };
    if cache.is_some_and(|cache| cache.is_printed(&identities)) {
        return Ok(None);
    }
    let folder = RunFolder::create(out, &session.layout, &plan)?;
    let self_checks = match cache {
        Some(cache) => cache.self_checks(&context, options, session)?,
        None => self_checks::run(&context, options, &folder, session)?,
    };
    let results = match cache {
        Some(cache) => {
            let cached = cache.reuse(&identities, &folder, session);
            let insert = |job: &Job<'_>, result: &JobResult| {
                cache.insert_of(&identities, job.plan, result, &folder, session);
            };
            run_missing(&jobs, cached, |jobs| {
                run_jobs(jobs, &plan, &context, &folder, options, session, &insert)
            })?
        }
        None => run_jobs(
            &jobs,
            &plan,
            &context,
            &folder,
            options,
            session,
            &|_, _| {},
        )?,
    };
    let mutation_run = MutationRun {
        request,
        sources: &sources,
        context: &context,
        folder: &folder,
        args: options,
        session,
    };
    let mutants = mutation_run.run(&results)?;
    let result = context
        .result(results, began, &folder)
        .with_self_checks(self_checks)
        .with_mutants(mutants);
    folder.finish(&result, &session.layout)?;
    times.end("jobs");
    if let Some(cache) = cache {
        let has_error = result.jobs.iter().any(JobResult::is_inconclusive);
        cache.set_printed(if has_error { Vec::new() } else { identities });
    }
    Ok(Some(Finished {
        folder,
        plan,
        result,
        times: times.steps,
    }))
}

/// Runs the jobs without a cached result, and returns the results of all jobs in their order.
fn run_missing<'a>(
    jobs: &[Job<'a>],
    cached: Vec<Option<JobResult>>,
    run: impl FnOnce(&[Job<'a>]) -> anyhow::Result<Vec<JobResult>>,
) -> anyhow::Result<Vec<JobResult>> {
    let missing: Vec<Job<'_>> = jobs
        .iter()
        .zip(&cached)
        .filter(|(_, cached)| cached.is_none())
        .map(|(job, _)| job.clone())
        .collect();
    let mut ran = match missing.as_slice() {
        [] => Vec::new(),
        some => run(some)?,
    }
    .into_iter();
    // `ran` has a result for each `None`, in the same order.
    let results = cached.into_iter();
    Ok(results
        .filter_map(|cached| cached.or_else(|| ran.next()))
        .collect())
}

/// Returns the inputs of a job that a result was computed from, by plan.
pub type Identities = Vec<(JobPlan, Identity)>;
