// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes put into a series on purpose, and whether the scenarios notice them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// At least two cells came to something else than on the series: those of two
    /// scenarios, or one twice.
    Noticed,
    /// All scenarios came to what they do on the series: a hole in the tests, and a finding.
    Unnoticed,
    /// Nobody noticed it, and some scenarios came to nothing on it.
    Unproven,
    /// Nobody could notice it: why is written down beside the series. A finding where a
    /// scenario notices it all the same.
    Equivalent,
    /// It compiles to what the series, or another mutant, compiles to.
    SameObject,
    /// It does not compile.
    NotBuilt,
}

/// One mutant under one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MutantResult {
    /// Its name, which is also that of its stack behind `mutant-`.
    pub(crate) name: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// What was done, in a sentence: "the call of `f` is left out".
    pub(crate) title: String,
    /// The number of the patch, from 1, whose change is mutated; none where it is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patch: Option<usize>,
    /// The file, relative to the tree.
    pub(crate) file: String,
    /// The line in the file with the whole series applied, from 1.
    pub(crate) line: usize,
    /// Its difference from the series, as a unified diff.
    pub(crate) diff: String,
    /// What came of it.
    pub(crate) fate: Fate,
    /// The scenarios that noticed it.
    pub(crate) noticed_by: Vec<String>,
    /// How it was noticed, or why it was not run, in a sentence.
    pub(crate) reason: String,
    /// From turning the source to the verdict, in milliseconds.
    pub(crate) duration_ms: u64,
}

impl MutantResult {
    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        match self.fate {
            Fate::Unnoticed | Fate::Unproven => true,
            Fate::Equivalent => !self.noticed_by.is_empty(),
            Fate::Noticed | Fate::SameObject | Fate::NotBuilt => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn mutant(fate: Fate) -> MutantResult {
        MutantResult {
            name: "it-put-drop-put-1".to_owned(),
            profile: "fast".to_owned(),
            title: "the call `put(it);` is left out".to_owned(),
            patch: Some(2),
            file: "kernel/it.c".to_owned(),
            line: 7,
            diff: String::new(),
            fate,
            noticed_by: Vec::new(),
            reason: "a reason".to_owned(),
            duration_ms: 9000,
        }
    }
}
