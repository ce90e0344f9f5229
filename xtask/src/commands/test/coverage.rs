// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the files that a series changes with the source files of the tested kernels.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, FileChange, RunKernel};

use super::prepare::Build;
use crate::checkouts::BASE;
use crate::commands::sources::Sources;
use crate::result::{Coverage, JobResult};

/// The input that is complete before the first job.
#[derive(Clone, Debug)]
pub(super) struct CoverageInput {
    /// The files that each patch of the series changes.
    changes: Vec<Vec<FileChange>>,
    prerequisite_changes: Vec<(String, Vec<FileChange>)>,
    kernels: Vec<RunKernel>,
    /// The highest number of patches in a checkout under test.
    wanted: usize,
}

impl CoverageInput {
    /// Reads the list of source files of each build; `judged` are the names of the checkouts
    /// under test.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub(super) fn of(
        sources: &Sources,
        builds: &[Build],
        judged: &[String],
    ) -> anyhow::Result<Self> {
        let patches = |name: &str| {
            let mut checkouts = sources.checkouts.iter();
            checkouts
                .find(|checkout| checkout.name == name)
                .map(|checkout| checkout.patches)
        };
        let kernel = |build: &Build| {
            Ok(RunKernel {
                config: build.config.clone(),
                patches: patches(&build.checkout).unwrap_or(0),
                sources: build.kernel.sources()?,
                code: build.kernel.facts.code.clone(),
            })
        };
        Ok(Self {
            changes: sources.changes.clone(),
            prerequisite_changes: sources.prerequisite_changes.clone(),
            kernels: builds.iter().map(kernel).collect::<anyhow::Result<_>>()?,
            wanted: judged
                .iter()
                .filter_map(|name| patches(name))
                .max()
                .unwrap_or(0),
        })
    }

    /// Returns the coverage, given the results of the jobs.
    pub(super) fn coverage(&self, jobs: &[JobResult]) -> Coverage {
        let targets: BTreeSet<&str> = jobs.iter().filter_map(target).collect();
        let targets: Vec<&str> = targets.into_iter().collect();
        let series = coverage::compute(&self.changes, &self.kernels, self.wanted, &targets);
        // Every checkout contains the prerequisites.
        let with_prerequisite = |kernel: &RunKernel| RunKernel {
            patches: 1,
            ..kernel.clone()
        };
        let kernels: Vec<RunKernel> = self.kernels.iter().map(with_prerequisite).collect();
        let below = self.prerequisite_changes.iter().map(|(name, changes)| {
            let changes = std::slice::from_ref(changes);
            (
                name.clone(),
                coverage::compute(changes, &kernels, 1, &targets),
            )
        });
        Coverage::of(&series, &below.collect::<Vec<_>>())
    }
}

/// Returns the target of a kselftest job that ran on a checkout with the series.
fn target(job: &JobResult) -> Option<&str> {
    let ran = job.kselftest && job.checkout != BASE;
    let ran = ran && !["skip", "error"].contains(&job.status.as_str());
    job.test
        .split_once(':')
        .filter(|_| ran)
        .map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn target_returns_some_only_for_kselftest_that_ran_with_the_series() {
        let of = |scenario: &str, checkout: &str, status: &str| {
            target(&job(scenario, checkout, status, "pass")).map(str::to_owned)
        };
        assert_eq!(
            of("net/lib:a", "series", "fail").as_deref(),
            Some("net/lib")
        );
        assert_eq!(of("kvm:a", "base", "pass"), None);
        assert_eq!(of("kvm:a", "series", "skip"), None);
        assert_eq!(of("own", "series", "pass"), None);
    }
}
