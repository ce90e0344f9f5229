// SPDX-License-Identifier: MIT OR Apache-2.0
//! The judgement of a run: its status, the reason and the cause.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The status of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All checks passed, and there are no unexpected kernel messages.
    Pass,
    /// A check failed, or an expected kernel report is missing.
    Fail,
    /// The kernel printed an unexpected report, or the guest reset or powered off.
    Crash,
    /// A deadline for the guest expired.
    Hang,
    /// The test could not run, and reported the reason.
    Skip,
    /// The run is inconclusive because of the test, the tool or the infrastructure.
    Error,
}

impl Status {
    /// Returns its name, which is the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The cause of a run that did not pass. The cause is the kernel under test, unless the
/// recorded facts show another cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel under test.
    Kernel,
    /// The test program, or the scenario that it was generated from.
    Test,
    /// This tool.
    Tool,
    /// The host: QEMU, memory, disk, or too little time for the guest.
    Infrastructure,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Cause {
    /// Returns its name, which is the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Test => "test",
            Self::Tool => "tool",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// Returns the cause of a status if no recorded fact shows another cause.
    const fn default_for(status: Status) -> Option<Self> {
        match status {
            Status::Fail | Status::Crash | Status::Hang => Some(Self::Kernel),
            Status::Error => Some(Self::Tool),
            Status::Pass | Status::Skip => None,
        }
    }
}

/// The result of a run: status, cause and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The status.
    pub status: Status,
    /// The reason for the status, in one sentence.
    pub reason: String,
    /// The cause, unless the run passed or was skipped.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The name of the rule that decided; empty if no rule was violated.
    #[serde(default)]
    pub rule: String,
    /// Whether the failure happened while the program ran. Other failures are never
    /// expected failures.
    pub in_time: bool,
    /// Whether the first failed step is marked `fails_first`.
    pub at_first_failure: bool,
    /// The first kernel report that the scenario lists neither in `splats` nor in
    /// `fails_with`.
    #[serde(default)]
    pub unnamed_splat: Option<String>,
}

impl Judgement {
    pub(crate) fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            cause: Cause::default_for(status),
            rule: String::new(),
            in_time: false,
            at_first_failure: false,
            unnamed_splat: None,
        }
    }

    pub(crate) const fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(crate) const fn in_time(mut self, in_time: bool) -> Self {
        self.in_time = in_time;
        self
    }
}
