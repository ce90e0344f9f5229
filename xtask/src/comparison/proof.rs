// SPDX-License-Identifier: GPL-2.0-only
//! SelfChecks and mutants that came to something else: whether the verdicts of the later
//! run are worth as much as those of the earlier one.

use std::collections::{BTreeMap, BTreeSet};

use super::ProofChange;
use crate::result::{Detection, MutantResult, MutantStatus, RunResult, SelfCheckResult};

/// What is said of something in the run that does not have it.
const NOT_THERE: &str = "not there";

/// Checkout and config.
type Kernel<'a> = (&'a str, &'a str);

/// Returns how the runs differ in what they have to prove their verdicts by, a sentence
/// each.
pub(super) fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let judged: BTreeSet<Kernel<'_>> = &judged(before) & &judged(after);
    let (old, new) = (shown_on(before), shown_on(after));
    let only = |these: &BTreeSet<Kernel<'_>>, those: &BTreeSet<Kernel<'_>>| {
        let only = judged.iter().filter(|one| these.contains(*one));
        let only = only.filter(|one| !those.contains(*one));
        let names = only.map(|(checkout, config)| format!("{checkout} ({config})"));
        names.collect::<Vec<_>>().join(", ")
    };
    let mut differences = Vec::new();
    let (lost, gained) = (only(&old, &new), only(&new, &old));
    if !lost.is_empty() {
        differences.push(format!("no self_checks are shown now on {lost}"));
    }
    if !gained.is_empty() {
        differences.push(format!("no self_checks were shown before on {gained}"));
    }
    let number = |result: &RunResult| match result.mutants.len() {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    let (old, new) = (number(before), number(after));
    if old != new {
        differences.push(format!(
            "another number of mutants: {old} before, {new} now"
        ));
    }
    differences
}

/// Returns the kernels that have jobs.
fn judged(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let all = result.jobs.iter();
    all.map(|one| (one.checkout.as_str(), one.config.as_str()))
        .collect()
}

/// Returns the kernels whose self_checks were shown.
fn shown_on(result: &RunResult) -> BTreeSet<Kernel<'_>> {
    let all = result.self_checks.iter();
    all.map(|one| (one.checkout.as_str(), one.config.as_str()))
        .collect()
}

/// Returns the self_checks that see otherwise than before, what is worse first, of kernels
/// that showed theirs in both runs; [`differences`] has the others.
pub(super) fn self_checks(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    let of = |result: &RunResult| -> BTreeMap<_, _> {
        let key =
            |one: &SelfCheckResult| (one.checkout.clone(), one.config.clone(), one.name.clone());
        let all = result.self_checks.iter();
        all.map(|one| (key(one), one.detection)).collect()
    };
    let (old, new) = (of(before), of(after));
    let asked: BTreeSet<Kernel<'_>> = &shown_on(before) & &shown_on(after);
    let change = |(key, was, now): (
        &(String, String, String),
        Option<&Detection>,
        Option<&Detection>,
    )| {
        let (checkout, config, name) = key;
        let word = |detection: Option<&Detection>| {
            detection.map_or(NOT_THERE, |detection| sees(*detection))
        };
        let is_asked = asked.contains(&(checkout.as_str(), config.as_str()));
        (is_asked && was != now).then(|| ProofChange {
            name: format!("{name} on {checkout} ({config})"),
            before: word(was).to_owned(),
            now: word(now).to_owned(),
            worse: was == Some(&Detection::Seen)
                || (was.is_some() && now == Some(&Detection::Missed)),
        })
    };
    worse_first(in_either(&old, &new).filter_map(change))
}

const fn sees(detection: Detection) -> &'static str {
    match detection {
        Detection::Seen => "seen",
        Detection::Missed => "blind",
        Detection::NotConfigured => "not in this config",
    }
}

/// What a mutant came to, as far as runs are compared by it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Came {
    status: MutantStatus,
    is_finding: bool,
}

impl Came {
    const fn word(self) -> &'static str {
        match self.status {
            MutantStatus::Caught => "caught",
            MutantStatus::Missed => "missed",
            MutantStatus::Inconclusive => "not proven",
            MutantStatus::Equivalent if self.is_finding => "caught, though equivalent",
            MutantStatus::Equivalent => "equivalent",
            MutantStatus::SameCode => "same object code",
            MutantStatus::Unviable => "does not compile",
        }
    }
}

/// Returns the mutants that came to something else than before, what is worse first. Where
/// only one run has mutants, [`differences`] says so.
pub(super) fn mutants(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    if before.mutants.is_empty() || after.mutants.is_empty() {
        return Vec::new();
    }
    let of = |result: &RunResult| -> BTreeMap<_, _> {
        let key = |one: &MutantResult| (one.name.clone(), one.config.clone());
        let came = |one: &MutantResult| Came {
            status: one.status,
            is_finding: one.is_finding(),
        };
        let all = result.mutants.iter();
        all.map(|one| (key(one), came(one))).collect()
    };
    let (old, new) = (of(before), of(after));
    let change = |(key, was, now): (&(String, String), Option<&Came>, Option<&Came>)| {
        let (name, config) = key;
        let word = |came: Option<&Came>| came.map_or(NOT_THERE, |came| came.word());
        let is_new_finding = now.is_some_and(|now| now.is_finding);
        (was != now).then(|| ProofChange {
            name: format!("{name} ({config})"),
            before: word(was).to_owned(),
            now: word(now).to_owned(),
            worse: is_new_finding && was.is_some_and(|was| !was.is_finding),
        })
    };
    worse_first(in_either(&old, &new).filter_map(change))
}

/// Returns what one of two runs has, or both, with what it was and what it is.
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
