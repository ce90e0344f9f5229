// SPDX-License-Identifier: GPL-2.0-only
//! `report`: a finished run, judged again from what it recorded; no VM is started.

use crate::cli::ReportArgs;
use crate::commands::test::judge::Record;
use crate::commands::{generate, show};
use crate::exit::{Exit, bad_input};
use crate::plan::Plan;
use crate::result::RunResult;
use crate::run_folder::{self, RunFolder};
use crate::session::Session;

/// Judges again and prints.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(&args.run)?;
    let plan: Plan = folder.read_json(run_folder::PLAN)?;
    let before: RunResult = folder.read_json(run_folder::RESULT)?;
    let scenarios = generate::scenarios(session)?;
    if plan.cells.is_empty() {
        return Err(bad_input(
            "the run has no cells",
            "make it anew with `cargo xtask test`",
        ));
    }
    let mut cells = Vec::new();
    for cell in &plan.cells {
        let mut judged = Record::read(cell, &folder)?.judge_again(&scenarios, &folder)?;
        if plan.check_snapshots {
            judged.compare(&session.layout.snapshots());
        }
        cells.push(judged.cell);
    }
    let result = RunResult {
        setting: before.setting,
        ..RunResult::new(before.tree, before.series, before.prerequisites, cells)
    }
    .with_stacks(before.stacks)
    .with_detectors(before.detectors)
    // Their cells stopped as soon as enough was known.
    .with_mutants(before.mutants);
    show::run(&result, &plan, &args.show, &folder, session)?;
    Ok(result.exit())
}
