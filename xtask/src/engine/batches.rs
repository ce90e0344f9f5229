// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups jobs into batches, one VM for each batch, and orders the batches.

use std::cmp::Reverse;

use selftests::expectation::{self, Expected};

use crate::engine::history::History;
use crate::engine::jobs::{Job, Test};

/// Limit of jobs in one VM.
const BATCH_JOBS_MAX: usize = 16;

/// Indices of the jobs that run in one VM.
pub(crate) type Batch = Vec<usize>;

/// Returns the batches, the longest first so that no core is idle at the end. A batch with
/// a job of unknown duration sorts before all batches of known duration.
pub(crate) fn make(
    jobs: &[Job<'_>],
    history: &History,
    share: bool,
    parallel: usize,
) -> Vec<Batch> {
    let (sharing, alone): (Vec<usize>, Vec<usize>) =
        (0..jobs.len()).partition(|&index| share && may_share(&jobs[index]));
    let mut batches: Vec<Batch> = alone.into_iter().map(|index| vec![index]).collect();
    batches.extend(group(&sharing, parallel, |left, right| {
        let (left, right) = (&jobs[left], &jobs[right]);
        std::ptr::eq(left.build, right.build) && left.plan.machine == right.plan.machine
    }));
    batches.sort_by_cached_key(|batch| {
        let known = batch
            .iter()
            .map(|&index| history.estimate(jobs[index].plan))
            .try_fold(0_u64, |sum, duration| Some(sum.saturating_add(duration?)));
        let guess: u32 = batch.iter().map(|&index| weight(&jobs[index])).sum();
        (Reverse(known.unwrap_or(u64::MAX)), Reverse(guess), batch[0])
    });
    batches
}

/// Returns whether a job may share a VM. An expected failure may break the kernel for the
/// jobs after it, and so may a scenario that does not clean up.
fn may_share(job: &Job<'_>) -> bool {
    match job.test {
        Test::Scenario(scenario) => {
            let expected = expectation::expected(scenario, job.build.has());
            scenario.leaves_no_trace && expected == Expected::Pass
        }
        Test::Kselftest(_) => false,
    }
}

/// Estimates the duration of a job without history: it grows with the number of boots and
/// with the slowness of the config.
fn weight(job: &Job<'_>) -> u32 {
    u32::try_from(job.vm_run.boots.len()).unwrap_or(u32::MAX) * job.build.guest.slowness
}

/// Groups jobs that can run in the same VM, in batches small enough to use every core.
fn group(
    sharing: &[usize],
    parallel: usize,
    fit_one_vm: impl Fn(usize, usize) -> bool,
) -> Vec<Batch> {
    let mut groups: Vec<Batch> = Vec::new();
    for &index in sharing {
        match groups.iter_mut().find(|group| fit_one_vm(group[0], index)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    let size = sharing
        .len()
        .div_ceil(parallel.max(1))
        .clamp(1, BATCH_JOBS_MAX);
    groups
        .iter()
        .flat_map(|group| group.chunks(size).map(<[usize]>::to_vec))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_splits_jobs_by_vm_and_limits_batches() {
        let same_parity = |left: usize, right: usize| left % 2 == right % 2;
        let batches = group(&[0, 1, 2, 3, 4, 6], 2, same_parity);
        assert_eq!(batches, [vec![0, 2, 4], vec![6], vec![1, 3]]);
        let all: Vec<usize> = (0..100).collect();
        let batches = group(&all, 1, |_, _| true);
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_JOBS_MAX));
        assert_eq!(batches.concat(), all);
        assert!(group(&[], 4, |_, _| true).is_empty());
    }
}
