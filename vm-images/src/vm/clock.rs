// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clock of a guest: wall time minus the time withheld by the host, in which a thread
//! of QEMU was runnable but not running. A sleeping thread waits for an event, so its time
//! counts as the guest's. The times come from the scheduler's statistics in /proc.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fs_err as fs;

use crate::transcript::{HostTime, millis};

/// A limit in the guest's time may take this many times as long on the wall clock. Beyond
/// that, the host is too slow for a result.
pub(super) const WALL_MULTIPLIER: u32 = 8;

/// Length of the windows for the maximum of withheld time, as long as the shortest timeout
/// of the kernel's stall checks. It shows whether the host can be the cause of a stall
/// report of the kernel.
const WINDOW: Duration = Duration::from_secs(20);

/// Maximum number of samples of a window; more frequent samples are merged.
const WINDOW_SAMPLES: u32 = 40;

/// Minimum interval between two samples of QEMU's threads.
const INTERVAL: Duration = Duration::from_millis(50);

/// The state of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitState {
    /// The limit is not reached.
    Running,
    /// The guest has used all its time.
    Expired,
    /// The host has not given the guest its time, and the limit on the wall clock is
    /// reached.
    Withheld,
}

/// Returns the state of a limit in the guest's time, from the wall time and the withheld
/// part of it.
pub(super) fn check_limit(limit: Duration, wall: Duration, withheld: Duration) -> LimitState {
    if wall.saturating_sub(withheld) >= limit {
        LimitState::Expired
    } else if wall >= limit.saturating_mul(WALL_MULTIPLIER) {
        LimitState::Withheld
    } else {
        LimitState::Running
    }
}

/// Accounting of a thread at the last sample.
#[derive(Debug)]
struct Thread {
    ran: Duration,
    waited: Duration,
    /// Waiting time that was counted before the kernel added it to `waited`, which it does
    /// at the end of a wait.
    counted_early: Duration,
}

impl Thread {
    /// Returns the time since the last sample that was withheld from the thread.
    fn withheld(&mut self, sample: &ThreadSample, since: Duration) -> Duration {
        let ran = sample.ran.saturating_sub(self.ran);
        let waited = sample.waited.saturating_sub(self.waited);
        (self.ran, self.waited) = (sample.ran, sample.waited);
        let counted = self.counted_early.min(waited);
        self.counted_early -= counted;
        let new = waited - counted;
        if !ran.is_zero() || sample.state == State::Sleeping || new >= since {
            return new;
        }
        // The thread was runnable but did not run. The kernel will add the wait for a
        // processor to `waited` later, but never the time of a stop or of a disk wait.
        if sample.state == State::Runnable {
            self.counted_early += since - new;
        }
        since
    }
}

/// The clock of a guest, from the start of its QEMU.
#[derive(Debug, Default)]
pub(super) struct Clock {
    threads: BTreeMap<u32, Thread>,
    /// Wall time of the last sample.
    wall: Duration,
    withheld: Duration,
    is_known: bool,
    /// Wall time and withheld time at the samples of the last window.
    samples: VecDeque<(Duration, Duration)>,
    worst: Duration,
}

impl Clock {
    /// Takes a sample if the interval since the last is over.
    pub(super) fn update_if_due(
        &mut self,
        wall: Duration,
        sample: impl FnOnce() -> Vec<ThreadSample>,
    ) {
        if wall.saturating_sub(self.wall) >= INTERVAL {
            self.update(wall, &sample());
        }
    }

    /// Adds a sample of QEMU's threads at a wall time. Without samples, no time is
    /// withheld.
    pub(super) fn update(&mut self, wall: Duration, threads: &[ThreadSample]) {
        let since = wall.saturating_sub(self.wall);
        self.wall = self.wall.max(wall);
        let mut most = Duration::ZERO;
        for sample in threads {
            self.is_known = true;
            let withheld = match self.threads.get_mut(&sample.id) {
                Some(thread) => thread.withheld(sample, since),
                None => {
                    let thread = Thread {
                        ran: sample.ran,
                        waited: sample.waited,
                        counted_early: Duration::ZERO,
                    };
                    self.threads.insert(sample.id, thread);
                    sample.waited
                }
            };
            most = most.max(withheld);
        }
        self.threads
            .retain(|id, _| threads.iter().any(|sample| sample.id == *id));
        self.withheld += most.min(since);
        self.update_window();
    }

    /// Returns the time withheld from the guest up to the last sample.
    pub(super) const fn withheld(&self) -> Duration {
        self.withheld
    }

    /// Returns the guest's time.
    pub(super) fn guest(&self) -> Duration {
        self.wall - self.withheld
    }

    /// Returns the totals.
    pub(super) fn totals(&self) -> HostTime {
        HostTime {
            is_known: self.is_known,
            wall_ms: millis(self.wall),
            withheld_ms: millis(self.withheld),
            window_ms: millis(WINDOW),
            worst_ms: millis(self.worst),
        }
    }

    fn update_window(&mut self) {
        while self
            .samples
            .front()
            .is_some_and(|(wall, _)| self.wall - *wall > WINDOW)
        {
            self.samples.pop_front();
        }
        let before = self
            .samples
            .front()
            .map_or(Duration::ZERO, |(_, withheld)| *withheld);
        self.worst = self.worst.max(self.withheld - before);
        let last = self
            .samples
            .back()
            .map_or(Duration::ZERO, |(wall, _)| *wall);
        if self.samples.is_empty() || self.wall - last >= WINDOW / WINDOW_SAMPLES {
            self.samples.push_back((self.wall, self.withheld));
        }
    }
}

/// The scheduling state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for an event and needs no processor.
    Sleeping,
    /// It runs, or waits for a processor.
    Runnable,
    /// It was stopped, or waits for a disk: the host does not let it run.
    Blocked,
}

/// The statistics of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadSample {
    pub(super) id: u32,
    pub(super) state: State,
    /// Time on a processor, since the start of the thread.
    pub(super) ran: Duration,
    /// Time of completed waits for a processor.
    pub(super) waited: Duration,
}

/// Returns the statistics of each thread of a process; empty if the kernel records no waits
/// or the process has ended.
pub(super) fn sample(process: u32) -> Vec<ThreadSample> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let sample_task = |task: fs::DirEntry| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let folder = task.path();
        let schedstat = fs::read_to_string(folder.join("schedstat")).ok()?;
        let stat = fs::read(folder.join("stat")).ok()?;
        parse(id, &schedstat, &stat)
    };
    tasks.flatten().filter_map(sample_task).collect()
}

/// Parses `schedstat` (times in nanoseconds) and `stat`, in which the state follows a name
/// in parentheses that may contain any bytes. Returns `None` if both times are 0, as from a
/// kernel without scheduler statistics.
fn parse(id: u32, schedstat: &str, stat: &[u8]) -> Option<ThreadSample> {
    let mut times = schedstat.split_ascii_whitespace();
    let mut time = || times.next()?.parse().ok().map(Duration::from_nanos);
    let (ran, waited) = (time()?, time()?);
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let state = match stat.get(name_end + 2)? {
        b'R' => State::Runnable,
        b'T' | b't' | b'D' => State::Blocked,
        _ => State::Sleeping,
    };
    (!ran.is_zero() || !waited.is_zero()).then_some(ThreadSample {
        id,
        state,
        ran,
        waited,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn thread(id: u32, state: State, ran: u64, waited: u64) -> ThreadSample {
        ThreadSample {
            id,
            state,
            ran: secs(ran),
            waited: secs(waited),
        }
    }

    #[test]
    fn check_limit_compares_guest_time_and_eight_times_wall_time() {
        let limit = secs(10);
        assert_eq!(check_limit(limit, secs(9), secs(0)), LimitState::Running);
        assert_eq!(check_limit(limit, secs(10), secs(0)), LimitState::Expired);
        assert_eq!(check_limit(limit, secs(40), secs(31)), LimitState::Running);
        assert_eq!(check_limit(limit, secs(40), secs(30)), LimitState::Expired);
        assert_eq!(check_limit(limit, secs(79), secs(79)), LimitState::Running);
        assert_eq!(check_limit(limit, secs(80), secs(79)), LimitState::Withheld);
        assert_eq!(check_limit(secs(0), secs(0), secs(0)), LimitState::Expired);
    }

    #[test]
    fn update_withholds_no_time_from_sleeping_and_running_threads() {
        let mut clock = Clock::default();
        for second in 1..=60 {
            let idle = thread(1, State::Sleeping, 0, 0);
            let spinning = thread(2, State::Runnable, second, 0);
            clock.update(secs(second), &[idle, spinning]);
        }
        assert_eq!(clock.guest(), secs(60));
        assert_eq!(clock.totals().worst_ms, 0);
    }

    #[test]
    fn update_counts_the_longest_of_concurrent_waits() {
        let mut clock = Clock::default();
        for second in 1..=10 {
            let half = thread(1, State::Runnable, second, second / 2);
            let starved = thread(2, State::Runnable, 1, second);
            clock.update(secs(second), &[half, starved]);
        }
        assert_eq!(clock.withheld(), secs(10));
        assert_eq!(clock.guest(), secs(0));
    }

    #[test]
    fn update_counts_a_long_wait_while_it_lasts_and_only_once() {
        let mut clock = Clock::default();
        clock.update(secs(1), &[thread(1, State::Runnable, 1, 0)]);
        for second in 2..=9 {
            clock.update(secs(second), &[thread(1, State::Runnable, 1, 0)]);
        }
        assert_eq!(clock.withheld(), secs(8));
        clock.update(secs(10), &[thread(1, State::Runnable, 2, 8)]);
        assert_eq!(clock.withheld(), secs(8));
        clock.update(secs(20), &[thread(1, State::Runnable, 7, 13)]);
        assert_eq!(clock.withheld(), secs(13));
    }

    #[test]
    fn update_counts_the_time_of_a_stopped_thread() {
        let mut clock = Clock::default();
        for second in 1..=30 {
            clock.update(secs(second), &[thread(1, State::Blocked, 0, 0)]);
        }
        clock.update(secs(31), &[thread(1, State::Sleeping, 1, 0)]);
        assert_eq!(clock.withheld(), secs(29));
        assert_eq!(clock.totals().worst_ms, 20_000);
    }

    #[test]
    fn totals_report_the_worst_window_and_the_sum() {
        let mut clock = Clock::default();
        for second in 1..=100 {
            // Waits half of the time, and additionally five seconds once.
            let waited = second / 2 + u64::from(second > 50).min(1) * 5;
            clock.update(secs(second), &[thread(1, State::Runnable, second, waited)]);
        }
        let totals = clock.totals();
        assert!(totals.worst_ms < 13_000, "{totals:?}");
        assert!(totals.withheld_ms > 45_000, "{totals:?}");
    }

    #[test]
    fn update_without_samples_withholds_no_time() {
        let mut clock = Clock::default();
        clock.update(secs(50), &[]);
        assert_eq!(clock.guest(), secs(50));
        assert!(!clock.totals().is_known);
    }

    #[test]
    fn parse_finds_the_state_after_any_name() {
        let state = |stat: &[u8]| parse(7, "5 6 7\n", stat).map(|sample| sample.state);
        assert_eq!(state(b"7 (CPU 0/TCG) R 1 2"), Some(State::Runnable));
        assert_eq!(state(b"7 (a) R (\xff) S 1"), Some(State::Sleeping));
        assert_eq!(state(b"7 (a) T 1"), Some(State::Blocked));
        assert_eq!(state(b"7 (a)"), None);
        assert_eq!(state(b""), None);
        assert_eq!(parse(7, "0 0 0\n", b"7 (a) R 1"), None);
        assert_eq!(parse(7, "5\n", b"7 (a) R 1"), None);
    }

    #[test]
    fn sample_of_this_process_has_run_time_if_available() {
        let threads = sample(std::process::id());
        let ran: Duration = threads.iter().map(|thread| thread.ran).sum();
        assert!(threads.is_empty() || !ran.is_zero());
    }
}
