// SPDX-License-Identifier: MIT OR Apache-2.0
//! Median, spread and ratio of measurements, and the load of the host during them.

use std::fmt;

use fs_err as fs;
use serde::Serialize;

/// The minimum number of rounds for a ratio. With fewer, other load on the host has too much
/// influence.
pub(super) const ROUNDS_FOR_A_RATIO: usize = 3;
/// If other processes used a larger part of the CPU time, the figures are doubtful.
const BUSY: f64 = 0.1;

/// The median of some figures, and their range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    min: f64,
    max: f64,
}

/// The ratio of another side's figures to those of the first side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// The ratio of the medians.
    pub(super) of_medians: f64,
    /// The smallest and the largest ratio within one round.
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Returns the median and range of the figures; `None` if there are no figures.
pub(super) fn spread(figures: &[f64]) -> Option<Spread> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    let median = f64::midpoint(sorted[low], sorted[high]);
    Some(Spread { median, min, max })
}

/// Returns the ratio of `other` to `first`, by round. There is no ratio for too few rounds,
/// sides with different numbers of rounds, or figures that are 0.
pub(super) fn ratio(first: &[f64], other: &[f64]) -> Option<Ratio> {
    let is_sound = first.len() >= ROUNDS_FOR_A_RATIO
        && first.len() == other.len()
        && first.iter().chain(other).all(|figure| *figure > 0.0);
    if !is_sound {
        return None;
    }
    let pairs: Vec<f64> = first.iter().zip(other).map(|(a, b)| b / a).collect();
    let Spread { min, max, .. } = spread(&pairs)?;
    Some(Ratio {
        of_medians: spread(other)?.median / spread(first)?.median,
        min,
        max,
    })
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", number(self.min), number(self.max))
    }
}

/// Returns three significant digits; the spread is larger than that.
pub(super) fn number(figure: f64) -> String {
    match figure {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        ..1.0 => format!("{figure:.3}"),
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// The load of the host during a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Load {
    /// Load average of the last minute before the measurement.
    pub(super) before: f64,
    /// Load average of its last minute.
    pub(super) after: f64,
    /// The part of the CPU time of all CPUs that other processes used, from 0 to 1.
    pub(super) others: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after, percent) = (self.before, self.after, self.others * 100.0);
        write!(f, "load average {before:.1} before and {after:.1} after; ")?;
        write!(f, "other processes used {percent:.0} % of the processors")
    }
}

impl Load {
    /// Returns whether other processes may have changed the figures.
    pub(super) fn is_doubtful(&self) -> bool {
        self.others > BUSY
    }
}

/// The load average, and CPU times in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Clocks {
    load: f64,
    /// Time in which the CPUs were busy, of all CPUs.
    busy: u64,
    all: u64,
    /// Of this process and its children.
    ours: u64,
}

impl Clocks {
    /// Reads the counters; all are 0 if one cannot be read.
    pub(super) fn read() -> Self {
        let files = ["loadavg", "stat", "self/stat"];
        let [load, stat, own] =
            files.map(|name| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default());
        Self::parse(&load, &stat, &own).unwrap_or_default()
    }

    /// Parses `/proc/loadavg`, the first line of `/proc/stat` (user, nice, system, idle, iowait,
    /// irq, softirq, steal; the time of guests is part of user), and utime, stime, cutime and
    /// cstime of `/proc/self/stat`. The name of the program there may have spaces and
    /// parentheses, so the fields are counted from its end.
    fn parse(load: &str, stat: &str, own: &str) -> Option<Self> {
        let host = numbers(stat.lines().next()?.strip_prefix("cpu ")?, 0, 8)?;
        let all = host.iter().sum();
        Some(Self {
            load: load.split_whitespace().next()?.parse().ok()?,
            busy: all - host[3] - host[4],
            all,
            ours: numbers(own.rsplit_once(')')?.1, 11, 4)?.iter().sum(),
        })
    }

    /// Returns the load from `self` until `end`.
    pub(super) fn until(&self, end: &Self) -> Load {
        let busy = end.busy.saturating_sub(self.busy);
        let ours = end.ours.saturating_sub(self.ours);
        let all = end.all.saturating_sub(self.all);
        Load {
            before: self.load,
            after: end.load,
            others: busy.saturating_sub(ours) as f64 / all.max(1) as f64,
        }
    }
}

/// Returns `count` numbers of a line after `skipped` words.
fn numbers(line: &str, skipped: usize, count: usize) -> Option<Vec<u64>> {
    let words = line.split_whitespace().skip(skipped).take(count);
    let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    (numbers.len() == count).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_returns_the_median_of_odd_and_even_numbers_of_figures() {
        let odd = spread(&[9.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 9.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratio_of_medians_ignores_an_outlier() {
        let ratio = ratio(&[1.0, 1.0, 1.0], &[4.0, 40.0, 3.0]).unwrap();
        assert_eq!((ratio.of_medians, ratio.min, ratio.max), (4.0, 3.0, 40.0));
    }

    #[test]
    fn ratio_is_none_for_too_few_or_unequal_rounds_and_for_zero() {
        assert_eq!(ratio(&[1.0, 1.0], &[2.0, 2.0]), None);
        assert_eq!(
            ratio(&[1.0; 3], &[2.0; 4]),
            None,
            "different numbers of rounds"
        );
        assert_eq!(ratio(&[0.0; 3], &[2.0; 3]), None, "figures that are 0");
    }

    #[test]
    fn clocks_are_parsed_from_proc_files() {
        let load = "0.50 0.40 0.30 1/200 4711\n";
        let stat = "cpu  10 20 30 400 50 6 7 8 99 99\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        let own = "77 (a) b) S 1 77 77 0 -1 4194304 90 91 92 93 1 2 30 40 20 0 1 0 5\n";
        let expected = Clocks {
            load: 0.5,
            busy: 81,
            all: 531,
            ours: 73,
        };
        assert_eq!(Clocks::parse(load, stat, own), Some(expected));
        assert_eq!(Clocks::parse(load, "cpu  1 2 3", own), None);
        assert_eq!(Clocks::parse(load, stat, "77 (a) S 1 2 3"), None);
    }

    #[test]
    fn until_subtracts_the_ticks_of_this_process_and_its_children() {
        let clocks = |busy, all, ours| Clocks {
            load: 1.0,
            busy,
            all,
            ours,
        };
        let quiet = clocks(100, 1000, 50).until(&clocks(200, 1200, 150));
        assert!(!quiet.is_doubtful(), "{quiet:?}");
        let busy = clocks(100, 1000, 50).until(&clocks(250, 1200, 150));
        assert_eq!(busy.others, 0.25);
        assert!(busy.is_doubtful());
    }
}
