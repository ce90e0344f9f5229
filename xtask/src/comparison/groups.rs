// SPDX-License-Identifier: GPL-2.0-only
//! Jobs of two runs that belong together, and what became of each.

use std::collections::BTreeMap;

use super::{Change, Comparison, Place, pass_rate};
use crate::result::{JobResult, RunResult};

/// The jobs of a run, repetitions together.
pub(super) struct Groups<'a>(BTreeMap<Place, Group<'a>>);

/// A job's repetitions; never empty.
#[derive(Clone, Debug)]
pub(super) struct Group<'a>(pub(super) Vec<&'a JobResult>);

/// A job in both runs.
pub(super) struct Pair<'g, 'a> {
    pub(super) place: &'g Place,
    pub(super) before: &'g Group<'a>,
    pub(super) now: &'g Group<'a>,
}

/// What is known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All repetitions came to what was expected.
    Right,
    /// At least one is a finding.
    Wrong,
    /// None is a finding, and at least one was skipped or is an error.
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

    /// Returns the jobs that an earlier run has as well.
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

    /// Returns the jobs that an earlier run does not have and that are not as expected, or
    /// without a verdict.
    pub(super) fn wrong_not_in(&self, before: &Self) -> Vec<Change> {
        let groups = self.0.iter();
        groups
            .filter(|(place, now)| !before.0.contains_key(*place) && now.is_wrong_or_error())
            .map(|(place, now)| Change {
                place: place.clone(),
                before: "not there".to_owned(),
                now: now.word(),
                reason: now.reason(),
                worse: false,
            })
            .collect()
    }
}

impl Group<'_> {
    pub(super) fn state(&self) -> State {
        let any = |test: &dyn Fn(&JobResult) -> bool| self.0.iter().any(|job| test(job));
        if any(&|job| job.is_finding() && job.status != "error") {
            State::Wrong
        } else if any(&|job| job.status == "error" || job.is_skipped()) {
            State::Inconclusive
        } else {
            State::Right
        }
    }

    /// Returns whether a person should look at it: a skip says why in the run itself.
    fn is_wrong_or_error(&self) -> bool {
        self.state() == State::Wrong || self.0.iter().any(|job| job.status == "error")
    }

    fn wrong(&self) -> usize {
        self.0.iter().filter(|job| job.is_finding()).count()
    }

    /// Returns the status; of repetitions, how often there was which.
    fn word(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for job in &self.0 {
            let changed = if job.snapshot_difference.is_some() {
                " (not as recorded)"
            } else {
                ""
            };
            let expected = if job.expectation == "fail" && !job.is_finding() {
                " as expected"
            } else {
                ""
            };
            *counts
                .entry(format!("{}{expected}{changed}", job.status))
                .or_default() += 1;
        }
        let total = self.0.len();
        let rates = counts.iter().map(|(word, count)| match total {
            1 => word.clone(),
            _ => format!("{word} {count}/{total}"),
        });
        rates.collect::<Vec<_>>().join(", ")
    }

    /// Returns why, of the repetition that tells most.
    fn reason(&self) -> String {
        let tells_less = |job: &&&JobResult| (!job.is_finding(), job.status == "pass");
        let telling = self.0.iter().min_by_key(tells_less);
        telling.map(|job| job.reason.clone()).unwrap_or_default()
    }
}

/// Puts a job where it belongs in the comparison, if anything changed.
pub(super) fn sort_in(pair: &Pair<'_, '_>, comparison: &mut Comparison) {
    let (old, new) = (pair.before.state(), pair.now.state());
    let is_new = is_newly_unexpected(pair);
    let place = match (old, new) {
        (State::Right | State::Inconclusive, State::Wrong) => &mut comparison.broken,
        // That it was not as recorded before excuses no status that was not there.
        (State::Wrong, State::Wrong) if is_new => &mut comparison.broken,
        (State::Wrong, State::Wrong) => &mut comparison.still_wrong,
        (State::Right | State::Wrong, State::Inconclusive) => &mut comparison.inconclusive,
        (State::Wrong | State::Inconclusive, State::Right) => &mut comparison.fixed,
        (State::Right, State::Right) if differ(pair) => &mut comparison.turned,
        (State::Right, State::Right) | (State::Inconclusive, State::Inconclusive) => return,
    };
    let worse = match (old, new) {
        (_, State::Wrong) => old != State::Wrong || is_new || is_more_often(pair),
        (State::Right, State::Inconclusive) => true,
        _ => false,
    };
    let reason = match new {
        State::Right => pair.before.reason(),
        State::Wrong | State::Inconclusive => pair.now.reason(),
    };
    place.push(Change {
        place: pair.place.clone(),
        before: pair.before.word(),
        now: pair.now.word(),
        reason,
        worse,
    });
}

/// Returns whether jobs that are both as expected came to different statuses, however
/// often to which.
fn differ(pair: &Pair<'_, '_>) -> bool {
    let statuses = |group: &Group<'_>| {
        let jobs = group.0.iter();
        let mut them: Vec<(String, String)> = jobs
            .map(|job| (job.status.clone(), job.expectation.clone()))
            .collect();
        them.sort_unstable();
        them.dedup();
        them
    };
    statuses(pair.before) != statuses(pair.now)
}

/// Returns whether a job came to what it must not, and never did before.
fn is_newly_unexpected(pair: &Pair<'_, '_>) -> bool {
    let is_unexpected = |group: &Group<'_>| {
        let mut jobs = group.0.iter();
        jobs.any(|job| !job.expected && job.status != "error")
    };
    is_unexpected(pair.now) && !is_unexpected(pair.before)
}

fn is_more_often(pair: &Pair<'_, '_>) -> bool {
    pass_rate::is_more_often(
        (pair.before.wrong(), pair.before.0.len()),
        (pair.now.wrong(), pair.now.0.len()),
    )
}
