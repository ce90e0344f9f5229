// SPDX-License-Identifier: MIT OR Apache-2.0
//! An iteration of `watch`: reads the current files, runs the jobs whose inputs have changed,
//! and takes the other results from the cache.

use std::time::{Duration, Instant};

use patchbed_host::events::{Event, Observer};

use super::result_cache::{self, Identity, ResultCache};
use crate::cli::TestArgs;
use crate::commands::build::build_all;
use crate::commands::show;
use crate::commands::test::jobs::Job;
use crate::commands::test::{self, Request, RunContext, kselftest};
use crate::exit::message;
use crate::plan::JobPlan;
use crate::program;
use crate::render::watch::Iteration;
use crate::render::{self, watch};
use crate::result::{JobResult, SelfCheckResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Tests the current files and prints the result; prints nothing if it is cancelled.
pub(super) fn run(since: Instant, args: &TestArgs, session: &Session, cache: &ResultCache) {
    let tested = test_files(args, session, cache);
    session.progress.clear();
    if session.cancel.is_cancelled() {
        cache.set_printed(Vec::new());
        return;
    }
    let iteration = match &tested {
        Ok(None) => Iteration::Unaffected,
        Ok(Some(tested)) => Iteration::Judged {
            jobs: &tested.jobs,
            took: since.elapsed(),
            parts: &tested.times.parts,
            not_tested: tested.not_tested.as_deref(),
        },
        Err(error) => {
            cache.set_printed(Vec::new());
            render::error_to_stderr(&message(error));
            Iteration::Failed
        }
    };
    render::line_to_stderr(&watch::line(&result_cache::now("%H:%M:%S"), &iteration));
}

/// The result of an iteration.
struct Tested {
    jobs: Vec<JobResult>,
    times: Times,
    not_tested: Option<String>,
}

/// The time that each part of an iteration took.
struct Times {
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Times {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            parts: Vec::new(),
        }
    }

    /// Ends the part `name`, which began when the part before it ended.
    fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.parts.push((name, now - self.last));
        self.last = now;
    }
}

/// Tests the current files; `None` if the last printed result was of the same inputs.
fn test_files(
    args: &TestArgs,
    session: &Session,
    cache: &ResultCache,
) -> anyhow::Result<Option<Tested>> {
    let began = jiff::Timestamp::now();
    let mut times = Times::start();
    let request = Request::look_up(args, session)?;
    let sources = request.source_request.apply(session)?;
    kselftest::check(&request.kselftests, &sources)?;
    times.end("sources");
    let kernels = build_all(
        &sources,
        &request.configs,
        request.modules(false)?.as_ref(),
        session,
    )?;
    times.end("kernels");
    let context = RunContext::make(kernels, &sources, &request, args, session)?;
    times.end("selftests");
    let jobs = test::match_up(&request, &context)?;
    let identities = identities(&jobs, &context, session)?;
    if cache.is_printed(&identities) {
        return Ok(None);
    }
    let plan = &context.plan;
    let folder = RunFolder::create(None, &session.layout, plan)?;
    let cached = reuse(&identities, &folder, cache, session);
    let chosen: Vec<Job<'_>> = jobs
        .iter()
        .zip(&cached)
        .filter(|(_, cached)| cached.is_none())
        .map(|(job, _)| job.clone())
        .collect();
    let insert = |job: &Job<'_>, result: &JobResult| {
        let found = identities.iter().find(|(plan, _)| plan == job.plan);
        // The result of a cancelled job is incomplete.
        if let Some((plan, identity)) = found.filter(|_| !session.cancel.is_cancelled()) {
            cache.insert(plan, identity.clone(), result, &folder);
        }
    };
    let mut ran = match chosen.as_slice() {
        [] => Vec::new(),
        some => test::run_jobs(some, plan, &context, &folder, args, session, &insert)?,
    }
    .into_iter();
    // `ran` has a result for each `None`, in the same order.
    let results = cached
        .into_iter()
        .filter_map(|cached| cached.or_else(|| ran.next()));
    let self_checks = cached_self_checks(&context, args, session, cache)?;
    let result = context
        .result(results.collect(), began, &folder)
        .with_self_checks(self_checks);
    folder.finish(&result, &session.layout)?;
    times.end("jobs");
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    let has_error = result.jobs.iter().any(|job| job.is_inconclusive());
    cache.set_printed(if has_error { Vec::new() } else { identities });
    Ok(Some(Tested {
        not_tested: result.not_tested().map(str::to_owned),
        jobs: result.jobs,
        times,
    }))
}

/// Returns the cached results of self-checks, and prints a note once if some are missing.
/// `watch` does not run self-checks: every edit makes a new kernel, and a self-check takes
/// longer than an iteration.
fn cached_self_checks(
    context: &RunContext,
    args: &TestArgs,
    session: &Session,
    cache: &ResultCache,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    let known = context.cached_self_checks(args, session)?;
    let kernels = context.builds.iter();
    let kernels: Vec<_> = kernels
        .map(|build| (build.checkout.as_str(), build.config.as_str()))
        .collect();
    let unknown = without_self_checks(&kernels, &known);
    if !unknown.is_empty() && cache.is_first_note() {
        let text = format!(
            "no self-check result for {}; run `{} test` first",
            unknown.join(", "),
            program::name()
        );
        session.progress.event(Event::Note { text });
    }
    Ok(known)
}

/// Returns the kernels, by checkout and config, that have no self-check result.
fn without_self_checks(kernels: &[(&str, &str)], known: &[SelfCheckResult]) -> Vec<String> {
    let is_unknown = |(checkout, config): &&(&str, &str)| {
        let mut known = known.iter();
        !known.any(|check| check.checkout == *checkout && check.config == *config)
    };
    let unknown = kernels.iter().filter(is_unknown);
    unknown
        .map(|(checkout, config)| format!("{checkout} ({config})"))
        .collect()
}

fn identities(
    jobs: &[Job<'_>],
    context: &RunContext,
    session: &Session,
) -> anyhow::Result<Vec<(JobPlan, Identity)>> {
    let snapshots = session.layout.snapshots();
    let recorded = context.plan.check_snapshots.then_some(snapshots.as_path());
    jobs.iter()
        .map(|job| {
            let identity = result_cache::identity(job, &context.environment, recorded)?;
            Ok((job.plan.clone(), identity))
        })
        .collect()
}

/// Returns the cached results of jobs, and links their files into `folder`. A job whose files
/// are missing is run again.
fn reuse(
    jobs: &[(JobPlan, Identity)],
    folder: &RunFolder,
    cache: &ResultCache,
    session: &Session,
) -> Vec<Option<JobResult>> {
    jobs.iter()
        .map(|(plan, identity)| {
            let entry = cache.get(plan, identity)?;
            match entry.reuse(plan, folder) {
                Ok(result) => Some(result),
                Err(why) => {
                    let text = format!("{} runs again: {why:#}", plan.label());
                    session.progress.event(Event::Note { text });
                    // The job must start with an empty folder.
                    let _ = fs_err::remove_dir_all(folder.path().join(plan.folder()));
                    None
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Detection;

    #[test]
    fn without_self_checks_returns_kernels_without_a_result() {
        let known = [SelfCheckResult {
            name: "WARN".to_owned(),
            checkout: "base".to_owned(),
            config: "fast".to_owned(),
            detection: Detection::Detected,
            detail: String::new(),
        }];
        let kernels = [("base", "fast"), ("series", "fast"), ("base", "kasan")];
        let unknown = without_self_checks(&kernels, &known);
        assert_eq!(unknown, ["series (fast)", "base (kasan)"]);
    }
}
