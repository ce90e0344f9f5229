// SPDX-License-Identifier: GPL-2.0-only
//! Has each kernel show, once, that its complaints are seen: a clean run of one whose
//! detectors are blind proves nothing. What was shown is remembered.

mod memory;
mod trial;

use std::collections::BTreeMap;

use anyhow::Context;
use fs_err as fs;
use patchbed_host::events::{Event, Observer};
use selftests::canary::LEAK_MACHINE;
use selftests::canary::detector::{DETECTORS, Detector, Place};

use self::memory::{Configuration, Memory};
use self::trial::Stage;
use super::Ready;
use super::prepare::Ground;
use crate::cli::{DEFAULT_MACHINE, TestArgs};
use crate::commands::canary::kit::Kit;
use crate::result::{DetectorResult, Sight};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// How the name of a stack begins that has a mistake put into the series. Such a kernel
/// has the configuration of `series`, and is there to fail.
const MUTANT: &str = "mutant-";
/// The folder in that of a run.
const FOLDER: &str = "detectors";

/// What detectors came to, by their names: the sight, and what is to be said of it.
type Shown = BTreeMap<String, (Sight, String)>;

/// A kernel that has something to show.
#[derive(Debug)]
struct Kernel<'a> {
    ground: &'a Ground,
    kit: Kit,
    /// The text of its `.config`.
    config: String,
    configuration: Configuration,
    /// Whether it shows what is shown once for all kernels of its configuration.
    leads: bool,
}

impl Kernel<'_> {
    /// Returns the detectors that it is to show itself.
    fn its_own(&self) -> impl Iterator<Item = &'static Detector> {
        DETECTORS.iter().filter(|one| {
            let is_there = one.lacks(&self.config).is_none();
            is_there && (self.leads || !one.is_of_configuration())
        })
    }
}

/// Returns what each kernel's detectors showed, now or earlier; those of mutants are
/// not asked, nor any with `--no-canaries`.
///
/// # Errors
/// When the host fails, so that nothing is known.
pub(crate) fn show(
    ready: &Ready,
    args: &TestArgs,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<Vec<DetectorResult>> {
    if args.no_canaries {
        let text = "no kernel was made to show that its complaints are seen".to_owned();
        session.progress.event(Event::Note { text });
        return Ok(Vec::new());
    }
    let memory = Memory::new(ready, args, session)?;
    let mut known = BTreeMap::new();
    let mut kernels = Vec::new();
    for (place, ground) in ready.grounds.iter().enumerate() {
        if ground.stack.starts_with(MUTANT) {
            continue;
        }
        match memory.of_kernel(ground) {
            Some(results) => drop(known.insert(place, results)),
            None => kernels.push((place, kernel(ground, session)?)),
        }
    }
    let (places, mut kernels): (Vec<usize>, Vec<Kernel<'_>>) = kernels.into_iter().unzip();
    let configurations: Vec<&Configuration> =
        kernels.iter().map(|kernel| &kernel.configuration).collect();
    let (mut of_configurations, leaders) = choose_leaders(&configurations, &memory);
    for (kernel, leads) in kernels.iter_mut().zip(leaders) {
        kernel.leads = leads;
    }
    let stage = Stage {
        ready,
        args,
        folder: folder.path().join(FOLDER),
        session,
    };
    let all = stage.show_all(&kernels)?;
    for (kernel, shown) in kernels.iter().zip(&all).filter(|(kernel, _)| kernel.leads) {
        memory.keep_configuration(&kernel.configuration, shown)?;
        of_configurations.insert(kernel.configuration.clone(), shown.clone());
    }
    for ((place, kernel), shown) in places.into_iter().zip(&kernels).zip(&all) {
        let of_configuration = of_configurations.get(&kernel.configuration);
        let results = results(kernel.ground, &kernel.config, shown, of_configuration)?;
        memory.keep_kernel(kernel.ground, &results)?;
        known.insert(place, results);
    }
    Ok(known.into_values().flatten().collect())
}

impl Ready {
    /// Returns what is remembered of the detectors of these kernels, or of others of the same
    /// configuration; of some, that may be nothing. No kernel is made to go wrong.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub(crate) fn remembered_detectors(
        &self,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Vec<DetectorResult>> {
        let memory = Memory::new(self, args, session)?;
        let mut all = Vec::new();
        for ground in &self.grounds {
            if let Some(known) = memory.of_kernel(ground) {
                all.extend(known);
                continue;
            }
            let config = fs::read_to_string(ground.kernel.config())?;
            let configuration = Configuration::of(&config, &ground.guest);
            if let Some(shown) = memory.of_configuration(&configuration) {
                all.extend(of_another(ground, &config, &shown));
            }
        }
        Ok(all)
    }
}

/// Returns the name of the machine on which canaries of a place are pulled.
fn machine_of(place: Place, args: &TestArgs) -> &str {
    match place {
        Place::Leaks => LEAK_MACHINE,
        Place::Shared | Place::Stalled | Place::Alone => {
            args.machine.as_deref().unwrap_or(DEFAULT_MACHINE)
        }
    }
}

fn kernel<'a>(ground: &'a Ground, session: &Session) -> anyhow::Result<Kernel<'a>> {
    let modules = ground.modules.as_ref();
    let modules = modules.with_context(|| format!("no modules for `{}`", ground.stack))?;
    let config = fs::read_to_string(ground.kernel.config())?;
    Ok(Kernel {
        ground,
        kit: Kit::make(modules, session)?,
        configuration: Configuration::of(&config, &ground.guest),
        config,
        leads: false,
    })
}

/// Returns what is known of the configurations of kernels, and of each kernel whether it
/// leads: the first does of a configuration of which nothing is known.
fn choose_leaders(
    configurations: &[&Configuration],
    memory: &Memory,
) -> (BTreeMap<Configuration, Shown>, Vec<bool>) {
    let (mut known, mut leaders) = (BTreeMap::new(), Vec::new());
    for (at, configuration) in configurations.iter().enumerate() {
        let is_first = !configurations[..at].contains(configuration);
        let remembered = is_first.then(|| memory.of_configuration(configuration));
        leaders.push(remembered == Some(None));
        let remembered = remembered.flatten();
        known.extend(remembered.map(|shown| ((*configuration).clone(), shown)));
    }
    (known, leaders)
}

/// Returns the results of one kernel, in the order of the list.
///
/// # Errors
/// When nothing is known of a detector that it has.
fn results(
    ground: &Ground,
    config: &str,
    shown: &Shown,
    of_configuration: Option<&Shown>,
) -> anyhow::Result<Vec<DetectorResult>> {
    let all = DETECTORS.iter().map(|detector| {
        let came = came(detector, config, shown, of_configuration);
        let (sight, detail) = came.with_context(|| {
            let Ground { stack, profile, .. } = ground;
            format!(
                "nobody knows whether {} is seen on {stack} ({profile})",
                detector.name
            )
        })?;
        Ok(result(detector, ground, sight, detail))
    });
    all.collect()
}

/// Returns what is known of a detector on a kernel that showed some itself.
fn came(
    detector: &Detector,
    config: &str,
    shown: &Shown,
    of_configuration: Option<&Shown>,
) -> Option<(Sight, String)> {
    if let Some(absent) = absent(detector, config) {
        return Some(absent);
    }
    if let Some((sight, detail)) = shown.get(detector.name) {
        return Some((*sight, condition(detector, config, detail)));
    }
    let of_configuration = of_configuration.filter(|_| detector.is_of_configuration());
    elsewhere(detector, config, of_configuration?)
}

/// Returns what another kernel of the same configuration showed, as results of this one.
fn of_another(ground: &Ground, config: &str, shown: &Shown) -> Vec<DetectorResult> {
    let known = DETECTORS.iter().filter_map(|detector| {
        let came = absent(detector, config).or_else(|| elsewhere(detector, config, shown));
        let (sight, detail) = came?;
        Some(result(detector, ground, sight, detail))
    });
    known.collect()
}

fn absent(detector: &Detector, config: &str) -> Option<(Sight, String)> {
    let option = detector.lacks(config)?;
    Some((Sight::Absent, format!("the kernel has no {option}")))
}

fn elsewhere(detector: &Detector, config: &str, shown: &Shown) -> Option<(Sight, String)> {
    let (sight, detail) = shown.get(detector.name)?;
    let detail = format!("{detail}; on a kernel of the same configuration");
    Some((*sight, condition(detector, config, &detail)))
}

fn result(detector: &Detector, ground: &Ground, sight: Sight, detail: String) -> DetectorResult {
    DetectorResult {
        name: detector.name.to_owned(),
        stack: ground.stack.clone(),
        profile: ground.profile.clone(),
        sight,
        detail,
    }
}

/// Adds on which machines it looks, if not on all.
fn condition(detector: &Detector, config: &str, detail: &str) -> String {
    match detector.condition(config) {
        Some(words) => {
            format!("{detail}; looks only where `{words}` is said, as on {LEAK_MACHINE}")
        }
        None => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
