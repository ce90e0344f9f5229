// SPDX-License-Identifier: GPL-2.0-only
//! Runs the cells of a plan, several at once, and keeps what each left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use selftests::generate;
use selftests::scenario::Scenario;
use testbed_host::events::Activity;
use vm_images::accel::Accelerator;
use vm_images::transcript::Transcript;
use vm_images::vm::{self, Job, StageJob};

use super::judge::Binaries;
use super::prepare::{Ground, program_in_guest};
use crate::commands::rig::Rig;
use crate::plan::CellPlan;
use crate::session::Session;

/// Memory that QEMU itself takes beside the guest's, in MiB.
const OVERHEAD_MIB: u64 = 300;

/// A cell with all that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) plan: &'a CellPlan,
    pub(crate) scenario: &'a Scenario,
    pub(crate) ground: &'a Ground,
    pub(crate) initramfs: &'a Utf8Path,
}

impl Cell<'_> {
    /// Returns what the cell runs.
    pub(crate) fn binaries(&self) -> Binaries {
        let kernel = &self.ground.kernel;
        Binaries {
            kernel_id: kernel.id.clone(),
            image: kernel.image(),
            symbols: kernel.symbols(),
            initramfs: self.initramfs.to_owned(),
            program: program_in_guest(self.scenario),
        }
    }
}

/// Runs every cell and returns the transcripts in the same order; `None` for a
/// cell that was not begun because the user asked to stop.
pub(crate) fn run_all(
    cells: &[Cell<'_>],
    rig: &Rig,
    accelerator: Accelerator,
    run: &Utf8Path,
    jobs: Option<u32>,
    session: &Session,
) -> Vec<Option<Transcript>> {
    let jobs = jobs
        .map_or_else(|| jobs_that_fit(cells, rig), |jobs| jobs as usize)
        .min(cells.len());
    let activity = Activity::start(&session.progress, "running cells", Some(cells.len() as u64));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let order = longest_first(cells);
    let transcripts: Mutex<Vec<Option<Transcript>>> = Mutex::new(vec![None; cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(&index) = order.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if session.cancel.is_cancelled() {
                        break;
                    }
                    let cell = &cells[index];
                    let transcript = run_one(cell, rig, accelerator, run, session);
                    transcripts.lock().unwrap_or_else(PoisonError::into_inner)[index] =
                        Some(transcript);
                    let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                    activity.advance(done as u64, cell.plan.label());
                }
            });
        }
    });
    transcripts
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn run_one(
    cell: &Cell<'_>,
    rig: &Rig,
    accelerator: Accelerator,
    run: &Utf8Path,
    session: &Session,
) -> Transcript {
    let spec = rig.spec(
        &cell.plan.label(),
        &cell.ground.kernel.image(),
        cell.initramfs,
        &cell.ground.guest,
        accelerator,
        &run.join(cell.plan.folder()),
    );
    vm::run(
        &spec,
        &job(cell.scenario),
        &session.cancel,
        &session.progress,
    )
}

/// Returns what a scenario has a guest do.
fn job(scenario: &Scenario) -> Job {
    let stages = scenario.stages.iter().map(|stage| StageJob {
        program: program_in_guest(scenario),
        args: generate::arguments(scenario, stage.number),
        env: generate::environment(scenario, stage.number),
        timeout: Duration::from_secs(scenario.timeout_secs),
    });
    Job {
        stages: stages.collect(),
    }
}

/// Cells with more stages take longer, and slower profiles too: begun last,
/// they would leave the other cores idle at the end.
fn longest_first(cells: &[Cell<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|&index| {
        let cell = &cells[index];
        let weight = cell.scenario.stages.len() as u32 * cell.ground.guest.slowness;
        (std::cmp::Reverse(weight), index)
    });
    order
}

/// As many VMs at once as there are cores and free memory for.
fn jobs_that_fit(cells: &[Cell<'_>], rig: &Rig) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let guest = cells
        .iter()
        .map(|cell| u64::from(rig.memory_mib(&cell.ground.guest)))
        .max()
        .unwrap_or(1);
    let Some(free) = free_memory_mib() else {
        return cores;
    };
    let room = usize::try_from(free / (guest + OVERHEAD_MIB)).unwrap_or(cores);
    cores.min(room).max(1)
}

fn free_memory_mib() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}
