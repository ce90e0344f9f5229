// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares a run with an earlier run and decides whether a result is worse. A pure function
//! of two results. Runs of different trees or series are compared, too; the difference is
//! listed first.

mod groups;
mod model;
mod pace;
mod proof;

use std::collections::BTreeSet;

use vm_images::accel::Accelerator;

use crate::result::{JobResult, RunResult};
use groups::Groups;
use model::SCHEMA;

pub use model::{Change, Comparison, Pace, Place, ProofChange, SplatChange};

/// Compares a run with an earlier run.
pub fn compare(before: &RunResult, after: &RunResult) -> Comparison {
    let (old, new) = (Groups::of(before), Groups::of(after));
    let common: Vec<_> = new.in_both(&old).collect();
    let (drift, slower) = pace::slower(&common);
    let (new_splats, gone_splats) = groups::splats(&common);
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

fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    type Input = fn(&RunResult) -> String;
    let inputs: [(&str, Input); 6] = [
        ("tree", |run| run.tree.clone()),
        ("series", |run| run.series.clone()),
        ("prerequisites", |run| run.prerequisites.join(", ")),
        ("checkouts", |run| names(run, |job| &job.checkout)),
        ("configs", |run| names(run, |job| &job.config)),
        ("accelerator", |run| {
            names(run, |job| job.accel.map_or("", Accelerator::qemu_name))
        }),
    ];
    let or_none = |text: String| match text.is_empty() {
        true => "none".to_owned(),
        false => text,
    };
    let mut differences = Vec::new();
    for (input, of) in inputs {
        let (old, new) = (or_none(of(before)), or_none(of(after)));
        if old != new {
            differences.push(format!("different {input}: {old} before, {new} now"));
        }
    }
    let patches = |result: &RunResult| {
        let patches = result
            .checkouts
            .iter()
            .map(|checkout| checkout.patches.clone());
        patches.max_by_key(Vec::len)
    };
    if let (Some(old), Some(new)) = (patches(before), patches(after))
        && old != new
    {
        let (old, new) = (old.len(), new.len());
        differences.push(format!("different patches: {old} before, {new} now"));
    }
    differences.extend(proof::differences(before, after));
    differences
}

fn names(result: &RunResult, name: fn(&JobResult) -> &str) -> String {
    let names: BTreeSet<&str> = result.jobs.iter().map(name).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.join(", ")
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
