// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios as checked values: the steps that are run in one or more kernels, and their
//! expected results. Independent of C code, virtual machines and test runs.

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

/// Default time limit of a boot in seconds.
pub const BOOT_TIMEOUT_SECS: u64 = 120;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// `FILE`, or `FILE.VARIANT` if the scenario file has parameters.
    pub name: String,
    /// The name of the scenario file without `.yaml`; kebab-case.
    pub scenario_file: String,
    /// Names and values of the parameters; empty without parameters.
    pub values: Vec<(String, String)>,
    /// The property under test, in one line.
    pub title: String,
    /// The use case of the property.
    pub why: String,
    /// Series without which the scenario must fail.
    pub fails_without: Vec<String>,
    /// Series that introduced the bug. On a checkout without one of them, the scenario passes.
    pub fails_since: Vec<String>,
    /// Classes of kernel reports that are allowed where the scenario must fail.
    pub fails_with: Vec<SplatClass>,
    /// The analysis of the bug in a released kernel that the scenario reproduces.
    pub known_finding: Option<String>,
    /// The required machine.
    pub machine: String,
    /// The devices, in the order of the scenario.
    pub devices: Vec<Device>,
    /// Time limit of each boot in seconds, on the slowest config.
    pub timeout_secs: u64,
    /// Whether the scenario leaves the guest in its initial state.
    pub leaves_no_trace: bool,
    /// Expected kernel reports.
    pub splats: Vec<ExpectedSplat>,
    /// The boots; never empty.
    pub boots: Vec<Boot>,
}

/// The steps that run in one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// From 1.
    pub number: usize,
    /// The kernel that the preceding kexec starts.
    pub kernel: NextKernel,
    /// In order; never empty.
    pub steps: Vec<Step>,
}

/// The kernel that a kexec starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextKernel {
    /// The running kernel.
    Same,
    /// The kernel of the checkout `base`.
    Base,
    /// The kernel of the checkout `series`.
    Series,
}

impl NextKernel {
    /// Returns the checkout of the kernel, unless it is the running kernel.
    #[must_use]
    pub const fn checkout(self) -> Option<&'static str> {
        match self {
            Self::Same => None,
            Self::Base => Some("base"),
            Self::Series => Some("series"),
        }
    }
}

/// An action and its expected results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From 1 in each boot. The same in all variants, so a variant may lack some numbers.
    pub number: usize,
    /// The action.
    pub action: Action,
    /// The expected result of the action.
    pub returns: Returns,
    /// Kernel functions with their expected number of calls since the begin of the boot.
    pub calls: Vec<(String, Bounds)>,
    /// Kernel functions in the expected order of their first calls.
    pub order: Vec<String>,
    /// Expected lines of the kernel log since the begin of the boot.
    pub log: Vec<ExpectedLog>,
    /// Whether this is the first step that fails without the series.
    pub fails_first: bool,
    /// The reason for the expectations.
    pub because: Option<String>,
    /// The position of the step in its file.
    pub place: Place,
}

/// A device of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name of its slot in the machine, such as `endpoint0`.
    pub slot: String,
    /// The number of the virtual function, if it is a virtual function of the slot's device.
    pub function: Option<u32>,
    /// The index of the slot among the slots of the scenario, from 0.
    pub index: usize,
}

/// The expected result of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// Success.
    Ok,
    /// This error, such as `EBUSY`.
    Errno(String),
    /// Any of these results.
    AnyOf(Vec<Returns>),
}

/// Bounds of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The minimum.
    pub min: u64,
    /// The maximum; `None` for no limit.
    pub max: Option<u64>,
}

impl Bounds {
    /// Returns the number, if minimum and maximum are equal.
    #[must_use]
    pub fn exactly(self) -> Option<u64> {
        (self.max == Some(self.min)).then_some(self.min)
    }

    /// Returns whether a number is within the bounds.
    #[must_use]
    pub fn contains(self, number: u64) -> bool {
        number >= self.min && self.max.is_none_or(|max| number <= max)
    }
}

/// The expected number of kernel log lines with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedLog {
    /// The text.
    pub text: String,
    /// The number of lines.
    pub count: Bounds,
}

/// An expected kernel report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSplat {
    /// The class of the report.
    pub class: SplatClass,
    /// A part of the message or the title of the report.
    pub text: String,
    /// The number of reports.
    pub count: Bounds,
    /// The number of the boot, from 1.
    pub boot: usize,
    /// The reason why the report is expected.
    pub because: Option<String>,
}

impl Scenario {
    /// Parses a scenario file without parameters.
    #[cfg(test)]
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, crate::input::InputError> {
        let mut scenario_file = ScenarioFile::parse(text, file, &Machines::project())?;
        Ok(scenario_file.variants.remove(0))
    }

    /// Returns the C identifier of the scenario file: the name of the program and fixture.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.scenario_file.replace('-', "_")
    }

    /// Returns the name of the variant in kebab-case, if the scenario file has parameters.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.name.split_once('.').map(|(_, variant)| variant)
    }

    /// Returns the full name of the test of a boot; boots are counted from 1.
    #[must_use]
    pub fn test_name(&self, boot: usize) -> String {
        let fixture = self.identifier();
        match self.variant() {
            None => format!("{fixture}.boot_{boot}"),
            Some(variant) => format!("{fixture}.{}.boot_{boot}", variant.replace('-', "_")),
        }
    }

    /// Returns the kernel functions whose calls are counted, in the order of the scenario.
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

    /// Returns all steps of all boots, including repeated steps.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.boots.iter().flat_map(Boot::all_steps)
    }

    /// Returns whether a step of a boot expects this line of the kernel log.
    #[must_use]
    pub fn expects_line(&self, boot: usize, line: &str) -> bool {
        let boots = self.boots.iter().filter(|other| other.number == boot);
        let mut logs = boots
            .flat_map(|boot| &boot.steps)
            .flat_map(|step| &step.log);
        logs.any(|log| log.count.min > 0 && line.contains(&log.text))
    }

    /// Returns all actions of all steps, including nested actions.
    #[must_use]
    pub fn actions(&self) -> Vec<&Action> {
        let mut all = Vec::new();
        let steps = self.boots.iter().flat_map(|boot| &boot.steps);
        steps.for_each(|step| step.action.collect(&mut all));
        all
    }

    /// Returns the checkouts whose kernels are needed in addition to the tested kernel.
    #[must_use]
    pub fn other_checkouts(&self) -> Vec<&'static str> {
        let mut checkouts: Vec<_> = self
            .boots
            .iter()
            .filter_map(|boot| boot.kernel.checkout())
            .collect();
        checkouts.sort_unstable();
        checkouts.dedup();
        checkouts
    }
}

impl Boot {
    /// Returns all steps, each followed by the steps that it repeats.
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
    /// Adds the action and all nested actions.
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
