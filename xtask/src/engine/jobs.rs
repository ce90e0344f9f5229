// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the jobs of a plan in parallel and judges each job when it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::{Activity, Event};
use selftests::scenario::Scenario;
use selftests::status::Subject;
use vm_images::checkpoint::Checkpoint;
use vm_images::machine::Machine;
use vm_images::transcript::Transcript;
use vm_images::vm::{self, BatchProgram, VmRun, VmSpec};

use crate::engine::batches::Batch;
use crate::engine::context::RunContext;
use crate::engine::environment::Environment;
use crate::engine::options::TestOptions;
use crate::engine::plan::JobPlan;
use crate::engine::prepare::Build;
use crate::engine::record::{Binaries, Kselftest};
use crate::engine::session::Session;

/// Memory of a QEMU process on top of the guest's memory, in MiB.
const OVERHEAD_MIB: u64 = 300;

/// A job of the plan with its test, build and machine.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    pub(crate) plan: &'a JobPlan,
    pub(crate) test: Test<'a>,
    pub(crate) build: &'a Build,
    pub(crate) machine: &'a Machine,
    pub(crate) vm_run: &'a VmRun,
    /// The checkpoint to restore; `None` for a cold boot.
    pub checkpoint: Option<&'a Checkpoint>,
}

/// The test that a job runs.
#[derive(Clone, Copy, Debug)]
pub enum Test<'a> {
    /// A generated test.
    Scenario(&'a Scenario),
    /// A kselftest of the tree.
    Kselftest(&'a Kselftest),
}

impl<'a> Test<'a> {
    /// Returns the subject to judge, or `None` for a kselftest that cannot run.
    pub fn subject(self) -> Option<Subject<'a>> {
        match self {
            Self::Scenario(scenario) => Some(scenario.into()),
            Self::Kselftest(Kselftest::Fit { test, .. }) => Some(test.into()),
            Self::Kselftest(Kselftest::Unfit { .. }) => None,
        }
    }

    pub(crate) fn kselftest(self) -> Option<&'a Kselftest> {
        match self {
            Self::Scenario(_) => None,
            Self::Kselftest(kselftest) => Some(kselftest),
        }
    }
}

impl Job<'_> {
    /// Returns whether the job starts a VM.
    pub fn runs(&self) -> bool {
        self.test.subject().is_some()
    }

    /// Returns the kernel, archive and program that the job runs.
    pub fn binaries(&self) -> Binaries {
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

    /// Returns the `vmlinux` of each boot. A boot without a kernel of its own uses the
    /// kernel of the boot before.
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

    /// Returns the path of the test program in the guest.
    fn program(&self) -> &str {
        let first = self.vm_run.boots.first();
        first.map_or("", |boot| boot.program.as_str())
    }
}

/// Judges each job when it ends, so that its transcript is not kept in memory.
pub trait Judge: Sync {
    /// The result of a job.
    type Judged: Send;

    /// Judges a job that has ended.
    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> Self::Judged;

    /// Returns whether the result is a pass without a finding. Other results of a batch
    /// are discarded, and its jobs run again in VMs of their own.
    fn is_clean(&self, judged: &Self::Judged) -> bool;

    /// Is called once for each job that has ended, with its final result.
    fn finished(&self, job: &Job<'_>, judged: &Self::Judged);

    /// Returns whether no further job should be started.
    fn should_stop(&self) -> bool {
        false
    }
}

/// Runs every job and returns the results in the order of the jobs. The result is `None`
/// for a job that was not started: the user interrupted the run, or the judge stopped it.
pub fn run_all<C: Judge>(
    jobs: &[Job<'_>],
    batches: &[Batch],
    environment: &Environment,
    run: &Utf8Path,
    parallel: usize,
    session: &Session,
    judge: &C,
) -> Vec<Option<C::Judged>> {
    let activity = Activity::start(&*session.observer, "running jobs", Some(jobs.len() as u64));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<Option<C::Judged>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let finish = |index: usize, judged: C::Judged| {
        judge.finished(&jobs[index], &judged);
        results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(judged);
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        activity.advance(done as u64, jobs[index].plan.label());
    };
    let run_batch = |batch: &Batch| {
        if let Some(judged) = run_shared(batch, jobs, environment, run, session, judge) {
            batch
                .iter()
                .zip(judged)
                .for_each(|(&index, judged)| finish(index, judged));
            return;
        }
        for &index in batch {
            if !session.cancel.is_cancelled() {
                let transcript = run_alone(&jobs[index], environment, run, session);
                finish(index, judge.judge(&jobs[index], &transcript));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..parallel.min(batches.len()) {
            scope.spawn(|| {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if session.cancel.is_cancelled() || judge.should_stop() {
                        break;
                    }
                    run_batch(batch);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the jobs of a batch in one VM. Returns `None` if the batch has a single job, or if
/// the result of a job is not clean; each job then has to run in a VM of its own.
fn run_shared<C: Judge>(
    batch: &Batch,
    jobs: &[Job<'_>],
    environment: &Environment,
    run: &Utf8Path,
    session: &Session,
    judge: &C,
) -> Option<Vec<C::Judged>> {
    let [first, _, ..] = batch.as_slice() else {
        return None;
    };
    let folder = run.join(format!("shared-{first}"));
    let batched = batch.iter().map(|&index| &jobs[index]);
    let sharers = sharers(batched.map(|job| (job.plan, job.vm_run)), run)?;
    let spec = VmSpec {
        name: format!("batch of {} jobs", sharers.len()),
        ..spec(&jobs[*first], environment, &folder)
    };
    let transcripts = vm::run_batch(&spec, &sharers, &session.context());
    let judged: Option<Vec<C::Judged>> = transcripts.map(|transcripts| {
        let jobs = batch.iter().map(|&index| &jobs[index]);
        let judge = |(job, transcript)| judge.judge(job, &transcript);
        jobs.zip(transcripts).map(judge).collect()
    });
    let clean = judged.filter(|all| all.iter().all(|result| judge.is_clean(result)));
    if clean.is_some() {
        let _ = fs::remove_dir_all(&folder);
    } else if !session.cancel.is_cancelled() {
        let text = format!(
            "{} did not pass ({folder}); rerunning each job in its own VM",
            spec.name
        );
        session.observer.event(Event::Note { text });
    }
    clean
}

/// Returns the part of each job in a shared VM, in the order of the jobs, or `None` if a job
/// has no boot.
fn sharers<'a>(
    jobs: impl Iterator<Item = (&'a JobPlan, &'a VmRun)>,
    run: &Utf8Path,
) -> Option<Vec<BatchProgram>> {
    let sharer = |(plan, vm_run): (&JobPlan, &VmRun)| {
        Some(BatchProgram {
            boot: vm_run.boots.first()?.clone(),
            artifacts: run.join(plan.folder()),
        })
    };
    jobs.map(sharer).collect()
}

fn run_alone(
    job: &Job<'_>,
    environment: &Environment,
    run: &Utf8Path,
    session: &Session,
) -> Transcript {
    let spec = spec(job, environment, &run.join(job.plan.folder()));
    vm::run(&spec, job.vm_run, &session.context())
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

/// Returns the number of VMs to run in parallel: `--jobs`, or the number that fits the host.
pub fn parallel(args: &TestOptions, context: &RunContext) -> usize {
    args.jobs.map_or_else(
        || jobs_that_fit(&context.builds, &context.environment),
        |parallel| parallel as usize,
    )
}

/// Returns the number of VMs for which the host has cores and free memory.
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
    let fit = usize::try_from(free / (guest + OVERHEAD_MIB)).unwrap_or(cores);
    cores.min(fit).max(1)
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
    fn sharers_lists_jobs_in_order_and_rejects_a_job_without_boots() {
        let plans = ["a", "b", "c"].map(plan);
        let mut runs = ["/a", "/b", "/c"].map(vm_run);
        let shared = sharers(plans.iter().zip(&runs), Utf8Path::new("/run")).unwrap();
        let programs: Vec<&str> = shared
            .iter()
            .map(|sharer| sharer.boot.program.as_str())
            .collect();
        assert_eq!(programs, ["/a", "/b", "/c"]);
        assert_eq!(shared[1].artifacts, "/run/fast/base/b");
        // Without this job, the results of the others would be off by one.
        runs[0].boots.clear();
        assert!(sharers(plans.iter().zip(&runs), Utf8Path::new("/run")).is_none());
    }
}
