// SPDX-License-Identifier: MIT OR Apache-2.0
//! The self-check: injects one fault of each class into each build and checks that it is
//! detected. A clean run proves nothing about a fault class that is not detected. Results are
//! cached.

mod cache;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::checkout::MUTANT_PREFIX;
use selftests::fault::LEAK_MACHINE;
use selftests::fault::self_check::{FaultResult, Place, SELF_CHECKS, SelfCheck, words};
use selftests::status::Status;
use vm_images::vm::VmRun;

use self::cache::{Configuration, Detections, SelfCheckCache, machine_of};
use crate::engine::build::Build;
use crate::engine::environment::Environment;
use crate::engine::executor::LocalExecutor;
use crate::engine::inject::Kit;
use crate::engine::inject::{Guest, Injected, TimeLimits};
use crate::engine::job::Job;
use crate::engine::options::TestOptions;
use crate::engine::session::Session;
use crate::job_plan::JobPlan;
use crate::result::{Detection, SelfCheckResult};

/// Name of the folder in the run folder.
const FOLDER: &str = "self_checks";
/// Factor on the timeouts when a missed fault is injected again.
const RETRY_TIME_FACTOR: u32 = 4;

/// A VM that runs self-checks of a build.
#[derive(Clone, Debug)]
pub(crate) struct GuestRun {
    build: Build,
    kit: Kit,
    self_checks: Vec<&'static SelfCheck>,
    /// Factor on the timeouts.
    time_factor: u32,
}

/// The self-checks of a run.
#[derive(Debug)]
pub(crate) struct SelfChecks<'a> {
    /// The machine of faults that need no other.
    machine: &'a str,
    environment: &'a Environment,
    options: &'a TestOptions,
    session: &'a Session,
    /// The folder for the artifacts of the VMs.
    folder: Utf8PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The detections of this run, by the label of the build.
    detections: BTreeMap<String, Detections>,
    /// Self-checks that missed their fault, to be repeated when no job runs.
    retries: Vec<(GuestRun, &'static SelfCheck)>,
    /// The configurations of which a build runs the self-checks that run once for all builds
    /// of a configuration, with the label of that build.
    representatives: BTreeMap<Configuration, String>,
}

impl<'a> SelfChecks<'a> {
    /// Returns the self-checks of a run in the folder `run`. `machine` is the machine of tests that
    /// name none.
    pub(crate) fn new(
        machine: &'a str,
        environment: &'a Environment,
        options: &'a TestOptions,
        run: &Utf8Path,
        session: &'a Session,
    ) -> Self {
        Self {
            machine,
            environment,
            options,
            session,
            folder: run.join(FOLDER),
            state: Mutex::default(),
        }
    }

    /// Returns the VMs that have to run for a build: none if the results are cached, or for a
    /// mutant, which has the configuration of `series`.
    ///
    /// # Errors
    /// When the fault injection program cannot be compiled, or the cache cannot be read.
    pub(crate) fn guests(&self, build: &Build) -> anyhow::Result<Vec<GuestRun>> {
        let cache = self.cache()?;
        if build.checkout.starts_with(MUTANT_PREFIX) || cache.of_build(build).is_some() {
            return Ok(Vec::new());
        }
        let dot_config = fs::read_to_string(build.kernel.config())?;
        let is_representative = self.claim(&Configuration::of(&dot_config, &build.needs), build)?;
        let modules = build.modules.as_ref();
        let modules = modules
            .with_context(|| format!("no fault injection modules for `{}`", build.checkout))?;
        let kit = Kit::make(modules, self.session)?;
        let mut guests: Vec<GuestRun> = Vec::new();
        for self_check in SELF_CHECKS {
            let is_configured = self_check.lacks(&dot_config).is_none();
            if !is_configured || (self_check.runs_once_per_config() && !is_representative) {
                continue;
            }
            let may_share = |guest: &&mut GuestRun| {
                self_check.place != Place::Alone && guest.self_checks[0].place == self_check.place
            };
            match guests.iter_mut().find(may_share) {
                Some(guest) => guest.self_checks.push(self_check),
                None => guests.push(GuestRun {
                    build: build.clone(),
                    kit: kit.clone(),
                    self_checks: vec![self_check],
                    time_factor: 1,
                }),
            }
        }
        // The longest first, so that no core is idle at the end.
        guests.sort_by_key(|guest| match guest.self_checks[0].place {
            Place::Stalled => 0,
            Place::Leaks => 1,
            Place::Alone => 2,
            Place::Shared => 3,
        });
        Ok(guests)
    }

    /// Returns whether a build is the representative of its configuration: the first build of
    /// a configuration without cached results.
    fn claim(&self, configuration: &Configuration, build: &Build) -> anyhow::Result<bool> {
        if self.cache()?.of_configuration(configuration).is_some() {
            return Ok(false);
        }
        let representatives = &mut self.state().representatives;
        let own = representatives
            .entry(configuration.clone())
            .or_insert_with(|| build.label());
        Ok(*own == build.label())
    }

    /// Runs a VM and records its detections. A missed fault is injected again by [`Self::results`],
    /// in a VM of its own with longer timeouts, because host load may delay a report.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(crate) fn run(&self, guest: &GuestRun, executor: &LocalExecutor<'_>) -> anyhow::Result<()> {
        let injected = self.inject(guest, executor)?;
        for self_check in &guest.self_checks {
            match check(self_check, &injected) {
                Ok(title) => self.record(guest, self_check, (Detection::Detected, title)),
                Err(_) => self.state().retries.push((guest.clone(), self_check)),
            }
        }
        Ok(())
    }

    fn record(&self, guest: &GuestRun, self_check: &SelfCheck, detection: (Detection, String)) {
        let mut state = self.state();
        let detections = state.detections.entry(guest.build.label()).or_default();
        detections.insert(self_check.name.to_owned(), detection);
    }

    fn retry(
        &self,
        guest: &GuestRun,
        self_check: &'static SelfCheck,
        executor: &LocalExecutor<'_>,
    ) -> anyhow::Result<(Detection, String)> {
        let alone = GuestRun {
            self_checks: vec![self_check],
            time_factor: RETRY_TIME_FACTOR,
            ..guest.clone()
        };
        let injected = self.inject(&alone, executor)?;
        Ok(match check(self_check, &injected) {
            Ok(title) => (Detection::Detected, title),
            Err(why) if injected.judgement.status == Status::Error => {
                (Detection::Inconclusive, why)
            }
            Err(why) => (Detection::Missed, why),
        })
    }

    fn inject(&self, guest: &GuestRun, executor: &LocalExecutor<'_>) -> anyhow::Result<Injected> {
        let (build, words) = (&guest.build, words(&guest.self_checks));
        let name = match guest.time_factor {
            1 => words.join("+"),
            _ => format!("{}-again", words.join("+")),
        };
        let machine = machine_of(guest.self_checks[0].place, self.machine);
        let machine = self.environment.machine(machine)?;
        let plan = JobPlan {
            test: name.clone(),
            config: build.config.clone(),
            checkout: build.checkout.clone(),
            machine: machine.name.clone(),
            repetition: 1,
        };
        let job = Job {
            cold_boot: self.options.cold_boot,
            ..Job::new(plan, build, machine, VmRun::default())
        };
        let folder = self.folder.join(&build.config).join(&build.checkout);
        let spec = executor.restoring_spec(&label(guest), &job, &folder.join(name));
        let vm = Guest {
            words: &words,
            time_limits: TimeLimits::of(&words, build.needs.slowness * guest.time_factor),
            kit: &guest.kit,
        };
        let injected = vm.run(spec, self.session);
        self.session.check_interrupted()?;
        Ok(injected)
    }

    /// Returns the results of all builds except mutants, and caches them.
    ///
    /// # Errors
    /// When a configured self-check has no result, or the cache cannot be used.
    pub(crate) fn results(
        &self,
        builds: &[Build],
        executor: &LocalExecutor<'_>,
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        let retries = std::mem::take(&mut self.state().retries);
        for (guest, self_check) in retries {
            self.session.note(format!(
                "the fault {} was not detected on {} while other VMs ran; repeating it alone",
                self_check.name,
                guest.build.label()
            ));
            let detection = self.retry(&guest, self_check, executor)?;
            self.record(&guest, self_check, detection);
        }
        let cache = self.cache()?;
        let state = self.state();
        let mut of_configurations: BTreeMap<&Configuration, &Detections> = BTreeMap::new();
        for (configuration, label) in &state.representatives {
            if let Some(detections) = state.detections.get(label) {
                cache.store_configuration(configuration, detections)?;
                of_configurations.insert(configuration, detections);
            }
        }
        let mut all = Vec::new();
        for build in builds {
            if build.checkout.starts_with(MUTANT_PREFIX) {
                continue;
            }
            let has_run = state.detections.contains_key(&build.label());
            if let Some(cached) = cache.of_build(build).filter(|_| !has_run) {
                all.extend(cached);
                continue;
            }
            let dot_config = fs::read_to_string(build.kernel.config())?;
            let configuration = Configuration::of(&dot_config, &build.needs);
            let cached = cache.of_configuration(&configuration);
            let of_configuration = of_configurations.get(&configuration).copied();
            let none = Detections::new();
            let own = state.detections.get(&build.label()).unwrap_or(&none);
            let other = of_configuration.or(cached.as_ref());
            let results = results(build, &dot_config, own, other)?;
            cache.store_build(build, &results)?;
            all.extend(results);
        }
        Ok(all)
    }

    /// Returns the cached results of builds, or of other builds of the same configuration. No
    /// fault is injected; results may be missing.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub(crate) fn cached(&self, builds: &[Build]) -> anyhow::Result<Vec<SelfCheckResult>> {
        let cache = self.cache()?;
        let mut all = Vec::new();
        for build in builds {
            if let Some(cached) = cache.of_build(build) {
                all.extend(cached);
                continue;
            }
            let dot_config = fs::read_to_string(build.kernel.config())?;
            let configuration = Configuration::of(&dot_config, &build.needs);
            if let Some(detections) = cache.of_configuration(&configuration) {
                all.extend(results_of_configuration(build, &dot_config, &detections));
            }
        }
        Ok(all)
    }

    /// Returns the cache; the accelerator has to be selected.
    fn cache(&self) -> anyhow::Result<SelfCheckCache> {
        SelfCheckCache::new(self.machine, self.environment, self.options, self.session)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(guest: &GuestRun) -> String {
    let names: Vec<&str> = guest.self_checks.iter().map(|one| one.name).collect();
    format!("self-check {} on {}", names.join(", "), guest.build.label())
}

fn check(self_check: &SelfCheck, injected: &Injected) -> Result<String, String> {
    self_check.evaluate(FaultResult {
        judgement: &injected.judgement,
        ending: &injected.ending,
        log: &injected.log,
    })
}

/// Returns the results of a kernel, in the order of [`SELF_CHECKS`].
///
/// # Errors
/// When a configured self-check has no result.
fn results(
    build: &Build,
    dot_config: &str,
    detections: &Detections,
    of_configuration: Option<&Detections>,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    let all = SELF_CHECKS.iter().map(|self_check| {
        let found = find(self_check, dot_config, detections, of_configuration);
        let (detection, detail) = found.with_context(|| {
            format!(
                "self-check: no result for {} on {}",
                self_check.name,
                build.label()
            )
        })?;
        Ok(result(self_check, build, detection, detail))
    });
    all.collect()
}

/// Returns the result of a self-check: the kernel's own result, or for a self-check of the
/// configuration, the result of another kernel.
fn find(
    self_check: &SelfCheck,
    dot_config: &str,
    detections: &Detections,
    of_configuration: Option<&Detections>,
) -> Option<(Detection, String)> {
    if let Some(not_configured) = not_configured(self_check, dot_config) {
        return Some(not_configured);
    }
    if let Some((detection, detail)) = detections.get(self_check.name) {
        return Some((*detection, with_condition(self_check, dot_config, detail)));
    }
    let of_configuration = of_configuration.filter(|_| self_check.runs_once_per_config());
    find_of_configuration(self_check, dot_config, of_configuration?)
}

/// Returns the results of another kernel of the same configuration as results of a build.
fn results_of_configuration(
    build: &Build,
    dot_config: &str,
    detections: &Detections,
) -> Vec<SelfCheckResult> {
    let results = SELF_CHECKS.iter().filter_map(|self_check| {
        let found = not_configured(self_check, dot_config)
            .or_else(|| find_of_configuration(self_check, dot_config, detections));
        let (detection, detail) = found?;
        Some(result(self_check, build, detection, detail))
    });
    results.collect()
}

fn not_configured(self_check: &SelfCheck, dot_config: &str) -> Option<(Detection, String)> {
    let option = self_check.lacks(dot_config)?;
    Some((
        Detection::NotConfigured,
        format!("the kernel is built without {option}"),
    ))
}

fn find_of_configuration(
    self_check: &SelfCheck,
    dot_config: &str,
    detections: &Detections,
) -> Option<(Detection, String)> {
    let (detection, detail) = detections.get(self_check.name)?;
    let detail = format!("{detail}; result of a kernel with the same configuration");
    Some((*detection, with_condition(self_check, dot_config, &detail)))
}

fn result(
    self_check: &SelfCheck,
    build: &Build,
    detection: Detection,
    detail: String,
) -> SelfCheckResult {
    SelfCheckResult {
        name: self_check.name.to_owned(),
        checkout: build.checkout.clone(),
        config: build.config.clone(),
        detection,
        detail,
    }
}

/// Adds the kernel argument that enables a self-check, if the config does not enable it.
fn with_condition(self_check: &SelfCheck, dot_config: &str, detail: &str) -> String {
    match self_check.kernel_argument(dot_config) {
        Some(words) => {
            format!("{detail}; enabled only by `{words}`, as on {LEAK_MACHINE}")
        }
        None => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
