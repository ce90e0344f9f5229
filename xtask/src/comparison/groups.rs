// SPDX-License-Identifier: GPL-2.0-only
//! Cells of two runs that belong together, and what became of each.

use std::collections::BTreeMap;

use super::{Change, Comparison, Place, chance};
use crate::result::{CellResult, RunResult, Verdict};

/// The cells of a run, repetitions together.
pub(super) struct Groups<'a>(BTreeMap<Place, Group<'a>>);

/// A cell's repetitions; never empty.
#[derive(Clone, Debug)]
pub(super) struct Group<'a>(pub(super) Vec<&'a CellResult>);

/// A cell in both runs.
pub(super) struct Pair<'g, 'a> {
    pub(super) place: &'g Place,
    pub(super) before: &'g Group<'a>,
    pub(super) now: &'g Group<'a>,
}

/// What is known of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All repetitions came to what was expected.
    Right,
    /// At least one is a finding.
    Wrong,
    /// None is a finding, and at least one was skipped or is an error.
    Unproven,
}

impl<'a> Groups<'a> {
    pub(super) fn of(result: &'a RunResult) -> Self {
        let mut groups: BTreeMap<Place, Group<'a>> = BTreeMap::new();
        for cell in &result.cells {
            let place = Place {
                scenario: cell.scenario.clone(),
                stack: cell.stack.clone(),
                profile: cell.profile.clone(),
                machine: cell.machine.clone(),
            };
            let group = groups.entry(place).or_insert_with(|| Group(Vec::new()));
            group.0.push(cell);
        }
        Self(groups)
    }

    /// Returns the cells that an earlier run has as well.
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

    /// Returns the cells that an earlier run does not have and that are not as expected, or
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
        let any = |test: &dyn Fn(&CellResult) -> bool| self.0.iter().any(|cell| test(cell));
        if any(&|cell| cell.is_finding() && cell.outcome != "error") {
            State::Wrong
        } else if any(&|cell| cell.outcome == "error" || cell.is_skipped()) {
            State::Unproven
        } else {
            State::Right
        }
    }

    /// Returns whether a person should look at it: a skip says why in the run itself.
    fn is_wrong_or_error(&self) -> bool {
        self.state() == State::Wrong || self.0.iter().any(|cell| cell.outcome == "error")
    }

    fn wrong(&self) -> usize {
        self.0.iter().filter(|cell| cell.is_finding()).count()
    }

    /// Returns the outcome; of repetitions, how often there was which.
    fn word(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for cell in &self.0 {
            let changed = if cell.snapshot_difference.is_some() {
                " (not as recorded)"
            } else {
                ""
            };
            let expected = if cell.expected == "fail" && !cell.is_finding() {
                " as expected"
            } else {
                ""
            };
            *counts
                .entry(format!("{}{expected}{changed}", cell.outcome))
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
        let tells_less = |cell: &&&CellResult| (!cell.is_finding(), cell.outcome == "pass");
        let telling = self.0.iter().min_by_key(tells_less);
        telling.map(|cell| cell.reason.clone()).unwrap_or_default()
    }
}

/// Puts a cell where it belongs in the comparison, if anything changed.
pub(super) fn sort_in(pair: &Pair<'_, '_>, comparison: &mut Comparison) {
    let (old, new) = (pair.before.state(), pair.now.state());
    let is_new = is_newly_unexpected(pair);
    let place = match (old, new) {
        (State::Right | State::Unproven, State::Wrong) => &mut comparison.broken,
        // That it was not as recorded before excuses no outcome that was not there.
        (State::Wrong, State::Wrong) if is_new => &mut comparison.broken,
        (State::Wrong, State::Wrong) => &mut comparison.still_wrong,
        (State::Right | State::Wrong, State::Unproven) => &mut comparison.unproven,
        (State::Wrong | State::Unproven, State::Right) => &mut comparison.fixed,
        (State::Right, State::Right) if differ(pair) => &mut comparison.turned,
        (State::Right, State::Right) | (State::Unproven, State::Unproven) => return,
    };
    let worse = match (old, new) {
        (_, State::Wrong) => old != State::Wrong || is_new || is_more_often(pair),
        (State::Right, State::Unproven) => true,
        _ => false,
    };
    let reason = match new {
        State::Right => pair.before.reason(),
        State::Wrong | State::Unproven => pair.now.reason(),
    };
    place.push(Change {
        place: pair.place.clone(),
        before: pair.before.word(),
        now: pair.now.word(),
        reason,
        worse,
    });
}

/// Returns whether cells that are both as expected came to different outcomes, however
/// often to which.
fn differ(pair: &Pair<'_, '_>) -> bool {
    let outcomes = |group: &Group<'_>| {
        let cells = group.0.iter();
        let mut them: Vec<(String, String)> = cells
            .map(|cell| (cell.outcome.clone(), cell.expected.clone()))
            .collect();
        them.sort_unstable();
        them.dedup();
        them
    };
    outcomes(pair.before) != outcomes(pair.now)
}

/// Returns whether a cell came to what it must not, and never did before.
fn is_newly_unexpected(pair: &Pair<'_, '_>) -> bool {
    let is_unexpected = |group: &Group<'_>| {
        let mut cells = group.0.iter();
        cells.any(|cell| cell.verdict == Verdict::Unexpected && cell.outcome != "error")
    };
    is_unexpected(pair.now) && !is_unexpected(pair.before)
}

fn is_more_often(pair: &Pair<'_, '_>) -> bool {
    chance::is_more_often(
        (pair.before.wrong(), pair.before.0.len()),
        (pair.now.wrong(), pair.now.0.len()),
    )
}
