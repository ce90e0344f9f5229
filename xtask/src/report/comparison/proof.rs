// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the self-checks and mutants of two runs. They show how much the results of a run
//! can be relied on.

use std::collections::{BTreeMap, BTreeSet};

use super::{ABSENT, ProofChange};
use crate::result::{Detection, MutantResult, RunResult, SelfCheckResult};

/// Checkout and config.
type Kernel<'a> = (&'a str, &'a str);

/// The result of a mutant as printed, and whether it needs attention.
type MutantState = (&'static str, bool);

/// Returns the differences in the sets of checked builds and mutants, a sentence each.
pub(super) fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let tested: BTreeSet<Kernel<'_>> = &tested(before) & &tested(after);
    let (old, new) = (checked(before), checked(after));
    let only_in = |one: &BTreeSet<Kernel<'_>>, other: &BTreeSet<Kernel<'_>>| {
        let kernels = tested.iter();
        let kernels = kernels.filter(|kernel| one.contains(*kernel) && !other.contains(*kernel));
        let names = kernels.map(|(checkout, config)| format!("{checkout} ({config})"));
        names.collect::<Vec<_>>().join(", ")
    };
    let mut differences = Vec::new();
    let (lost, gained) = (only_in(&old, &new), only_in(&new, &old));
    if !lost.is_empty() {
        differences.push(format!("no self-check now on {lost}"));
    }
    if !gained.is_empty() {
        differences.push(format!("no self-check before on {gained}"));
    }
    let number = |result: &RunResult| match result.mutants.len() {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    let (old, new) = (number(before), number(after));
    if old != new {
        differences.push(format!(
            "different number of mutants: {old} before, {new} now"
        ));
    }
    differences
}

/// Returns the builds that have jobs.
fn tested(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let all = result.jobs.iter();
    all.map(|result| (result.checkout.as_str(), result.config.as_str()))
        .collect()
}

/// Returns the builds with a self-check.
fn checked(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let all = result.self_checks.iter();
    all.map(|result| (result.checkout.as_str(), result.config.as_str()))
        .collect()
}

/// Returns the self-checks with another result, worse changes first, of builds that were
/// checked in both runs; [`differences`] lists the other builds.
pub(super) fn self_checks(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    let of = |result: &RunResult| -> BTreeMap<_, _> {
        let key =
            |one: &SelfCheckResult| (one.checkout.clone(), one.config.clone(), one.name.clone());
        let all = result.self_checks.iter();
        all.map(|one| (key(one), one.detection)).collect()
    };
    let (old, new) = (of(before), of(after));
    let checked: BTreeSet<Kernel<'_>> = &checked(before) & &checked(after);
    let change = |(key, was, now): (
        &(String, String, String),
        Option<&Detection>,
        Option<&Detection>,
    )| {
        let (checkout, config, name) = key;
        let word =
            |detection: Option<&Detection>| detection.map_or(ABSENT, |detection| detection.word());
        let is_checked = checked.contains(&(checkout.as_str(), config.as_str()));
        (is_checked && was != now).then(|| ProofChange {
            name: format!("{name} on {checkout} ({config})"),
            before: word(was).to_owned(),
            now: word(now).to_owned(),
            worse: was == Some(&Detection::Detected)
                || (was.is_some() && now == Some(&Detection::Missed)),
        })
    };
    worse_first(in_either(&old, &new).filter_map(change))
}

/// Returns the mutants with another result, worse changes first. If only one run has mutants,
/// [`differences`] reports it.
pub(super) fn mutants(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    if before.mutants.is_empty() || after.mutants.is_empty() {
        return Vec::new();
    }
    let of = |result: &RunResult| -> BTreeMap<_, _> {
        let key = |one: &MutantResult| (one.name.clone(), one.config.clone());
        let all = result.mutants.iter();
        all.map(|one| (key(one), (one.word(), one.needs_attention())))
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let change = |(key, was, now): (
        &(String, String),
        Option<&MutantState>,
        Option<&MutantState>,
    )| {
        let (name, config) = key;
        let word = |fate: Option<&MutantState>| fate.map_or(ABSENT, |(word, _)| word);
        let needs_attention = now.is_some_and(|(_, needs_attention)| *needs_attention);
        (was != now).then(|| ProofChange {
            name: format!("{name} ({config})"),
            before: word(was).to_owned(),
            now: word(now).to_owned(),
            worse: needs_attention && was.is_some_and(|(_, needed_attention)| !needed_attention),
        })
    };
    worse_first(in_either(&old, &new).filter_map(change))
}

/// Returns each key that is in at least one map, with the old and the new value.
fn in_either<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .map(|key| (key, old.get(key), new.get(key)))
}

fn worse_first(changes: impl Iterator<Item = ProofChange>) -> Vec<ProofChange> {
    let mut changes: Vec<ProofChange> = changes.collect();
    changes.sort_by_key(|change| !change.worse);
    changes
}
