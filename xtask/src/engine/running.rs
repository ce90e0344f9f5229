// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs jobs and judges them with the rules of the plan.

use anyhow::Context;
use patchbed_host::events::Event;
use vm_images::transcript::{self, Transcript};

use crate::engine::batches;
use crate::engine::checkpoints;
use crate::engine::context::RunContext;
use crate::engine::environment::Environment;
use crate::engine::history::History;
use crate::engine::jobs::{self, Job, Judge};
use crate::engine::judge::Judged;
use crate::engine::options::TestOptions;
use crate::engine::plan::Plan;
use crate::engine::record::Record;
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::engine::snapshot::Outlet;
use crate::result::JobResult;
use selftests::status::Status;

/// Runs jobs of the plan and returns their results in the order of the jobs. `on_result` is
/// called for each job that ends, also if the run is interrupted later.
///
/// # Errors
/// When the user interrupted the run.
pub fn run_jobs(
    jobs: &[Job<'_>],
    plan: &Plan,
    context: &RunContext,
    folder: &RunFolder,
    args: &TestOptions,
    session: &Session,
    on_result: &(dyn Fn(&Job<'_>, &JobResult) + Sync),
) -> anyhow::Result<Vec<JobResult>> {
    let (environment, parallel) = (&context.environment, jobs::parallel(args, context));
    let to_run: Vec<Job<'_>> = jobs.iter().filter(|job| job.runs()).cloned().collect();
    let made = if args.cold_boot {
        Vec::new()
    } else {
        checkpoints::make(&to_run, environment, parallel, session)
    };
    let to_run = checkpoints::assign(&to_run, &made);
    let mut history = History::load(session);
    let batches = batches::make(&to_run, &history, args.batch, parallel);
    let judge = RunJudge {
        environment,
        plan,
        folder,
        session,
        on_result,
    };
    let judged = jobs::run_all(
        &to_run,
        &batches,
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
            let result = judged.next().flatten();
            return result.with_context(|| format!("no result for {}", job.plan.label()));
        }
        let result = judge_job(job, None, plan, folder, session);
        on_result(job, &result);
        Ok(result)
    };
    jobs.iter().map(result).collect()
}

/// Judges jobs by their transcripts and passes the results on.
pub(super) struct RunJudge<'a> {
    pub(super) environment: &'a Environment,
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a RunFolder,
    pub(super) session: &'a Session,
    pub(super) on_result: &'a (dyn Fn(&Job<'_>, &JobResult) + Sync),
}

impl Judge for RunJudge<'_> {
    type Judged = JobResult;

    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> JobResult {
        if let transcript::BootMode::ColdInstead { trouble } = &transcript.start {
            let label = job.plan.label();
            let text = format!("{label}: restore failed, cold boot instead: {trouble}");
            self.session.observer.event(Event::Note { text });
            job.checkpoint
                .into_iter()
                .for_each(|checkpoint| self.environment.checkpoints.forget(checkpoint));
        }
        judge_job(job, Some(transcript), self.plan, self.folder, self.session)
    }

    fn is_clean(&self, result: &JobResult) -> bool {
        result.status == Status::Pass && !result.needs_attention()
    }

    fn finished(&self, job: &Job<'_>, result: &JobResult) {
        (self.on_result)(job, result);
    }
}

/// Judges a job. If its files cannot be written, only this job gets status `error`.
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
    let written = record.write(folder).and_then(|()| judged.write(folder));
    if let Err(error) = written.and_then(|()| compared(&mut judged)) {
        judged.job.make_inconclusive(&error);
    }
    judged.job
}

/// Compares a job with its recorded result. A result that differs is written next to the
/// record if the records are part of the project's checkout, else into the job's folder.
fn compare(
    judged: &mut Judged,
    job: &Job<'_>,
    run: &RunFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let records = session.layout.snapshots();
    if session.layout.is_of_checkout() {
        judged.create_snapshot_folder(&records);
        return judged.compare(&records, Outlet::Beside);
    }
    let folder = run.path().join(job.plan.folder());
    judged.compare(&records, Outlet::Folder(&folder))
}
