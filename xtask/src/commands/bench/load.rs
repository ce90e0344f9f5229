// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures how much of the CPU time went to other processes during a measurement.

use fs_err as fs;
use serde::Serialize;

/// If other processes used a larger part of the CPU time, the figures are doubtful.
const BUSY: f64 = 0.1;

/// The load of the host during a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Load {
    /// Load average of the last minute before the measurement.
    pub(crate) before: f64,
    /// Load average of its last minute.
    pub(crate) after: f64,
    /// The part of the CPU time of all CPUs that other processes used, from 0 to 1.
    pub(crate) others: f64,
}

impl Load {
    /// Returns whether other processes may have changed the figures.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.others > BUSY
    }
}

/// The CPU time counters of the host at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    load: f64,
    /// Ticks of all CPUs: busy, and in total.
    host: (u64, u64),
    /// Ticks of this process and its children.
    ours: u64,
}

impl Clocks {
    /// Reads the counters.
    pub(crate) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            load: load(&read("/proc/loadavg")).unwrap_or_default(),
            host: host_ticks(&read("/proc/stat")).unwrap_or_default(),
            ours: our_ticks(&read("/proc/self/stat")).unwrap_or_default(),
        }
    }

    /// Returns the load from `self` until `end`.
    pub(crate) fn until(&self, end: &Self) -> Load {
        let worked = end.host.0.saturating_sub(self.host.0);
        let all = end.host.1.saturating_sub(self.host.1);
        let ours = end.ours.saturating_sub(self.ours);
        let others = if all == 0 {
            0.0
        } else {
            worked.saturating_sub(ours) as f64 / all as f64
        };
        Load {
            before: self.load,
            after: end.load,
            others,
        }
    }
}

fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

/// Reads the first line of `/proc/stat`, proc_stat(5): user, nice, system, idle,
/// iowait, irq, softirq, steal. The time of guests is part of user.
fn host_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

/// Reads utime, stime, cutime and cstime of `/proc/self/stat`, proc_pid_stat(5).
/// The second field, the program's name, may have spaces and parentheses, so the fields are
/// counted from its end.
fn our_ticks(stat: &str) -> Option<u64> {
    let rest = stat.rsplit_once(')')?.1;
    let ticks: Vec<u64> = rest
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_ticks_are_parsed_from_proc_files() {
        assert_eq!(load("0.50 0.40 0.30 1/200 4711\n"), Some(0.5));
        let stat = "cpu  10 20 30 400 50 6 7 8 99 99\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(host_ticks(stat), Some((81, 531)));
        let own = "77 (a) b) S 1 77 77 0 -1 4194304 90 91 92 93 1 2 30 40 20 0 1 0 5\n";
        assert_eq!(our_ticks(own), Some(73));
    }

    #[test]
    fn ticks_of_truncated_files_are_none() {
        assert_eq!(host_ticks("cpu  1 2 3"), None);
        assert_eq!(our_ticks("77 (a) S 1 2 3"), None);
    }

    #[test]
    fn until_subtracts_the_ticks_of_this_process_and_its_children() {
        let clocks = |worked, all, ours| Clocks {
            load: 1.0,
            host: (worked, all),
            ours,
        };
        let quiet = clocks(100, 1000, 50).until(&clocks(200, 1200, 150));
        assert!(!quiet.is_doubtful(), "{quiet:?}");
        let busy = clocks(100, 1000, 50).until(&clocks(250, 1200, 150));
        assert_eq!(busy.others, 0.25);
        assert!(busy.is_doubtful());
    }
}
