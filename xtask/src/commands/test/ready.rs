// SPDX-License-Identifier: GPL-2.0-only
//! Everything that cells run on, made ready, and the cells of the plan with their share
//! of it.

use anyhow::Context;
use jiff::Timestamp;
use selftests::canary;

use super::cells::{Cell, Test};
use super::coverage::Question;
use super::inquiry::Inquiry;
use super::prepare::{self, Ground};
use super::{kselftest, setting};
use crate::cli::{DEFAULT_MACHINE, TestArgs};
use crate::commands::build::Built;
use crate::commands::rig::Rig;
use crate::commands::sources::Sources;
use crate::plan::{CellPlan, Plan};
use crate::result::{CellResult, RunResult, Setting, StackResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Everything that cells run on.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) rig: Rig,
    pub(crate) grounds: Vec<Ground>,
    /// The plan, with the cells of the tree's own tests.
    pub(crate) plan: Plan,
    /// The tree's name for people.
    pub(crate) tree: String,
    /// What results say of the stacks that are judged.
    pub(crate) stacks: Vec<StackResult>,
    /// All of the circumstances that is known before the first cell.
    setting: Setting,
    /// Whether the series is in the kernels.
    coverage: Question,
}

impl Ready {
    /// From kernels to programs that are ready to boot on them.
    ///
    /// # Errors
    /// When a program does not compile, or the host fails.
    pub(crate) fn make(
        kernels: Vec<Built>,
        sources: &Sources,
        inquiry: &Inquiry,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let machine = args.machine.as_deref();
        let own = inquiry.scenarios.iter().map(|one| one.machine.as_str());
        let all = own
            .chain([DEFAULT_MACHINE])
            .map(|own| machine.unwrap_or(own))
            .chain([canary::LEAK_MACHINE]);
        let mut rig = Rig::set_up(all, session)?;
        rig.keep_dumps = args.dump_hangs;
        let mut grounds = prepare::grounds(kernels, sources, inquiry, &rig, session)?;
        let ground = grounds.first().context("there is no kernel to run")?;
        rig.choose_accelerator(
            machine.unwrap_or(DEFAULT_MACHINE),
            &ground.kernel.image(),
            &ground.initramfs,
            &ground.guest,
            session,
        )?;
        let tests = kselftest::make_ready(
            &inquiry.kselftests,
            sources,
            &mut grounds,
            rig.accelerator,
            session,
        )?;
        Ok(Self {
            coverage: Question::of(sources, &grounds, &inquiry.plan.stacks)?,
            setting: setting::look(inquiry, sources, &grounds, session)?,
            rig,
            grounds,
            plan: inquiry.plan.clone().with_cells_of(&on_default(tests)),
            tree: sources.tree.label().to_owned(),
            stacks: sources.results(&inquiry.plan.stacks),
        })
    }

    /// Returns what a run that began at `began` came to, from the results of its cells.
    pub(crate) fn result(
        &self,
        cells: Vec<CellResult>,
        began: Timestamp,
        folder: &RunFolder,
    ) -> RunResult {
        let (tree, plan) = (self.tree.clone(), &self.plan);
        let (series, below) = (plan.series.clone(), plan.prerequisites.clone());
        let coverage = self.coverage.answer(&cells);
        let result = RunResult::new(tree, series, below, cells)
            .with_stacks(self.stacks.clone())
            .with_coverage(Some(coverage));
        RunResult {
            setting: setting::of_run(&self.setting, began, folder),
            ..result
        }
    }
}

/// The tree's own tests name no machine.
fn on_default(tests: Vec<String>) -> Vec<(String, String)> {
    let machine = DEFAULT_MACHINE.to_owned();
    tests
        .into_iter()
        .map(|test| (test, machine.clone()))
        .collect()
}

/// Returns every cell of the plan with what it needs, but for a template.
///
/// # Errors
/// When there is no kernel or program for one.
pub(crate) fn match_up<'a>(
    inquiry: &'a Inquiry,
    ready: &'a Ready,
) -> anyhow::Result<Vec<Cell<'a>>> {
    let find = |cell: &'a CellPlan| {
        let ground = ready
            .grounds
            .iter()
            .find(|ground| ground.stack == cell.stack && ground.profile == cell.profile)?;
        let mut scenarios = inquiry.scenarios.iter();
        let test = match ground.in_tree.get(&cell.scenario) {
            Some(in_tree) => Test::InTree(in_tree),
            None => Test::Scenario(scenarios.find(|one| one.name == cell.scenario)?),
        };
        Some(Cell {
            plan: cell,
            test,
            ground,
            machine: ready.rig.machine(&cell.machine).ok()?,
            job: ground.jobs.get(&cell.scenario)?,
            template: None,
        })
    };
    let cells = ready.plan.cells.iter();
    cells
        .map(|cell| find(cell).with_context(|| format!("nothing to run {} on", cell.label())))
        .collect()
}
