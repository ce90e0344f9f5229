// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs grouped by test, config and checkout: every renderer reads the jobs through this type.
//! Failed jobs are never retried, so the repetitions of a job give pass rates.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::Status;
use serde::{Deserialize, Serialize};

use super::job::JobResult;
use crate::text::distinct;

/// The jobs of a run. Groups are in the order of their first jobs.
#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    groups: Vec<Group<'a>>,
    /// The index of a group, by test, config and checkout.
    places: BTreeMap<(&'a str, &'a str, &'a str), usize>,
}

/// All repetitions of a job; never empty.
#[derive(Clone, Debug)]
pub struct Group<'a>(Vec<&'a JobResult>);

/// How a result relates to its expectation and snapshot, the most severe mark last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// An expected pass or skip.
    None,
    /// Not a pass, in mid-series, where no status is asserted.
    NotAsserted,
    /// An expected failure.
    Xfail,
    /// It differs from the snapshot.
    Changed,
    /// The tool or the host failed.
    Inconclusive,
    /// An unexpected pass.
    Xpass,
    /// Any other unexpected status.
    Unexpected,
}

impl Mark {
    fn of(job: &JobResult) -> Self {
        match (job.status, job.expectation) {
            (Status::Error, _) => Self::Inconclusive,
            (Status::Pass, Expected::Fail) if !job.expected => Self::Xpass,
            _ if !job.expected => Self::Unexpected,
            _ if job.snapshot_difference.is_some() => Self::Changed,
            (_, Expected::Fail) => Self::Xfail,
            (status, Expected::Either) if status != Status::Pass => Self::NotAsserted,
            _ => Self::None,
        }
    }

    /// Returns the mark as printed; empty for an expected pass or skip.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::NotAsserted => "not asserted",
            Self::Xfail => "xfail",
            Self::Changed => "CHANGED",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Xpass => "XPASS",
            Self::Unexpected => "UNEXPECTED",
        }
    }

    /// Returns whether a result with this mark is a finding or inconclusive.
    pub fn needs_attention(self) -> bool {
        self >= Self::Changed
    }
}

impl<'a> Matrix<'a> {
    /// Groups jobs.
    pub fn of(jobs: impl IntoIterator<Item = &'a JobResult>) -> Self {
        let (mut groups, mut places) = (Vec::<Group<'a>>::new(), BTreeMap::new());
        for job in jobs {
            let place = (
                job.test.as_str(),
                job.config.as_str(),
                job.checkout.as_str(),
            );
            let index = *places.entry(place).or_insert(groups.len());
            match groups.get_mut(index) {
                Some(group) => group.0.push(job),
                None => groups.push(Group(vec![job])),
            }
        }
        Self { groups, places }
    }

    /// Returns the groups, in the order of their first jobs.
    pub fn groups(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// Returns the jobs of a test with a config on a checkout.
    pub fn get(&self, test: &str, config: &str, checkout: &str) -> Option<&Group<'a>> {
        let index = *self.places.get(&(test, config, checkout))?;
        self.groups.get(index)
    }

    /// Returns the configs, in the order of the jobs.
    pub fn configs(&self) -> Vec<&'a str> {
        self.each(|job| job.config.as_str())
    }

    /// Returns the checkouts, in the order of the jobs.
    pub fn checkouts(&self) -> Vec<&'a str> {
        self.each(|job| job.checkout.as_str())
    }

    /// Returns the checkouts of a config, in the order of the jobs.
    pub fn checkouts_of(&self, config: &str) -> Vec<&'a str> {
        let kernels = self.kernels().into_iter();
        let of_config = kernels.filter(|(_, other)| *other == config);
        of_config.map(|(checkout, _)| checkout).collect()
    }

    /// Returns checkout and config of each build, in the order of the jobs.
    pub fn kernels(&self) -> Vec<(&'a str, &'a str)> {
        self.each(|job| (job.checkout.as_str(), job.config.as_str()))
    }

    /// Returns the tests, by name.
    pub fn tests(&self) -> Vec<&'a str> {
        distinct(self.places.keys().map(|(test, ..)| *test))
    }

    fn each<T: PartialEq>(&self, of: impl Fn(&'a JobResult) -> T) -> Vec<T> {
        distinct(self.groups.iter().map(|group| of(group.first())))
    }

    /// Returns the rates of a test on each checkout: `base 9/10 crash, 1/10 pass; series ...`.
    pub fn rate(&self, test: &str, config: &str) -> String {
        let checkouts = self.checkouts().into_iter();
        let rates = checkouts.filter_map(|checkout| {
            let rates = self.get(test, config, checkout)?.rates();
            Some(format!("{checkout} {}", rates.join(", ")))
        });
        rates.collect::<Vec<_>>().join("; ")
    }
}

impl<'a> Group<'a> {
    /// Returns the jobs, in the order of the run.
    pub fn jobs(&self) -> &[&'a JobResult] {
        &self.0
    }

    /// Returns the first repetition.
    pub fn first(&self) -> &'a JobResult {
        self.0[0]
    }

    /// Returns whether a job has a property.
    pub fn any(&self, has: impl Fn(&JobResult) -> bool) -> bool {
        self.0.iter().any(|job| has(job))
    }

    /// Returns whether all jobs have a property.
    pub fn all(&self, has: impl Fn(&JobResult) -> bool) -> bool {
        self.0.iter().all(|job| has(job))
    }

    /// Returns the number of jobs with a property.
    pub fn count(&self, has: impl Fn(&JobResult) -> bool) -> usize {
        self.0.iter().filter(|job| has(job)).count()
    }

    /// Returns the most severe mark.
    pub fn mark(&self) -> Mark {
        let marks = self.0.iter().map(|job| Mark::of(job));
        marks.max().unwrap_or(Mark::None)
    }

    /// Returns the first repetition that needs attention, else the first that did not pass,
    /// else the first.
    pub fn most_relevant(&self) -> &'a JobResult {
        let rank = |job: &&&JobResult| (!job.needs_attention(), job.status == Status::Pass);
        self.0.iter().min_by_key(rank).unwrap_or(&self.0[0])
    }

    /// Returns the rate of each status as `9/10 crash`, the highest rate first; of equal
    /// rates, unexpected statuses first.
    pub fn rates(&self) -> Vec<String> {
        let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
        for job in &self.0 {
            let (count, is_unexpected) = counts.entry(job.status.word()).or_default();
            *count += 1;
            *is_unexpected |= !job.expected;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, order)| Reverse(*order));
        let rate =
            |(word, (count, _)): &(&str, (usize, bool))| format!("{count}/{} {word}", self.0.len());
        counts.iter().map(rate).collect()
    }

    /// Returns the word of the job; with repetitions, the number of each word, sorted by word:
    /// `crash 9/10, pass 1/10`.
    pub fn words(&self, word: impl Fn(&JobResult) -> String) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for job in &self.0 {
            *counts.entry(word(job)).or_default() += 1;
        }
        let total = self.0.len();
        let words = counts.into_iter().map(|(word, count)| match total {
            1 => word,
            _ => format!("{word} {count}/{total}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

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
pub(super) fn rates(matrix: &Matrix<'_>) -> Vec<RateResult> {
    let tests = matrix.each(|job| (job.test.as_str(), job.config.as_str()));
    let rate = |(test, config): (&str, &str)| RateResult {
        test: test.to_owned(),
        config: config.to_owned(),
        checkouts: statuses(matrix, test, config),
    };
    let is_repeated = |rate: &RateResult| {
        let mut counts = rate.checkouts.values();
        counts.any(|statuses| statuses.values().sum::<u32>() > 1)
    };
    tests.into_iter().map(rate).filter(is_repeated).collect()
}

fn statuses(
    matrix: &Matrix<'_>,
    test: &str,
    config: &str,
) -> BTreeMap<String, BTreeMap<Status, u32>> {
    let mut checkouts: BTreeMap<String, BTreeMap<Status, u32>> = BTreeMap::new();
    for checkout in matrix.checkouts() {
        let group = matrix.get(test, config, checkout);
        for job in group.iter().flat_map(|group| group.jobs()) {
            let statuses = checkouts.entry(checkout.to_owned()).or_default();
            *statuses.entry(job.status).or_default() += 1;
        }
    }
    checkouts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    fn often() -> Vec<JobResult> {
        let mut jobs = vec![
            job("once", "base", "crash", "fail"),
            job("once", "series", "pass", "pass"),
        ];
        for repetition in 1..=10 {
            let status = if repetition == 4 { "pass" } else { "crash" };
            jobs.push(job("often", "base", status, "fail"));
            jobs.push(job("often", "series", "pass", "pass"));
        }
        jobs
    }

    #[test]
    fn rates_returns_only_tests_that_ran_several_times() {
        let jobs = often();
        let rates = rates(&Matrix::of(&jobs));
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

    #[test]
    fn rate_has_the_statuses_of_all_repetitions_on_each_checkout() {
        let jobs = often();
        let matrix = Matrix::of(&jobs);
        assert_eq!(
            matrix.rate("often", "fast"),
            "base 9/10 crash, 1/10 pass; series 10/10 pass"
        );
        let group = matrix.get("often", "fast", "base").unwrap();
        assert_eq!(group.jobs().len(), 10);
        let words = group.words(|job| job.status.to_string());
        assert_eq!(words, "crash 9/10, pass 1/10");
    }

    #[test]
    fn mark_is_the_most_severe_of_all_repetitions() {
        let of = |jobs: &[JobResult]| Matrix::of(jobs).groups()[0].mark();
        let pass = || job("s", "base", "pass", "pass");
        let hang = || job("s", "base", "hang", "pass");
        let error = || job("s", "base", "error", "pass");
        let xpass = || job("s", "base", "pass", "fail");
        assert_eq!(of(&[pass()]), Mark::None);
        assert_eq!(of(&[pass(), error()]), Mark::Inconclusive);
        assert_eq!(of(&[error(), xpass()]), Mark::Xpass);
        assert_eq!(of(&[hang(), error(), xpass()]), Mark::Unexpected);
    }
}
