// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds jobs that take significantly longer than before. A busy host slows down all jobs, so
//! the durations are first divided by the ratio that all jobs have in common.

use super::groups::Pair;
use super::model::Pace;
use crate::result::Group;

/// A smaller ratio is noise.
const RATIO_MIN: f64 = 1.5;
/// A smaller difference in milliseconds is noise.
const MORE_MS_MIN: u64 = 1000;
/// With fewer jobs, the ratio of the hosts cannot be estimated.
const JOBS_FOR_DRIFT: usize = 8;

/// Returns the median ratio of all jobs (the drift) and the slower jobs, the highest ratio
/// first. A job is slower if its median over the repetitions, divided by the drift, grew by
/// the factor `RATIO_MIN` and by `MORE_MS_MIN`, and if its fastest repetition now is slower
/// than its slowest repetition before.
pub(super) fn slower(pairs: &[Pair<'_, '_>]) -> (f64, Vec<Pace>) {
    let timed: Vec<(&Pair<'_, '_>, Vec<u64>, Vec<u64>)> = pairs
        .iter()
        .filter(|pair| is_alike(pair.before, pair.now))
        .map(|pair| (pair, times(pair.before), times(pair.now)))
        .filter(|(_, before, now)| !before.is_empty() && !now.is_empty())
        .collect();
    let mut ratios: Vec<f64> = timed
        .iter()
        .map(|(_, before, now)| ratio(median(before), median(now)))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let drift = match ratios.len() {
        0..JOBS_FOR_DRIFT => 1.0,
        count => ratios[count / 2],
    };
    let mut slower: Vec<Pace> = timed
        .iter()
        .filter_map(|(pair, before, now)| pace(pair, before, now, drift.max(1.0)))
        .collect();
    slower.sort_by(|one, other| other.ratio.total_cmp(&one.ratio));
    (drift, slower)
}

fn pace(pair: &Pair<'_, '_>, before: &[u64], now: &[u64], drift: f64) -> Option<Pace> {
    let (old, new) = (median(before), median(now));
    let ratio = ratio(old, new) / drift;
    // The expected duration on the host of the later run.
    let scaled = |time: u64| (milliseconds(time) * drift) as u64;
    let is_slower = ratio >= RATIO_MIN
        && new >= scaled(old).saturating_add(MORE_MS_MIN)
        && now.first()? > &scaled(*before.last()?);
    is_slower.then(|| Pace {
        place: pair.place.clone(),
        before_ms: old,
        now_ms: new,
        ratio,
    })
}

/// Returns whether the durations can be compared: all repetitions have the same status,
/// accelerator and boot mode, and ran alone.
fn is_alike(before: &Group<'_>, now: &Group<'_>) -> bool {
    let mut keys = before.jobs().iter().chain(now.jobs()).map(|job| {
        let is_alone = !job.shared && job.cached.is_none() && !job.is_inconclusive();
        is_alone.then_some((&job.status, &job.accel, &job.boot_mode))
    });
    let first = keys.next().flatten();
    first.is_some() && keys.all(|key| key == first)
}

/// Returns the durations of the repetitions, the shortest first.
fn times(group: &Group<'_>) -> Vec<u64> {
    let mut times: Vec<u64> = group.jobs().iter().map(|job| job.duration_ms).collect();
    times.retain(|time| *time > 0);
    times.sort_unstable();
    times
}

fn median(sorted: &[u64]) -> u64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    low.midpoint(high)
}

fn ratio(before: u64, now: u64) -> f64 {
    milliseconds(now) / milliseconds(before)
}

fn milliseconds(time: u64) -> f64 {
    time as f64
}
