// SPDX-License-Identifier: GPL-2.0-only
//! Has each kernel show, once, that its reports are seen: a clean run of one whose
//! self_checks are blind proves nothing. What was shown is remembered.

mod cache;
mod worker;

use std::collections::BTreeMap;

use anyhow::Context;
use fs_err as fs;
use patchbed_host::events::{Event, Observer};
use selftests::fault::LEAK_MACHINE;
use selftests::fault::self_check::{Place, SELF_CHECKS, SelfCheck};

use self::cache::{Configuration, SelfCheckCache};
use self::worker::Boot;
use super::RunContext;
use super::prepare::Build;
use crate::cli::{DEFAULT_MACHINE, TestArgs};
use crate::commands::inject::kit::Kit;
use crate::result::{Detection, SelfCheckResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// How the name of a checkout begins that has a mistake put into the series. Such a kernel
/// has the configuration of `series`, and is there to fail.
const MUTANT: &str = "mutant-";
/// The folder in that of a run.
const FOLDER: &str = "self_checks";

/// What self_checks came to, by their names: the detection, and what is to be said of it.
type Shown = BTreeMap<String, (Detection, String)>;

/// A kernel that has something to show.
#[derive(Debug)]
struct Kernel<'a> {
    build: &'a Build,
    kit: Kit,
    /// The text of its `.dot_config`.
    dot_config: String,
    configuration: Configuration,
    /// Whether it shows what is shown once for all kernels of its configuration.
    leads: bool,
}

impl Kernel<'_> {
    /// Returns the self_checks that it is to show itself.
    fn its_own(&self) -> impl Iterator<Item = &'static SelfCheck> {
        SELF_CHECKS.iter().filter(|one| {
            let is_there = one.lacks(&self.dot_config).is_none();
            is_there && (self.leads || !one.runs_once_per_config())
        })
    }
}

/// Returns what each kernel's self_checks showed, now or earlier; those of mutants are
/// not asked, nor any with `--no-self-check`.
///
/// # Errors
/// When the host fails, so that nothing is known.
pub(crate) fn show(
    context: &RunContext,
    args: &TestArgs,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    if args.no_self_check {
        let text = "no kernel was made to show that its reports are seen".to_owned();
        session.progress.event(Event::Note { text });
        return Ok(Vec::new());
    }
    let cache = SelfCheckCache::new(context, args, session)?;
    let mut known = BTreeMap::new();
    let mut kernels = Vec::new();
    for (place, build) in context.builds.iter().enumerate() {
        if build.checkout.starts_with(MUTANT) {
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
    let (mut of_configurations, leaders) = choose_leaders(&configurations, &cache);
    for (kernel, leads) in kernels.iter_mut().zip(leaders) {
        kernel.leads = leads;
    }
    let boot = Boot {
        context,
        args,
        folder: folder.path().join(FOLDER),
        session,
    };
    let all = boot.show_all(&kernels)?;
    for (kernel, shown) in kernels.iter().zip(&all).filter(|(kernel, _)| kernel.leads) {
        cache.keep_configuration(&kernel.configuration, shown)?;
        of_configurations.insert(kernel.configuration.clone(), shown.clone());
    }
    for ((place, kernel), shown) in places.into_iter().zip(&kernels).zip(&all) {
        let of_configuration = of_configurations.get(&kernel.configuration);
        let results = results(kernel.build, &kernel.dot_config, shown, of_configuration)?;
        cache.keep_kernel(kernel.build, &results)?;
        known.insert(place, results);
    }
    Ok(known.into_values().flatten().collect())
}

impl RunContext {
    /// Returns what is remembered of the self_checks of these kernels, or of others of the same
    /// configuration; of some, that may be nothing. No kernel is made to go wrong.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub(crate) fn remembered_self_checks(
        &self,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        let cache = SelfCheckCache::new(self, args, session)?;
        let mut all = Vec::new();
        for build in &self.builds {
            if let Some(known) = cache.of_kernel(build) {
                all.extend(known);
                continue;
            }
            let dot_config = fs::read_to_string(build.kernel.config())?;
            let configuration = Configuration::of(&dot_config, &build.guest);
            if let Some(shown) = cache.of_configuration(&configuration) {
                all.extend(of_another(build, &dot_config, &shown));
            }
        }
        Ok(all)
    }
}

/// Returns the name of the machine on which faults of a place are injected.
fn machine_of(place: Place, args: &TestArgs) -> &str {
    match place {
        Place::Leaks => LEAK_MACHINE,
        Place::Shared | Place::Stalled | Place::Alone => {
            args.machine.as_deref().unwrap_or(DEFAULT_MACHINE)
        }
    }
}

fn kernel<'a>(build: &'a Build, session: &Session) -> anyhow::Result<Kernel<'a>> {
    let modules = build.modules.as_ref();
    let modules = modules.with_context(|| format!("no modules for `{}`", build.checkout))?;
    let dot_config = fs::read_to_string(build.kernel.config())?;
    Ok(Kernel {
        build,
        kit: Kit::make(modules, session)?,
        configuration: Configuration::of(&dot_config, &build.guest),
        dot_config,
        leads: false,
    })
}

/// Returns what is known of the configurations of kernels, and of each kernel whether it
/// leads: the first does of a configuration of which nothing is known.
fn choose_leaders(
    configurations: &[&Configuration],
    cache: &SelfCheckCache,
) -> (BTreeMap<Configuration, Shown>, Vec<bool>) {
    let (mut known, mut leaders) = (BTreeMap::new(), Vec::new());
    for (at, configuration) in configurations.iter().enumerate() {
        let is_first = !configurations[..at].contains(configuration);
        let remembered = is_first.then(|| cache.of_configuration(configuration));
        leaders.push(remembered == Some(None));
        let remembered = remembered.flatten();
        known.extend(remembered.map(|shown| ((*configuration).clone(), shown)));
    }
    (known, leaders)
}

/// Returns the results of one kernel, in the order of the list.
///
/// # Errors
/// When nothing is known of a self_check that it has.
fn results(
    build: &Build,
    dot_config: &str,
    shown: &Shown,
    of_configuration: Option<&Shown>,
) -> anyhow::Result<Vec<SelfCheckResult>> {
    let all = SELF_CHECKS.iter().map(|self_check| {
        let came = came(self_check, dot_config, shown, of_configuration);
        let (detection, detail) = came.with_context(|| {
            let Build {
                checkout, config, ..
            } = build;
            format!(
                "nobody knows whether {} is seen on {checkout} ({config})",
                self_check.name
            )
        })?;
        Ok(result(self_check, build, detection, detail))
    });
    all.collect()
}

/// Returns what is known of a self_check on a kernel that showed some itself.
fn came(
    self_check: &SelfCheck,
    dot_config: &str,
    shown: &Shown,
    of_configuration: Option<&Shown>,
) -> Option<(Detection, String)> {
    if let Some(absent) = absent(self_check, dot_config) {
        return Some(absent);
    }
    if let Some((detection, detail)) = shown.get(self_check.name) {
        return Some((*detection, condition(self_check, dot_config, detail)));
    }
    let of_configuration = of_configuration.filter(|_| self_check.runs_once_per_config());
    elsewhere(self_check, dot_config, of_configuration?)
}

/// Returns what another kernel of the same configuration showed, as results of this one.
fn of_another(build: &Build, dot_config: &str, shown: &Shown) -> Vec<SelfCheckResult> {
    let known = SELF_CHECKS.iter().filter_map(|self_check| {
        let came =
            absent(self_check, dot_config).or_else(|| elsewhere(self_check, dot_config, shown));
        let (detection, detail) = came?;
        Some(result(self_check, build, detection, detail))
    });
    known.collect()
}

fn absent(self_check: &SelfCheck, dot_config: &str) -> Option<(Detection, String)> {
    let option = self_check.lacks(dot_config)?;
    Some((
        Detection::NotConfigured,
        format!("the kernel has no {option}"),
    ))
}

fn elsewhere(
    self_check: &SelfCheck,
    dot_config: &str,
    shown: &Shown,
) -> Option<(Detection, String)> {
    let (detection, detail) = shown.get(self_check.name)?;
    let detail = format!("{detail}; on a kernel of the same configuration");
    Some((*detection, condition(self_check, dot_config, &detail)))
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

/// Adds on which machines it looks, if not on all.
fn condition(self_check: &SelfCheck, dot_config: &str, detail: &str) -> String {
    match self_check.kernel_argument(dot_config) {
        Some(words) => {
            format!("{detail}; looks only where `{words}` is said, as on {LEAK_MACHINE}")
        }
        None => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
