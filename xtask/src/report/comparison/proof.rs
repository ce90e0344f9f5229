// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the self-checks and mutants of two runs. They show how much the results of a run
//! can be relied on.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{ABSENT, ProofChange};
use crate::result::{Detection, MutantResult, RunResult, SelfCheckResult};

/// Checkout and config.
type Kernel<'a> = (&'a str, &'a str);

/// Returns the differences in the sets of checked builds and mutants, a sentence each.
pub(super) fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let tested: BTreeSet<Kernel<'_>> = &tested(before) & &tested(after);
    let (old, new) = (checked(before), checked(after));
    let mut differences = Vec::new();
    for (when, here, there) in [("now", &old, &new), ("before", &new, &old)] {
        let only_here = tested
            .intersection(here)
            .filter(|kernel| !there.contains(*kernel));
        let names: Vec<String> = only_here
            .map(|(checkout, config)| format!("{checkout} ({config})"))
            .collect();
        if !names.is_empty() {
            differences.push(format!("no self-check {when} on {}", names.join(", ")));
        }
    }
    let number = |result: &RunResult| match result.mutants.len() {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    let (old, new) = (number(before), number(after));
    if old != new {
        let text = format!("different number of mutants: {old} before, {new} now");
        differences.push(text);
    }
    differences
}

/// Returns the builds that have jobs.
fn tested(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let jobs = result.jobs.iter();
    jobs.map(|job| (job.checkout.as_str(), job.config.as_str()))
        .collect()
}

/// Returns the builds with a self-check.
fn checked(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let self_checks = result.self_checks.iter();
    self_checks
        .map(|one| (one.checkout.as_str(), one.config.as_str()))
        .collect()
}

/// Returns the self-checks with another result, worse changes first, of builds that were
/// checked in both runs; [`differences`] lists the other builds.
pub(super) fn self_checks(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    let checked: BTreeSet<Kernel<'_>> = &checked(before) & &checked(after);
    let of = |all| detections(all, &checked);
    let (old, new) = (of(&before.self_checks), of(&after.self_checks));
    changes(&old, &new, |(checkout, config, name), was, now| {
        let word = |detection: Option<&Detection>| detection.map_or(ABSENT, |one| one.word());
        ProofChange {
            name: format!("{name} on {checkout} ({config})"),
            before: word(was).to_owned(),
            now: word(now).to_owned(),
            worse: was == Some(&Detection::Detected)
                || (was.is_some() && now == Some(&Detection::Missed)),
        }
    })
}

fn detections<'a>(
    all: &'a [SelfCheckResult],
    checked: &BTreeSet<Kernel<'_>>,
) -> BTreeMap<(&'a str, &'a str, &'a str), Detection> {
    let all = all.iter();
    all.map(|one| ((&*one.checkout, &*one.config, &*one.name), one.detection))
        .filter(|((checkout, config, _), _)| checked.contains(&(*checkout, *config)))
        .collect()
}

/// Returns the mutants with another result, worse changes first. If only one run has mutants,
/// [`differences`] reports it.
pub(super) fn mutants(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    if before.mutants.is_empty() || after.mutants.is_empty() {
        return Vec::new();
    }
    let (old, new) = (states(&before.mutants), states(&after.mutants));
    changes(&old, &new, |(name, config), was, now| {
        let word = |state: Option<&(&str, bool)>| state.map_or(ABSENT, |(word, _)| word).to_owned();
        ProofChange {
            name: format!("{name} ({config})"),
            before: word(was),
            now: word(now),
            worse: now.is_some_and(|(_, needs_attention)| *needs_attention)
                && was.is_some_and(|(_, needed_attention)| !needed_attention),
        }
    })
}

/// Returns the result of each mutant as printed, and whether it needs attention.
fn states(all: &[MutantResult]) -> BTreeMap<(&str, &str), (&'static str, bool)> {
    let all = all.iter();
    all.map(|one| {
        (
            (&*one.name, &*one.config),
            (one.word(), one.needs_attention()),
        )
    })
    .collect()
}

/// Returns a change for each key whose values differ, worse changes first.
fn changes<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    change: impl Fn(&K, Option<&V>, Option<&V>) -> ProofChange,
) -> Vec<ProofChange> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let differing = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    let changes = differing.map(|key| change(key, old.get(key), new.get(key)));
    let mut changes: Vec<ProofChange> = changes.collect();
    changes.sort_by_key(|change| !change.worse);
    changes
}
