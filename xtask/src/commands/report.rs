// SPDX-License-Identifier: MIT OR Apache-2.0
//! `report`: judges a finished run again by its recorded files, without starting VMs. With an
//! earlier run, both runs are judged by the current rules, so that differences between
//! versions of this tool do not appear in the comparison.

use std::collections::BTreeMap;

use camino::Utf8Path;
use selftests::analysis::Analysis;

use crate::cli::ReportArgs;
use crate::commands::show;
use xtask::engine::judge::{Analyses, Judge, Judged};
use xtask::engine::plan::Plan;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report::comparison::{self, Comparison};
use xtask::result::{JobResult, RunResult};

/// Judges a run again and prints its result.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<Exit> {
    let folder = match &args.run {
        Some(run) => RunFolder::open(run)?,
        None => RunFolder::open(&session.layout.runs()?.join("latest"))?,
    };
    let (plan, recorded) = folder.read()?;
    let against = args.against.as_deref();
    let earlier = against.map(|before| open_earlier(before, &folder));
    let earlier = earlier.transpose()?;
    let of_run = &session.for_run(&plan.catalogue)?;
    let (result, analyses) = judge_again(&folder, &plan, recorded, of_run)?;
    let against = match earlier {
        Some(earlier) => Some(compare(&earlier, &result, session)?),
        None => None,
    };
    let session = of_run;
    let analyses = Analyses::new(&folder, analyses);
    let shown = against
        .as_ref()
        .map(|(comparison, before)| (comparison, before.as_str()));
    let evidence = (&folder, &analyses);
    show::run(&result, shown, &plan, &args.show, evidence, session)?;
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
    session: &Session,
) -> anyhow::Result<(RunResult, BTreeMap<String, Analysis>)> {
    if plan.jobs.is_empty() {
        return Err(bad_input(
            "the run has no jobs",
            format!("repeat the run with `{} test`", program::name()),
        ));
    }
    let judge = Judge {
        scenarios: &scenarios::scenarios(session)?,
        check_snapshots: plan.check_snapshots,
        folder,
        layout: &session.layout,
    };
    let (mut jobs, mut analyses) = (Vec::new(), BTreeMap::new());
    for job in &plan.jobs {
        let Judged { job, analysis, .. } = judge.again(job)?;
        analyses.insert(job.artifacts.clone(), analysis);
        jobs.push(job);
    }
    let collection = match before.collection.is_empty() {
        true => session.manifest()?.kselftest().to_owned(),
        false => before.collection,
    };
    let result = RunResult {
        collection,
        provenance: before.provenance,
        ..RunResult::new(before.tree, before.series, before.prerequisites, jobs)
    };
    let result = result
        .with_checkouts(before.checkouts)
        .with_coverage(before.coverage)
        .with_self_checks(before.self_checks)
        // The plan does not contain the jobs of mutants.
        .with_mutants(before.mutants);
    Ok((result, analyses))
}

/// Opens an earlier run to compare with.
fn open_earlier(before: &Utf8Path, folder: &RunFolder) -> anyhow::Result<RunFolder> {
    let earlier = RunFolder::open(before)?;
    if earlier.path() == folder.path() {
        return Err(bad_input(
            format!("cannot compare `{before}` with itself"),
            "pass an earlier run folder",
        ));
    }
    Ok(earlier)
}

/// Compares a run with an earlier run, and returns the comparison and the name of the earlier run.
fn compare(
    earlier: &RunFolder,
    result: &RunResult,
    session: &Session,
) -> anyhow::Result<(Comparison, String)> {
    let (mut plan, recorded) = earlier.read()?;
    let session = &session.for_run(&plan.catalogue)?;
    let judge = Judge {
        scenarios: &scenarios::scenarios(session)?,
        check_snapshots: false,
        folder: earlier,
        layout: &session.layout,
    };
    // A job keeps its recorded result if its scenario has changed or no longer exists.
    plan.jobs.retain(|job| judge.can_judge(job));
    let mut past = match plan.jobs.is_empty() {
        true => recorded.clone(),
        false => judge_again(earlier, &plan, recorded.clone(), session)?.0,
    };
    let is_judged = |job: &JobResult| plan.jobs.iter().any(|one| one.folder() == job.artifacts);
    if !plan.jobs.is_empty() {
        let others = recorded.jobs.iter().filter(|job| !is_judged(job));
        past.jobs.extend(others.cloned());
    }
    let name = earlier.name().to_owned();
    let comparison = comparison::compare(&past, result);
    if comparison.common == 0 {
        return Err(bad_input(
            format!(
                "cannot compare with `{}`: no job has the same test, checkout, config and machine \
                 in both runs",
                earlier.path()
            ),
            "pass a run of the same tests",
        ));
    }
    Ok((comparison, name))
}
