// SPDX-License-Identifier: GPL-2.0-only
//! `report`: a finished run, judged again from what it recorded; no VM is started.

use fs_err as fs;

use crate::cli::{Format, ReportArgs};
use crate::commands::generate;
use crate::commands::test::judge::Record;
use crate::exit::{Exit, bad_input};
use crate::plan::Plan;
use crate::render;
use crate::result::{self, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Judges again and prints.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(&args.run)?;
    let plan: Plan = serde_json::from_slice(&fs::read(folder.path().join("plan.json"))?)?;
    let before: RunResult = serde_json::from_slice(&fs::read(folder.path().join("result.json"))?)?;
    let scenarios = generate::scenarios(session)?;
    let mut cells = Vec::new();
    for cell in &plan.cells {
        let Some(scenario) = scenarios
            .iter()
            .find(|scenario| scenario.name == cell.scenario)
        else {
            return Err(bad_input(
                format!("the run has a scenario `{}` that is no more", cell.scenario),
                "check out the revision that made the run",
            ));
        };
        let mut judged = Record::read(cell, &folder)?.judge(scenario, &folder)?;
        if plan.check_snapshots {
            judged.compare(&session.layout.snapshots());
        }
        cells.push(judged.cell);
    }
    let result = RunResult::new(before.tree, before.series, before.prerequisites, cells);
    match args.format {
        Format::Json => render::to_stdout(&serde_json::to_string_pretty(&result)?),
        Format::Table => {
            render::to_stdout(&render::table::text(&result));
            let findings = render::table::findings(&result, folder.path().as_str(), "");
            if !findings.is_empty() {
                render::to_stdout(&findings);
            }
        }
    }
    Ok(result::exit(&result.cells))
}
