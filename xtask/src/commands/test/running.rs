// SPDX-License-Identifier: GPL-2.0-only
//! Runs jobs, and judges each as it ends.

use anyhow::Context;
use patchbed_host::events::{Event, Observer};
use vm_images::transcript::{self, Transcript};

use super::context::RunContext;
use super::history::History;
use super::jobs::{self, Job, Judge};
use super::judge::Judged;
use super::loads;
use super::start::{self, start_from};
use crate::cli::TestArgs;
use crate::commands::environment::Environment;
use crate::plan::Plan;
use crate::record::Record;
use crate::result::JobResult;
use crate::run_folder::RunFolder;
use crate::session::Session;
use crate::snapshot::Outlet;

/// Runs jobs, all or some of the plan's, and returns what each came to, in the
/// same order; `tell` hears of each as it ends, whether or not the others do.
///
/// # Errors
/// When the user asked to stop.
pub(crate) fn run_jobs(
    jobs: &[Job<'_>],
    plan: &Plan,
    context: &RunContext,
    folder: &RunFolder,
    args: &TestArgs,
    session: &Session,
    tell: &(dyn Fn(&Job<'_>, &JobResult) + Sync),
) -> anyhow::Result<Vec<JobResult>> {
    let (environment, parallel) = (&context.environment, jobs::parallel(args, context));
    let to_run: Vec<Job<'_>> = jobs.iter().filter(|job| job.runs()).cloned().collect();
    let starts = if args.cold_boot {
        Vec::new()
    } else {
        start::starts(&to_run, environment, parallel, session)
    };
    let to_run = start_from(&to_run, &starts);
    let mut history = History::load(session);
    let loads = loads::pack(&to_run, &history, args.batch, parallel);
    let judge = RunJudge {
        environment,
        plan,
        folder,
        session,
        tell,
    };
    let judged = jobs::run_all(
        &to_run,
        &loads,
        environment,
        folder.path(),
        parallel,
        session,
        &judge,
    );
    history.learn(judged.iter().flatten());
    history.save();
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    let mut judged = judged.into_iter();
    let result = |job: &Job<'_>| {
        if job.runs() {
            let known = judged.next().flatten();
            return known.with_context(|| format!("nothing is known of {}", job.plan.label()));
        }
        let result = judge_job(job, None, plan, folder, session);
        tell(job, &result);
        Ok(result)
    };
    jobs.iter().map(result).collect()
}

/// Judges jobs and tells of them.
pub(super) struct RunJudge<'a> {
    pub(super) environment: &'a Environment,
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a RunFolder,
    pub(super) session: &'a Session,
    pub(super) tell: &'a (dyn Fn(&Job<'_>, &JobResult) + Sync),
}

impl Judge for RunJudge<'_> {
    type Judged = JobResult;

    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> JobResult {
        if let transcript::BootMode::ColdInstead { trouble } = &transcript.start {
            let label = job.plan.label();
            let text = format!("{label} booted: its checkpoint failed: {trouble}");
            self.session.progress.event(Event::Note { text });
            // Who comes after need not wait for it to fail again.
            job.checkpoint
                .into_iter()
                .for_each(|checkpoint| self.environment.checkpoints.forget(checkpoint));
        }
        judge_job(job, Some(transcript), self.plan, self.folder, self.session)
    }

    fn is_well(&self, result: &JobResult) -> bool {
        result.status == "pass" && !result.is_finding()
    }

    fn settled(&self, job: &Job<'_>, result: &JobResult) {
        (self.tell)(job, result);
    }
}

/// Judges one job, by its transcript if it was run; one that cannot be cached is an
/// error of its own, not the end of the others.
fn judge_job(
    job: &Job<'_>,
    transcript: Option<&Transcript>,
    plan: &Plan,
    folder: &RunFolder,
    session: &Session,
) -> JobResult {
    let record = Record {
        plan: job.plan.clone(),
        contains: job.build.contains.clone(),
        partly: job.build.partly.clone(),
        binaries: job.binaries(),
        kselftest: job.test.kselftest().cloned(),
        cached: None,
    };
    let mut judged = record.judge(job.test, transcript, folder);
    let compared = |judged: &mut Judged| match plan.check_snapshots {
        true => compare(judged, job, folder, session),
        false => Ok(()),
    };
    let left = record.keep(folder).and_then(|()| judged.leave(folder));
    if let Err(error) = left.and_then(|()| compared(&mut judged)) {
        judged.job.give_up(&error);
    }
    judged.job
}

/// Compares a judged job with the recorded result. A new result goes beside that in the
/// checkout; otherwise the records are a copy in the cache or another folder of the
/// user's, and it goes into the job's folder.
fn compare(
    judged: &mut Judged,
    job: &Job<'_>,
    run: &RunFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let records = session.layout.snapshots();
    if session.layout.is_of_checkout() {
        judged.make_room(&records);
        return judged.compare(&records, Outlet::Beside);
    }
    let folder = run.path().join(job.plan.folder());
    judged.compare(&records, Outlet::Folder(&folder))
}
