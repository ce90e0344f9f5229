// SPDX-License-Identifier: GPL-2.0-only
//! Detectors and mutants that came to something else: whether the verdicts of the later
//! run are worth as much as those of the earlier one.

use std::collections::{BTreeMap, BTreeSet};

use super::ProofChange;
use crate::result::{DetectorResult, Fate, MutantResult, RunResult, Sight};

/// Returns the detectors that see otherwise than before. One that is gone from a kernel
/// whose others are still asked sees nothing.
pub(super) fn detectors(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    let of = |result: &'_ RunResult| -> BTreeMap<(String, String, String), Sight> {
        let key = |one: &DetectorResult| (one.stack.clone(), one.profile.clone(), one.name.clone());
        result
            .detectors
            .iter()
            .map(|one| (key(one), one.sight))
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let kernels: BTreeSet<_> = new
        .keys()
        .map(|(stack, profile, _)| (stack, profile))
        .collect();
    let mut changes = Vec::new();
    for ((stack, profile, name), sight) in &old {
        let now = new.get(&(stack.clone(), profile.clone(), name.clone()));
        if now == Some(sight) || (now.is_none() && !kernels.contains(&(stack, profile))) {
            continue;
        }
        changes.push(ProofChange {
            name: format!("{name} on {stack} ({profile})"),
            before: sees(*sight).to_owned(),
            now: now.map_or("not asked", |sight| sees(*sight)).to_owned(),
            worse: *sight == Sight::Seen,
        });
    }
    changes
}

const fn sees(sight: Sight) -> &'static str {
    match sight {
        Sight::Seen => "seen",
        Sight::Blind => "blind",
        Sight::Absent => "not in this profile",
    }
}

/// Returns the mutants whose fate is another than before, and those that are new and
/// unnoticed.
pub(super) fn mutants(before: &RunResult, after: &RunResult) -> Vec<ProofChange> {
    let of = |result: &RunResult| -> BTreeMap<(String, String), Fate> {
        let key = |one: &MutantResult| (one.name.clone(), one.profile.clone());
        result
            .mutants
            .iter()
            .map(|one| (key(one), one.fate))
            .collect()
    };
    let (old, new) = (of(before), of(after));
    let mut changes = Vec::new();
    for ((name, profile), fate) in &new {
        let was = old.get(&(name.clone(), profile.clone()));
        let is_new_hole = was.is_none() && *fate == Fate::Unnoticed && !old.is_empty();
        if was.is_some_and(|was| was != fate) || is_new_hole {
            changes.push(ProofChange {
                name: format!("{name} ({profile})"),
                before: was.map_or("not there", |was| came_to(*was)).to_owned(),
                now: came_to(*fate).to_owned(),
                worse: was.is_some() && *fate == Fate::Unnoticed,
            });
        }
    }
    changes
}

const fn came_to(fate: Fate) -> &'static str {
    match fate {
        Fate::Noticed => "noticed",
        Fate::Unnoticed => "unnoticed",
        Fate::Unproven => "not proven",
        Fate::Equivalent => "equivalent",
        Fate::SameObject => "same object code",
        Fate::NotBuilt => "does not compile",
    }
}
