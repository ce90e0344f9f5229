// SPDX-License-Identifier: GPL-2.0-only
//! What every format is made from: a result, and the few things beside it that are
//! not in `result.json`. A value; nothing here reads a file.

use std::collections::BTreeMap;

use super::again;
use crate::result::{JobResult, RunResult};

/// A judged run, ready to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) result: &'a RunResult,
    /// The run folder, as people call it.
    pub(crate) run: &'a str,
    /// Options beyond scenario, checkout and config that make the same run again.
    pub(crate) again: &'a str,
    /// Reports of the kernel as logged, by the `artifacts` of their job.
    pub(crate) splats: BTreeMap<String, String>,
    /// Where scenarios are written, by name.
    pub(crate) places: BTreeMap<String, Place>,
}

/// A line of a file of this checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
}

impl<'a> Report<'a> {
    /// Returns a report of which nothing is known but the result.
    pub(crate) const fn new(result: &'a RunResult, run: &'a str, again: &'a str) -> Self {
        Self {
            result,
            run,
            again,
            splats: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Returns the jobs that a person should look at: the findings, then the inconclusive
    /// ones.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &'a JobResult> {
        let jobs = self.result.jobs.iter();
        let inconclusive = jobs.clone().filter(|job| job.is_inconclusive());
        jobs.filter(|job| job.is_finding() && !job.is_inconclusive())
            .chain(inconclusive)
    }

    /// Returns how many jobs are inconclusive.
    pub(crate) fn inconclusive(&self) -> usize {
        let mut findings = self.findings();
        findings
            .by_ref()
            .filter(|job| job.is_inconclusive())
            .count()
    }

    /// Returns the command that shows a job again.
    pub(crate) fn command(&self, job: &JobResult) -> String {
        again::of_job(job, self.again)
    }

    /// Returns the reports of a job as logged, or at least their titles.
    pub(crate) fn splats_of(&self, job: &JobResult) -> String {
        match self.splats.get(&job.artifacts) {
            Some(text) => text.clone(),
            None => job
                .splats
                .iter()
                .map(|title| format!("{title}\n"))
                .collect(),
        }
    }

    /// Returns checkouts and configs in the order of the jobs.
    pub(crate) fn kernels(&self) -> Vec<(&'a str, &'a str)> {
        let mut kernels = Vec::new();
        for job in &self.result.jobs {
            let kernel = (job.checkout.as_str(), job.config.as_str());
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
        kernels
    }

    /// Returns the verdict on the whole run in a few words.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.result.exit_code {
            _ if self.result.only_not_tested().is_some() => "not tested",
            0 => "as expected",
            1 => "FINDINGS",
            _ => "NOT PROVEN",
        }
    }
}

/// Returns what became of a job and what should have, in a few words.
pub(crate) fn what_came(job: &JobResult) -> String {
    let JobResult {
        status,
        expectation,
        ..
    } = job;
    if !job.expected {
        return match (status.as_str(), expectation.as_str()) {
            ("pass", "fail") => "unexpected pass".to_owned(),
            _ => format!("{status}, expected {expectation}"),
        };
    }
    if job.snapshot_difference.is_some() {
        format!("{status}, not as recorded")
    } else if job.xfail {
        format!("{status}, expected failure")
    } else {
        status.clone()
    }
}

/// Returns the job's name for people.
pub(crate) fn name(job: &JobResult) -> String {
    format!("{} on {} ({})", job.test, job.checkout, job.config)
}

/// Returns as much of a text as fits into so many bytes, whole lines, and says what
/// was left out.
pub(crate) fn head(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut cached = String::new();
    for line in text.split_inclusive('\n') {
        if cached.len() + line.len() > bytes_max {
            break;
        }
        cached += line;
    }
    let left_out = text[cached.len()..].lines().count();
    format!("{cached}... and {left_out} more lines\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(head("a\nb\n", 10), "a\nb\n");
        assert_eq!(head("a\nb\nc\n", 4), "a\nb\n... and 1 more lines\n");
        assert_eq!(head("\u{e9}\u{e9}", 3), "... and 1 more lines\n");
    }
}
