// SPDX-License-Identifier: GPL-2.0-only
//! Titles of reports that came or went, by checkout and config.

use std::collections::{BTreeMap, BTreeSet};

use super::SplatChange;
use super::groups::{Group, Pair, State};

/// Checkout, config and title.
type Key = (String, String, String);

/// The scenarios that show a title, and whether one of them is not as expected.
#[derive(Default)]
struct Shown {
    scenarios: BTreeSet<String>,
    is_wrong: bool,
}

/// Returns the titles that are new and those that are gone.
pub(super) fn changes(pairs: &[Pair<'_, '_>]) -> (Vec<SplatChange>, Vec<SplatChange>) {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    for pair in pairs {
        collect(pair, pair.before, &mut before);
        collect(pair, pair.now, &mut now);
        // Of a job of which nothing is known now, no title is gone.
        if pair.now.state() == State::Inconclusive {
            collect(pair, pair.before, &mut now);
        }
    }
    (only_in(&now, &before, true), only_in(&before, &now, false))
}

fn collect(pair: &Pair<'_, '_>, group: &Group<'_>, into: &mut BTreeMap<Key, Shown>) {
    let is_wrong = group.state() == State::Wrong;
    for title in group.0.iter().flat_map(|job| &job.splats) {
        let place = pair.place;
        let key = (place.checkout.clone(), place.config.clone(), title.clone());
        let shown = into.entry(key).or_default();
        shown.scenarios.insert(place.test.clone());
        shown.is_wrong |= is_wrong;
    }
}

fn only_in(
    these: &BTreeMap<Key, Shown>,
    those: &BTreeMap<Key, Shown>,
    may_be_worse: bool,
) -> Vec<SplatChange> {
    let only = these.iter().filter(|(key, _)| !those.contains_key(*key));
    only.map(|((checkout, config, title), shown)| SplatChange {
        title: title.clone(),
        checkout: checkout.clone(),
        config: config.clone(),
        scenarios: shown.scenarios.iter().cloned().collect(),
        worse: may_be_worse && shown.is_wrong,
    })
    .collect()
}
