// SPDX-License-Identifier: GPL-2.0-only
//! Runs the jobs of a plan, several at once, and has each judged as it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::{Activity, Event, Observer};
use selftests::scenario::Scenario;
use selftests::status::Subject;
use vm_images::checkpoint::Checkpoint;
use vm_images::machine::Machine;
use vm_images::transcript::Transcript;
use vm_images::vm::{self, Sharer, VmRun, VmSpec};

use super::context::RunContext;
use super::loads::Load;
use super::prepare::Build;
use crate::cli::TestArgs;
use crate::commands::environment::Environment;
use crate::plan::JobPlan;
use crate::record::{Binaries, Kselftest};
use crate::session::Session;

/// Memory that QEMU itself takes beside the guest's, in MiB.
const OVERHEAD_MIB: u64 = 300;

/// A job with all that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a JobPlan,
    pub(crate) test: Test<'a>,
    pub(crate) build: &'a Build,
    pub(crate) machine: &'a Machine,
    /// What its guest is to do.
    pub(crate) vm_run: &'a VmRun,
    /// The saved guest that it goes on from, unless it boots.
    pub(crate) checkpoint: Option<&'a Checkpoint>,
}

/// What a job tests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test<'a> {
    /// A scenario of ours.
    Scenario(&'a Scenario),
    /// A test of the tree's own.
    Kselftest(&'a Kselftest),
}

impl<'a> Test<'a> {
    /// Returns what is to be judged; nothing for what cannot be run.
    pub(crate) fn subject(self) -> Option<Subject<'a>> {
        match self {
            Self::Scenario(scenario) => Some(scenario.into()),
            Self::Kselftest(Kselftest::Fit { test, .. }) => Some(test.into()),
            Self::Kselftest(Kselftest::Unfit { .. }) => None,
        }
    }

    /// Returns the test of the tree's own, if it is one.
    pub(crate) fn kselftest(self) -> Option<&'a Kselftest> {
        match self {
            Self::Scenario(_) => None,
            Self::Kselftest(kselftest) => Some(kselftest),
        }
    }
}

impl Job<'_> {
    /// Returns whether a guest is started for it.
    pub(crate) fn runs(&self) -> bool {
        self.test.subject().is_some()
    }

    /// Returns what the job runs.
    pub(crate) fn binaries(&self) -> Binaries {
        let kernel = &self.build.kernel;
        Binaries {
            kernel_id: kernel.id.clone(),
            image: kernel.image(),
            symbols: kernel.symbols(),
            boot_symbols: self.boot_symbols(),
            initramfs: self.build.initramfs.clone(),
            program: self.program().to_owned(),
        }
    }

    /// Returns the kernel with symbols of each boot: that of the boot before, if none
    /// is gone over to.
    fn boot_symbols(&self) -> Vec<Utf8PathBuf> {
        let mut symbols = self.build.kernel.symbols();
        let boots = self.vm_run.boots.iter().map(|boot| {
            if let (Some(next), Some(name)) = (&boot.kernel, symbols.file_name()) {
                symbols = next.image.with_file_name(name);
            }
            symbols.clone()
        });
        boots.collect()
    }

    /// Returns the path in the guest of the program it runs.
    fn program(&self) -> &str {
        let first = self.vm_run.boots.first();
        first.map_or("", |boot| boot.program.as_str())
    }
}

/// Judges jobs as they end: what one left behind is not cached in memory after.
pub(crate) trait Judge: Sync {
    /// What a job comes to.
    type Judged: Send;

    /// Returns what the job comes to.
    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> Self::Judged;

    /// Returns whether all is well with it.
    fn is_well(&self, judged: &Self::Judged) -> bool;

    /// Hears of a job that is done with.
    fn settled(&self, job: &Job<'_>, judged: &Self::Judged);

    /// Returns whether enough is known, so that no further job needs to begin.
    fn knows_enough(&self) -> bool {
        false
    }
}

/// Runs every job and returns what the judge makes of each, in the same order;
/// `None` for one that was not begun because the user asked to stop, or enough is known.
pub(crate) fn run_all<C: Judge>(
    jobs: &[Job<'_>],
    loads: &[Load],
    environment: &Environment,
    run: &Utf8Path,
    parallel: usize,
    session: &Session,
    judge: &C,
) -> Vec<Option<C::Judged>> {
    let activity = Activity::start(&session.progress, "running jobs", Some(jobs.len() as u64));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<Option<C::Judged>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let settle = |index: usize, judged: C::Judged| {
        judge.settled(&jobs[index], &judged);
        results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(judged);
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        activity.advance(done as u64, jobs[index].plan.label());
    };
    let run_load = |load: &Load| {
        if let Some(judged) = run_shared(load, jobs, environment, run, session, judge) {
            load.iter()
                .zip(judged)
                .for_each(|(&index, judged)| settle(index, judged));
            return;
        }
        for &index in load {
            if !session.cancel.is_cancelled() {
                let transcript = run_one(&jobs[index], environment, run, session);
                settle(index, judge.judge(&jobs[index], &transcript));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..parallel.min(loads.len()) {
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

/// Runs several jobs in one guest. None if they are not several, or if all is
/// not well with all of them: then each wants a guest of its own.
fn run_shared<C: Judge>(
    load: &Load,
    jobs: &[Job<'_>],
    environment: &Environment,
    run: &Utf8Path,
    session: &Session,
    judge: &C,
) -> Option<Vec<C::Judged>> {
    let [first, _, ..] = load.as_slice() else {
        return None;
    };
    let folder = run.join(format!("shared-{first}"));
    let each = load.iter().map(|&index| &jobs[index]);
    let sharers = sharers(each.map(|job| (job.plan, job.vm_run)), run)?;
    let spec = VmSpec {
        name: format!("{} jobs that share a guest", sharers.len()),
        ..spec(&jobs[*first], environment, &folder)
    };
    let transcripts = vm::run_shared(&spec, &sharers, &session.cancel, &session.progress);
    let judged: Option<Vec<C::Judged>> = transcripts.map(|transcripts| {
        let jobs = load.iter().map(|&index| &jobs[index]);
        let judge = |(job, transcript)| judge.judge(job, &transcript);
        jobs.zip(transcripts).map(judge).collect()
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

/// Returns what jobs are in the guest that they share, one for each, in their order;
/// none, if one has nothing to run.
fn sharers<'a>(
    jobs: impl Iterator<Item = (&'a JobPlan, &'a VmRun)>,
    run: &Utf8Path,
) -> Option<Vec<Sharer>> {
    let sharer = |(plan, vm_run): (&JobPlan, &VmRun)| {
        Some(Sharer {
            boot: vm_run.boots.first()?.clone(),
            artifacts: run.join(plan.folder()),
        })
    };
    jobs.map(sharer).collect()
}

fn run_one(
    job: &Job<'_>,
    environment: &Environment,
    run: &Utf8Path,
    session: &Session,
) -> Transcript {
    let spec = spec(job, environment, &run.join(job.plan.folder()));
    vm::run(&spec, job.vm_run, &session.cancel, &session.progress)
}

fn spec(job: &Job<'_>, environment: &Environment, folder: &Utf8Path) -> VmSpec {
    VmSpec {
        checkpoint: job.checkpoint.cloned(),
        ..environment.spec(
            &job.plan.label(),
            job.machine,
            &job.build.kernel.image(),
            &job.build.initramfs,
            &job.build.guest,
            folder,
        )
    }
}

/// Returns how many VMs run at once: as many as the user says, else as fit.
pub(crate) fn parallel(args: &TestArgs, context: &RunContext) -> usize {
    args.jobs.map_or_else(
        || jobs_that_fit(&context.builds, &context.environment),
        |parallel| parallel as usize,
    )
}

/// As many VMs at once as there are cores and free memory for.
fn jobs_that_fit(builds: &[Build], environment: &Environment) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let guest = builds
        .iter()
        .map(|build| u64::from(environment.memory_mib(&build.guest)))
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

    use vm_images::vm::BootRun;

    use super::*;

    fn plan(scenario: &str) -> JobPlan {
        JobPlan {
            test: scenario.to_owned(),
            config: "fast".to_owned(),
            checkout: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    fn vm_run(program: &str) -> VmRun {
        let boot = BootRun {
            kernel: None,
            files: Vec::new(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: "/".to_owned(),
            timeout: Duration::from_secs(1),
        };
        VmRun { boots: vec![boot] }
    }

    #[test]
    fn who_shares_a_guest_is_each_job_in_its_place_or_nobody() {
        let plans = ["a", "b", "c"].map(plan);
        let mut parallel = ["/a", "/b", "/c"].map(vm_run);
        let shared = sharers(plans.iter().zip(&parallel), Utf8Path::new("/run")).unwrap();
        let programs: Vec<&str> = shared.iter().map(|one| one.boot.program.as_str()).collect();
        assert_eq!(programs, ["/a", "/b", "/c"]);
        assert_eq!(shared[1].artifacts, "/run/fast/base/b");
        // What is then left would be taken for that of others.
        parallel[0].boots.clear();
        assert!(sharers(plans.iter().zip(&parallel), Utf8Path::new("/run")).is_none());
    }
}
