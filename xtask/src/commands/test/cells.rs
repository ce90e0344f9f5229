// SPDX-License-Identifier: GPL-2.0-only
//! Runs the cells of a plan, several at once, and has each judged as it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::{Activity, Event, Observer};
use selftests::outcome::Subject;
use selftests::scenario::Scenario;
use vm_images::machine::Machine;
use vm_images::template::Template;
use vm_images::transcript::Transcript;
use vm_images::vm::{self, Job, Sharer, VmSpec};

use super::loads::Load;
use super::prepare::Ground;
use super::ready::Ready;
use crate::cli::TestArgs;
use crate::commands::rig::Rig;
use crate::plan::CellPlan;
use crate::record::{Binaries, InTree};
use crate::session::Session;

/// Memory that QEMU itself takes beside the guest's, in MiB.
const OVERHEAD_MIB: u64 = 300;

/// A cell with all that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) plan: &'a CellPlan,
    pub(crate) test: Test<'a>,
    pub(crate) ground: &'a Ground,
    pub(crate) machine: &'a Machine,
    /// What its guest is to do.
    pub(crate) job: &'a Job,
    /// The saved guest that it goes on from, unless it boots.
    pub(crate) template: Option<&'a Template>,
}

/// What a cell tests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test<'a> {
    /// A scenario of ours.
    Scenario(&'a Scenario),
    /// A test of the tree's own.
    InTree(&'a InTree),
}

impl<'a> Test<'a> {
    /// Returns what is to be judged; nothing for what cannot be run.
    pub(crate) fn subject(self) -> Option<Subject<'a>> {
        match self {
            Self::Scenario(scenario) => Some(scenario.into()),
            Self::InTree(InTree::Fit { test, .. }) => Some(test.into()),
            Self::InTree(InTree::Unfit { .. }) => None,
        }
    }

    /// Returns the test of the tree's own, if it is one.
    pub(crate) fn in_tree(self) -> Option<&'a InTree> {
        match self {
            Self::Scenario(_) => None,
            Self::InTree(in_tree) => Some(in_tree),
        }
    }
}

impl Cell<'_> {
    /// Returns whether a guest is started for it.
    pub(crate) fn runs(&self) -> bool {
        self.test.subject().is_some()
    }

    /// Returns what the cell runs.
    pub(crate) fn binaries(&self) -> Binaries {
        let kernel = &self.ground.kernel;
        Binaries {
            kernel_id: kernel.id.clone(),
            image: kernel.image(),
            symbols: kernel.symbols(),
            stage_symbols: self.stage_symbols(),
            initramfs: self.ground.initramfs.clone(),
            program: self.program().to_owned(),
        }
    }

    /// Returns the kernel with symbols of each stage: that of the stage before, if none
    /// is gone over to.
    fn stage_symbols(&self) -> Vec<Utf8PathBuf> {
        let mut symbols = self.ground.kernel.symbols();
        let stages = self.job.stages.iter().map(|stage| {
            if let (Some(next), Some(name)) = (&stage.kernel, symbols.file_name()) {
                symbols = next.image.with_file_name(name);
            }
            symbols.clone()
        });
        stages.collect()
    }

    /// Returns the path in the guest of the program it runs.
    fn program(&self) -> &str {
        let first = self.job.stages.first();
        first.map_or("", |stage| stage.program.as_str())
    }
}

/// Judges cells as they end: what one left behind is not kept in memory after.
pub(crate) trait Judge: Sync {
    /// What a cell comes to.
    type Judged: Send;

    /// Returns what the cell comes to.
    fn judge(&self, cell: &Cell<'_>, transcript: &Transcript) -> Self::Judged;

    /// Returns whether all is well with it.
    fn is_well(&self, judged: &Self::Judged) -> bool;

    /// Hears of a cell that is done with.
    fn settled(&self, cell: &Cell<'_>, judged: &Self::Judged);

    /// Returns whether enough is known, so that no further cell needs to begin.
    fn knows_enough(&self) -> bool {
        false
    }
}

/// Runs every cell and returns what the judge makes of each, in the same order;
/// `None` for one that was not begun because the user asked to stop, or enough is known.
pub(crate) fn run_all<C: Judge>(
    cells: &[Cell<'_>],
    loads: &[Load],
    rig: &Rig,
    run: &Utf8Path,
    jobs: usize,
    session: &Session,
    judge: &C,
) -> Vec<Option<C::Judged>> {
    let activity = Activity::start(&session.progress, "running cells", Some(cells.len() as u64));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<Option<C::Judged>>> = Mutex::new(cells.iter().map(|_| None).collect());
    let settle = |index: usize, judged: C::Judged| {
        judge.settled(&cells[index], &judged);
        results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(judged);
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        activity.advance(done as u64, cells[index].plan.label());
    };
    let run_load = |load: &Load| {
        if let Some(judged) = run_shared(load, cells, rig, run, session, judge) {
            load.iter()
                .zip(judged)
                .for_each(|(&index, judged)| settle(index, judged));
            return;
        }
        for &index in load {
            if !session.cancel.is_cancelled() {
                let transcript = run_one(&cells[index], rig, run, session);
                settle(index, judge.judge(&cells[index], &transcript));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(loads.len()) {
            scope.spawn(|| {
                while let Some(load) = loads.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if session.cancel.is_cancelled() || judge.knows_enough() {
                        break;
                    }
                    run_load(load);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs several cells in one guest. None if they are not several, or if all is
/// not well with all of them: then each wants a guest of its own.
fn run_shared<C: Judge>(
    load: &Load,
    cells: &[Cell<'_>],
    rig: &Rig,
    run: &Utf8Path,
    session: &Session,
    judge: &C,
) -> Option<Vec<C::Judged>> {
    let [first, _, ..] = load.as_slice() else {
        return None;
    };
    let folder = run.join(format!("shared-{first}"));
    let each = load.iter().map(|&index| &cells[index]);
    let sharers = sharers(each.map(|cell| (cell.plan, cell.job)), run)?;
    let spec = VmSpec {
        name: format!("{} cells that share a guest", sharers.len()),
        ..spec(&cells[*first], rig, &folder)
    };
    let transcripts = vm::run_shared(&spec, &sharers, &session.cancel, &session.progress);
    let judged: Option<Vec<C::Judged>> = transcripts.map(|transcripts| {
        let cells = load.iter().map(|&index| &cells[index]);
        let judge = |(cell, transcript)| judge.judge(cell, &transcript);
        cells.zip(transcripts).map(judge).collect()
    });
    let well = judged.filter(|all| all.iter().all(|one| judge.is_well(one)));
    if well.is_some() {
        let _ = fs::remove_dir_all(&folder);
    } else if !session.cancel.is_cancelled() {
        // The verdict is that of each alone, but what was seen stays to be looked at.
        let text = format!(
            "not all was well with {}, see {folder}; each runs alone",
            spec.name
        );
        session.progress.event(Event::Note { text });
    }
    well
}

/// Returns what cells are in the guest that they share, one for each, in their order;
/// none, if one has nothing to run.
fn sharers<'a>(
    cells: impl Iterator<Item = (&'a CellPlan, &'a Job)>,
    run: &Utf8Path,
) -> Option<Vec<Sharer>> {
    let sharer = |(plan, job): (&CellPlan, &Job)| {
        Some(Sharer {
            stage: job.stages.first()?.clone(),
            artifacts: run.join(plan.folder()),
        })
    };
    cells.map(sharer).collect()
}

fn run_one(cell: &Cell<'_>, rig: &Rig, run: &Utf8Path, session: &Session) -> Transcript {
    let spec = spec(cell, rig, &run.join(cell.plan.folder()));
    vm::run(&spec, cell.job, &session.cancel, &session.progress)
}

fn spec(cell: &Cell<'_>, rig: &Rig, folder: &Utf8Path) -> VmSpec {
    VmSpec {
        template: cell.template.cloned(),
        ..rig.spec(
            &cell.plan.label(),
            cell.machine,
            &cell.ground.kernel.image(),
            &cell.ground.initramfs,
            &cell.ground.guest,
            folder,
        )
    }
}

/// Returns how many VMs run at once: as many as the user says, else as fit.
pub(crate) fn jobs(args: &TestArgs, ready: &Ready) -> usize {
    args.jobs.map_or_else(
        || jobs_that_fit(&ready.grounds, &ready.rig),
        |jobs| jobs as usize,
    )
}

/// As many VMs at once as there are cores and free memory for.
fn jobs_that_fit(grounds: &[Ground], rig: &Rig) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let guest = grounds
        .iter()
        .map(|ground| u64::from(rig.memory_mib(&ground.guest)))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vm_images::vm::StageJob;

    use super::*;

    fn plan(scenario: &str) -> CellPlan {
        CellPlan {
            scenario: scenario.to_owned(),
            profile: "fast".to_owned(),
            stack: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    fn job(program: &str) -> Job {
        let stage = StageJob {
            kernel: None,
            files: Vec::new(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: "/".to_owned(),
            timeout: Duration::from_secs(1),
        };
        Job {
            stages: vec![stage],
        }
    }

    #[test]
    fn who_shares_a_guest_is_each_cell_in_its_place_or_nobody() {
        let plans = ["a", "b", "c"].map(plan);
        let mut jobs = ["/a", "/b", "/c"].map(job);
        let shared = sharers(plans.iter().zip(&jobs), Utf8Path::new("/run")).unwrap();
        let programs: Vec<&str> = shared
            .iter()
            .map(|one| one.stage.program.as_str())
            .collect();
        assert_eq!(programs, ["/a", "/b", "/c"]);
        assert_eq!(shared[1].artifacts, "/run/fast/base/b");
        // What is then left would be taken for that of others.
        jobs[0].stages.clear();
        assert!(sharers(plans.iter().zip(&jobs), Utf8Path::new("/run")).is_none());
    }
}
