// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pairs the jobs of two runs and classifies each pair.

use std::collections::BTreeMap;

use super::{ABSENT, Change, Comparison, Place, pass_rate};
use crate::result::{JobResult, RunResult};
use selftests::expectation::Expected;
use selftests::status::Status;

/// The jobs of a run, with repetitions grouped.
pub(super) struct Groups<'a>(BTreeMap<Place, Group<'a>>);

/// All repetitions of a job; never empty.
#[derive(Clone, Debug)]
pub(super) struct Group<'a>(pub(super) Vec<&'a JobResult>);

/// A job that is in both runs.
pub(super) struct Pair<'g, 'a> {
    pub(super) place: &'g Place,
    pub(super) before: &'g Group<'a>,
    pub(super) now: &'g Group<'a>,
}

/// The combined result of all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All repetitions are as expected.
    Expected,
    /// At least one repetition is a finding.
    Finding,
    /// No repetition is a finding, and at least one was skipped or is an error.
    Inconclusive,
}

impl<'a> Groups<'a> {
    pub(super) fn of(result: &'a RunResult) -> Self {
        let mut groups: BTreeMap<Place, Group<'a>> = BTreeMap::new();
        for job in &result.jobs {
            let place = Place {
                test: job.test.clone(),
                checkout: job.checkout.clone(),
                config: job.config.clone(),
                machine: job.machine.clone(),
            };
            let group = groups.entry(place).or_insert_with(|| Group(Vec::new()));
            group.0.push(job);
        }
        Self(groups)
    }

    /// Returns the jobs that the earlier run has, too.
    pub(super) fn in_both<'g>(&'g self, before: &'g Self) -> impl Iterator<Item = Pair<'g, 'a>> {
        self.0.iter().filter_map(|(place, now)| {
            let before = before.0.get(place)?;
            Some(Pair { place, before, now })
        })
    }

    pub(super) fn places_not_in(&self, other: &Self) -> Vec<Place> {
        let places = self.0.keys();
        places
            .filter(|place| !other.0.contains_key(*place))
            .cloned()
            .collect()
    }

    /// Returns the jobs that the earlier run does not have and that need attention.
    pub(super) fn wrong_not_in(&self, before: &Self) -> Vec<Change> {
        let groups = self.0.iter();
        groups
            .filter(|(place, now)| !before.0.contains_key(*place) && now.needs_attention())
            .map(|(place, now)| Change {
                place: place.clone(),
                before: ABSENT.to_owned(),
                now: now.status(),
                reason: now.reason(),
                worse: false,
            })
            .collect()
    }
}

impl Group<'_> {
    pub(super) fn state(&self) -> State {
        let any = |test: &dyn Fn(&JobResult) -> bool| self.0.iter().any(|job| test(job));
        if any(&|job| job.is_finding()) {
            State::Finding
        } else if any(&|job| job.is_inconclusive() || job.is_skipped()) {
            State::Inconclusive
        } else {
            State::Expected
        }
    }

    /// Skipped jobs do not need attention: the run lists them with their reasons.
    fn needs_attention(&self) -> bool {
        self.0.iter().any(|job| job.needs_attention())
    }

    fn attention_count(&self) -> usize {
        self.0.iter().filter(|job| job.needs_attention()).count()
    }

    /// Returns the status; with repetitions, the number of each status.
    fn status(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for job in &self.0 {
            let changed = if job.snapshot_difference.is_some() {
                " (differs from its snapshot)"
            } else {
                ""
            };
            let xfail = if job.expectation == Expected::Fail && !job.needs_attention() {
                " xfail"
            } else {
                ""
            };
            *counts
                .entry(format!("{}{xfail}{changed}", job.status))
                .or_default() += 1;
        }
        let total = self.0.len();
        let rates = counts.iter().map(|(status, count)| match total {
            1 => status.clone(),
            _ => format!("{status} {count}/{total}"),
        });
        rates.collect::<Vec<_>>().join(", ")
    }

    /// Returns the reason of the first repetition that needs attention, else of the first that
    /// did not pass, else of the first.
    fn reason(&self) -> String {
        let rank = |job: &&&JobResult| (!job.needs_attention(), job.status == Status::Pass);
        let first = self.0.iter().min_by_key(rank);
        first.map(|job| job.reason.clone()).unwrap_or_default()
    }
}

/// Adds a changed job to the matching list of the comparison.
pub(super) fn sort_in(pair: &Pair<'_, '_>, comparison: &mut Comparison) {
    let (old, new) = (pair.before.state(), pair.now.state());
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
        (_, State::Finding) => old != State::Finding || is_new || is_more_often(pair),
        (State::Expected, State::Inconclusive) => true,
        _ => false,
    };
    let reason = match new {
        State::Expected => pair.before.reason(),
        State::Finding | State::Inconclusive => pair.now.reason(),
    };
    place.push(Change {
        place: pair.place.clone(),
        before: pair.before.status(),
        now: pair.now.status(),
        reason,
        worse,
    });
}

/// Returns whether the sets of statuses differ, without regard to their numbers.
fn differ(pair: &Pair<'_, '_>) -> bool {
    let statuses = |group: &Group<'_>| {
        let jobs = group.0.iter();
        let mut statuses: Vec<(&str, &str)> = jobs
            .map(|job| (job.status.word(), job.expectation.word()))
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    };
    statuses(pair.before) != statuses(pair.now)
}

/// Returns whether a status is unexpected now and no status was unexpected before.
fn is_newly_unexpected(pair: &Pair<'_, '_>) -> bool {
    let is_unexpected = |group: &Group<'_>| {
        let mut jobs = group.0.iter();
        jobs.any(|job| !job.expected && !job.is_inconclusive())
    };
    is_unexpected(pair.now) && !is_unexpected(pair.before)
}

fn is_more_often(pair: &Pair<'_, '_>) -> bool {
    pass_rate::is_more_often(
        (pair.before.attention_count(), pair.before.0.len()),
        (pair.now.attention_count(), pair.now.0.len()),
    )
}
