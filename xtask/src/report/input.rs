// SPDX-License-Identifier: MIT OR Apache-2.0
//! The input of every format: a result, and data that is not in `result.json`. This module
//! reads no files.

use std::collections::BTreeMap;

use super::comparison::Comparison;
use super::evidence::Evidence;
use super::reproduce;
use crate::result::{JobResult, Matrix, RunResult};

/// A finished run with the data to print it.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The result.
    pub result: &'a RunResult,
    /// The jobs of the result.
    pub matrix: Matrix<'a>,
    /// The run folder, as printed.
    pub run: &'a str,
    /// Options beyond test, checkout and config that reproduce the run.
    pub options: &'a str,
    /// Kernel reports as logged, by the `artifacts` of their job.
    pub splats: BTreeMap<String, String>,
    /// The places of scenarios in their files, by name.
    pub places: BTreeMap<String, Place>,
    /// Timelines and kernel reports for the HTML report.
    pub evidence: Evidence,
    /// The changes since an earlier run, and the name of that run.
    pub against: Option<(&'a Comparison, &'a str)>,
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
    /// Returns a report of the result only.
    pub fn new(result: &'a RunResult, run: &'a str, options: &'a str) -> Self {
        Self {
            result,
            matrix: Matrix::of(&result.jobs),
            run,
            options,
            splats: BTreeMap::new(),
            places: BTreeMap::new(),
            evidence: Evidence::default(),
            against: None,
        }
    }

    /// Returns the jobs that need attention: the findings, then the inconclusive jobs.
    pub fn findings(&self) -> impl Iterator<Item = &'a JobResult> + use<'a> {
        let jobs = self.result.jobs.iter();
        let inconclusive = jobs.clone().filter(|job| job.is_inconclusive());
        jobs.filter(|job| job.is_finding()).chain(inconclusive)
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
}
