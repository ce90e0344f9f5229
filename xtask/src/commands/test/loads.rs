// SPDX-License-Identifier: GPL-2.0-only
//! How jobs are packed: what runs in a guest of its own, what shares one, and
//! what begins first.

use std::cmp::Reverse;

use selftests::expectation::{self, Expected};

use super::history::History;
use super::jobs::{Job, Test};

/// Most jobs that share a guest.
const SHARERS_MAX: usize = 16;

/// Jobs, by index, that run in one guest: one, unless they share it.
pub(crate) type Load = Vec<usize>;

/// Returns the jobs packed, the longest load first: begun last, it would leave
/// the other cores idle at the end. What nobody knows yet may be the longest.
pub(crate) fn pack(jobs: &[Job<'_>], history: &History, share: bool, parallel: usize) -> Vec<Load> {
    let (sharers, alone): (Vec<usize>, Vec<usize>) =
        (0..jobs.len()).partition(|&index| share && may_share(&jobs[index]));
    let mut loads: Vec<Load> = alone.into_iter().map(|index| vec![index]).collect();
    loads.extend(together(&sharers, parallel, |one, other| {
        let (one, other) = (&jobs[one], &jobs[other]);
        std::ptr::eq(one.build, other.build) && one.plan.machine == other.plan.machine
    }));
    loads.sort_by_cached_key(|load| {
        let known = load
            .iter()
            .map(|&index| history.estimate(jobs[index].plan))
            .try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)));
        let guess: u32 = load.iter().map(|&index| weight(&jobs[index])).sum();
        (Reverse(known.unwrap_or(u64::MAX)), Reverse(guess), load[0])
    });
    loads
}

/// A job that must fail tells nothing in company; one that leaves a trace would
/// have the next one tell of it.
fn may_share(job: &Job<'_>) -> bool {
    match job.test {
        Test::Scenario(scenario) => {
            let expected = expectation::expected(scenario, job.build.has());
            scenario.leaves_no_trace && expected == Expected::Pass
        }
        Test::Kselftest(_) => false,
    }
}

/// Jobs with more boots take longer, and slower configs too.
fn weight(job: &Job<'_>) -> u32 {
    u32::try_from(job.vm_run.boots.len()).unwrap_or(u32::MAX) * job.build.guest.slowness
}

/// Puts together those of one kind, in loads that keep every core busy.
fn together(sharers: &[usize], parallel: usize, alike: impl Fn(usize, usize) -> bool) -> Vec<Load> {
    let mut kinds: Vec<Load> = Vec::new();
    for &index in sharers {
        match kinds.iter_mut().find(|kind| alike(kind[0], index)) {
            Some(kind) => kind.push(index),
            None => kinds.push(vec![index]),
        }
    }
    let each = sharers
        .len()
        .div_ceil(parallel.max(1))
        .clamp(1, SHARERS_MAX);
    kinds
        .iter()
        .flat_map(|kind| kind.chunks(each).map(<[usize]>::to_vec))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_of_one_kind_go_together_and_every_core_has_some() {
        let odd_and_even = |one: usize, other: usize| one % 2 == other % 2;
        let loads = together(&[0, 1, 2, 3, 4, 6], 2, odd_and_even);
        assert_eq!(loads, [vec![0, 2, 4], vec![6], vec![1, 3]]);
        let all: Vec<usize> = (0..100).collect();
        let loads = together(&all, 1, |_, _| true);
        assert!(loads.iter().all(|load| load.len() <= SHARERS_MAX));
        assert_eq!(loads.concat(), all);
        assert!(together(&[], 4, |_, _| true).is_empty());
    }
}
