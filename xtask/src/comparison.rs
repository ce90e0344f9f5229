// SPDX-License-Identifier: GPL-2.0-only
//! Two runs, one against an earlier one: what changed, and whether anything is worse. A
//! pure function of two results. Knows nothing of why: a run of another tree or series is
//! compared all the same, and that is said first.

mod groups;
mod pace;
mod pass_rate;
mod proof;
mod splats;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::result::{JobResult, RunResult};
use groups::Groups;

/// What changed from one run to a later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Comparison {
    /// The version of this format: 1.
    pub(crate) schema: u32,
    /// Whether anything is worse than before.
    pub(crate) worse: bool,
    /// Why the later run does not test its series, or a part of it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_tested: Option<String>,
    /// How the runs themselves differ, a sentence each: what changed may come from that.
    pub(crate) differences: Vec<String>,
    /// How many jobs are in both, repetitions counted as one.
    pub(crate) common: usize,
    /// As expected or inconclusive before, and not as expected now: worse.
    pub(crate) broken: Vec<Change>,
    /// Proven before, and skipped or an error now: worse where it was as expected.
    pub(crate) inconclusive: Vec<Change>,
    /// Not as expected before and now: worse where it happens more often, by more than
    /// pass_rate.
    pub(crate) still_wrong: Vec<Change>,
    /// As expected now, and not before.
    pub(crate) fixed: Vec<Change>,
    /// As expected before and now, by another status.
    pub(crate) turned: Vec<Change>,
    /// Titles of reports that no common job of the checkout and config had before: worse
    /// where the job is not as expected.
    pub(crate) new_splats: Vec<SplatChange>,
    /// Titles that no common job of the checkout and config has any more.
    pub(crate) gone_splats: Vec<SplatChange>,
    /// Jobs that take longer than can be noise; never worse, since hosts differ.
    pub(crate) slower: Vec<Pace>,
    /// How many times longer all common jobs together take: the host's part, which is
    /// taken off before a job is called slower.
    pub(crate) drift: f64,
    /// Jobs that the earlier run did not have.
    pub(crate) new_jobs: Vec<Place>,
    /// Those of them that are not as expected, or without a verdict: no worse than before,
    /// of which nothing is known, and not good either.
    pub(crate) new_wrong: Vec<Change>,
    /// Jobs that the later run does not have.
    pub(crate) gone_jobs: Vec<Place>,
    /// SelfChecks that see otherwise, of kernels that showed theirs in both runs: worse where
    /// one saw and does not see now, or is blind and was not.
    pub(crate) self_checks: Vec<ProofChange>,
    /// Mutants that came to another status, where both runs have some: worse where one is a
    /// finding now and was none.
    pub(crate) mutants: Vec<ProofChange>,
}

/// A job, whatever its repetitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Place {
    pub(crate) test: String,
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) machine: String,
}

/// A job that came to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Change {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The status before; of repetitions, how often there was which.
    pub(crate) before: String,
    /// The status now.
    pub(crate) now: String,
    /// Why, in a sentence: as the later run says, or the earlier where that is fixed.
    pub(crate) reason: String,
    pub(crate) worse: bool,
}

/// A report's title that came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SplatChange {
    pub(crate) title: String,
    pub(crate) checkout: String,
    pub(crate) config: String,
    /// The scenarios that show it, or showed it.
    pub(crate) scenarios: Vec<String>,
    pub(crate) worse: bool,
}

/// A job that takes longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pace {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The median over the repetitions before, in milliseconds.
    pub(crate) before_ms: u64,
    /// The median now, in milliseconds.
    pub(crate) now_ms: u64,
    /// How many times longer, beyond what all jobs together are.
    pub(crate) ratio: f64,
}

/// A self_check or a mutant that came to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProofChange {
    /// What it is, for people.
    pub(crate) name: String,
    pub(crate) before: String,
    pub(crate) now: String,
    pub(crate) worse: bool,
}

/// Compares a run with an earlier one.
pub(crate) fn compare(before: &RunResult, after: &RunResult) -> Comparison {
    let (old, new) = (Groups::of(before), Groups::of(after));
    let common: Vec<_> = new.in_both(&old).collect();
    let (drift, slower) = pace::slower(&common);
    let (new_splats, gone_splats) = splats::changes(&common);
    let mut comparison = Comparison {
        schema: 1,
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
                .any(|one| one.worse)
    }

    /// Returns the exit code that it leads to.
    pub(crate) fn exit(&self) -> Exit {
        if self.worse { Exit::Finding } else { Exit::Ok }
    }
}

/// Returns how the runs differ in what they are of.
fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let mut differences = Vec::new();
    let mut tell = |what: &str, old: &str, new: &str| {
        if old != new {
            let or_none = |text: &str| {
                if text.is_empty() {
                    "none".to_owned()
                } else {
                    text.to_owned()
                }
            };
            let (old, new) = (or_none(old), or_none(new));
            differences.push(format!("another {what}: {old} before, {new} now"));
        }
    };
    tell("tree", &before.tree, &after.tree);
    tell("series", &before.series, &after.series);
    let (old, new) = (
        before.prerequisites.join(", "),
        after.prerequisites.join(", "),
    );
    tell("list of prerequisites", &old, &new);
    for (what, name) in [
        ("list of checkouts", (|job| &job.checkout) as Named),
        ("list of configs", |job| &job.config),
        ("way to run guests", |job| &job.accel),
    ] {
        tell(what, &names(before, name), &names(after, name));
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
            "other patches: {} before, {} now",
            old.len(),
            new.len()
        ));
    }
    differences.extend(proof::differences(before, after));
    differences
}

/// A job's value of a kind.
type Named = fn(&JobResult) -> &str;

/// Returns the values that the jobs have, each once.
fn names(result: &RunResult, name: Named) -> String {
    let names = result.jobs.iter().map(name);
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns the JSON schema of a comparison.
pub(crate) fn json_schema() -> String {
    let schema = schemars::schema_for!(Comparison);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
