// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the VM checkpoints that jobs restore instead of booting.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::events::Event;
use selftests::klog::Log;
use vm_images::accel::Accelerator;
use vm_images::checkpoint::Checkpoint;
use vm_images::checkpoints::NoCheckpoint;
use vm_images::machine::Machine;
use vm_images::vm::VmSpec;

use crate::engine::environment::Environment;
use crate::engine::jobs::Job;
use crate::engine::prepare::Build;
use crate::engine::session::Session;

/// The checkpoint of a build on a machine.
#[derive(Debug)]
pub struct BuildCheckpoint<'a> {
    build: &'a Build,
    machine: &'a Machine,
    /// `None` if the jobs have to boot.
    pub checkpoint: Option<Checkpoint>,
}

impl BuildCheckpoint<'_> {
    /// Returns whether a job has this build and machine.
    pub fn is_for(&self, job: &Job<'_>) -> bool {
        std::ptr::eq(self.build, job.build) && self.machine.name == job.machine.name
    }
}

/// Saves or reuses a checkpoint for each build and machine of the jobs. If a build has none,
/// a note gives the reason.
pub fn make<'a>(
    jobs: &[Job<'a>],
    environment: &Environment,
    parallel: usize,
    session: &Session,
) -> Vec<BuildCheckpoint<'a>> {
    let mut needed: Vec<BuildCheckpoint<'a>> = Vec::new();
    for job in jobs {
        if !needed.iter().any(|entry| entry.is_for(job)) {
            needed.push(BuildCheckpoint {
                build: job.build,
                machine: job.machine,
                checkpoint: None,
            });
        }
    }
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<(usize, Checkpoint)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..parallel.min(needed.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(entry) = needed.get(index) else {
                        break;
                    };
                    if let Some(checkpoint) = checkpoint(entry, environment, session) {
                        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                        made.push((index, checkpoint));
                    }
                }
            });
        }
    });
    for (index, checkpoint) in made.into_inner().unwrap_or_else(PoisonError::into_inner) {
        needed[index].checkpoint = Some(checkpoint);
    }
    let in_use: Vec<Checkpoint> = needed
        .iter()
        .filter_map(|entry| entry.checkpoint.clone())
        .collect();
    environment.checkpoints.tidy(&in_use);
    needed
}

/// Returns the jobs with the checkpoints of their builds and machines.
pub(super) fn assign<'a>(jobs: &[Job<'a>], made: &'a [BuildCheckpoint<'_>]) -> Vec<Job<'a>> {
    let checkpoint = |job: &Job<'_>| {
        let entry = made.iter().find(|entry| entry.is_for(job))?;
        entry.checkpoint.as_ref()
    };
    jobs.iter()
        .map(|job| Job {
            checkpoint: checkpoint(job),
            ..job.clone()
        })
        .collect()
}

fn checkpoint(
    entry: &BuildCheckpoint<'_>,
    environment: &Environment,
    session: &Session,
) -> Option<Checkpoint> {
    let (build, machine) = (entry.build, entry.machine);
    let Build {
        checkout, config, ..
    } = build;
    let name = format!("{checkout} ({config}) on {}", machine.name);
    let spec = environment.spec(
        &name,
        machine,
        &build.kernel.image(),
        &build.initramfs,
        &build.guest,
        Utf8Path::new(""),
    );
    get(&spec, environment, session)
}

/// Returns the checkpoint of a VM, or `None` if the VM has to boot; a note then gives the
/// reason.
pub fn get(spec: &VmSpec, environment: &Environment, session: &Session) -> Option<Checkpoint> {
    if environment.accelerator == Accelerator::Kvm {
        // With KVM, a boot takes a fraction of a second, and guest clocks after a restore are
        // untested.
        return None;
    }
    let note = |why: &str| {
        let text = format!("no checkpoint of {}, every job boots: {why}", spec.name);
        session.observer.event(Event::Note { text });
    };
    match environment.checkpoints.get(spec, &session.context()) {
        Ok(checkpoint) => match report(&checkpoint) {
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
fn report(checkpoint: &Checkpoint) -> Option<String> {
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
