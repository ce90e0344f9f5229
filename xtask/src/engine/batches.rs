// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups jobs into batches, one VM for each batch, and orders the batches.

use selftests::expectation::{self, Expected};
use selftests::scenario::Scenario;

use crate::engine::history::History;
use crate::engine::job::{Job, TestCase};

/// Limit of jobs in one VM.
const BATCH_JOBS_MAX: usize = 16;
/// The rank of a batch with a job of unknown duration, plus a guess of its duration: it runs
/// before all batches of known duration.
const UNKNOWN: u64 = u64::MAX / 2;

/// Groups jobs on a build into batches, one VM for each; a batch has one job, or with `share`
/// several jobs that leave no state behind. `workers_per_build` is the number of VMs that run
/// jobs of one build at once.
pub(crate) fn make(
    jobs: Vec<Job>,
    scenarios: &[Scenario],
    share: bool,
    workers_per_build: usize,
) -> Vec<Vec<Job>> {
    let (sharing, alone): (Vec<Job>, Vec<Job>) = jobs
        .into_iter()
        .partition(|job| share && may_share(job, scenarios));
    let mut batches: Vec<Vec<Job>> = alone.into_iter().map(|job| vec![job]).collect();
    let fit_one_vm = |left: &Job, right: &Job| left.machine.name == right.machine.name;
    batches.extend(group(sharing, workers_per_build, fit_one_vm));
    batches
}

/// Returns the rank of a batch: its expected duration, so that the longest starts first and no
/// core is idle at the end.
pub(crate) fn rank(batch: &[Job], history: &History) -> u64 {
    let durations = batch.iter().map(|job| history.estimate(&job.plan));
    let known = durations
        .into_iter()
        .try_fold(0_u64, |sum, duration| Some(sum.saturating_add(duration?)));
    known.map_or_else(
        || UNKNOWN + batch.iter().map(weight).sum::<u64>(),
        |known| known.min(UNKNOWN),
    )
}

/// Returns whether a job may share a VM. An expected failure may break the kernel for the
/// jobs after it, and so may a scenario that does not clean up.
fn may_share(job: &Job, scenarios: &[Scenario]) -> bool {
    match job.test(scenarios) {
        Some(TestCase::Scenario(scenario)) => {
            let expected = expectation::expected(scenario, job.has());
            scenario.leaves_no_trace && expected == Expected::Pass
        }
        Some(TestCase::Kselftest(_)) | None => false,
    }
}

/// Estimates the duration of a job without history: it grows with the number of boots and
/// with the slowness of the config.
fn weight(job: &Job) -> u64 {
    job.vm_run.boots.len() as u64 * u64::from(job.needs.slowness)
}

/// Groups jobs that can run in the same VM, in batches small enough to use every core.
fn group<T>(sharing: Vec<T>, parallel: usize, fit_one_vm: impl Fn(&T, &T) -> bool) -> Vec<Vec<T>> {
    let size = sharing
        .len()
        .div_ceil(parallel.max(1))
        .clamp(1, BATCH_JOBS_MAX);
    let mut groups: Vec<Vec<T>> = Vec::new();
    for job in sharing {
        let has_room = |group: &&mut Vec<T>| group.len() < size && fit_one_vm(&group[0], &job);
        match groups.iter_mut().find(has_room) {
            Some(group) => group.push(job),
            None => groups.push(vec![job]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_splits_jobs_by_vm_and_limits_batches() {
        let same_parity = |left: &usize, right: &usize| left % 2 == right % 2;
        let batches = group(vec![0, 1, 2, 3, 4, 6], 2, same_parity);
        assert_eq!(batches, [vec![0, 2, 4], vec![1, 3], vec![6]]);
        let all: Vec<usize> = (0..100).collect();
        let batches = group(all.clone(), 1, |_, _| true);
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_JOBS_MAX));
        assert_eq!(batches.concat(), all);
        assert!(group(Vec::<usize>::new(), 4, |_, _| true).is_empty());
    }
}
