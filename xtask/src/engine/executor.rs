// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs jobs. [`LocalExecutor`] runs them in QEMU on this host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use camino::Utf8Path;
use fs_err as fs;
use selftests::klog::Log;
use vm_images::accel::Accelerator;
use vm_images::checkpoint::Checkpoint;
use vm_images::checkpoints::NoCheckpoint;
use vm_images::transcript::Transcript;
use vm_images::vm::{self, BatchProgram, VmSpec};

use crate::engine::environment::Environment;
use crate::engine::job::Job;
use crate::engine::session::Session;

/// Runs jobs; several threads call it at the same time.
pub trait Executor: Sync {
    /// Runs a job, writes its files to `folder`, and returns the account of its VM.
    fn run(&self, job: &Job, folder: &Utf8Path) -> Transcript;

    /// Runs jobs that boot the same kernel on the same machine one after another in one VM.
    /// `folder` is for the files of the VM, `run` is the run folder. Returns `None` if a
    /// program failed; then each job has to run in a VM of its own.
    fn run_shared(
        &self,
        jobs: &[Job],
        folder: &Utf8Path,
        run: &Utf8Path,
    ) -> Option<Vec<Transcript>>;
}

/// The path of a kernel's image, the needs of the config, and the machine.
type Key = [String; 3];
/// A checkpoint, once it is made; `None` if the VM has to boot.
type Entry = Arc<OnceLock<Option<Checkpoint>>>;

/// Runs jobs in QEMU on this host.
#[derive(Debug)]
pub struct LocalExecutor<'a> {
    environment: &'a Environment,
    session: &'a Session,
    checkpoints: Mutex<BTreeMap<Key, Entry>>,
}

impl<'a> LocalExecutor<'a> {
    /// Returns an executor that has no checkpoints yet.
    pub fn new(environment: &'a Environment, session: &'a Session) -> Self {
        Self {
            environment,
            session,
            checkpoints: Mutex::default(),
        }
    }

    /// Returns the spec of the VM of a job, without a checkpoint.
    pub(crate) fn spec(&self, label: &str, job: &Job, folder: &Utf8Path) -> VmSpec {
        self.environment.spec(
            label,
            &job.machine,
            &job.binaries.image,
            &job.binaries.initramfs,
            &job.needs,
            folder,
        )
    }

    /// Returns the spec of the VM of a job, with the checkpoint of its build and machine. The
    /// first job of a build and machine makes the checkpoint; the others wait for it.
    pub(crate) fn restoring_spec(&self, label: &str, job: &Job, folder: &Utf8Path) -> VmSpec {
        let mut spec = self.spec(label, job, folder);
        if !job.cold_boot {
            let entry = self.entry(job);
            let made = entry.get_or_init(|| {
                let name = format!("{} ({})", job.plan.checkout, job.plan.config);
                let spec = self.spec(&format!("{name} on {}", job.machine.name), job, folder);
                checkpoint(&spec, self.environment, self.session)
            });
            spec.checkpoint.clone_from(made);
        }
        spec
    }

    fn entry(&self, job: &Job) -> Entry {
        let checkpoints = self.checkpoints.lock();
        let mut checkpoints = checkpoints.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(checkpoints.entry(key(job)).or_default())
    }

    /// Drops a checkpoint that could not be restored, so that the next job makes it again.
    fn drop_entry(&self, job: &Job) {
        let checkpoints = self.checkpoints.lock();
        let mut checkpoints = checkpoints.unwrap_or_else(PoisonError::into_inner);
        checkpoints.remove(&key(job));
    }

    /// Deletes the checkpoints of a kernel that is not used again.
    pub(crate) fn forget(&self, image: &Utf8Path) {
        let checkpoints = self.checkpoints.lock();
        let mut checkpoints = checkpoints.unwrap_or_else(PoisonError::into_inner);
        checkpoints.retain(|[kernel, ..], entry| {
            let is_other = kernel != image.as_str();
            if !is_other && let Some(Some(checkpoint)) = entry.get() {
                self.environment.checkpoints.forget(checkpoint);
            }
            is_other
        });
    }

    /// Deletes old checkpoints that this run did not use, if they exceed their disk space.
    pub(crate) fn tidy(&self) {
        let checkpoints = self.checkpoints.lock();
        let checkpoints = checkpoints.unwrap_or_else(PoisonError::into_inner);
        let used = checkpoints.values().filter_map(|entry| entry.get());
        let used: Vec<Checkpoint> = used.flatten().cloned().collect();
        self.environment.checkpoints.tidy(&used);
    }
}

/// Returns the key of the checkpoint of a job.
fn key(job: &Job) -> [String; 3] {
    [
        job.binaries.image.to_string(),
        format!("{:?}", job.needs),
        job.machine.name.clone(),
    ]
}

impl Executor for LocalExecutor<'_> {
    fn run(&self, job: &Job, folder: &Utf8Path) -> Transcript {
        let label = job.plan.label();
        let spec = self.restoring_spec(&label, job, folder);
        let transcript = vm::run(&spec, &job.vm_run, &self.session.context());
        if let Some(trouble) = &transcript.restore_error {
            let text = format!("{label}: restore failed, cold boot instead: {trouble}");
            self.session.note(text);
            if let Some(checkpoint) = &spec.checkpoint {
                self.environment.checkpoints.forget(checkpoint);
                self.drop_entry(job);
            }
        }
        transcript
    }

    fn run_shared(
        &self,
        jobs: &[Job],
        folder: &Utf8Path,
        run: &Utf8Path,
    ) -> Option<Vec<Transcript>> {
        let programs: Option<Vec<BatchProgram>> = jobs
            .iter()
            .map(|job| {
                Some(BatchProgram {
                    boot: job.vm_run.boots.first()?.clone(),
                    artifacts: run.join(job.plan.folder()),
                })
            })
            .collect();
        let name = format!("batch of {} jobs", jobs.len());
        let spec = self.restoring_spec(&name, jobs.first()?, folder);
        vm::run_batch(&spec, &programs?, &self.session.context())
    }
}

/// Returns the checkpoint of a VM, or `None` if the VM has to boot; a note then gives the
/// reason.
pub fn checkpoint(
    spec: &VmSpec,
    environment: &Environment,
    session: &Session,
) -> Option<Checkpoint> {
    if spec.accelerator == Accelerator::Kvm {
        // With KVM, a boot takes a fraction of a second, and guest clocks after a restore are
        // untested.
        return None;
    }
    let note = |why: &str| {
        session.note(format!(
            "no checkpoint of {}, every job boots: {why}",
            spec.name
        ));
    };
    match environment.checkpoints.get(spec, &session.context()) {
        Ok(checkpoint) => match boot_report(&checkpoint) {
            None => Some(checkpoint),
            Some(title) => {
                // Restored jobs skip the boot; each job has to boot to report this itself.
                note(&format!("the kernel reported `{title}` while booting"));
                environment.checkpoints.forget(&checkpoint);
                None
            }
        },
        Err(NoCheckpoint::Cancelled | NoCheckpoint::Unsaved(_)) => None,
        Err(why) => {
            note(&format!("saving failed: {why}"));
            None
        }
    }
}

/// Returns the first message of a checkpoint's boot that would be a finding in a job: a splat,
/// a line at level error, or a clock warning; or the error of reading the log.
fn boot_report(checkpoint: &Checkpoint) -> Option<String> {
    match fs::read(checkpoint.console()) {
        Ok(console) => {
            let log = Log::parse(&console);
            let splat = log.splats.first().map(|splat| splat.title.clone());
            let line = || log.stray_errors(1).next().map(|line| line.text.clone());
            // After such a warning, timeouts in a restored guest expire too early.
            let doubt = || log.clock_doubt().map(|line| line.text.clone());
            splat.or_else(line).or_else(doubt)
        }
        Err(error) => Some(error.to_string()),
    }
}
