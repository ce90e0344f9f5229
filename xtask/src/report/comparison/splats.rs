// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds titles of kernel reports that are new or gone, by checkout and config.

use std::collections::{BTreeMap, BTreeSet};

use super::SplatChange;
use super::groups::{Group, Pair, State};

/// Checkout, config and title.
type Key = (String, String, String);

/// The tests whose jobs have a title, and whether a job of them is a finding.
#[derive(Default)]
struct Tests {
    names: BTreeSet<String>,
    is_finding: bool,
}

/// Returns the new titles and the gone titles.
pub(super) fn changes(pairs: &[Pair<'_, '_>]) -> (Vec<SplatChange>, Vec<SplatChange>) {
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    for pair in pairs {
        collect(pair, pair.before, &mut before);
        collect(pair, pair.now, &mut now);
        // A title is not gone if the job has no result now.
        if pair.now.state() == State::Inconclusive {
            collect(pair, pair.before, &mut now);
        }
    }
    (only_in(&now, &before, true), only_in(&before, &now, false))
}

fn collect(pair: &Pair<'_, '_>, group: &Group<'_>, into: &mut BTreeMap<Key, Tests>) {
    let is_finding = group.state() == State::Finding;
    for title in group.0.iter().flat_map(|job| &job.splats) {
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
