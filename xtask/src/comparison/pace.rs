// SPDX-License-Identifier: GPL-2.0-only
//! Which jobs take longer than before by more than noise. A busy host makes all of them
//! slower, so what they share is taken off first.

use super::Pace;
use super::groups::{Group, Pair};

/// A job that takes less than so many times longer is within the noise.
const RATIO_MIN: f64 = 1.5;
/// So is one that takes less than so many milliseconds longer.
const MORE_MS_MIN: u64 = 1000;
/// Of fewer jobs, nothing can be said of the host.
const JOBS_FOR_DRIFT: usize = 8;

/// Returns how many times longer all jobs together take, and the jobs that take longer
/// than that explains, the slowest first. A job is slower when its median over the
/// repetitions is 1.5 times what it was beyond what all are, and a second, and when even
/// its fastest repetition now is slower than any before.
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
    // What the job would have taken on the host as it is now.
    let explained = |time: u64| (milliseconds(time) * drift) as u64;
    let is_slower = ratio >= RATIO_MIN
        && new >= explained(old).saturating_add(MORE_MS_MIN)
        && now.first()? > &explained(*before.last()?);
    is_slower.then(|| Pace {
        place: pair.place.clone(),
        before_ms: old,
        now_ms: new,
        ratio,
    })
}

/// Returns whether the times of two jobs can be compared: the same status, come to in
/// the same way.
fn is_alike(before: &Group<'_>, now: &Group<'_>) -> bool {
    let mut ways = before.0.iter().chain(&now.0).map(|job| {
        let is_alone = !job.shared && job.cached.is_none() && job.status != "error";
        is_alone.then_some((&job.status, &job.accel, &job.boot_mode))
    });
    let first = ways.next().flatten();
    first.is_some() && ways.all(|way| way == first)
}

/// Returns the times of the repetitions, the shortest first.
fn times(group: &Group<'_>) -> Vec<u64> {
    let mut times: Vec<u64> = group.0.iter().map(|job| job.duration_ms).collect();
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
