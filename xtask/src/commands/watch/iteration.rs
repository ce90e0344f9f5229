// SPDX-License-Identifier: GPL-2.0-only
//! One iteration of `watch`: from what is on disk now to a verdict on every job, of
//! which only those run that rest on something else than before.

use std::time::{Duration, Instant};

use patchbed_host::events::{Event, Observer};

use super::result_cache::{self, Identity, ResultCache};
use crate::cli::TestArgs;
use crate::commands::build::build_all;
use crate::commands::show;
use crate::commands::test::jobs::Job;
use crate::commands::test::{self, Request, RunContext, kselftest};
use crate::exit::told;
use crate::plan::JobPlan;
use crate::program;
use crate::render::watch::Iteration;
use crate::render::{self, watch};
use crate::result::{JobResult, SelfCheckResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Judges what is on disk and says what came of it. Of a iteration that is cancelled
/// nothing is said.
pub(super) fn run(since: Instant, args: &TestArgs, session: &Session, result_cache: &ResultCache) {
    let judged = judge(args, session, result_cache);
    session.progress.clear();
    if session.cancel.is_cancelled() {
        result_cache.see(Vec::new());
        return;
    }
    let iteration = match &judged {
        Ok(None) => Iteration::Unaffected,
        Ok(Some(judged)) => Iteration::Judged {
            jobs: &judged.jobs,
            took: since.elapsed(),
            parts: &judged.laps.parts,
            not_tested: judged.not_tested.as_deref(),
        },
        Err(error) => {
            result_cache.see(Vec::new());
            render::error_to_stderr(&told(error));
            Iteration::Mistake
        }
    };
    render::line_to_stderr(&watch::line(&result_cache::now("%H:%M:%S"), &iteration));
}

/// What a iteration came to.
struct Judged {
    jobs: Vec<JobResult>,
    laps: Laps,
    not_tested: Option<String>,
}

/// Where the time of a iteration went.
struct Laps {
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Laps {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            parts: Vec::new(),
        }
    }

    /// Says that what was done since the last lap was `what`.
    fn lap(&mut self, what: &'static str) {
        let now = Instant::now();
        self.parts.push((what, now - self.last));
        self.last = now;
    }
}

/// Judges what is on disk; `None` when the user has a verdict on the same already.
fn judge(
    args: &TestArgs,
    session: &Session,
    result_cache: &ResultCache,
) -> anyhow::Result<Option<Judged>> {
    let began = jiff::Timestamp::now();
    let mut laps = Laps::start();
    let request = Request::look_up(args, session)?;
    let sources = request.source_request.apply(session)?;
    kselftest::check(&request.kselftests, &sources)?;
    laps.lap("sources");
    let kernels = build_all(
        &sources,
        &request.configs,
        request.modules(false)?.as_ref(),
        session,
    )?;
    laps.lap("kernels");
    let ready = RunContext::make(kernels, &sources, &request, args, session)?;
    laps.lap("selftests");
    let jobs = test::match_up(&request, &ready)?;
    let identities = identities(&jobs, &ready, session)?;
    if result_cache.is_seen(&identities) {
        return Ok(None);
    }
    let plan = &ready.plan;
    let folder = RunFolder::create(None, &session.layout, plan)?;
    let known = keep(&identities, &folder, result_cache, session);
    let fresh = |at: &usize| known[*at].is_none();
    let affected: Vec<usize> = (0..jobs.len()).filter(fresh).collect();
    let chosen: Vec<Job<'_>> = affected.iter().map(|&at| jobs[at].clone()).collect();
    let remember = |job: &Job<'_>, result: &JobResult| {
        let of = identities.iter().find(|(plan, _)| plan == job.plan);
        // What was cut short says nothing.
        if let Some((plan, identity)) = of.filter(|_| !session.cancel.is_cancelled()) {
            result_cache.remember(plan, identity.clone(), result, &folder);
        }
    };
    let mut ran = match chosen.as_slice() {
        [] => Vec::new(),
        some => test::run_jobs(some, plan, &ready, &folder, args, session, &remember)?,
    }
    .into_iter();
    // Every place that is not cached has one that ran, in the same order.
    let results = known
        .into_iter()
        .filter_map(|cached| cached.or_else(|| ran.next()));
    let self_checks = remembered_self_checks(&ready, args, session, result_cache)?;
    let result = ready
        .result(results.collect(), began, &folder)
        .with_self_checks(self_checks);
    folder.finish(&result, &session.layout)?;
    laps.lap("jobs");
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    let has_error = result.jobs.iter().any(|job| job.status == "error");
    result_cache.see(if has_error { Vec::new() } else { identities });
    Ok(Some(Judged {
        not_tested: result.not_tested().map(str::to_owned),
        jobs: result.jobs,
        laps,
    }))
}

/// Returns what is remembered of the self_checks; once, says where nothing is: an edit makes
/// a new kernel, and a iteration is too short to have each show its own.
fn remembered_self_checks(
    ready: &RunContext,
    args: &TestArgs,
    session: &Session,
    result_cache: &ResultCache,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    let known = ready.remembered_self_checks(args, session)?;
    let kernels = ready.builds.iter();
    let kernels: Vec<_> = kernels
        .map(|build| (build.checkout.as_str(), build.config.as_str()))
        .collect();
    let unknown = without_self_checks(&kernels, &known);
    if !unknown.is_empty() && result_cache.is_first_word() {
        let unknown = unknown.join(", ");
        let text = format!(
            "{unknown}: did not show that reports are seen; `{} test` has each kernel do \
             so",
            program::name()
        );
        session.progress.event(Event::Note { text });
    }
    Ok(known)
}

/// Returns the kernels, checkout and config, of whose self_checks nothing is known.
fn without_self_checks(kernels: &[(&str, &str)], known: &[SelfCheckResult]) -> Vec<String> {
    let is_unknown = |(checkout, config): &&(&str, &str)| {
        let mut known = known.iter();
        !known.any(|one| one.checkout == *checkout && one.config == *config)
    };
    let unknown = kernels.iter().filter(is_unknown);
    unknown
        .map(|(checkout, config)| format!("{checkout} ({config})"))
        .collect()
}

fn identities(
    jobs: &[Job<'_>],
    ready: &RunContext,
    session: &Session,
) -> anyhow::Result<Vec<(JobPlan, Identity)>> {
    let snapshots = session.layout.snapshots();
    let recorded = ready.plan.check_snapshots.then_some(snapshots.as_path());
    jobs.iter()
        .map(|job| {
            let identity = result_cache::identity(job, &ready.environment, recorded)?;
            Ok((job.plan.clone(), identity))
        })
        .collect()
}

/// Takes over what is known of jobs; one whose files are not there any more runs.
fn keep(
    jobs: &[(JobPlan, Identity)],
    folder: &RunFolder,
    result_cache: &ResultCache,
    session: &Session,
) -> Vec<Option<JobResult>> {
    jobs.iter()
        .map(|(plan, identity)| {
            let known = result_cache.known(plan, identity)?;
            match known.keep(plan, folder) {
                Ok(result) => Some(result),
                Err(why) => {
                    let text = format!("{} runs again: {why:#}", plan.label());
                    session.progress.event(Event::Note { text });
                    // A job's folder has to be its own.
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
    fn kernels_of_which_nothing_is_known_are_named() {
        let known = [SelfCheckResult {
            name: "WARN".to_owned(),
            checkout: "base".to_owned(),
            config: "fast".to_owned(),
            detection: Detection::Seen,
            detail: String::new(),
        }];
        let kernels = [("base", "fast"), ("series", "fast"), ("base", "kasan")];
        let unknown = without_self_checks(&kernels, &known);
        assert_eq!(unknown, ["series (fast)", "base (kasan)"]);
    }
}
