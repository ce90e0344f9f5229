// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the files that a series changes with the source files of the tested kernels.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, FileChange, RunKernel};

use crate::engine::build::Build;
use crate::engine::sources::Sources;
use crate::job_plan::BASE;
use crate::result::{Coverage, JobResult};
use selftests::status::Status;

/// Returns the coverage of the series in a run; `judged` are the names of the checkouts under
/// test.
///
/// # Errors
/// When the list of source files of a kernel cannot be read.
pub(super) fn of_run(
    sources: &Sources,
    builds: &[Build],
    judged: &[String],
    jobs: &[JobResult],
) -> anyhow::Result<Coverage> {
    Ok(CoverageInput::of(sources, builds, judged)?.coverage(jobs))
}

/// The files and kernels of a run.
#[derive(Clone, Debug)]
struct CoverageInput {
    /// The files that each patch of the series changes.
    changes: Vec<Vec<FileChange>>,
    prerequisite_changes: Vec<(String, Vec<FileChange>)>,
    /// Each kernel with the name of its checkout.
    kernels: Vec<(String, RunKernel)>,
    /// The highest number of patches in a checkout under test.
    wanted: usize,
}

impl CoverageInput {
    /// Reads the list of source files of each build; `judged` are the names of the checkouts
    /// under test.
    ///
    /// # Errors
    /// When a list cannot be read.
    fn of(sources: &Sources, builds: &[Build], judged: &[String]) -> anyhow::Result<Self> {
        let patches = |name: &str| {
            let mut checkouts = sources.checkouts.iter();
            checkouts
                .find(|checkout| checkout.name == name)
                .map(|checkout| checkout.patches)
        };
        let kernel = |build: &Build| {
            let kernel = RunKernel {
                config: build.config.clone(),
                patches: patches(&build.checkout).unwrap_or(0),
                sources: build.kernel.sources()?,
                code: build.kernel.facts.code.clone(),
            };
            Ok((build.checkout.clone(), kernel))
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

    /// Returns the coverage, given the results of the jobs. A kernel counts only if a test ran
    /// on it: a skipped test shows nothing about the series.
    fn coverage(&self, jobs: &[JobResult]) -> Coverage {
        let kernels: Vec<RunKernel> = self
            .kernels
            .iter()
            .filter(|(checkout, kernel)| {
                let is_of =
                    |job: &JobResult| job.checkout == *checkout && job.config == kernel.config;
                jobs.iter().any(|job| is_of(job) && ran(job))
            })
            .map(|(_, kernel)| kernel.clone())
            .collect();
        if self.wanted > 0 && !kernels.iter().any(|kernel| kernel.patches == self.wanted) {
            return Coverage::without_tests();
        }
        let has_series = |checkout: &str| {
            let mut kernels = self.kernels.iter();
            kernels.any(|(name, kernel)| name == checkout && kernel.patches == self.wanted)
        };
        let of_series = jobs.iter().filter(|job| has_series(&job.checkout));
        let targets: BTreeSet<(&str, &str)> = of_series.filter_map(target).collect();
        let targets: Vec<(&str, &str)> = targets.into_iter().collect();
        let series = coverage::compute(&self.changes, &kernels, self.wanted, &targets);
        // Every checkout contains the prerequisites.
        let with_prerequisite = |kernel: &RunKernel| RunKernel {
            patches: 1,
            ..kernel.clone()
        };
        let kernels: Vec<RunKernel> = kernels.iter().map(with_prerequisite).collect();
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

/// Returns whether the test of a job ran to a status that says something about the kernel.
fn ran(job: &JobResult) -> bool {
    job.status != Status::Skip && !job.is_inconclusive()
}

/// Returns TARGET and TEST of a kselftest job that ran on a checkout with the series.
fn target(job: &JobResult) -> Option<(&str, &str)> {
    let is_of_series = job.kselftest && job.checkout != BASE && ran(job);
    job.test.split_once(':').filter(|_| is_of_series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn coverage_is_not_tested_when_every_test_on_the_series_was_skipped() {
        let kernel = |patches| RunKernel {
            config: "fast".to_owned(),
            patches,
            sources: ["kernel/a.c".to_owned()].into(),
            code: Some(patches.to_string()),
        };
        let input = CoverageInput {
            changes: Vec::new(),
            prerequisite_changes: Vec::new(),
            kernels: vec![
                ("base".to_owned(), kernel(0)),
                ("series".to_owned(), kernel(1)),
            ],
            wanted: 1,
        };
        let of = |status: &str| {
            let jobs = [
                job("t:a", "base", "pass", "pass"),
                job("t:a", "series", status, "pass"),
            ];
            input.coverage(&jobs).summary
        };
        assert_eq!(of("pass"), None);
        let text = Some("not tested: no test ran on the series".to_owned());
        assert_eq!(of("skip"), text);
        assert_eq!(of("error"), text);
    }

    #[test]
    fn target_returns_some_only_for_kselftest_that_ran_with_the_series() {
        let of = |scenario: &str, checkout: &str, status: &str| {
            let job = job(scenario, checkout, status, "pass");
            target(&job).map(|(target, test)| format!("{target} {test}"))
        };
        assert_eq!(
            of("net/lib:a", "series", "fail").as_deref(),
            Some("net/lib a")
        );
        assert_eq!(of("kvm:a", "base", "pass"), None);
        assert_eq!(of("kvm:a", "series", "skip"), None);
        assert_eq!(of("own", "series", "pass"), None);
    }
}
