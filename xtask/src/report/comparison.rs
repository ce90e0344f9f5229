// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares a run with an earlier run and decides whether a result is worse. A pure function
//! of two results. Runs of different trees or series are compared, too; the difference is
//! listed first.

mod groups;
mod pace;
mod pass_rate;
mod proof;
mod splats;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use vm_images::accel::Accelerator;

use crate::exit::Exit;
use crate::result::{JobResult, RunResult};
use groups::Groups;

/// The version of this format.
const SCHEMA: u32 = 2;
/// Printed in place of a result that a run does not have.
const ABSENT: &str = "absent";

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

/// Compares a run with an earlier run.
pub fn compare(before: &RunResult, after: &RunResult) -> Comparison {
    let (old, new) = (Groups::of(before), Groups::of(after));
    let common: Vec<_> = new.in_both(&old).collect();
    let (drift, slower) = pace::slower(&common);
    let (new_splats, gone_splats) = splats::changes(&common);
    let mut comparison = Comparison {
        schema: SCHEMA,
        worse: false,
        not_tested: after.not_tested().map(str::to_owned),
        differences: differences(before, after),
        common: common.len(),
        broken: Vec::new(),
        inconclusive: Vec::new(),
        still_wrong: Vec::new(),
        fixed: Vec::new(),
        turned: Vec::new(),
        new_splats,
        gone_splats,
        slower,
        drift,
        new_jobs: new.places_not_in(&old),
        new_wrong: new.wrong_not_in(&old),
        gone_jobs: old.places_not_in(&new),
        self_checks: proof::self_checks(before, after),
        mutants: proof::mutants(before, after),
    };
    for pair in &common {
        groups::sort_in(pair, &mut comparison);
    }
    comparison.worse = comparison.is_worse();
    comparison
}

impl Comparison {
    fn is_worse(&self) -> bool {
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

/// Returns the differences in the input of the runs.
fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |input: &str, old: &str, new: &str| {
        if old != new {
            let or_none = |text: &str| {
                if text.is_empty() {
                    "none".to_owned()
                } else {
                    text.to_owned()
                }
            };
            let (old, new) = (or_none(old), or_none(new));
            differences.push(format!("different {input}: {old} before, {new} now"));
        }
    };
    compare("tree", &before.tree, &after.tree);
    compare("series", &before.series, &after.series);
    let (old, new) = (
        before.prerequisites.join(", "),
        after.prerequisites.join(", "),
    );
    compare("prerequisites", &old, &new);
    for (input, name) in [
        ("checkouts", (|job| &job.checkout) as Named),
        ("configs", |job| &job.config),
        ("accelerator", |job| {
            job.accel.map_or("", Accelerator::qemu_name)
        }),
    ] {
        compare(input, &names(before, name), &names(after, name));
    }
    let patches = |result: &RunResult| {
        result
            .checkouts
            .iter()
            .map(|checkout| checkout.patches.clone())
            .max_by_key(Vec::len)
    };
    if let (Some(old), Some(new)) = (patches(before), patches(after))
        && old != new
    {
        differences.push(format!(
            "different patches: {} before, {} now",
            old.len(),
            new.len()
        ));
    }
    differences.extend(proof::differences(before, after));
    differences
}

/// Reads one value of a job.
type Named = fn(&JobResult) -> &str;

/// Returns the distinct values of all jobs.
fn names(result: &RunResult, name: Named) -> String {
    let names = result.jobs.iter().map(name);
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns the JSON schema of a comparison.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Comparison);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
