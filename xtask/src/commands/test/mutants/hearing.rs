// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios on one mutant, until it is surely noticed or none is left.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use camino::Utf8Path;
use selftests::scenario::Scenario;
use vm_images::transcript::Transcript;

use super::Court;
use super::known::{Known, is_proof};
use crate::commands::test::cells::{self, Cell, Judge, Test};
use crate::commands::test::loads::Load;
use crate::commands::test::prepare::Ground;
use crate::commands::test::running::RunJudge;
use crate::commands::test::start::{self, start_from};
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
    fn take(&mut self, cell: CellResult, known: &Known, run: &Utf8Path) {
        if !is_proof(&cell) {
            self.void.push(cell);
        } else if known.differs(&cell, run) {
            self.bad.push(cell);
        } else {
            self.same += 1;
        }
    }

    /// Returns whether all cells say something, and there were any.
    pub(super) fn is_proven(&self) -> bool {
        self.void.is_empty() && self.same > 0
    }

    /// Returns whether it was not chance.
    pub(super) fn is_sure(&self) -> bool {
        self.bad.len() > 1
    }
}

/// A mutant on which scenarios run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing<'a> {
    pub(super) court: &'a Court<'a>,
    pub(super) plan: &'a Plan,
    pub(super) known: &'a Known,
    /// The mutant's kernel.
    pub(super) ground: &'a Ground,
}

impl Hearing<'_> {
    /// Runs scenarios in their order until the mutant is surely noticed, or none is left.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn hear(&self, mut left: Vec<&Scenario>) -> anyhow::Result<Notice> {
        let folder = self.court.folder.path();
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
                    Some(result) => notice.take(result, self.known, folder),
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
                    .for_each(|result| notice.take(result, self.known, folder));
            }
            undone.extend(later);
            left = undone;
            boots = false;
        }
        Ok(notice)
    }

    /// Runs scenarios once more, and returns those that come to something else than is
    /// known, or to nothing.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn fickle(&self, mut left: Vec<&Scenario>) -> anyhow::Result<Vec<String>> {
        let mut fickle = Vec::new();
        while !left.is_empty() {
            let mut undone = Vec::new();
            for (scenario, result) in left.iter().zip(self.run(&left, 2, true)?) {
                match result {
                    Some(cell) => {
                        if !is_proof(&cell) || self.known.differs(&cell, self.court.folder.path()) {
                            fickle.push(cell.scenario);
                        }
                    }
                    None => undone.push(*scenario),
                }
            }
            left = undone;
        }
        Ok(fickle)
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
                    vm_run: self
                        .ground
                        .parallel
                        .get(&plan.scenario)
                        .context("nothing to run")?,
                    template: None,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let parallel = cells::parallel(args, ready);
        let mut crowded = cells.clone();
        let on = |machine: &str| {
            cells
                .iter()
                .filter(|one| one.machine.name == machine)
                .count()
        };
        crowded.retain(|cell| !boots && !args.no_template && on(&cell.machine.name) >= CROWD);
        let starts = start::starts(&crowded, &ready.rig, parallel, session);
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
            known: self.known,
            is_noticed: AtomicBool::new(false),
        };
        let path = folder.path();
        let ran = cells::run_all(&cells, &loads, &ready.rig, path, parallel, session, &alert);
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
    known: &'a Known,
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
        if self.known.differs(result, self.inner.folder.path()) {
            self.is_noticed.store(true, Ordering::SeqCst);
        }
    }

    fn knows_enough(&self) -> bool {
        self.is_noticed.load(Ordering::SeqCst)
    }
}
