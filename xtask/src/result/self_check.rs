// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results of the fault-injection self-check of a build.
//!
//! A fault of each class is injected. If a build does not report an injected fault, a pass on
//! this build does not exclude faults of that class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether faults of a class are detected on a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// A fault was injected and detected.
    Detected,
    /// A fault was injected and not detected: a finding.
    Missed,
    /// The config cannot detect this class, so no fault was injected.
    NotConfigured,
}

impl Detection {
    /// Returns the detection as printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Missed => "MISSED",
            Self::NotConfigured => "not configured",
        }
    }
}

/// The result for one fault class on one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfCheckResult {
    /// The fault class, such as `WARN`, `KASAN`, `kmemleak`, `silent death`.
    pub name: String,
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// Whether the fault was detected.
    pub detection: Detection,
    /// The title of the splat if detected, the output if missed, or the option that the
    /// config lacks.
    pub detail: String,
}

impl SelfCheckResult {
    /// Returns whether an injected fault was missed.
    pub fn is_finding(&self) -> bool {
        self.detection == Detection::Missed
    }
}
