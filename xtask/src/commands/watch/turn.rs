// SPDX-License-Identifier: GPL-2.0-only
//! One turn of `watch`: from what is on disk now to a verdict on every cell, of
//! which only those run that rest on something else than before.

use std::time::{Duration, Instant};

use patchbed_host::events::{Event, Observer};

use super::memory::{self, Identity, Memory};
use crate::cli::TestArgs;
use crate::commands::build::build_all;
use crate::commands::show;
use crate::commands::test::cells::Cell;
use crate::commands::test::{self, Inquiry, Ready, kselftest};
use crate::exit::told;
use crate::plan::CellPlan;
use crate::program;
use crate::render::watch::Turn;
use crate::render::{self, watch};
use crate::result::{CellResult, DetectorResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Judges what is on disk and says what came of it. Of a turn that is cancelled
/// nothing is said.
pub(super) fn run(since: Instant, args: &TestArgs, session: &Session, memory: &Memory) {
    let judged = judge(args, session, memory);
    session.progress.clear();
    if session.cancel.is_cancelled() {
        memory.see(Vec::new());
        return;
    }
    let turn = match &judged {
        Ok(None) => Turn::Unaffected,
        Ok(Some(judged)) => Turn::Judged {
            cells: &judged.cells,
            took: since.elapsed(),
            parts: &judged.laps.parts,
        },
        Err(error) => {
            memory.see(Vec::new());
            render::error_to_stderr(&told(error));
            Turn::Mistake
        }
    };
    render::line_to_stderr(&watch::line(&memory::now("%H:%M:%S"), &turn));
}

/// What a turn came to.
struct Judged {
    cells: Vec<CellResult>,
    laps: Laps,
}

/// Where the time of a turn went.
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
fn judge(args: &TestArgs, session: &Session, memory: &Memory) -> anyhow::Result<Option<Judged>> {
    let began = jiff::Timestamp::now();
    let mut laps = Laps::start();
    let inquiry = Inquiry::look_up(args, session)?;
    let sources = inquiry.request.apply(session)?;
    kselftest::check(&inquiry.kselftests, &sources)?;
    laps.lap("sources");
    let kernels = build_all(
        &sources,
        &inquiry.profiles,
        inquiry.modules(false)?.as_ref(),
        session,
    )?;
    laps.lap("kernels");
    let ready = Ready::make(kernels, &sources, &inquiry, args, session)?;
    laps.lap("selftests");
    let cells = test::match_up(&inquiry, &ready)?;
    let identities = identities(&cells, &ready, session)?;
    if memory.is_seen(&identities) {
        return Ok(None);
    }
    let plan = &ready.plan;
    let folder = RunFolder::create(None, &session.layout, plan)?;
    let known = keep(&identities, &folder, memory, session);
    let fresh = |at: &usize| known[*at].is_none();
    let affected: Vec<usize> = (0..cells.len()).filter(fresh).collect();
    let chosen: Vec<Cell<'_>> = affected.iter().map(|&at| cells[at].clone()).collect();
    let remember = |cell: &Cell<'_>, result: &CellResult| {
        let of = identities.iter().find(|(plan, _)| plan == cell.plan);
        // What was cut short says nothing.
        if let Some((plan, identity)) = of.filter(|_| !session.cancel.is_cancelled()) {
            memory.remember(plan, identity.clone(), result, &folder);
        }
    };
    let mut ran = match chosen.as_slice() {
        [] => Vec::new(),
        some => test::run_cells(some, plan, &ready, &folder, args, session, &remember)?,
    }
    .into_iter();
    // Every place that is not kept has one that ran, in the same order.
    let results = known
        .into_iter()
        .filter_map(|kept| kept.or_else(|| ran.next()));
    let detectors = remembered_detectors(&ready, args, session, memory)?;
    let result = ready
        .result(results.collect(), began, &folder)
        .with_detectors(detectors);
    folder.finish(&result, &session.layout)?;
    laps.lap("cells");
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    let has_error = result.cells.iter().any(|cell| cell.outcome == "error");
    memory.see(if has_error { Vec::new() } else { identities });
    Ok(Some(Judged {
        cells: result.cells,
        laps,
    }))
}

/// Returns what is remembered of the detectors; once, says where nothing is: an edit makes
/// a new kernel, and a turn is too short to have each show its own.
fn remembered_detectors(
    ready: &Ready,
    args: &TestArgs,
    session: &Session,
    memory: &Memory,
) -> anyhow::Result<Vec<DetectorResult>> {
    let known = ready.remembered_detectors(args, session)?;
    let kernels = ready.grounds.iter();
    let kernels: Vec<_> = kernels
        .map(|ground| (ground.stack.as_str(), ground.profile.as_str()))
        .collect();
    let unknown = without_detectors(&kernels, &known);
    if !unknown.is_empty() && memory.is_first_word() {
        let unknown = unknown.join(", ");
        let text = format!(
            "{unknown}: did not show that complaints are seen; `{} test` has each kernel do \
             so",
            program::name()
        );
        session.progress.event(Event::Note { text });
    }
    Ok(known)
}

/// Returns the kernels, stack and profile, of whose detectors nothing is known.
fn without_detectors(kernels: &[(&str, &str)], known: &[DetectorResult]) -> Vec<String> {
    let is_unknown = |(stack, profile): &&(&str, &str)| {
        let mut known = known.iter();
        !known.any(|one| one.stack == *stack && one.profile == *profile)
    };
    let unknown = kernels.iter().filter(is_unknown);
    unknown
        .map(|(stack, profile)| format!("{stack} ({profile})"))
        .collect()
}

fn identities(
    cells: &[Cell<'_>],
    ready: &Ready,
    session: &Session,
) -> anyhow::Result<Vec<(CellPlan, Identity)>> {
    let snapshots = session.layout.snapshots();
    let recorded = ready.plan.check_snapshots.then_some(snapshots.as_path());
    cells
        .iter()
        .map(|cell| {
            let identity = memory::identity(cell, &ready.rig, recorded)?;
            Ok((cell.plan.clone(), identity))
        })
        .collect()
}

/// Takes over what is known of cells; one whose files are not there any more runs.
fn keep(
    cells: &[(CellPlan, Identity)],
    folder: &RunFolder,
    memory: &Memory,
    session: &Session,
) -> Vec<Option<CellResult>> {
    cells
        .iter()
        .map(|(plan, identity)| {
            let known = memory.known(plan, identity)?;
            match known.keep(plan, folder) {
                Ok(result) => Some(result),
                Err(why) => {
                    let text = format!("{} runs again: {why:#}", plan.label());
                    session.progress.event(Event::Note { text });
                    // A cell's folder has to be its own.
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
    use crate::result::Sight;

    #[test]
    fn kernels_of_which_nothing_is_known_are_named() {
        let known = [DetectorResult {
            name: "WARN".to_owned(),
            stack: "base".to_owned(),
            profile: "fast".to_owned(),
            sight: Sight::Seen,
            detail: String::new(),
        }];
        let kernels = [("base", "fast"), ("series", "fast"), ("base", "kasan")];
        let unknown = without_detectors(&kernels, &known);
        assert_eq!(unknown, ["series (fast)", "base (kasan)"]);
    }
}
