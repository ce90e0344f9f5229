// SPDX-License-Identifier: MIT OR Apache-2.0
//! `report`: judges a finished run again by its recorded files, without starting VMs. With an
//! earlier run, both runs are judged by the current rules, so that differences between
//! versions of this tool do not appear in the comparison.

use camino::Utf8Path;
use selftests::scenario::Scenario;

use crate::cli::ReportArgs;
use crate::commands::show;
use xtask::engine::judge::Judge;
use xtask::engine::plan::Plan;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::job_plan::JobPlan;
use xtask::report::comparison::{self, Comparison};
use xtask::result::{JobResult, RunResult};

/// Judges a run again and prints its result.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<Exit> {
    let folder = match &args.run {
        Some(run) => RunFolder::open(run)?,
        None => RunFolder::open(&session.layout.runs()?.join("latest"))?,
    };
    let (plan, recorded) = folder.read()?;
    let session = &session.with_catalogue(plan.catalogue.as_deref())?;
    let scenarios = scenarios::scenarios(session)?;
    let result = judge_again(&folder, &plan, recorded, &scenarios, session)?;
    let against = match &args.against {
        Some(before) => Some(compare(before, &result, &folder, &scenarios, session)?),
        None => None,
    };
    let shown = against
        .as_ref()
        .map(|(comparison, before)| (comparison, before.as_str()));
    show::run(&result, shown, &plan, &args.show, &folder, session)?;
    Ok(match against {
        Some((comparison, _)) => match comparison.exit() {
            Exit::Ok if result.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        },
        None => result.exit(),
    })
}

/// Judges each job of a run by the files in its folder.
fn judge_again(
    folder: &RunFolder,
    plan: &Plan,
    before: RunResult,
    scenarios: &[Scenario],
    session: &Session,
) -> anyhow::Result<RunResult> {
    if plan.jobs.is_empty() {
        return Err(bad_input(
            "the run has no jobs",
            format!("repeat the run with `{} test`", program::name()),
        ));
    }
    let judge = Judge {
        scenarios,
        check_snapshots: plan.check_snapshots,
        folder,
        layout: &session.layout,
    };
    let jobs: anyhow::Result<Vec<JobResult>> =
        plan.jobs.iter().map(|job| judge.again(job)).collect();
    let result = RunResult {
        collection: before.collection,
        provenance: before.provenance,
        ..RunResult::new(before.tree, before.series, before.prerequisites, jobs?)
    };
    Ok(result
        .with_checkouts(before.checkouts)
        .with_coverage(before.coverage)
        .with_self_checks(before.self_checks)
        // The plan does not contain the jobs of mutants.
        .with_mutants(before.mutants))
}

/// Compares a run with an earlier run, and returns the comparison and the name of the earlier run.
fn compare(
    before: &Utf8Path,
    result: &RunResult,
    folder: &RunFolder,
    scenarios: &[Scenario],
    session: &Session,
) -> anyhow::Result<(Comparison, String)> {
    let earlier = RunFolder::open(before)?;
    if earlier.path() == folder.path() {
        return Err(bad_input(
            format!("cannot compare `{before}` with itself"),
            "pass an earlier run folder",
        ));
    }
    let (plan, recorded) = earlier.read()?;
    // A job keeps its recorded result if its scenario no longer exists.
    let exists = |job: &JobPlan| {
        job.kselftest().is_some() || scenarios.iter().any(|one| one.name == job.test)
    };
    let (known, gone): (Vec<JobPlan>, Vec<JobPlan>) = plan.jobs.iter().cloned().partition(exists);
    let mut past = if known.is_empty() {
        recorded.clone()
    } else {
        let mut plan = plan;
        plan.jobs = known;
        judge_again(&earlier, &plan, recorded.clone(), scenarios, session)?
    };
    if past.jobs.len() < recorded.jobs.len() {
        let is_gone = |job: &&JobResult| gone.iter().any(|gone| gone.folder() == job.artifacts);
        past.jobs
            .extend(recorded.jobs.iter().filter(is_gone).cloned());
    }
    let name = earlier.name().to_owned();
    let comparison = comparison::compare(&past, result);
    if comparison.common == 0 {
        return Err(bad_input(
            format!(
                "cannot compare with `{before}`: no job has the same test, checkout, config and \
                 machine in both runs"
            ),
            "pass a run of the same tests",
        ));
    }
    Ok((comparison, name))
}
