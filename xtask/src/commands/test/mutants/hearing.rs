// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios on one mutant, until it is surely noticed or none is left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use selftests::scenario::Scenario;
use vm_images::transcript::Transcript;

use super::Court;
use crate::commands::test::cells::{self, Cell, Judge, Test};
use crate::commands::test::loads::Load;
use crate::commands::test::prepare::Ground;
use crate::commands::test::{RunJudge, start, start_from};
use crate::plan::{CellPlan, Plan};
use crate::result::CellResult;

/// Cells that boot before it is worth it to save the machine that the others go on from.
const BOOTS: usize = 6;
/// Of a machine with fewer cells, they boot.
const CROWD: usize = 4;

/// How scenarios came to notice a mutant, or did not.
#[derive(Debug, Default)]
pub(super) struct Notice {
    /// Cells that came to something else than on the series.
    pub(super) bad: Vec<CellResult>,
    /// Cells that came to nothing: an error or a skip.
    pub(super) void: Vec<CellResult>,
    /// How many came to what they do on the series.
    pub(super) same: usize,
}

impl Notice {
    fn take(&mut self, cell: CellResult, failing: &Failing<'_>) {
        if !is_proof(&cell) {
            self.void.push(cell);
        } else if is_bad(&cell, failing) {
            self.bad.push(cell);
        } else {
            self.same += 1;
        }
    }

    /// Returns whether it was not chance.
    pub(super) fn is_sure(&self) -> bool {
        self.bad.len() > 1
    }
}

/// By scenario, what it comes to on the series, of those that show a known finding there.
pub(super) type Failing<'a> = BTreeMap<&'a str, &'a CellResult>;

/// Whether a cell says anything about its kernel.
pub(super) fn is_proof(cell: &CellResult) -> bool {
    matches!(cell.outcome.as_str(), "pass" | "fail" | "crash" | "hang")
}

/// Whether two cells of a scenario came to the same.
pub(super) fn is_same(one: &CellResult, other: &CellResult) -> bool {
    let told = |cell: &CellResult| {
        (
            cell.outcome.clone(),
            cell.reason.clone(),
            cell.splats.clone(),
        )
    };
    told(one) == told(other)
}

fn is_bad(cell: &CellResult, failing: &Failing<'_>) -> bool {
    match failing.get(cell.scenario.as_str()) {
        Some(on_series) => is_proof(cell) && !is_same(cell, on_series),
        None => is_proof(cell) && cell.outcome != "pass",
    }
}

/// A mutant on which scenarios run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing<'a> {
    pub(super) court: &'a Court<'a>,
    pub(super) plan: &'a Plan,
    pub(super) failing: &'a Failing<'a>,
    /// The mutant's kernel.
    pub(super) ground: &'a Ground,
}

impl Hearing<'_> {
    /// Runs scenarios in their order until the mutant is surely noticed, or none is left.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn hear(&self, mut left: Vec<&Scenario>) -> anyhow::Result<Notice> {
        let mut notice = Notice::default();
        let mut boots = true;
        while !left.is_empty() && !notice.is_sure() {
            let later = left.split_off(if boots {
                BOOTS.min(left.len())
            } else {
                left.len()
            });
            let known = notice.bad.len();
            let mut undone = Vec::new();
            for (scenario, result) in left.iter().zip(self.run(&left, 1, boots)?) {
                match result {
                    Some(result) => notice.take(result, self.failing),
                    None => undone.push(*scenario),
                }
            }
            if let [doubtful] = &notice.bad[known..]
                && !notice.is_sure()
            {
                let name = doubtful.scenario.clone();
                left.retain(|scenario| scenario.name == name);
                let again = self.run(&left, 2, boots)?;
                again
                    .into_iter()
                    .flatten()
                    .for_each(|result| notice.take(result, self.failing));
            }
            undone.extend(later);
            left = undone;
            boots = false;
        }
        Ok(notice)
    }

    /// Returns the cell of a scenario on the mutant.
    pub(super) fn cell_plan(&self, scenario: &Scenario, repetition: u32) -> CellPlan {
        CellPlan {
            scenario: scenario.name.clone(),
            profile: self.ground.profile.clone(),
            stack: self.ground.stack.clone(),
            machine: self
                .plan
                .machine
                .clone()
                .unwrap_or_else(|| scenario.machine.clone()),
            repetition,
        }
    }

    /// Runs scenarios, and begins no more once one comes to something else than on the
    /// series.
    fn run(
        &self,
        scenarios: &[&Scenario],
        repetition: u32,
        boots: bool,
    ) -> anyhow::Result<Vec<Option<CellResult>>> {
        let Court {
            ready,
            folder,
            args,
            session,
            ..
        } = *self.court;
        let plans: Vec<CellPlan> = scenarios
            .iter()
            .map(|scenario| self.cell_plan(scenario, repetition))
            .collect();
        let cells = plans
            .iter()
            .zip(scenarios)
            .map(|(plan, scenario)| {
                Ok(Cell {
                    plan,
                    test: Test::Scenario(scenario),
                    ground: self.ground,
                    machine: ready.rig.machine(&plan.machine)?,
                    job: self
                        .ground
                        .jobs
                        .get(&plan.scenario)
                        .context("nothing to run")?,
                    template: None,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let jobs = args.jobs.map_or_else(
            || cells::jobs_that_fit(&ready.grounds, &ready.rig),
            |jobs| jobs as usize,
        );
        let mut crowded = cells.clone();
        let on = |machine: &str| {
            cells
                .iter()
                .filter(|one| one.machine.name == machine)
                .count()
        };
        crowded.retain(|cell| !boots && !args.no_template && on(&cell.machine.name) >= CROWD);
        let starts = start::starts(&crowded, &ready.rig, jobs, session);
        let cells = start_from(&cells, &starts);
        let loads: Vec<Load> = (0..cells.len()).map(|index| vec![index]).collect();
        let alert = Alert {
            inner: RunJudge {
                rig: &ready.rig,
                plan: self.plan,
                folder,
                session,
                tell: &|_, _| {},
            },
            failing: self.failing,
            is_noticed: AtomicBool::new(false),
        };
        let path = folder.path();
        let ran = cells::run_all(&cells, &loads, &ready.rig, path, jobs, session, &alert);
        for template in starts.iter().filter_map(|start| start.template.as_ref()) {
            ready.rig.templates.forget(template);
        }
        if session.cancel.is_cancelled() {
            anyhow::bail!("interrupted");
        }
        Ok(ran)
    }
}

/// Judges cells until one comes to something else than on the series.
struct Alert<'a> {
    inner: RunJudge<'a>,
    failing: &'a Failing<'a>,
    is_noticed: AtomicBool,
}

impl Judge for Alert<'_> {
    type Judged = CellResult;

    fn judge(&self, cell: &Cell<'_>, transcript: &Transcript) -> CellResult {
        self.inner.judge(cell, transcript)
    }

    fn is_well(&self, result: &CellResult) -> bool {
        self.inner.is_well(result)
    }

    fn settled(&self, _: &Cell<'_>, result: &CellResult) {
        if is_bad(result, self.failing) {
            self.is_noticed.store(true, Ordering::SeqCst);
        }
    }

    fn knows_enough(&self) -> bool {
        self.is_noticed.load(Ordering::SeqCst)
    }
}
