// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes from one run to a later run: the content of a comparison as JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The version of this format.
pub(super) const SCHEMA: u32 = 2;
/// Printed in place of a result that a run does not have.
pub(super) const ABSENT: &str = "absent";

/// The changes from one run to a later run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The version of this format: 2.
    pub schema: u32,
    /// Whether a result is worse than before.
    pub worse: bool,
    /// The reason why the later run does not test its series or a part of it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_tested: Option<String>,
    /// Differences in the input of the runs, a sentence each: possible causes of changes.
    pub differences: Vec<String>,
    /// Number of jobs in both runs; repetitions count as one job.
    pub common: usize,
    /// Expected or inconclusive before, unexpected now: worse.
    pub broken: Vec<Change>,
    /// Expected or unexpected before, skipped or an error now: worse if it was expected.
    pub inconclusive: Vec<Change>,
    /// Unexpected before and now: worse if the rate of unexpected results is significantly
    /// higher.
    pub still_wrong: Vec<Change>,
    /// Expected now, but not before.
    pub fixed: Vec<Change>,
    /// Expected before and now, with another status.
    pub turned: Vec<Change>,
    /// Titles of kernel reports that no common job of the checkout and config had before:
    /// worse if the job is unexpected.
    pub new_splats: Vec<SplatChange>,
    /// Titles that no common job of the checkout and config has any longer.
    pub gone_splats: Vec<SplatChange>,
    /// Jobs that take significantly longer; never worse, because hosts differ.
    pub slower: Vec<Pace>,
    /// Median ratio of the durations of all common jobs, as an estimate of the difference
    /// between the hosts. The duration of a job is divided by it before the comparison.
    pub drift: f64,
    /// Jobs that the earlier run does not have.
    pub new_jobs: Vec<Place>,
    /// New jobs that are unexpected or inconclusive. Not worse, because there is no earlier
    /// result.
    pub new_wrong: Vec<Change>,
    /// Jobs that the later run does not have.
    pub gone_jobs: Vec<Place>,
    /// Self-checks with another result, of builds that were checked in both runs: worse if
    /// detected before and not now, or missed now and not before.
    pub self_checks: Vec<ProofChange>,
    /// Mutants with another status, if both runs have mutants: worse if the mutant needs
    /// attention now and did not before.
    pub mutants: Vec<ProofChange>,
}

/// A job without the number of its repetition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    pub(crate) test: String,
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) machine: String,
}

/// A job with another result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The status before; with repetitions, the number of each status.
    pub before: String,
    /// The status now.
    pub now: String,
    /// The reason, in a sentence: of the later run, or of the earlier run if it is fixed.
    pub reason: String,
    pub(crate) worse: bool,
}

/// The title of a kernel report that is new or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplatChange {
    pub(crate) title: String,
    pub(crate) checkout: String,
    pub(crate) config: String,
    /// The tests that have the report.
    pub scenarios: Vec<String>,
    pub(crate) worse: bool,
}

/// A job that takes longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pace {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The median over the repetitions before, in milliseconds.
    pub before_ms: u64,
    /// The median now, in milliseconds.
    pub now_ms: u64,
    /// Ratio of the durations, divided by `drift`.
    pub ratio: f64,
}

/// A self-check or mutant with another result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofChange {
    /// Its name, as printed.
    pub name: String,
    pub(crate) before: String,
    pub(crate) now: String,
    pub(crate) worse: bool,
}

impl Comparison {
    pub(super) fn is_worse(&self) -> bool {
        let changes = [&self.broken, &self.inconclusive, &self.still_wrong];
        changes.into_iter().flatten().any(|change| change.worse)
            || self.new_splats.iter().any(|splat| splat.worse)
            || self
                .self_checks
                .iter()
                .chain(&self.mutants)
                .any(|change| change.worse)
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        if self.worse { Exit::Finding } else { Exit::Ok }
    }
}
