// SPDX-License-Identifier: GPL-2.0-only
//! How often a job that ran several times came to what: pass_rate is told as a rate, and
//! hidden by no retry.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JobResult;

/// What the repetitions of one scenario came to in one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RateResult {
    /// The scenario's name, or `TARGET:TEST` for a test of the tree's own.
    pub(crate) test: String,
    /// The config's name.
    pub(crate) config: String,
    /// How often it came to what, by checkout and status.
    pub(crate) checkouts: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Returns the rates of what ran several times on some checkout, in the order of the jobs.
pub(super) fn rates(jobs: &[JobResult]) -> Vec<RateResult> {
    let mut rates: Vec<RateResult> = Vec::new();
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for job in jobs {
        let place = places.entry((&job.test, &job.config)).or_insert_with(|| {
            rates.push(RateResult {
                test: job.test.clone(),
                config: job.config.clone(),
                checkouts: BTreeMap::new(),
            });
            rates.len() - 1
        });
        let statuses = rates[*place]
            .checkouts
            .entry(job.checkout.clone())
            .or_default();
        *statuses.entry(job.status.clone()).or_default() += 1;
    }
    let ran_again = |rate: &RateResult| {
        let mut counts = rate.checkouts.values();
        counts.any(|statuses| statuses.values().sum::<u32>() > 1)
    };
    rates.retain(ran_again);
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn what_ran_once_has_no_rate() {
        let mut jobs = vec![
            job("once", "base", "crash", "fail"),
            job("once", "series", "pass", "pass"),
        ];
        for repetition in 1..=10 {
            let status = if repetition == 4 { "pass" } else { "crash" };
            jobs.push(job("often", "base", status, "fail"));
            jobs.push(job("often", "series", "pass", "pass"));
        }
        let rates = rates(&jobs);
        let json = serde_json::to_value(&rates).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "test": "often",
                "config": "fast",
                "checkouts": {"base": {"crash": 9, "pass": 1}, "series": {"pass": 10}},
            }])
        );
    }
}
