// SPDX-License-Identifier: GPL-2.0-only
//! Guests in which detectors are tried: which share one, and which are tried again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::events::Activity;
use selftests::canary::detector::{Detector, Place, Sighting, words};
use selftests::outcome::Outcome;
use vm_images::machine::Machine;

use super::super::prepare::Ground;
use super::super::{Ready, cells, start};
use super::{Kernel, Shown, machine_of};
use crate::cli::TestArgs;
use crate::commands::canary::guest::{Guest, Patience, Pulled};
use crate::result::Sight;
use crate::session::Session;

/// By how much a canary that was not seen has more time the second time.
const SECOND_PATIENCE: u32 = 4;

/// A guest in which some of a kernel's detectors are tried.
#[derive(Debug)]
struct Trial<'a> {
    kernel: &'a Kernel<'a>,
    /// The kernel's place among those that are tried.
    place: usize,
    detectors: Vec<&'static Detector>,
    /// By how much it has more time than usual.
    patience: u32,
}

/// Where trials take place.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) ready: &'a Ready,
    pub(super) args: &'a TestArgs,
    /// For what guests leave behind.
    pub(super) folder: Utf8PathBuf,
    pub(super) session: &'a Session,
}

impl Stage<'_> {
    /// Tries what these kernels are to show, several guests at once, and returns what
    /// came of it for each. One that was not seen is tried again, alone and with more
    /// time: a busy host makes no finding.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn show_all(&self, kernels: &[Kernel<'_>]) -> anyhow::Result<Vec<Shown>> {
        let mut trials: Vec<Trial<'_>> = Vec::new();
        for (place, kernel) in kernels.iter().enumerate() {
            trials.extend(in_guests(kernel, place));
        }
        // The longest first.
        trials.sort_by_key(|trial| match trial.detectors[0].place {
            Place::Stalled => 0,
            Place::Leaks => 1,
            Place::Alone => 2,
            Place::Shared => 3,
        });
        let mut all: Vec<Shown> = kernels.iter().map(|_| Shown::new()).collect();
        for (trial, pulled) in trials.iter().zip(self.run_all(&trials)?) {
            for detector in &trial.detectors {
                let came = match look(detector, &pulled) {
                    Ok(title) => (Sight::Seen, title),
                    Err(_) => self.again(trial, detector)?,
                };
                all[trial.place].insert(detector.name.to_owned(), came);
            }
        }
        Ok(all)
    }

    fn again(
        &self,
        trial: &Trial<'_>,
        detector: &'static Detector,
    ) -> anyhow::Result<(Sight, String)> {
        let alone = Trial {
            detectors: vec![detector],
            patience: SECOND_PATIENCE,
            ..*trial
        };
        let pulled = self.run(&alone)?;
        self.go_on()?;
        match look(detector, &pulled) {
            Ok(title) => Ok((Sight::Seen, title)),
            Err(why) if pulled.judgement.outcome == Outcome::Error => {
                anyhow::bail!("nobody knows whether it is seen: {}: {why}", label(&alone))
            }
            Err(why) => Ok((Sight::Blind, why)),
        }
    }

    /// Runs the trials, and returns what came of each, in the same order.
    fn run_all(&self, trials: &[Trial<'_>]) -> anyhow::Result<Vec<Pulled>> {
        let jobs = cells::jobs(self.args, self.ready);
        let total = trials.len() as u64;
        let activity = Activity::start(&self.session.progress, "showing detectors", Some(total));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all: Mutex<Vec<Option<_>>> = Mutex::new(trials.iter().map(|_| None).collect());
        let work = || {
            while let Some((index, trial)) = take(trials, &next) {
                if self.session.cancel.is_cancelled() {
                    break;
                }
                let pulled = self.run(trial);
                all.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(pulled);
                let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                activity.advance(done as u64, label(trial));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(trials.len()) {
                scope.spawn(work);
            }
        });
        self.go_on()?;
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let came = |pulled: Option<_>| pulled.context("a guest was not started")?;
        all.into_iter().map(came).collect()
    }

    fn run(&self, trial: &Trial<'_>) -> anyhow::Result<Pulled> {
        let Kernel { ground, kit, .. } = trial.kernel;
        let words = words(&trial.detectors);
        let name = match trial.patience {
            1 => words.join("+"),
            _ => format!("{}-again", words.join("+")),
        };
        let rig = &self.ready.rig;
        let mut spec = rig.spec(
            &label(trial),
            self.machine(trial)?,
            &ground.kernel.image(),
            &ground.initramfs,
            &ground.guest,
            &self.folder.join(folder(ground)).join(name),
        );
        if !self.args.no_template {
            spec.template = start::saved(&spec, rig, self.session);
        }
        let guest = Guest {
            words: &words,
            patience: Patience::of(&words, ground.guest.slowness * trial.patience),
            kit,
        };
        Ok(guest.run(spec, self.session))
    }

    fn machine(&self, trial: &Trial<'_>) -> anyhow::Result<&Machine> {
        let name = machine_of(trial.detectors[0].place, self.args);
        self.ready.rig.machine(name)
    }

    fn go_on(&self) -> anyhow::Result<()> {
        // What was cut short says nothing.
        anyhow::ensure!(!self.session.cancel.is_cancelled(), "interrupted");
        Ok(())
    }
}

fn take<'t, 'a>(trials: &'t [Trial<'a>], next: &AtomicUsize) -> Option<(usize, &'t Trial<'a>)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    Some((index, trials.get(index)?))
}

/// Puts what a kernel is to show into guests.
fn in_guests<'a>(kernel: &'a Kernel<'a>, place: usize) -> Vec<Trial<'a>> {
    let mut trials: Vec<Trial<'a>> = Vec::new();
    for detector in kernel.its_own() {
        let shares = |trial: &&mut Trial<'a>| {
            detector.place != Place::Alone && trial.detectors[0].place == detector.place
        };
        match trials.iter_mut().find(shares) {
            Some(trial) => trial.detectors.push(detector),
            None => trials.push(Trial {
                kernel,
                place,
                detectors: vec![detector],
                patience: 1,
            }),
        }
    }
    trials
}

fn folder(ground: &Ground) -> Utf8PathBuf {
    Utf8Path::new(&ground.profile).join(&ground.stack)
}

fn label(trial: &Trial<'_>) -> String {
    let Ground { stack, profile, .. } = trial.kernel.ground;
    let names: Vec<&str> = trial.detectors.iter().map(|one| one.name).collect();
    format!("{} on {stack} ({profile})", names.join(", "))
}

fn look(detector: &Detector, pulled: &Pulled) -> Result<String, String> {
    detector.look(Sighting {
        judgement: &pulled.judgement,
        ending: &pulled.ending,
        log: &pulled.log,
    })
}
