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
use crate::plan::{CellPlan, Plan};
use crate::program;
use crate::record::Record;
use crate::result::{CellResult, RunResult};
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
        Some((comparison, _)) => comparison.exit(),
        None => result.exit(),
    })
}

/// Judges each cell of a run by what it left in its folder.
fn judge_again(
    folder: &RunFolder,
    plan: &Plan,
    before: RunResult,
    scenarios: &[Scenario],
    session: &Session,
) -> anyhow::Result<RunResult> {
    if plan.cells.is_empty() {
        return Err(bad_input(
            "the run has no cells",
            format!("make it anew with `{} test`", program::name()),
        ));
    }
    let judge = |cell: &CellPlan| {
        let mut judged = Record::read(cell, folder)?.judge_again(scenarios, folder)?;
        if plan.check_snapshots {
            let outlet = match session.layout.is_of_checkout() {
                true => Outlet::Beside,
                // The folder may be another user's.
                false => Outlet::None,
            };
            judged.compare(&session.layout.snapshots(), outlet)?;
        }
        Ok(judged.cell)
    };
    let cells: anyhow::Result<Vec<CellResult>> = plan.cells.iter().map(judge).collect();
    let result = RunResult {
        setting: before.setting,
        ..RunResult::new(before.tree, before.series, before.prerequisites, cells?)
    };
    Ok(result
        .with_stacks(before.stacks)
        .with_detectors(before.detectors)
        // Their cells stopped as soon as enough was known.
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
    let known = |cell: &CellPlan| {
        cell.kselftest().is_some() || scenarios.iter().any(|one| one.name == cell.scenario)
    };
    let (again, gone): (Vec<CellPlan>, Vec<CellPlan>) = plan.cells.iter().cloned().partition(known);
    let mut past = if again.is_empty() {
        recorded.clone()
    } else {
        let plan = Plan {
            cells: again,
            ..plan
        };
        judge_again(&earlier, &plan, recorded.clone(), scenarios, session)?
    };
    if past.cells.len() < recorded.cells.len() {
        let is_gone = |cell: &&CellResult| gone.iter().any(|gone| gone.folder() == cell.artifacts);
        past.cells
            .extend(recorded.cells.iter().filter(is_gone).cloned());
    }
    let name = earlier.name().to_owned();
    let comparison = comparison::compare(&past, result);
    if comparison.common == 0 {
        return Err(bad_input(
            format!("`{before}` has no cell of the run: nothing can be compared"),
            "cells are the same when scenario, stack, profile and machine are",
        ));
    }
    Ok((comparison, name))
}
