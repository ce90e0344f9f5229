// SPDX-License-Identifier: GPL-2.0-only
//! How often a cell that ran several times came to what: chance is told as a rate, and
//! hidden by no retry.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CellResult;

/// What the repetitions of one scenario came to in one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RateResult {
    /// The scenario's name, or `TARGET:TEST` for a test of the tree's own.
    pub(crate) scenario: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// How often it came to what, by stack and outcome.
    pub(crate) stacks: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Returns the rates of what ran several times on some stack, in the order of the cells.
pub(super) fn rates(cells: &[CellResult]) -> Vec<RateResult> {
    let mut rates: Vec<RateResult> = Vec::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for cell in cells {
        let place = places
            .entry((&cell.scenario, &cell.profile))
            .or_insert_with(|| {
                rates.push(RateResult {
                    scenario: cell.scenario.clone(),
                    profile: cell.profile.clone(),
                    stacks: BTreeMap::new(),
                });
                rates.len() - 1
            });
        let outcomes = rates[*place].stacks.entry(cell.stack.clone()).or_default();
        *outcomes.entry(cell.outcome.clone()).or_default() += 1;
    }
    let ran_again = |rate: &RateResult| {
        let mut counts = rate.stacks.values();
        counts.any(|outcomes| outcomes.values().sum::<u32>() > 1)
    };
    rates.retain(ran_again);
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    #[test]
    fn what_ran_once_has_no_rate() {
        let mut cells = vec![
            cell("once", "base", "crash", "fail"),
            cell("once", "series", "pass", "pass"),
        ];
        for repetition in 1..=10 {
            let outcome = if repetition == 4 { "pass" } else { "crash" };
            cells.push(cell("often", "base", outcome, "fail"));
            cells.push(cell("often", "series", "pass", "pass"));
        }
        let rates = rates(&cells);
        let json = serde_json::to_value(&rates).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "scenario": "often",
                "profile": "fast",
                "stacks": {"base": {"crash": 9, "pass": 1}, "series": {"pass": 10}},
            }])
        );
    }
}
