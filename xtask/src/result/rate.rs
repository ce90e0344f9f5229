// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pass rates of jobs that ran several times. Failed jobs are never retried.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use selftests::status::Status;
use serde::{Deserialize, Serialize};

use super::JobResult;

/// The statuses of all repetitions of one test in one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RateResult {
    /// The scenario's name, or `TARGET:TEST` for a kselftest of the tree.
    pub test: String,
    /// The config's name.
    pub config: String,
    /// The number of jobs, by checkout and status.
    pub checkouts: BTreeMap<String, BTreeMap<Status, u32>>,
}

/// Returns the rates of tests that ran several times on a checkout, in the order of the jobs.
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
        *statuses.entry(job.status).or_default() += 1;
    }
    let is_repeated = |rate: &RateResult| {
        let mut counts = rate.checkouts.values();
        counts.any(|statuses| statuses.values().sum::<u32>() > 1)
    };
    rates.retain(is_repeated);
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn rates_returns_only_tests_that_ran_several_times() {
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
