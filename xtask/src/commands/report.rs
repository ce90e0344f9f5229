// SPDX-License-Identifier: GPL-2.0-only
//! `report`: a finished run, judged again from what it recorded; no VM is started. Against
//! an earlier run, both are judged by the rules of today, so that what changed is the
//! kernel or the scenarios and not this tool.

use camino::Utf8Path;
use selftests::scenario::Scenario;

use crate::cli::ReportArgs;
use crate::commands::{generate, show};
use crate::comparison::{self, Comparison};
use crate::exit::{Exit, bad_input};
use crate::plan::{JobPlan, Plan};
use crate::program;
use crate::record::Record;
use crate::result::{JobResult, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;
use crate::snapshot::Outlet;

/// Judges again and prints.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<Exit> {
    let scenarios = generate::scenarios(session)?;
    let folder = match &args.run {
        Some(run) => RunFolder::open(run)?,
        None => RunFolder::open(&session.layout.runs()?.join("latest"))?,
    };
    let (plan, recorded) = folder.read()?;
    let result = judge_again(&folder, &plan, recorded, &scenarios, session)?;
    let against = match &args.against {
        Some(before) => Some(compare(before, &result, &folder, &scenarios, session)?),
        None => None,
    };
    let told = against.as_ref().map(|(one, before)| (one, before.as_str()));
    show::run(&result, told, &plan, &args.show, &folder, session)?;
    Ok(match against {
        Some((comparison, _)) => match comparison.exit() {
            Exit::Ok if result.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        },
        None => result.exit(),
    })
}

/// Judges each job of a run by what it left in its folder.
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
            format!("make it anew with `{} test`", program::name()),
        ));
    }
    let judge = |job: &JobPlan| {
        let mut judged = Record::read(job, folder)?.judge_again(scenarios, folder)?;
        if plan.check_snapshots {
            let outlet = match session.layout.is_of_checkout() {
                true => Outlet::Beside,
                // The folder may be another user's.
                false => Outlet::None,
            };
            judged.compare(&session.layout.snapshots(), outlet)?;
        }
        Ok(judged.job)
    };
    let jobs: anyhow::Result<Vec<JobResult>> = plan.jobs.iter().map(judge).collect();
    let result = RunResult {
        provenance: before.provenance,
        ..RunResult::new(before.tree, before.series, before.prerequisites, jobs?)
    };
    Ok(result
        .with_checkouts(before.checkouts)
        .with_coverage(before.coverage)
        .with_self_checks(before.self_checks)
        // Their jobs stopped as soon as enough was known.
        .with_mutants(before.mutants))
}

/// Compares a run with an earlier one, and returns the earlier one's name as well.
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
            format!("`{before}` is the run itself"),
            "give an earlier run; they are beside it",
        ));
    }
    let (plan, recorded) = earlier.read()?;
    // Scenarios come and go: what is no more stays as it was judged.
    let known = |job: &JobPlan| {
        job.kselftest().is_some() || scenarios.iter().any(|one| one.name == job.test)
    };
    let (again, gone): (Vec<JobPlan>, Vec<JobPlan>) = plan.jobs.iter().cloned().partition(known);
    let mut past = if again.is_empty() {
        recorded.clone()
    } else {
        let plan = Plan {
            jobs: again,
            ..plan
        };
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
            format!("`{before}` has no job of the run: nothing can be compared"),
            "jobs are the same when scenario, checkout, config and machine are",
        ));
    }
    Ok((comparison, name))
}
