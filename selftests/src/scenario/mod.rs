// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios: what is done to one or more kernels and what must be seen, as a
//! checked value. Knows nothing of C, of virtual machines, or of what running a
//! scenario comes to.

mod action;
mod catalogue;
mod check;
mod machines;
mod names;
mod parameters;
mod raw;
mod reference;
mod scenario_file;

use std::fmt;

use crate::input::Place;
use crate::klog::SplatClass;

pub use action::{
    Access, Action, Answer, DeviceState, Flb, KernelPath, Removal, Seal, SyncPoint, UserAct,
};
pub use catalogue::catalogue;
pub use machines::Machines;
pub use reference::reference;
pub use scenario_file::{LoadError, ScenarioFile, json_schema, load_all};

/// Seconds that a boot may take when the scenario does not say.
pub const BOOT_TIMEOUT_SECS: u64 = 120;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its name: the scenario_file's, and with parameters the variant's behind a dot.
    pub name: String,
    /// The name of its scenario_file, which is that of its file; kebab-case.
    pub scenario_file: String,
    /// The values of the parameters, by their names; none for a scenario_file of one.
    pub values: Vec<(String, String)>,
    /// The property under test, one line.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// Series without which the scenario must fail.
    pub fails_without: Vec<String>,
    /// Series with which it fails without those; on a checkout that lacks one it passes.
    pub fails_since: Vec<String>,
    /// Classes of reports that may come where it must fail.
    pub fails_with: Vec<SplatClass>,
    /// The analysis of the fault of a released kernel that it shows.
    pub known_finding: Option<String>,
    /// The machine it needs.
    pub machine: String,
    /// The devices used, in the order of mention.
    pub devices: Vec<Device>,
    /// Seconds that each boot may take on the slowest config.
    pub timeout_secs: u64,
    /// Whether the guest is afterwards as it was before.
    pub leaves_no_trace: bool,
    /// Reports of the kernel that must be seen.
    pub splats: Vec<ExpectedSplat>,
    /// The boots; never empty.
    pub boots: Vec<Boot>,
}

/// What is done in one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// From 1.
    pub number: usize,
    /// Which kernel the kexec before it goes to.
    pub kernel: NextKernel,
    /// In order; never empty.
    pub steps: Vec<Step>,
}

/// Which kernel a kexec goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextKernel {
    /// The one that runs.
    Same,
    /// That of the checkout `base`.
    Base,
    /// That of the checkout `series`.
    Series,
}

impl NextKernel {
    /// Returns the checkout whose kernel it is, if not the running one's.
    #[must_use]
    pub const fn checkout(self) -> Option<&'static str> {
        match self {
            Self::Same => None,
            Self::Base => Some("base"),
            Self::Series => Some("series"),
        }
    }
}

/// One thing done, and what must be seen after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From 1 in each boot; the same in all variants, so that some may be left out.
    pub number: usize,
    /// What is done.
    pub action: Action,
    /// What it must return.
    pub returns: Returns,
    /// Kernel functions and how often each was called so far in the boot.
    pub calls: Vec<(String, Bounds)>,
    /// Kernel functions whose first calls came in this order.
    pub order: Vec<String>,
    /// Lines of the kernel log so far in the boot.
    pub log: Vec<ExpectedLog>,
    /// Whether the scenario fails_first here: what goes wrong first without the series.
    pub fails_first: bool,
    /// Why.
    pub because: Option<String>,
    /// Where the step was written.
    pub place: Place,
}

/// A device of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The machine's name for the slot it is in, `endpoint0`.
    pub slot: String,
    /// The virtual function of the device in that slot, if it is one.
    pub function: Option<u32>,
    /// The slot's place among those that the scenario uses, from 0.
    pub index: usize,
}

/// What an action must return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// Success.
    Ok,
    /// This error, such as `EBUSY`.
    Errno(String),
    /// One of these.
    AnyOf(Vec<Returns>),
}

/// Bounds for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At least so many.
    pub min: u64,
    /// At most so many; `None` is without a limit.
    pub max: Option<u64>,
}

impl Bounds {
    /// Returns the number, if there is only one within.
    #[must_use]
    pub fn exactly(self) -> Option<u64> {
        (self.max == Some(self.min)).then_some(self.min)
    }

    /// Returns whether a number is within.
    #[must_use]
    pub fn contains(self, number: u64) -> bool {
        number >= self.min && self.max.is_none_or(|max| number <= max)
    }
}

/// How many lines with a text must be in the kernel log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedLog {
    /// The text.
    pub text: String,
    /// So many.
    pub count: Bounds,
}

/// A report of the kernel that must be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSplat {
    /// Its class.
    pub class: SplatClass,
    /// Text that its message or title contains.
    pub text: String,
    /// How often.
    pub count: Bounds,
    /// In which boot, from 1.
    pub boot: usize,
    /// Why it is right to see it.
    pub because: Option<String>,
}

impl Scenario {
    /// Parses a scenario that is the only one of its scenario_file.
    #[cfg(test)]
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, crate::input::InputError> {
        let mut scenario_file = ScenarioFile::parse(text, file, &Machines::project())?;
        Ok(scenario_file.variants.remove(0))
    }

    /// Returns the C identifier of its scenario_file, which is also the name of its
    /// program and of its fixture.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.scenario_file.replace('-', "_")
    }

    /// Returns the name of its variant, if the scenario_file has parameters; kebab-case.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.name.split_once('.').map(|(_, variant)| variant)
    }

    /// Returns the full name of the test of a boot, from 1.
    #[must_use]
    pub fn test_name(&self, boot: usize) -> String {
        let fixture = self.identifier();
        match self.variant() {
            None => format!("{fixture}.boot_{boot}"),
            Some(variant) => format!("{fixture}.{}.boot_{boot}", variant.replace('-', "_")),
        }
    }

    /// Returns the kernel functions whose calls are counted, in order of mention.
    #[must_use]
    pub fn probed_functions(&self) -> Vec<&str> {
        let mut functions: Vec<&str> = Vec::new();
        for step in self.steps() {
            let counted = step.calls.iter().map(|(function, _)| function.as_str());
            for function in counted.chain(step.order.iter().map(String::as_str)) {
                if !functions.contains(&function) {
                    functions.push(function);
                }
            }
        }
        functions
    }

    /// Returns all steps of all boots, the repeated ones included.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.boots.iter().flat_map(Boot::all_steps)
    }

    /// Returns whether a step of a boot says that a line of the kernel log like this
    /// must be seen.
    #[must_use]
    pub fn expects_line(&self, boot: usize, line: &str) -> bool {
        let of_boot = self.boots.iter().filter(|one| one.number == boot);
        let mut logs = of_boot
            .flat_map(|one| &one.steps)
            .flat_map(|step| &step.log);
        logs.any(|log| log.count.min > 0 && line.contains(&log.text))
    }

    /// Returns all actions of all steps, the repeated, raced and held included.
    #[must_use]
    pub fn actions(&self) -> Vec<&Action> {
        let mut all = Vec::new();
        let steps = self.boots.iter().flat_map(|boot| &boot.steps);
        steps.for_each(|step| step.action.collect(&mut all));
        all
    }

    /// Returns the checkouts, beside the one that is judged, whose kernels it needs.
    #[must_use]
    pub fn other_checkouts(&self) -> Vec<&'static str> {
        let mut checkouts: Vec<_> = self
            .boots
            .iter()
            .filter_map(|one| one.kernel.checkout())
            .collect();
        checkouts.sort_unstable();
        checkouts.dedup();
        checkouts
    }
}

impl Boot {
    /// Returns all steps, each followed by those that it repeats.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flat_map(|step| {
            let repeated: &[Step] = match &step.action {
                Action::Repeat { steps, .. } => steps,
                _ => &[],
            };
            std::iter::once(step).chain(repeated)
        })
    }
}

impl Action {
    /// Adds the action and all within it.
    fn collect<'a>(&'a self, all: &mut Vec<&'a Self>) {
        all.push(self);
        match self {
            Self::Hold { action, .. } | Self::Wait { action, .. } => action.collect(all),
            Self::FailAllocations { action, undo } => {
                action.collect(all);
                undo.iter().for_each(|action| action.collect(all));
            }
            Self::Race {
                action, against, ..
            } => {
                action.collect(all);
                against.collect(all);
            }
            Self::Repeat { steps, .. } => {
                steps.iter().for_each(|step| step.action.collect(all));
            }
            _ => {}
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exactly(), self.max) {
            (Some(count), _) => write!(f, "{count} times"),
            (None, None) => write!(f, "at least {} times", self.min),
            (None, Some(max)) => write!(f, "{} to {max} times", self.min),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            None => f.write_str(&self.slot),
            Some(number) => write!(f, "{}.vf{number}", self.slot),
        }
    }
}

impl fmt::Display for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Errno(name) => f.write_str(name),
            Self::AnyOf(all) => {
                let words: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(" or "))
            }
        }
    }
}
