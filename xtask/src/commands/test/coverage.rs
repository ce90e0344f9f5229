// SPDX-License-Identifier: GPL-2.0-only
//! Compares the files that a series changes with the files of the kernels that were run.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, FileChange, RunKernel};

use super::prepare::Build;
use crate::checkouts::BASE;
use crate::commands::sources::Sources;
use crate::result::{Coverage, JobResult};

/// What is known before the first job.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The files that each patch of the series changes.
    changes: Vec<Vec<FileChange>>,
    changes_below: Vec<(String, Vec<FileChange>)>,
    kernels: Vec<RunKernel>,
    /// The highest number of patches in a checkout under test.
    wanted: usize,
}

impl Question {
    /// Reads the lists of the kernels; `judged` are the names of the checkouts under test.
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
            changes_below: sources.changes_below.clone(),
            kernels: builds.iter().map(kernel).collect::<anyhow::Result<_>>()?,
            wanted: judged
                .iter()
                .filter_map(|name| patches(name))
                .max()
                .unwrap_or(0),
        })
    }

    /// Returns the answer, given the jobs that ran.
    pub(super) fn answer(&self, jobs: &[JobResult]) -> Coverage {
        let targets: BTreeSet<&str> = jobs.iter().filter_map(target).collect();
        let targets: Vec<&str> = targets.into_iter().collect();
        let series = coverage::judge(&self.changes, &self.kernels, self.wanted, &targets);
        // A prerequisite is in every kernel.
        let with_it = |kernel: &RunKernel| RunKernel {
            patches: 1,
            ..kernel.clone()
        };
        let kernels: Vec<RunKernel> = self.kernels.iter().map(with_it).collect();
        let below = self.changes_below.iter().map(|(name, changes)| {
            let changes = std::slice::from_ref(changes);
            (
                name.clone(),
                coverage::judge(changes, &kernels, 1, &targets),
            )
        });
        Coverage::of(&series, &below.collect::<Vec<_>>())
    }
}

/// Returns the kselftest target of a job whose program ran and has the series in it.
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
    fn target_is_that_of_a_kselftest_that_ran_with_the_series() {
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
