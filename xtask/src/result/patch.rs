// SPDX-License-Identifier: GPL-2.0-only
//! The source states that were judged, and what each patch changes between two of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One source state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StackResult {
    /// `base`, `patch-1` and so on, `series`, or `mutant-NAME`.
    pub(crate) name: String,
    /// The subjects of the series' patches in it, in their order.
    pub(crate) patches: Vec<String>,
    /// The names of the series in it, whole.
    pub(crate) contains: Vec<String>,
}

/// What a patch, or several in a row, changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PatchResult {
    /// Number of the first patch, from 1.
    pub(crate) first: usize,
    /// Number of the last patch: the same, unless no stack lies between them.
    pub(crate) last: usize,
    /// The subject, or that of the first.
    pub(crate) subject: String,
    /// One sentence for people.
    pub(crate) sentence: String,
    /// Each scenario that it turns from one outcome to another.
    pub(crate) turns: Vec<Turn>,
}

/// A scenario that a patch turns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Turn {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// The outcome without the patch.
    pub(crate) from: String,
    /// The outcome with it.
    pub(crate) to: String,
    /// Why it was `from`, in a sentence.
    pub(crate) reason: String,
}
