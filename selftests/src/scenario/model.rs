// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios as checked values: the steps that are run in one or more kernels, and their
//! expected results. Independent of C code, virtual machines and test runs.

use std::fmt;

use super::operation::{Device, Operation};
use crate::input::Place;
use crate::klog::SplatClass;

/// Default time limit of a boot in seconds.
pub const BOOT_TIMEOUT_SECS: u64 = 120;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// `FILE`, or `FILE.VARIANT` if the scenario file has parameters.
    pub name: String,
    /// The name of the scenario file without `.yaml`; kebab-case.
    pub scenario_file: String,
    /// The topic, which decides the C program that the test is in.
    pub topic: String,
    /// The name of the test in the C program: variants with the same C code have the same.
    pub test: String,
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
    /// Whether the time limit is stated in the scenario file.
    pub has_own_timeout: bool,
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
    /// Kernel functions with their expected number of calls since the start of the boot.
    pub calls: Vec<(String, Bounds)>,
    /// Kernel functions in the expected order of their first calls.
    pub order: Vec<String>,
    /// Expected lines of the kernel log since the start of the boot.
    pub log: Vec<ExpectedLog>,
    /// Whether this is the first step that fails without the series.
    pub fails_first: bool,
    /// The reason for the expectations.
    pub because: Option<String>,
    /// The position of the step in its file.
    pub place: Place,
}

impl Step {
    fn forget_texts(&mut self) {
        self.because = None;
        if let Action::Repeat { steps, .. } = &mut self.action {
            steps.iter_mut().for_each(Self::forget_texts);
        }
        self.forget_places();
    }

    fn forget_places(&mut self) {
        self.place = Place { line: 0, column: 0 };
        if let Action::Repeat { steps, .. } = &mut self.action {
            steps.iter_mut().for_each(Self::forget_places);
        }
    }
}

/// The action of a step: an operation, or the syntax around operations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Action {
    /// Runs an operation.
    Run(Operation),
    /// Repeats an operation with each of its allocations failing in turn. If it succeeds
    /// nevertheless, it is reverted.
    FailAllocations {
        operation: Operation,
        undo: Vec<Operation>,
    },
    /// Starts an operation in another thread, which is held at a sync point.
    Hold { operation: Operation, at: SyncPoint },
    /// Starts an operation in another thread, which must wait for the held thread in one of
    /// these kernel functions.
    Wait {
        operation: Operation,
        functions: Vec<String>,
    },
    /// Releases the held thread and waits for the end of its operation.
    Release(Operation),
    /// Waits for the end of the waiting operation.
    EndWait(Operation),
    /// Runs two operations concurrently. The result of the step is that of the first.
    Race {
        operation: Operation,
        against: Operation,
        against_returns: Returns,
    },
    /// Repeats steps; their expectations are checked each time.
    Repeat { times: u64, steps: Vec<Step> },
    /// Does nothing; only the expectations of the step are checked. Has the label.
    Observe(String),
}

/// The kernel function at which a thread is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPoint {
    /// The kernel function.
    pub function: String,
    /// Whether the thread is held at the return instead of the entry.
    pub at_return: bool,
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
    /// Returns the name of the C program of the scenario, and of its fixture: the topic, and
    /// another one for scenarios with several boots.
    #[must_use]
    pub fn program(&self) -> String {
        match self.boots.len() {
            1 => self.topic.clone(),
            _ => format!("{}_kexec", self.topic),
        }
    }

    /// Returns the name of the variant in kebab-case, if the scenario file has parameters.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.name.split_once('.').map(|(_, variant)| variant)
    }

    /// Returns a text that is the same for scenarios with the same steps and expectations. It
    /// has no texts for people and no positions in the file.
    #[must_use]
    pub fn identity(&self) -> String {
        let mut scenario = self.clone();
        scenario.title.clear();
        scenario.why.clear();
        scenario.known_finding = None;
        for splat in &mut scenario.splats {
            splat.because = None;
        }
        for boot in &mut scenario.boots {
            boot.steps.iter_mut().for_each(Step::forget_texts);
        }
        format!("{scenario:?}")
    }

    /// Returns the name of the test of a boot in the C program; boots are counted from 1.
    pub(crate) fn test_of_boot(&self, boot: usize) -> String {
        match self.boots.len() {
            1 => self.test.clone(),
            _ => format!("{}_boot_{boot}", self.test),
        }
    }

    /// Returns the full name of the test of a boot; boots are counted from 1.
    #[must_use]
    pub fn test_name(&self, boot: usize) -> String {
        format!("{}.{}", self.program(), self.test_of_boot(boot))
    }

    /// Returns the kernel functions whose calls are counted, in the order of the scenario.
    #[must_use]
    pub fn probed_functions(&self) -> Vec<&str> {
        Self::probed(self.steps())
    }

    /// Returns the kernel functions whose calls are counted in these steps.
    pub(crate) fn probed<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<&'a str> {
        let functions = steps.into_iter().flat_map(|step| {
            let counted = step.calls.iter().map(|(function, _)| function);
            counted.chain(&step.order).map(String::as_str)
        });
        unique(functions)
    }

    /// Returns a text that is the same for scenarios with the same C code.
    pub(super) fn code(&self) -> String {
        let mut boots = self.boots.clone();
        for step in boots.iter_mut().flat_map(|boot| &mut boot.steps) {
            step.forget_places();
        }
        let warns = self.splats.iter().any(|splat| splat.count.max != Some(0));
        format!("{:?} {warns} {} {boots:?}", self.devices, self.timeout_secs)
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

    /// Returns all operations of all steps, including nested operations.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.steps().flat_map(|step| step.action.operations())
    }

    /// Returns the checkouts whose kernels are needed in addition to the tested kernel.
    #[must_use]
    pub fn other_checkouts(&self) -> Vec<&'static str> {
        let boots = self.boots.iter();
        let mut checkouts: Vec<_> = boots.filter_map(|boot| boot.kernel.checkout()).collect();
        checkouts.sort_unstable();
        checkouts.dedup();
        checkouts
    }
}

/// Returns each value once, in the order of its first appearance.
pub(crate) fn unique<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
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
    /// Returns the operations that start at once: of a race, both.
    pub(crate) fn started(&self) -> Vec<&Operation> {
        match self {
            Self::Run(operation)
            | Self::Hold { operation, .. }
            | Self::Wait { operation, .. }
            | Self::FailAllocations { operation, .. } => vec![operation],
            Self::Race {
                operation, against, ..
            } => vec![operation, against],
            Self::Release(_) | Self::EndWait(_) | Self::Repeat { .. } | Self::Observe(_) => {
                Vec::new()
            }
        }
    }

    /// Returns the operation of an action that is nothing else.
    pub(crate) const fn plain(&self) -> Option<&Operation> {
        match self {
            Self::Run(operation) => Some(operation),
            _ => None,
        }
    }

    /// Returns all operations, except of repeated steps.
    fn operations(&self) -> impl Iterator<Item = &Operation> {
        let undo: &[Operation] = match self {
            Self::FailAllocations { undo, .. } => undo,
            _ => &[],
        };
        self.started().into_iter().chain(undo)
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

impl fmt::Display for SyncPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at_return { "%return" } else { "" };
        write!(f, "{}{at}", self.function)
    }
}

/// The label of a step in diagnostics, timelines and reports.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(operation) => operation.fmt(f),
            Self::FailAllocations { operation, .. } => {
                write!(f, "{operation}, with each allocation failing in turn")
            }
            Self::Hold { operation, at } => write!(f, "{operation}, held at {at}"),
            Self::Wait {
                operation,
                functions,
            } => write!(f, "{operation}, waiting in {}", functions.join(" or ")),
            Self::Release(operation) => write!(f, "release: {operation}"),
            Self::EndWait(operation) => write!(f, "wait for completion: {operation}"),
            Self::Race {
                operation, against, ..
            } => write!(f, "race: {operation} against {against}"),
            Self::Repeat { times, .. } => write!(f, "repeat {times} times"),
            Self::Observe(text) => f.write_str(text),
        }
    }
}
