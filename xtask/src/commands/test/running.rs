// SPDX-License-Identifier: GPL-2.0-only
//! Runs cells, and judges each as it ends.

use anyhow::Context;
use patchbed_host::events::{Event, Observer};
use vm_images::transcript::{self, Transcript};

use super::cells::{self, Cell, Judge};
use super::history::History;
use super::judge::Judged;
use super::loads;
use super::ready::Ready;
use super::start::{self, start_from};
use crate::cli::TestArgs;
use crate::commands::rig::Rig;
use crate::plan::Plan;
use crate::record::Record;
use crate::result::CellResult;
use crate::run_folder::RunFolder;
use crate::session::Session;
use crate::snapshot::Outlet;

/// Runs cells, all or some of the plan's, and returns what each came to, in the
/// same order; `tell` hears of each as it ends, whether or not the others do.
///
/// # Errors
/// When the user asked to stop.
pub(crate) fn run_cells(
    cells: &[Cell<'_>],
    plan: &Plan,
    ready: &Ready,
    folder: &RunFolder,
    args: &TestArgs,
    session: &Session,
    tell: &(dyn Fn(&Cell<'_>, &CellResult) + Sync),
) -> anyhow::Result<Vec<CellResult>> {
    let (rig, jobs) = (&ready.rig, cells::jobs(args, ready));
    let to_run: Vec<Cell<'_>> = cells.iter().filter(|cell| cell.runs()).cloned().collect();
    let starts = if args.no_template {
        Vec::new()
    } else {
        start::starts(&to_run, rig, jobs, session)
    };
    let to_run = start_from(&to_run, &starts);
    let mut history = History::load(session);
    let loads = loads::pack(&to_run, &history, args.batch, jobs);
    let judge = RunJudge {
        rig,
        plan,
        folder,
        session,
        tell,
    };
    let judged = cells::run_all(&to_run, &loads, rig, folder.path(), jobs, session, &judge);
    history.learn(judged.iter().flatten());
    history.save();
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    let mut judged = judged.into_iter();
    let result = |cell: &Cell<'_>| {
        if cell.runs() {
            let known = judged.next().flatten();
            return known.with_context(|| format!("nothing is known of {}", cell.plan.label()));
        }
        let result = judge_cell(cell, None, plan, folder, session);
        tell(cell, &result);
        Ok(result)
    };
    cells.iter().map(result).collect()
}

/// Judges cells and tells of them.
pub(super) struct RunJudge<'a> {
    pub(super) rig: &'a Rig,
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a RunFolder,
    pub(super) session: &'a Session,
    pub(super) tell: &'a (dyn Fn(&Cell<'_>, &CellResult) + Sync),
}

impl Judge for RunJudge<'_> {
    type Judged = CellResult;

    fn judge(&self, cell: &Cell<'_>, transcript: &Transcript) -> CellResult {
        if let transcript::Start::BootInstead { trouble } = &transcript.start {
            let label = cell.plan.label();
            let text = format!("{label} booted: its template failed: {trouble}");
            self.session.progress.event(Event::Note { text });
            // Who comes after need not wait for it to fail again.
            cell.template
                .into_iter()
                .for_each(|template| self.rig.templates.forget(template));
        }
        judge_cell(cell, Some(transcript), self.plan, self.folder, self.session)
    }

    fn is_well(&self, result: &CellResult) -> bool {
        result.outcome == "pass" && !result.is_finding()
    }

    fn settled(&self, cell: &Cell<'_>, result: &CellResult) {
        (self.tell)(cell, result);
    }
}

/// Judges one cell, by its transcript if it was run; one that cannot be kept is an
/// error of its own, not the end of the others.
fn judge_cell(
    cell: &Cell<'_>,
    transcript: Option<&Transcript>,
    plan: &Plan,
    folder: &RunFolder,
    session: &Session,
) -> CellResult {
    let record = Record {
        plan: cell.plan.clone(),
        contains: cell.ground.contains.clone(),
        partly: cell.ground.partly.clone(),
        binaries: cell.binaries(),
        in_tree: cell.test.in_tree().cloned(),
        kept: None,
    };
    let mut judged = record.judge(cell.test, transcript, folder);
    let compared = |judged: &mut Judged| match plan.check_snapshots {
        true => compare(judged, cell, folder, session),
        false => Ok(()),
    };
    let left = record.keep(folder).and_then(|()| judged.leave(folder));
    if let Err(error) = left.and_then(|()| compared(&mut judged)) {
        judged.cell.give_up(&error);
    }
    judged.cell
}

/// Compares a judged cell with the recorded result. A new result goes beside that in the
/// checkout; otherwise the records are a copy in the cache or another folder of the
/// user's, and it goes into the cell's folder.
fn compare(
    judged: &mut Judged,
    cell: &Cell<'_>,
    run: &RunFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let records = session.layout.snapshots();
    if session.layout.is_of_checkout() {
        judged.make_room(&records);
        return judged.compare(&records, Outlet::Beside);
    }
    let folder = run.path().join(cell.plan.folder());
    judged.compare(&records, Outlet::Folder(&folder))
}
