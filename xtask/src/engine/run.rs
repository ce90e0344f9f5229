// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a request from its sources to its result.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::Utf8Path;
use fs_err as fs;
use jiff::Timestamp;
use selftests::fault;

use crate::engine::coverage;
use crate::engine::environment::Environment;
use crate::engine::executor::LocalExecutor;
use crate::engine::history::History;
use crate::engine::kselftest;
use crate::engine::mutation::MutationRun;
use crate::engine::options::TestOptions;
use crate::engine::pipeline::{Outcome, Pipeline};
use crate::engine::plan::Plan;
use crate::engine::provenance;
use crate::engine::queue::Queue;
use crate::engine::request::Request;
use crate::engine::result_cache::ResultCache;
use crate::engine::run_folder::RunFolder;
use crate::engine::self_checks::SelfChecks;
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::result::RunResult;

/// Memory of a QEMU process on top of the guest's memory, in MiB.
const OVERHEAD_MIB: u64 = 300;

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// Its folder.
    pub folder: RunFolder,
    /// The plan, including the jobs of kselftests.
    pub plan: Plan,
    /// The result, as in `result.json`.
    pub result: RunResult,
    /// The time until all builds were ready, and the time of the jobs after that.
    pub times: Vec<(&'static str, Duration)>,
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
    finished.context("a run without a cache has jobs")
}

/// Like [`run`], with the results of earlier runs of the same process: only jobs whose inputs
/// differ are run, and no self-check. Returns `None` if no input of a job
/// has changed since the last printed result.
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
    let (began, begun) = (Timestamp::now(), Instant::now());
    // An error of a build ends the jobs, and the other way round.
    let session = &session.with_cancel(session.cancel.child());
    let (sources, environment) = prepare(request, options, session)?;
    let folder = RunFolder::create(out, &session.layout, &request.plan)?;
    let parallel = parallel(request, options, &environment, session)?;
    let pipeline = Pipeline {
        request,
        options,
        sources: &sources,
        environment: &environment,
        executor: LocalExecutor::new(&environment, session),
        self_checks: SelfChecks::new(
            request.machine(),
            &environment,
            options,
            folder.path(),
            session,
        ),
        parallel,
        history: History::load(session),
        queue: Queue::new(&session.cancel, parallel.div_ceil(2)),
        has_run: AtomicBool::new(false),
        cache,
        ids: Mutex::default(),
        folder: &folder,
        session,
    };
    let provenance = provenance::begin(request, &sources, began, &folder, session)?;
    let outcome = pipeline.run().inspect_err(|_| {
        // After an error of a build, the same command can be repeated with the same folder.
        if !pipeline.has_run() {
            folder.discard(out.is_none());
        }
    })?;
    if outcome.is_printed {
        folder.discard(out.is_none());
        return Ok(None);
    }
    let Outcome {
        builds,
        plan,
        results,
        built_at,
        ..
    } = outcome;
    let self_checks = pipeline.self_check_results(&builds)?;
    let mutants = MutationRun {
        pipeline: &pipeline,
        builds: &builds,
        plan: &plan,
    }
    .run(&results)?;
    pipeline.executor.tidy();
    let coverage = coverage::of_run(&sources, &builds, &plan.checkouts, &results)?;
    let (series, below) = (plan.series.clone(), plan.prerequisites.clone());
    let result = RunResult {
        provenance: provenance.finished(&builds),
        collection: request.catalogue.manifest.kselftest().to_owned(),
        ..RunResult::new(sources.tree.label().to_owned(), series, below, results)
            .with_checkouts(sources.results(&plan.checkouts))
            .with_coverage(Some(coverage))
            .with_self_checks(self_checks)
            .with_mutants(mutants)
    };
    folder.finish(&result, &session.layout)?;
    if let Some(cache) = cache {
        cache.printed(&result, pipeline.ids().clone());
    }
    Ok(Some(Finished {
        folder,
        plan,
        result,
        times: vec![
            ("builds", built_at - begun),
            ("jobs", begun.elapsed() - (built_at - begun)),
        ],
    }))
}

/// Applies the series and sets up the environment at the same time: a first run unpacks the
/// tree with one core, and compiles the guest's PID 1 with the other.
fn prepare(
    request: &Request,
    options: &TestOptions,
    session: &Session,
) -> anyhow::Result<(Sources, Environment)> {
    let first_error = Mutex::new(None);
    // Ends the other part, whose own error is of no interest then.
    let fail = |error: anyhow::Error| {
        let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        session.cancel.cancel();
    };
    let apply = || {
        let sources = request.source_request.apply(session)?;
        kselftest::check(&request.kselftests, &sources)?;
        Ok(sources)
    };
    let (sources, environment) = std::thread::scope(|scope| {
        let environment = scope.spawn(|| environment(request, options, session).map_err(fail));
        (apply().map_err(fail), environment.join())
    });
    let first_error = first_error.into_inner();
    match (sources, environment, first_error.unwrap_or_default()) {
        (Ok(sources), Ok(Ok(environment)), _) => Ok((sources, environment)),
        (_, _, Some(error)) => Err(error),
        _ => anyhow::bail!("a thread of the run panicked"),
    }
}

/// Returns the test environment with the machines of a request.
fn environment(
    request: &Request,
    options: &TestOptions,
    session: &Session,
) -> anyhow::Result<Environment> {
    let machine = options.machine.as_deref();
    let of_scenarios = request.scenarios.iter().map(|one| one.machine.as_str());
    let machines = of_scenarios
        .chain([request.machine()])
        .map(|name| machine.unwrap_or(name))
        .chain([fault::LEAK_MACHINE]);
    let mut environment = Environment::set_up(machines, session)?;
    environment.keep_dumps = options.dump_hangs;
    Ok(environment)
}

/// Returns the number of VMs to run at once: `--jobs`, or the number for which the host has cores
/// and free memory.
fn parallel(
    request: &Request,
    options: &TestOptions,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<usize> {
    if let Some(jobs) = options.jobs {
        return Ok(jobs as usize);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(free) = free_memory_mib() else {
        return Ok(cores);
    };
    let guest = u64::from(request.memory_mib(environment, session)?);
    let fit = usize::try_from(free / (guest + OVERHEAD_MIB)).unwrap_or(cores);
    Ok(cores.min(fit).max(1))
}

fn free_memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}
