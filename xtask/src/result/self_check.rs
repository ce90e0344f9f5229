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
pub(crate) enum Detection {
    /// The kernel was made to show it, and it was seen.
    Seen,
    /// The kernel was made to show it, and it was missed: a finding.
    Missed,
    /// The config has no such self_check: its silence is no pass.
    NotConfigured,
}

/// One self_check of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SelfCheckResult {
    /// The kind of trouble, such as `WARN`, `KASAN`, `kmemleak`, `silent death`.
    pub(crate) name: String,
    /// The checkout's name.
    pub(crate) checkout: String,
    /// The config's name.
    pub(crate) config: String,
    /// Whether it sees.
    pub(crate) detection: Detection,
    /// What was seen instead, or which option the config lacks; else the splat's title.
    pub(crate) detail: String,
}

impl SelfCheckResult {
    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        self.detection == Detection::Missed
    }
}
