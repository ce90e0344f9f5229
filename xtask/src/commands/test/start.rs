// SPDX-License-Identifier: GPL-2.0-only
//! How guests start: from a checkpoint of their kernel, or by booting.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::events::{Event, Observer};
use selftests::klog::Log;
use vm_images::accel::Accelerator;
use vm_images::checkpoint::{Checkpoint, NoCheckpoint};
use vm_images::machine::Machine;
use vm_images::vm::VmSpec;

use super::jobs::Job;
use super::prepare::Build;
use crate::commands::environment::Environment;
use crate::session::Session;

/// How the guests of a kernel on a machine start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    build: &'a Build,
    machine: &'a Machine,
    /// Where they go on from, unless they boot.
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl Start<'_> {
    /// Returns whether a job's guest starts like this.
    pub(crate) fn is_for(&self, job: &Job<'_>) -> bool {
        std::ptr::eq(self.build, job.build) && self.machine.name == job.machine.name
    }
}

/// Returns a start for each kernel and machine that jobs need; of those whose guests
/// have to boot, it is said why.
pub(crate) fn starts<'a>(
    jobs: &[Job<'a>],
    environment: &Environment,
    parallel: usize,
    session: &Session,
) -> Vec<Start<'a>> {
    let mut needed: Vec<Start<'a>> = Vec::new();
    for job in jobs {
        if !needed.iter().any(|start| start.is_for(job)) {
            needed.push(Start {
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
                    let Some(start) = needed.get(index) else {
                        break;
                    };
                    if let Some(checkpoint) = checkpoint(start, environment, session) {
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
        .flat_map(|one| one.checkpoint.clone())
        .collect();
    environment.checkpoints.tidy(&in_use);
    needed
}

/// Returns the jobs with the checkpoints of their kernels and machines.
pub(super) fn start_from<'a>(jobs: &[Job<'a>], starts: &'a [Start<'_>]) -> Vec<Job<'a>> {
    let checkpoint = |job: &Job<'_>| {
        let start = starts.iter().find(|start| start.is_for(job))?;
        start.checkpoint.as_ref()
    };
    jobs.iter()
        .map(|job| Job {
            checkpoint: checkpoint(job),
            ..job.clone()
        })
        .collect()
}

fn checkpoint(
    start: &Start<'_>,
    environment: &Environment,
    session: &Session,
) -> Option<Checkpoint> {
    let (build, machine) = (start.build, start.machine);
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
    saved(&spec, environment, session)
}

/// Returns the checkpoint of a machine; where its guests have to boot, it is said why.
pub(crate) fn saved(
    spec: &VmSpec,
    environment: &Environment,
    session: &Session,
) -> Option<Checkpoint> {
    if environment.accelerator == Accelerator::Kvm {
        // Boots take a fraction of a second there, and nobody has yet seen that
        // the clocks of a guest that goes on are right.
        return None;
    }
    let say = |why: &str| {
        let text = format!("every guest of {} boots: {why}", spec.name);
        session.progress.event(Event::Note { text });
    };
    match environment
        .checkpoints
        .get(spec, &session.cancel, &session.progress)
    {
        Ok(checkpoint) => match report(&checkpoint) {
            None => Some(checkpoint),
            Some(title) => {
                // One boot must not speak for all that would have been.
                say(&format!("its kernel complains in its boot, `{title}`"));
                environment.checkpoints.forget(&checkpoint);
                None
            }
        },
        Err(NoCheckpoint::Cancelled | NoCheckpoint::Unsaved(_)) => None,
        Err(why) => {
            say(&format!("it cannot be saved: {why}"));
            None
        }
    }
}

/// Returns the first report in the boot of a checkpoint that a job would be held
/// to, a splat or a line at level error, or that its log cannot be read.
fn report(checkpoint: &Checkpoint) -> Option<String> {
    match fs::read(checkpoint.console()) {
        Ok(console) => {
            let log = Log::parse(&console);
            let splat = log.splats.first().map(|splat| splat.title.clone());
            let line = || log.stray_errors(1).next().map(|line| line.text.clone());
            // A guest that goes on from here would find all its waits cut short.
            let doubt = || log.clock_doubt().map(|line| line.text.clone());
            splat.or_else(line).or_else(doubt)
        }
        Err(error) => Some(error.to_string()),
    }
}
