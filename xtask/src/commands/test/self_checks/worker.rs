// SPDX-License-Identifier: GPL-2.0-only
//! Guests in which self_checks are tried: which share one, and which are tried again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::events::Activity;
use selftests::fault::self_check::{FaultResult, Place, SelfCheck, words};
use selftests::status::Status;
use vm_images::machine::Machine;

use super::super::prepare::Build;
use super::super::{RunContext, jobs, start};
use super::{Kernel, Shown, machine_of};
use crate::cli::TestArgs;
use crate::commands::inject::guest::{Guest, Injected, Patience};
use crate::result::Detection;
use crate::session::Session;

/// By how much a fault that was not seen has more time the second time.
const SECOND_PATIENCE: u32 = 4;

/// A guest in which some of a kernel's self_checks are tried.
#[derive(Debug)]
struct Worker<'a> {
    kernel: &'a Kernel<'a>,
    /// The kernel's place among those that are tried.
    place: usize,
    self_checks: Vec<&'static SelfCheck>,
    /// By how much it has more time than usual.
    patience: u32,
}

/// Where workers take place.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    pub(super) context: &'a RunContext,
    pub(super) args: &'a TestArgs,
    /// For what guests leave behind.
    pub(super) folder: Utf8PathBuf,
    pub(super) session: &'a Session,
}

impl Boot<'_> {
    /// Tries what these kernels are to show, several guests at once, and returns what
    /// came of it for each. One that was not seen is tried again, alone and with more
    /// time: a busy host makes no finding.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn show_all(&self, kernels: &[Kernel<'_>]) -> anyhow::Result<Vec<Shown>> {
        let mut workers: Vec<Worker<'_>> = Vec::new();
        for (place, kernel) in kernels.iter().enumerate() {
            workers.extend(in_guests(kernel, place));
        }
        // The longest first.
        workers.sort_by_key(|worker| match worker.self_checks[0].place {
            Place::Stalled => 0,
            Place::Leaks => 1,
            Place::Alone => 2,
            Place::Shared => 3,
        });
        let mut all: Vec<Shown> = kernels.iter().map(|_| Shown::new()).collect();
        for (worker, injected) in workers.iter().zip(self.run_all(&workers)?) {
            for self_check in &worker.self_checks {
                let came = match look(self_check, &injected) {
                    Ok(title) => (Detection::Seen, title),
                    Err(_) => self.again(worker, self_check)?,
                };
                all[worker.place].insert(self_check.name.to_owned(), came);
            }
        }
        Ok(all)
    }

    fn again(
        &self,
        worker: &Worker<'_>,
        self_check: &'static SelfCheck,
    ) -> anyhow::Result<(Detection, String)> {
        let alone = Worker {
            self_checks: vec![self_check],
            patience: SECOND_PATIENCE,
            ..*worker
        };
        let injected = self.run(&alone)?;
        self.go_on()?;
        match look(self_check, &injected) {
            Ok(title) => Ok((Detection::Seen, title)),
            Err(why) if injected.judgement.status == Status::Error => {
                anyhow::bail!("nobody knows whether it is seen: {}: {why}", label(&alone))
            }
            Err(why) => Ok((Detection::Missed, why)),
        }
    }

    /// Runs the workers, and returns what came of each, in the same order.
    fn run_all(&self, workers: &[Worker<'_>]) -> anyhow::Result<Vec<Injected>> {
        let parallel = jobs::parallel(self.args, self.context);
        let total = workers.len() as u64;
        let activity =
            Activity::start(&self.session.progress, "injection self_checks", Some(total));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all: Mutex<Vec<Option<_>>> = Mutex::new(workers.iter().map(|_| None).collect());
        let work = || {
            while let Some((index, worker)) = take(workers, &next) {
                if self.session.cancel.is_cancelled() {
                    break;
                }
                let injected = self.run(worker);
                all.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(injected);
                let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                activity.advance(done as u64, label(worker));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallel.min(workers.len()) {
                scope.spawn(work);
            }
        });
        self.go_on()?;
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let came = |injected: Option<_>| injected.context("a guest was not started")?;
        all.into_iter().map(came).collect()
    }

    fn run(&self, worker: &Worker<'_>) -> anyhow::Result<Injected> {
        let Kernel { build, kit, .. } = worker.kernel;
        let words = words(&worker.self_checks);
        let name = match worker.patience {
            1 => words.join("+"),
            _ => format!("{}-again", words.join("+")),
        };
        let environment = &self.context.environment;
        let mut spec = environment.spec(
            &label(worker),
            self.machine(worker)?,
            &build.kernel.image(),
            &build.initramfs,
            &build.guest,
            &self.folder.join(folder(build)).join(name),
        );
        if !self.args.cold_boot {
            spec.checkpoint = start::saved(&spec, environment, self.session);
        }
        let guest = Guest {
            words: &words,
            patience: Patience::of(&words, build.guest.slowness * worker.patience),
            kit,
        };
        Ok(guest.run(spec, self.session))
    }

    fn machine(&self, worker: &Worker<'_>) -> anyhow::Result<&Machine> {
        let name = machine_of(worker.self_checks[0].place, self.args);
        self.context.environment.machine(name)
    }

    fn go_on(&self) -> anyhow::Result<()> {
        // What was cut short says nothing.
        anyhow::ensure!(!self.session.cancel.is_cancelled(), "interrupted");
        Ok(())
    }
}

fn take<'t, 'a>(workers: &'t [Worker<'a>], next: &AtomicUsize) -> Option<(usize, &'t Worker<'a>)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    Some((index, workers.get(index)?))
}

/// Puts what a kernel is to show into guests.
fn in_guests<'a>(kernel: &'a Kernel<'a>, place: usize) -> Vec<Worker<'a>> {
    let mut workers: Vec<Worker<'a>> = Vec::new();
    for self_check in kernel.its_own() {
        let shares = |worker: &&mut Worker<'a>| {
            self_check.place != Place::Alone && worker.self_checks[0].place == self_check.place
        };
        match workers.iter_mut().find(shares) {
            Some(worker) => worker.self_checks.push(self_check),
            None => workers.push(Worker {
                kernel,
                place,
                self_checks: vec![self_check],
                patience: 1,
            }),
        }
    }
    workers
}

fn folder(build: &Build) -> Utf8PathBuf {
    Utf8Path::new(&build.config).join(&build.checkout)
}

fn label(worker: &Worker<'_>) -> String {
    let Build {
        checkout, config, ..
    } = worker.kernel.build;
    let names: Vec<&str> = worker.self_checks.iter().map(|one| one.name).collect();
    format!("{} on {checkout} ({config})", names.join(", "))
}

fn look(self_check: &SelfCheck, injected: &Injected) -> Result<String, String> {
    self_check.evaluate(FaultResult {
        judgement: &injected.judgement,
        ending: &injected.ending,
        log: &injected.log,
    })
}
