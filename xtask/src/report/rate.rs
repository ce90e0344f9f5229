// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statuses of repeated jobs as rates for each checkout. Failed jobs are never retried.

use std::collections::BTreeMap;

use crate::result::{JobResult, RunResult};

/// Returns the number of jobs of each status, the highest number first; of equal numbers,
/// unexpected statuses first.
pub(super) fn counts<'a>(jobs: &[&'a JobResult]) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for job in jobs {
        let (count, is_unexpected) = counts.entry(job.status.word()).or_default();
        *count += 1;
        *is_unexpected |= !job.expected;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, order)| std::cmp::Reverse(*order));
    let counts = counts.into_iter();
    counts.map(|(status, (count, _))| (status, count)).collect()
}

/// Returns all repetitions of a job on a checkout.
pub(super) fn repetitions<'a>(
    result: &'a RunResult,
    of: &JobResult,
    checkout: &str,
) -> Vec<&'a JobResult> {
    let jobs = result.jobs.iter();
    jobs.filter(|one| one.checkout == checkout && one.test == of.test && one.config == of.config)
        .collect()
}

/// Returns the rates of a test on each checkout: `base 9/10 crash, 1/10 pass`.
pub(super) fn rate(result: &RunResult, job: &JobResult) -> String {
    let mut checkouts: Vec<&str> = Vec::new();
    for one in &result.jobs {
        if !checkouts.contains(&one.checkout.as_str()) {
            checkouts.push(&one.checkout);
        }
    }
    let of_checkout = |checkout: &str| {
        let jobs = repetitions(result, job, checkout);
        let all = jobs.len();
        let counts = counts(&jobs).into_iter();
        let counts: Vec<String> = counts
            .map(|(status, count)| format!("{count}/{all} {status}"))
            .collect();
        (all > 0).then(|| format!("{checkout} {}", counts.join(", ")))
    };
    let rates: Vec<String> = checkouts.into_iter().filter_map(of_checkout).collect();
    rates.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn rate_has_the_statuses_of_each_checkout() {
        let mut jobs = Vec::new();
        for repetition in 1..=10 {
            let status = if repetition == 4 { "pass" } else { "crash" };
            jobs.push(job("often", "base", status, "fail"));
            jobs.push(job("often", "series", "pass", "pass"));
        }
        let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
        let first = &result.jobs[0];
        assert_eq!(
            rate(&result, first),
            "base 9/10 crash, 1/10 pass; series 10/10 pass"
        );
        assert_eq!(repetitions(&result, first, "series").len(), 10);
    }
}
