// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs self-checks in VMs: faults that do not disturb each other share a VM, and a missed fault
//! is injected again in a VM of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::events::Activity;
use selftests::fault::self_check::{FaultResult, Place, SelfCheck, words};
use selftests::status::Status;
use vm_images::machine::Machine;

use super::super::prepare::Build;
use super::{Detections, Kernel, machine_of};
use crate::engine::context::RunContext;
use crate::engine::inject::guest::{Guest, Injected, TimeLimits};
use crate::engine::options::TestOptions;
use crate::engine::session::Session;
use crate::engine::{checkpoints, jobs};
use crate::result::Detection;

/// Factor on the timeouts when a missed fault is injected again.
const RETRY_TIME_FACTOR: u32 = 4;

/// A VM that runs self-checks of a kernel.
#[derive(Debug)]
struct GuestRun<'a> {
    kernel: &'a Kernel<'a>,
    /// Index of the kernel.
    index: usize,
    self_checks: Vec<&'static SelfCheck>,
    /// Factor on the timeouts.
    time_factor: u32,
}

/// Runs the self-checks of all kernels.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    pub(super) context: &'a RunContext,
    pub(super) args: &'a TestOptions,
    /// The folder for the artifacts of the VMs.
    pub(super) folder: Utf8PathBuf,
    pub(super) session: &'a Session,
}

impl Runner<'_> {
    /// Runs the self-checks of the kernels, several VMs in parallel, and returns the results of
    /// each kernel. A missed fault is injected again in a VM of its own with longer timeouts,
    /// because host load may delay a report.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn run_all(&self, kernels: &[Kernel<'_>]) -> anyhow::Result<Vec<Detections>> {
        let mut guests: Vec<GuestRun<'_>> = Vec::new();
        for (index, kernel) in kernels.iter().enumerate() {
            guests.extend(guest_runs(kernel, index));
        }
        // The longest first, so that no core is idle at the end.
        guests.sort_by_key(|guest| match guest.self_checks[0].place {
            Place::Stalled => 0,
            Place::Leaks => 1,
            Place::Alone => 2,
            Place::Shared => 3,
        });
        let mut all: Vec<Detections> = kernels.iter().map(|_| Detections::new()).collect();
        for (guest, injected) in guests.iter().zip(self.run_guests(&guests)?) {
            for self_check in &guest.self_checks {
                let detection = match check(self_check, &injected) {
                    Ok(title) => (Detection::Detected, title),
                    Err(_) => self.retry(guest, self_check)?,
                };
                all[guest.index].insert(self_check.name.to_owned(), detection);
            }
        }
        Ok(all)
    }

    fn retry(
        &self,
        guest: &GuestRun<'_>,
        self_check: &'static SelfCheck,
    ) -> anyhow::Result<(Detection, String)> {
        let alone = GuestRun {
            self_checks: vec![self_check],
            time_factor: RETRY_TIME_FACTOR,
            ..*guest
        };
        let injected = self.run(&alone)?;
        self.check_not_interrupted()?;
        match check(self_check, &injected) {
            Ok(title) => Ok((Detection::Detected, title)),
            Err(why) if injected.judgement.status == Status::Error => {
                anyhow::bail!("self-check of {} failed: {why}", label(&alone))
            }
            Err(why) => Ok((Detection::Missed, why)),
        }
    }

    /// Runs the VMs and returns their results in the same order.
    fn run_guests(&self, guests: &[GuestRun<'_>]) -> anyhow::Result<Vec<Injected>> {
        let parallel = jobs::parallel(self.args, self.context);
        let total = guests.len() as u64;
        let activity = Activity::start(&*self.session.observer, "running self-checks", Some(total));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all: Mutex<Vec<Option<_>>> = Mutex::new(guests.iter().map(|_| None).collect());
        let work = || {
            while let Some((index, guest)) = take(guests, &next) {
                if self.session.cancel.is_cancelled() {
                    break;
                }
                let injected = self.run(guest);
                all.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(injected);
                let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                activity.advance(done as u64, label(guest));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallel.min(guests.len()) {
                scope.spawn(work);
            }
        });
        self.check_not_interrupted()?;
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = |injected: Option<_>| injected.context("a VM was not started")?;
        all.into_iter().map(result).collect()
    }

    fn run(&self, guest: &GuestRun<'_>) -> anyhow::Result<Injected> {
        let Kernel { build, kit, .. } = guest.kernel;
        let words = words(&guest.self_checks);
        let name = match guest.time_factor {
            1 => words.join("+"),
            _ => format!("{}-again", words.join("+")),
        };
        let environment = &self.context.environment;
        let mut spec = environment.spec(
            &label(guest),
            self.machine(guest)?,
            &build.kernel.image(),
            &build.initramfs,
            &build.guest,
            &self.folder.join(folder(build)).join(name),
        );
        if !self.args.cold_boot {
            spec.checkpoint = checkpoints::get(&spec, environment, self.session);
        }
        let vm = Guest {
            words: &words,
            time_limits: TimeLimits::of(&words, build.guest.slowness * guest.time_factor),
            kit,
        };
        Ok(vm.run(spec, self.session))
    }

    fn machine(&self, guest: &GuestRun<'_>) -> anyhow::Result<&Machine> {
        let name = machine_of(guest.self_checks[0].place, self.args);
        self.context.environment.machine(name)
    }

    fn check_not_interrupted(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.session.cancel.is_cancelled(), "interrupted");
        Ok(())
    }
}

fn take<'t, 'a>(
    guests: &'t [GuestRun<'a>],
    next: &AtomicUsize,
) -> Option<(usize, &'t GuestRun<'a>)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    Some((index, guests.get(index)?))
}

/// Distributes the self-checks of a kernel to VMs.
fn guest_runs<'a>(kernel: &'a Kernel<'a>, index: usize) -> Vec<GuestRun<'a>> {
    let mut guests: Vec<GuestRun<'a>> = Vec::new();
    for self_check in kernel.self_checks() {
        let may_share = |guest: &&mut GuestRun<'a>| {
            self_check.place != Place::Alone && guest.self_checks[0].place == self_check.place
        };
        match guests.iter_mut().find(may_share) {
            Some(guest) => guest.self_checks.push(self_check),
            None => guests.push(GuestRun {
                kernel,
                index,
                self_checks: vec![self_check],
                time_factor: 1,
            }),
        }
    }
    guests
}

fn folder(build: &Build) -> Utf8PathBuf {
    Utf8Path::new(&build.config).join(&build.checkout)
}

fn label(guest: &GuestRun<'_>) -> String {
    let Build {
        checkout, config, ..
    } = guest.kernel.build;
    let names: Vec<&str> = guest.self_checks.iter().map(|one| one.name).collect();
    format!("{} on {checkout} ({config})", names.join(", "))
}

fn check(self_check: &SelfCheck, injected: &Injected) -> Result<String, String> {
    self_check.evaluate(FaultResult {
        judgement: &injected.judgement,
        ending: &injected.ending,
        log: &injected.log,
    })
}
