// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pairs the jobs of two runs, classifies each pair, and finds titles of kernel reports that
//! are new or gone.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{ABSENT, Change, Comparison, Place, SplatChange};
use crate::result::{Group, JobResult, Matrix, RunResult};
use selftests::expectation::Expected;

/// Significance level: a higher rate with a smaller probability is not attributed to chance.
const LEVEL: f64 = 0.05;

/// The jobs of a run, with repetitions grouped.
pub(super) struct Groups<'a>(BTreeMap<Place, Group<'a>>);

/// A job that is in both runs.
pub(super) struct Pair<'g, 'a> {
    pub(super) place: &'g Place,
    pub(super) before: &'g Group<'a>,
    pub(super) now: &'g Group<'a>,
}

/// The combined result of all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All repetitions are as expected.
    Expected,
    /// At least one repetition is a finding.
    Finding,
    /// No repetition is a finding, and at least one was skipped or is an error.
    Inconclusive,
}

impl State {
    fn of(group: &Group<'_>) -> Self {
        if group.any(JobResult::is_finding) {
            Self::Finding
        } else if group.any(|job| job.is_inconclusive() || job.is_skipped()) {
            Self::Inconclusive
        } else {
            Self::Expected
        }
    }
}

impl<'a> Groups<'a> {
    pub(super) fn of(result: &'a RunResult) -> Self {
        let place = |job: &JobResult| Place {
            test: job.test.clone(),
            checkout: job.checkout.clone(),
            config: job.config.clone(),
            machine: job.machine.clone(),
        };
        let matrix = Matrix::of(&result.jobs);
        let groups = matrix.groups().iter();
        Self(
            groups
                .map(|group| (place(group.first()), group.clone()))
                .collect(),
        )
    }

    /// Returns the jobs that the earlier run has, too.
    pub(super) fn in_both<'g>(&'g self, before: &'g Self) -> impl Iterator<Item = Pair<'g, 'a>> {
        self.0.iter().filter_map(|(place, now)| {
            let before = before.0.get(place)?;
            Some(Pair { place, before, now })
        })
    }

    fn not_in<'g>(&'g self, other: &'g Self) -> impl Iterator<Item = (&'g Place, &'g Group<'a>)> {
        let groups = self.0.iter();
        groups.filter(|(place, _)| !other.0.contains_key(*place))
    }

    pub(super) fn places_not_in(&self, other: &Self) -> Vec<Place> {
        self.not_in(other).map(|(place, _)| place.clone()).collect()
    }

    /// Returns the jobs that the earlier run does not have and that need attention. Skipped
    /// jobs do not: the run lists them with their reasons.
    pub(super) fn wrong_not_in(&self, before: &Self) -> Vec<Change> {
        let groups = self.not_in(before);
        let wrong = groups.filter(|(_, now)| now.any(JobResult::needs_attention));
        let change = |(place, now): (&Place, &Group<'_>)| Change {
            place: place.clone(),
            before: ABSENT.to_owned(),
            now: words(now),
            reason: reason(now),
            worse: false,
        };
        wrong.map(change).collect()
    }
}

fn words(group: &Group<'_>) -> String {
    group.words(|job| {
        let is_xfail = job.expectation == Expected::Fail && !job.needs_attention();
        let xfail = if is_xfail { " xfail" } else { "" };
        let changed = match job.snapshot_difference {
            Some(_) => " (differs from its snapshot)",
            None => "",
        };
        format!("{}{xfail}{changed}", job.status)
    })
}

fn reason(group: &Group<'_>) -> String {
    group.most_relevant().reason.clone()
}

/// Adds a changed job to the matching list of the comparison.
pub(super) fn sort_in(pair: &Pair<'_, '_>, comparison: &mut Comparison) {
    let (old, new) = (State::of(pair.before), State::of(pair.now));
    let is_new = is_newly_unexpected(pair);
    let place = match (old, new) {
        (State::Expected | State::Inconclusive, State::Finding) => &mut comparison.broken,
        // A difference from the snapshot before must not hide a newly unexpected status.
        (State::Finding, State::Finding) if is_new => &mut comparison.broken,
        (State::Finding, State::Finding) => &mut comparison.still_wrong,
        (State::Expected | State::Finding, State::Inconclusive) => &mut comparison.inconclusive,
        (State::Finding | State::Inconclusive, State::Expected) => &mut comparison.fixed,
        (State::Expected, State::Expected) if differ(pair) => &mut comparison.turned,
        (State::Expected, State::Expected) | (State::Inconclusive, State::Inconclusive) => return,
    };
    let worse = match (old, new) {
        (_, State::Finding) => old != State::Finding || is_new || is_worse_rate(pair),
        (State::Expected, State::Inconclusive) => true,
        _ => false,
    };
    let reason = match new {
        State::Expected => reason(pair.before),
        State::Finding | State::Inconclusive => reason(pair.now),
    };
    place.push(Change {
        place: pair.place.clone(),
        before: words(pair.before),
        now: words(pair.now),
        reason,
        worse,
    });
}

/// Returns whether the sets of statuses differ, without regard to their numbers.
fn differ(pair: &Pair<'_, '_>) -> bool {
    let statuses = |group: &Group<'_>| -> BTreeSet<(&str, &str)> {
        let jobs = group.jobs().iter();
        jobs.map(|job| (job.status.word(), job.expectation.word()))
            .collect()
    };
    statuses(pair.before) != statuses(pair.now)
}

/// Returns whether a status is unexpected now and no status was unexpected before.
fn is_newly_unexpected(pair: &Pair<'_, '_>) -> bool {
    let is_unexpected = |job: &JobResult| !job.expected && !job.is_inconclusive();
    pair.now.any(is_unexpected) && !pair.before.any(is_unexpected)
}

fn is_worse_rate(pair: &Pair<'_, '_>) -> bool {
    let rate = |group: &Group<'_>| {
        let bad = group.count(JobResult::needs_attention);
        (bad, group.jobs().len())
    };
    is_more_often(rate(pair.before), rate(pair.now))
}

/// Checkout, config and title.
type Key = (String, String, String);

/// The tests whose jobs have a title, and whether a job of them is a finding.
#[derive(Default)]
struct Tests {
    names: BTreeSet<String>,
    is_finding: bool,
}

/// Returns the new titles and the gone titles.
pub(super) fn splats(pairs: &[Pair<'_, '_>]) -> (Vec<SplatChange>, Vec<SplatChange>) {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    for pair in pairs {
        collect(pair, pair.before, &mut before);
        collect(pair, pair.now, &mut now);
        // A title is not gone if the job has no result now.
        if State::of(pair.now) == State::Inconclusive {
            collect(pair, pair.before, &mut now);
        }
    }
    (only_in(&now, &before, true), only_in(&before, &now, false))
}

fn collect(pair: &Pair<'_, '_>, group: &Group<'_>, into: &mut BTreeMap<Key, Tests>) {
    let is_finding = State::of(group) == State::Finding;
    for title in group.jobs().iter().flat_map(|job| &job.splats) {
        let place = pair.place;
        let key = (place.checkout.clone(), place.config.clone(), title.clone());
        let tests = into.entry(key).or_default();
        tests.names.insert(place.test.clone());
        tests.is_finding |= is_finding;
    }
}

fn only_in(
    one: &BTreeMap<Key, Tests>,
    other: &BTreeMap<Key, Tests>,
    may_be_worse: bool,
) -> Vec<SplatChange> {
    let only = one.iter().filter(|(key, _)| !other.contains_key(*key));
    only.map(|((checkout, config, title), tests)| SplatChange {
        title: title.clone(),
        checkout: checkout.clone(),
        config: config.clone(),
        scenarios: tests.names.iter().cloned().collect(),
        worse: may_be_worse && tests.is_finding,
    })
    .collect()
}

/// Returns whether the rate now is significantly higher than before, by Fisher's exact test,
/// one-sided. Each pair is the number of events and the number of repetitions.
fn is_more_often(before: (usize, usize), now: (usize, usize)) -> bool {
    probability(before, now) < LEVEL
}

/// Returns the probability of at least `now.0` events among the repetitions now, if both rates are
/// equal.
fn probability(before: (usize, usize), now: (usize, usize)) -> f64 {
    let logs = log_factorials(before.1 + now.1);
    let choose = |of: usize, some: usize| match some <= of {
        true => logs[of] - logs[some] - logs[of - some],
        false => f64::NEG_INFINITY,
    };
    let events = before.0 + now.0;
    let all = choose(before.1 + now.1, events);
    (now.0..=events.min(now.1))
        .map(|among| (choose(now.1, among) + choose(before.1, events - among) - all).exp())
        .sum()
}

fn log_factorials(last: usize) -> Vec<f64> {
    let mut logs = vec![0.0];
    for number in 1..=last {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        logs.push(logs[logs.len() - 1] + f64::from(number).ln());
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_equals_values_computed_by_hand() {
        // 8 events, 7 in 10 repetitions now and 1 in 10 before: (C(10,7) C(10,1) + C(10,8)) / C(20,8).
        let by_hand = (120.0 * 10.0 + 45.0) / 125_970.0;
        assert!((probability((1, 10), (7, 10)) - by_hand).abs() < 1e-9);
        assert!((probability((1, 1), (1, 1)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn is_more_often_needs_a_significant_difference() {
        assert!(!is_more_often((1, 1), (1, 1)));
        assert!(!is_more_often((3, 10), (5, 10)));
        assert!(is_more_often((1, 10), (9, 10)));
        assert!(!is_more_often((9, 10), (1, 10)));
        assert!(is_more_often((10, 10_000), (100, 10_000)));
    }
}
