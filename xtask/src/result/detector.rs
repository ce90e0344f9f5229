// SPDX-License-Identifier: GPL-2.0-only
//! What a kernel showed that it can see.
//!
//! Each kernel is made to go wrong on purpose, in each way that a verdict relies on.
//! Where nothing was seen, a clean run proves nothing of that kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether trouble of a kind is seen on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sight {
    /// The kernel was made to show it, and it was seen.
    Seen,
    /// The kernel was made to show it, and it was missed: a finding.
    Blind,
    /// The profile has no such detector: its silence is no pass.
    Absent,
}

/// One detector of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DetectorResult {
    /// The kind of trouble, such as `WARN`, `KASAN`, `kmemleak`, `silent death`.
    pub(crate) name: String,
    /// The stack's name.
    pub(crate) stack: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// Whether it sees.
    pub(crate) sight: Sight,
    /// What was seen instead, or which option the profile lacks; else the splat's title.
    pub(crate) detail: String,
}

impl DetectorResult {
    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        self.sight == Sight::Blind
    }
}
