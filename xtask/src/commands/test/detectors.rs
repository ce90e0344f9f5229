// SPDX-License-Identifier: GPL-2.0-only
//! Has each kernel show, once, that its complaints are seen: a clean run of one whose
//! detectors are blind proves nothing. What was shown is remembered.

mod memory;
mod trial;

use std::collections::BTreeMap;

use anyhow::Context;
use fs_err as fs;
use selftests::canary::LEAK_MACHINE;
use selftests::canary::detector::{DETECTORS, Detector};
use testbed_host::events::{Event, Observer};

use self::memory::Memory;
use self::trial::Stage;
use super::Ready;
use super::prepare::Ground;
use crate::cli::TestArgs;
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
    let mut of_configurations = choose_leaders(&mut kernels, &memory);
    let stage = Stage {
        ready,
        args,
        folder: folder.path().join(FOLDER),
        session,
    };
    let all = stage.show_all(&kernels)?;
    for (kernel, shown) in kernels.iter().zip(&all).filter(|(kernel, _)| kernel.leads) {
        let shown = of_configuration(shown);
        memory.keep_configuration(&kernel.config, &shown)?;
        of_configurations.insert(kernel.config.clone(), shown);
    }
    for ((place, kernel), shown) in places.into_iter().zip(&kernels).zip(&all) {
        let of_configuration = of_configurations.get(&kernel.config);
        let results = results(kernel, shown, of_configuration);
        memory.keep_kernel(kernel.ground, &results)?;
        known.insert(place, results);
    }
    Ok(known.into_values().flatten().collect())
}

fn kernel<'a>(ground: &'a Ground, session: &Session) -> anyhow::Result<Kernel<'a>> {
    let modules = ground.modules.as_ref();
    let modules = modules.with_context(|| format!("no modules for `{}`", ground.stack))?;
    Ok(Kernel {
        ground,
        kit: Kit::make(modules, session)?,
        config: fs::read_to_string(ground.kernel.config())?,
        leads: false,
    })
}

/// Returns what is known of configurations; for each of which nothing is, the first of
/// its kernels leads.
fn choose_leaders(kernels: &mut [Kernel<'_>], memory: &Memory) -> BTreeMap<String, Shown> {
    let mut known: BTreeMap<String, Shown> = BTreeMap::new();
    let mut led: Vec<String> = Vec::new();
    for kernel in kernels {
        if known.contains_key(&kernel.config) || led.contains(&kernel.config) {
            continue;
        }
        match memory.of_configuration(&kernel.config) {
            Some(shown) => drop(known.insert(kernel.config.clone(), shown)),
            None => {
                kernel.leads = true;
                led.push(kernel.config.clone());
            }
        }
    }
    known
}

/// Returns what holds for all kernels of a configuration.
fn of_configuration(shown: &Shown) -> Shown {
    let is_of_it = |name: &str| {
        let mut all = DETECTORS.iter();
        all.any(|one| one.name == name && one.is_of_configuration())
    };
    let shown = shown.iter().filter(|(name, _)| is_of_it(name));
    shown
        .map(|(name, came)| (name.clone(), came.clone()))
        .collect()
}

/// Returns the results of one kernel, in the order of the list.
fn results(
    kernel: &Kernel<'_>,
    shown: &Shown,
    of_configuration: Option<&Shown>,
) -> Vec<DetectorResult> {
    let came = |detector: &Detector| {
        if let Some(option) = detector.lacks(&kernel.config) {
            return Some((Sight::Absent, format!("the kernel has no {option}")));
        }
        if let Some((sight, detail)) = shown.get(detector.name) {
            return Some((*sight, condition(detector, kernel, detail)));
        }
        let (sight, detail) = of_configuration?.get(detector.name)?;
        let detail = format!("{detail}; on a kernel of the same configuration");
        Some((*sight, detail))
    };
    let result = |detector: &Detector| {
        let (sight, detail) = came(detector)?;
        Some(DetectorResult {
            name: detector.name.to_owned(),
            stack: kernel.ground.stack.clone(),
            profile: kernel.ground.profile.clone(),
            sight,
            detail,
        })
    };
    DETECTORS.iter().filter_map(result).collect()
}

/// Adds on which machines it looks, if not on all.
fn condition(detector: &Detector, kernel: &Kernel<'_>, detail: &str) -> String {
    match detector.condition(&kernel.config) {
        Some(words) => {
            format!("{detail}; looks only where `{words}` is said, as on {LEAK_MACHINE}")
        }
        None => detail.to_owned(),
    }
}
