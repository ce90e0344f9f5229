// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios: what is done to one or more kernels and what must be seen, as a
//! checked value. Knows nothing of C, of virtual machines, or of what running a
//! scenario comes to.

mod action;
mod catalogue;
mod check;
mod family;
mod machines;
mod names;
mod parameters;
mod raw;
mod reference;

use std::fmt;

use crate::input::Place;
use crate::klog::SplatClass;

pub use action::{
    Access, Action, Answer, DeviceState, Flb, HoldPoint, KernelPath, Removal, Seal, UserAct,
};
pub use catalogue::catalogue;
pub use family::{Family, LoadError, json_schema, load_all};
pub use machines::Machines;
pub use reference::reference;

/// Seconds that a stage may take when the scenario does not say.
pub const STAGE_TIMEOUT_SECS: u64 = 120;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its name: the family's, and with parameters the variant's behind a dot.
    pub name: String,
    /// The name of its family, which is that of its file; kebab-case.
    pub family: String,
    /// The values of the parameters, by their names; none for a family of one.
    pub values: Vec<(String, String)>,
    /// The property under test, one line.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// Series without which the scenario must fail.
    pub fails_without: Vec<String>,
    /// Series with which it fails without those; on a stack that lacks one it passes.
    pub fails_since: Vec<String>,
    /// Classes of complaints that may come where it must fail.
    pub fails_with: Vec<SplatClass>,
    /// The analysis of the fault of a released kernel that it shows.
    pub known_finding: Option<String>,
    /// The machine it needs.
    pub machine: String,
    /// The devices used, in the order of mention.
    pub devices: Vec<Device>,
    /// Seconds that each stage may take on the slowest profile.
    pub timeout_secs: u64,
    /// Whether the guest is afterwards as it was before.
    pub leaves_no_trace: bool,
    /// Complaints of the kernel that must be seen.
    pub splats: Vec<ExpectedSplat>,
    /// The stages; never empty.
    pub stages: Vec<Stage>,
}

/// What is done in one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
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
    /// That of the stack `base`.
    Base,
    /// That of the stack `series`.
    Series,
}

impl NextKernel {
    /// Returns the stack whose kernel it is, if not the running one's.
    #[must_use]
    pub const fn stack(self) -> Option<&'static str> {
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
    /// From 1 in each stage; the same in all variants, so that some may be left out.
    pub number: usize,
    /// What is done.
    pub action: Action,
    /// What it must return.
    pub returns: Returns,
    /// Kernel functions and how often each was called so far in the stage.
    pub calls: Vec<(String, Bounds)>,
    /// Kernel functions whose first calls came in this order.
    pub order: Vec<String>,
    /// Lines of the kernel log so far in the stage.
    pub log: Vec<ExpectedLog>,
    /// Whether the scenario bites here: what goes wrong first without the series.
    pub teeth: bool,
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

/// A complaint of the kernel that must be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSplat {
    /// Its class.
    pub class: SplatClass,
    /// Text that its message or title contains.
    pub text: String,
    /// How often.
    pub count: Bounds,
    /// In which stage, from 1.
    pub stage: usize,
    /// Why it is right to see it.
    pub because: Option<String>,
}

impl Scenario {
    /// Parses a scenario that is the only one of its family.
    #[cfg(test)]
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, crate::input::InputError> {
        let mut family = Family::parse(text, file, &Machines::project())?;
        Ok(family.variants.remove(0))
    }

    /// Returns the C identifier of its family, which is also the name of its
    /// program and of its fixture.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.family.replace('-', "_")
    }

    /// Returns the name of its variant, if the family has parameters; kebab-case.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.name.split_once('.').map(|(_, variant)| variant)
    }

    /// Returns the full name of the test of a stage, from 1.
    #[must_use]
    pub fn test_name(&self, stage: usize) -> String {
        let fixture = self.identifier();
        match self.variant() {
            None => format!("{fixture}.stage_{stage}"),
            Some(variant) => format!("{fixture}.{}.stage_{stage}", variant.replace('-', "_")),
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

    /// Returns all steps of all stages, the repeated ones included.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(Stage::all_steps)
    }

    /// Returns whether a step of a stage says that a line of the kernel log like this
    /// must be seen.
    #[must_use]
    pub fn expects_line(&self, stage: usize, line: &str) -> bool {
        let of_stage = self.stages.iter().filter(|one| one.number == stage);
        let mut logs = of_stage
            .flat_map(|one| &one.steps)
            .flat_map(|step| &step.log);
        logs.any(|log| log.count.min > 0 && line.contains(&log.text))
    }

    /// Returns all actions of all steps, the repeated, raced and held included.
    #[must_use]
    pub fn actions(&self) -> Vec<&Action> {
        let mut all = Vec::new();
        let steps = self.stages.iter().flat_map(|stage| &stage.steps);
        steps.for_each(|step| step.action.collect(&mut all));
        all
    }

    /// Returns the stacks, beside the one that is judged, whose kernels it needs.
    #[must_use]
    pub fn other_stacks(&self) -> Vec<&'static str> {
        let mut stacks: Vec<_> = self
            .stages
            .iter()
            .filter_map(|one| one.kernel.stack())
            .collect();
        stacks.sort_unstable();
        stacks.dedup();
        stacks
    }
}

impl Stage {
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
