// SPDX-License-Identifier: MIT OR Apache-2.0
//! The self-check: injects one fault of each class into each kernel and checks that it is
//! detected. A clean run proves nothing about a fault class that is not detected. Results are
//! cached.

mod cache;
mod runner;

use std::collections::BTreeMap;

use anyhow::Context;
use fs_err as fs;
use patchbed_host::events::Event;
use selftests::fault::LEAK_MACHINE;
use selftests::fault::self_check::{Place, SELF_CHECKS, SelfCheck};

use self::cache::{Configuration, SelfCheckCache};
use self::runner::Runner;
use crate::engine::context::RunContext;
use crate::engine::inject::kit::Kit;
use crate::engine::options::{DEFAULT_MACHINE, TestOptions};
use crate::engine::prepare::Build;
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::result::{Detection, SelfCheckResult};

/// Prefix of the checkouts of mutants, which have no self-check: they have the configuration of
/// `series`.
const MUTANT_PREFIX: &str = "mutant-";
/// Name of the folder in the run folder.
const FOLDER: &str = "self_checks";

/// Results of self-checks by name: the detection and a detail for the report.
type Detections = BTreeMap<String, (Detection, String)>;

/// A kernel without cached results.
#[derive(Debug)]
struct Kernel<'a> {
    build: &'a Build,
    kit: Kit,
    /// The text of its `.config`.
    dot_config: String,
    configuration: Configuration,
    /// Whether it runs the self-checks that run once for all kernels of its configuration.
    is_representative: bool,
}

impl Kernel<'_> {
    /// Returns the self-checks to run on this kernel.
    fn self_checks(&self) -> impl Iterator<Item = &'static SelfCheck> {
        SELF_CHECKS.iter().filter(|self_check| {
            let is_configured = self_check.lacks(&self.dot_config).is_none();
            is_configured && (self.is_representative || !self_check.runs_once_per_config())
        })
    }
}

/// Returns the self-check results of all kernels except mutants, from the cache or by injecting
/// faults. With `--no-self-check` there are no results.
///
/// # Errors
/// When the host fails, or the user interrupted the run.
pub fn run(
    context: &RunContext,
    args: &TestOptions,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    if args.no_self_check {
        let text = "self-check was skipped".to_owned();
        session.observer.event(Event::Note { text });
        return Ok(Vec::new());
    }
    let cache = SelfCheckCache::new(context, args, session)?;
    let mut known = BTreeMap::new();
    let mut kernels = Vec::new();
    for (place, build) in context.builds.iter().enumerate() {
        if build.checkout.starts_with(MUTANT_PREFIX) {
            continue;
        }
        match cache.of_kernel(build) {
            Some(results) => drop(known.insert(place, results)),
            None => kernels.push((place, kernel(build, session)?)),
        }
    }
    let (places, mut kernels): (Vec<usize>, Vec<Kernel<'_>>) = kernels.into_iter().unzip();
    let configurations: Vec<&Configuration> =
        kernels.iter().map(|kernel| &kernel.configuration).collect();
    let (mut of_configurations, representatives) = choose_representatives(&configurations, &cache);
    for (kernel, is_representative) in kernels.iter_mut().zip(representatives) {
        kernel.is_representative = is_representative;
    }
    let runner = Runner {
        context,
        args,
        folder: folder.path().join(FOLDER),
        session,
    };
    let all = runner.run_all(&kernels)?;
    let representatives = kernels.iter().zip(&all);
    for (kernel, detections) in representatives.filter(|(kernel, _)| kernel.is_representative) {
        cache.store_configuration(&kernel.configuration, detections)?;
        of_configurations.insert(kernel.configuration.clone(), detections.clone());
    }
    for ((place, kernel), detections) in places.into_iter().zip(&kernels).zip(&all) {
        let of_configuration = of_configurations.get(&kernel.configuration);
        let results = results(
            kernel.build,
            &kernel.dot_config,
            detections,
            of_configuration,
        )?;
        cache.store_kernel(kernel.build, &results)?;
        known.insert(place, results);
    }
    Ok(known.into_values().flatten().collect())
}

impl RunContext {
    /// Returns the cached self-check results of the kernels, or of other kernels of the same
    /// configuration. No fault is injected; results may be missing.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn cached_self_checks(
        &self,
        args: &TestOptions,
        session: &Session,
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        let cache = SelfCheckCache::new(self, args, session)?;
        let mut all = Vec::new();
        for build in &self.builds {
            if let Some(cached) = cache.of_kernel(build) {
                all.extend(cached);
                continue;
            }
            let dot_config = fs::read_to_string(build.kernel.config())?;
            let configuration = Configuration::of(&dot_config, &build.guest);
            if let Some(detections) = cache.of_configuration(&configuration) {
                all.extend(results_of_configuration(build, &dot_config, &detections));
            }
        }
        Ok(all)
    }
}

/// Returns the name of the machine for faults of a place.
fn machine_of(place: Place, args: &TestOptions) -> &str {
    match place {
        Place::Leaks => LEAK_MACHINE,
        Place::Shared | Place::Stalled | Place::Alone => {
            args.machine.as_deref().unwrap_or(DEFAULT_MACHINE)
        }
    }
}

fn kernel<'a>(build: &'a Build, session: &Session) -> anyhow::Result<Kernel<'a>> {
    let modules = build.modules.as_ref();
    let modules =
        modules.with_context(|| format!("no fault injection modules for `{}`", build.checkout))?;
    let dot_config = fs::read_to_string(build.kernel.config())?;
    Ok(Kernel {
        build,
        kit: Kit::make(modules, session)?,
        configuration: Configuration::of(&dot_config, &build.guest),
        dot_config,
        is_representative: false,
    })
}

/// Returns the cached results of the configurations, and for each kernel whether it is the
/// representative: the first kernel of a configuration without cached results.
fn choose_representatives(
    configurations: &[&Configuration],
    cache: &SelfCheckCache,
) -> (BTreeMap<Configuration, Detections>, Vec<bool>) {
    let (mut known, mut representatives) = (BTreeMap::new(), Vec::new());
    for (at, configuration) in configurations.iter().enumerate() {
        let is_first = !configurations[..at].contains(configuration);
        let cached = is_first.then(|| cache.of_configuration(configuration));
        representatives.push(cached == Some(None));
        let cached = cached.flatten();
        known.extend(cached.map(|detections| ((*configuration).clone(), detections)));
    }
    (known, representatives)
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
            let Build {
                checkout, config, ..
            } = build;
            format!(
                "self-check: no result for {} on {checkout} ({config})",
                self_check.name
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
