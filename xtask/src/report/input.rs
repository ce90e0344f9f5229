// SPDX-License-Identifier: MIT OR Apache-2.0
//! The input of every format: a result, and data that is not in `result.json`. This module
//! reads no files.

use std::collections::BTreeMap;

use super::reproduce;
use selftests::expectation::Expected;
use selftests::status::Status;

use crate::result::{JobResult, RunResult};

#[derive(Debug)]
/// Labels of the lines of a finding, of the same width.
pub struct Labels {
    pub(crate) cause: &'static str,
    pub(crate) pass_rate: &'static str,
    pub(crate) log: &'static str,
    pub(crate) reproduce: &'static str,
}

pub(crate) const LABELS: Labels = Labels {
    cause: "cause:     ",
    pass_rate: "pass rate: ",
    log: "log:       ",
    reproduce: "reproduce: ",
};

/// A finished run with the data to print it.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The result.
    pub result: &'a RunResult,
    /// The run folder, as printed.
    pub run: &'a str,
    /// Options beyond test, checkout and config that reproduce the run.
    pub options: &'a str,
    /// Kernel reports as logged, by the `artifacts` of their job.
    pub splats: BTreeMap<String, String>,
    /// The places of scenarios in their files, by name.
    pub places: BTreeMap<String, Place>,
}

/// A line of a file of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path below the root of the repository.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl<'a> Report<'a> {
    /// Returns a report without kernel reports and places.
    pub const fn new(result: &'a RunResult, run: &'a str, options: &'a str) -> Self {
        Self {
            result,
            run,
            options,
            splats: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Returns the jobs that need attention: the findings, then the inconclusive jobs.
    pub fn findings(&self) -> impl Iterator<Item = &'a JobResult> {
        let jobs = self.result.jobs.iter();
        let inconclusive = jobs.clone().filter(|job| job.is_inconclusive());
        jobs.filter(|job| job.is_finding()).chain(inconclusive)
    }

    /// Returns the number of inconclusive jobs.
    pub fn inconclusive(&self) -> usize {
        let jobs = self.result.jobs.iter();
        jobs.filter(|job| job.is_inconclusive()).count()
    }

    /// Returns the command that reproduces a job.
    pub fn command(&self, job: &JobResult) -> String {
        reproduce::of_job(job, self.options)
    }

    /// Returns the kernel reports of a job as logged, or their titles.
    pub fn splats_of(&self, job: &JobResult) -> String {
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
    pub fn kernels(&self) -> Vec<(&'a str, &'a str)> {
        let mut kernels = Vec::new();
        for job in &self.result.jobs {
            let kernel = (job.checkout.as_str(), job.config.as_str());
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
        kernels
    }

    /// Returns the result of the whole run in a few words.
    pub fn headline(&self) -> &'static str {
        match self.result.exit_code {
            _ if self.result.only_not_tested().is_some() => "not tested",
            0 => "as expected",
            1 => "FINDINGS",
            _ => "INCONCLUSIVE",
        }
    }
}

/// Returns the status of a job and its expectation in a few words.
pub fn outcome(job: &JobResult) -> String {
    let JobResult {
        status,
        expectation,
        ..
    } = job;
    if !job.expected {
        return match (status, expectation) {
            (Status::Pass, Expected::Fail) => "unexpected pass".to_owned(),
            _ => format!("{status}, expected {expectation}"),
        };
    }
    if job.snapshot_difference.is_some() {
        format!("{status}, differs from its snapshot")
    } else if job.xfail {
        format!("{status}, expected failure")
    } else {
        status.to_string()
    }
}

/// Returns the number of results that differ from their snapshots, a part of a sentence.
pub fn count_differing(count: usize) -> String {
    match count {
        1 => "1 differs from its snapshot".to_owned(),
        count => format!("{count} differ from their snapshots"),
    }
}

/// Returns a number of tests as printed.
pub fn count_tests(count: usize) -> String {
    match count {
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    }
}

/// Returns the job's name as printed.
pub fn name(job: &JobResult) -> String {
    format!("{} on {} ({})", job.test, job.checkout, job.config)
}

/// Returns the first whole lines of a text that fit into `bytes_max`, and the number of lines
/// that are left out.
pub fn head(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut head = String::new();
    for line in text.split_inclusive('\n') {
        if head.len() + line.len() > bytes_max {
            break;
        }
        head += line;
    }
    let left_out = text[head.len()..].lines().count();
    format!("{head}... {left_out} more lines\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_cuts_at_a_line_and_counts_the_rest() {
        assert_eq!(head("a\nb\n", 10), "a\nb\n");
        assert_eq!(head("a\nb\nc\n", 4), "a\nb\n... 1 more lines\n");
        assert_eq!(head("\u{e9}\u{e9}", 3), "... 1 more lines\n");
    }
}
