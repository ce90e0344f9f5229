// SPDX-License-Identifier: GPL-2.0-only
//! The guest's own clock: wall time, less what the host withheld from it. A thread of
//! QEMU that wanted a processor and did not get one stood still, and a guest cannot be
//! caused for that. One that waits for an event wants nothing, and its clock goes on
//! with the wall. Decides from values alone; `threads` reads them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::threads::{State, ThreadLook};
use crate::transcript::{HostTime, millis};

/// A limit in the guest's time may take this many times as long on the wall. A host
/// that gives less than such a part of its time gives too little to judge by.
pub(super) const PATIENCE: u32 = 8;

/// In the worst stretch of this length it shows whether a kernel that complains of
/// being late was kept waiting. The shortest patience of a kernel with itself is as long.
const WINDOW: Duration = Duration::from_secs(20);

/// So many looks make up a window at most; those that come faster are taken together.
const WINDOW_LOOKS: u32 = 40;

/// How often QEMU's threads are looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// What a limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// There is some left.
    Left,
    /// The guest has had it all.
    Up,
    /// The guest has not, and nobody will wait longer for the host to give it.
    Withheld,
}

/// Returns what a limit in the guest's time says after so much time on the wall, of
/// which some was withheld.
pub(super) fn look_at(limit: Duration, wall: Duration, withheld: Duration) -> Time {
    if wall.saturating_sub(withheld) >= limit {
        Time::Up
    } else if wall >= limit.saturating_mul(PATIENCE) {
        Time::Withheld
    } else {
        Time::Left
    }
}

/// What is known of a thread.
#[derive(Debug)]
struct Thread {
    ran: Duration,
    waited: Duration,
    /// Waits that were counted before the kernel did so, which it does at their end.
    ahead: Duration,
}

impl Thread {
    /// Returns how much of the time since the last look was withheld from the thread.
    fn withheld(&mut self, look: &ThreadLook, since: Duration) -> Duration {
        let ran = look.ran.saturating_sub(self.ran);
        let waited = look.waited.saturating_sub(self.waited);
        (self.ran, self.waited) = (look.ran, look.waited);
        let known = self.ahead.min(waited);
        self.ahead -= known;
        let news = waited - known;
        if !ran.is_zero() || look.state == State::Content || news >= since {
            return news;
        }
        // It wants to run, and does not. What it waits for a processor is yet to be told;
        // what it was stopped, or waited for a disk, will never be.
        if look.state == State::Runnable {
            self.ahead += since - news;
        }
        since
    }
}

/// The clock of a guest, from the start of its QEMU.
#[derive(Debug, Default)]
pub(super) struct Clock {
    threads: BTreeMap<u32, Thread>,
    /// On the wall, at the last look.
    wall: Duration,
    withheld: Duration,
    is_known: bool,
    /// Wall and withheld time at the looks of the last window.
    looks: VecDeque<(Duration, Duration)>,
    worst: Duration,
}

impl Clock {
    /// Takes a look if the last is long enough ago.
    pub(super) fn look_if_due(&mut self, wall: Duration, look: impl FnOnce() -> Vec<ThreadLook>) {
        if wall.saturating_sub(self.wall) >= INTERVAL {
            self.look(wall, &look());
        }
    }

    /// Takes a look at QEMU's threads at a moment on the wall. Of a process that the
    /// host tells nothing of, nothing is ever withheld.
    pub(super) fn look(&mut self, wall: Duration, threads: &[ThreadLook]) {
        let since = wall.saturating_sub(self.wall);
        self.wall = self.wall.max(wall);
        let mut most = Duration::ZERO;
        for look in threads {
            self.is_known = true;
            let withheld = match self.threads.get_mut(&look.id) {
                Some(thread) => thread.withheld(look, since),
                None => {
                    let (ran, waited) = (look.ran, look.waited);
                    let ahead = Duration::ZERO;
                    self.threads.insert(look.id, Thread { ran, waited, ahead });
                    look.waited
                }
            };
            most = most.max(withheld);
        }
        self.threads
            .retain(|id, _| threads.iter().any(|look| look.id == *id));
        self.withheld += most.min(since);
        self.remember();
    }

    /// Returns how much was withheld from the guest up to the last look.
    pub(super) const fn withheld(&self) -> Duration {
        self.withheld
    }

    /// Returns the guest's own time.
    pub(super) fn guest(&self) -> Duration {
        self.wall - self.withheld
    }

    /// Returns the account of it all.
    pub(super) fn account(&self) -> HostTime {
        HostTime {
            is_known: self.is_known,
            wall_ms: millis(self.wall),
            withheld_ms: millis(self.withheld),
            window_ms: millis(WINDOW),
            worst_ms: millis(self.worst),
        }
    }

    fn remember(&mut self) {
        while self
            .looks
            .front()
            .is_some_and(|(wall, _)| self.wall - *wall > WINDOW)
        {
            self.looks.pop_front();
        }
        let before = self.looks.front().map_or(Duration::ZERO, |(_, then)| *then);
        self.worst = self.worst.max(self.withheld - before);
        let last = self.looks.back().map_or(Duration::ZERO, |(wall, _)| *wall);
        if self.looks.is_empty() || self.wall - last >= WINDOW / WINDOW_LOOKS {
            self.looks.push_back((self.wall, self.withheld));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn thread(id: u32, state: State, ran: u64, waited: u64) -> ThreadLook {
        ThreadLook {
            id,
            state,
            ran: secs(ran),
            waited: secs(waited),
        }
    }

    #[test]
    fn a_limit_is_in_the_guest_s_time_and_the_wall_has_the_last_word() {
        let limit = secs(10);
        assert_eq!(look_at(limit, secs(9), secs(0)), Time::Left);
        assert_eq!(look_at(limit, secs(10), secs(0)), Time::Up);
        assert_eq!(look_at(limit, secs(40), secs(31)), Time::Left);
        assert_eq!(look_at(limit, secs(40), secs(30)), Time::Up);
        assert_eq!(look_at(limit, secs(79), secs(79)), Time::Left);
        assert_eq!(look_at(limit, secs(80), secs(79)), Time::Withheld);
        assert_eq!(look_at(secs(0), secs(0), secs(0)), Time::Up);
    }

    #[test]
    fn an_idle_guest_and_one_that_spins_have_all_their_time() {
        let mut clock = Clock::default();
        for second in 1..=60 {
            let idle = thread(1, State::Content, 0, 0);
            let spinning = thread(2, State::Runnable, second, 0);
            clock.look(secs(second), &[idle, spinning]);
        }
        assert_eq!(clock.guest(), secs(60));
        assert_eq!(clock.account().worst_ms, 0);
    }

    #[test]
    fn of_threads_that_wait_at_once_the_longest_wait_counts() {
        let mut clock = Clock::default();
        for second in 1..=10 {
            let half = thread(1, State::Runnable, second, second / 2);
            let none = thread(2, State::Runnable, 1, second);
            clock.look(secs(second), &[half, none]);
        }
        assert_eq!(clock.withheld(), secs(10));
        assert_eq!(clock.guest(), secs(0));
    }

    #[test]
    fn a_wait_that_the_kernel_tells_of_at_its_end_is_counted_while_it_lasts_and_once() {
        let mut clock = Clock::default();
        clock.look(secs(1), &[thread(1, State::Runnable, 1, 0)]);
        for second in 2..=9 {
            clock.look(secs(second), &[thread(1, State::Runnable, 1, 0)]);
        }
        assert_eq!(clock.withheld(), secs(8));
        clock.look(secs(10), &[thread(1, State::Runnable, 2, 8)]);
        assert_eq!(clock.withheld(), secs(8));
        clock.look(secs(20), &[thread(1, State::Runnable, 7, 13)]);
        assert_eq!(clock.withheld(), secs(13));
    }

    #[test]
    fn a_thread_that_was_stopped_had_nothing_though_nobody_counts_it() {
        let mut clock = Clock::default();
        for second in 1..=30 {
            clock.look(secs(second), &[thread(1, State::Barred, 0, 0)]);
        }
        clock.look(secs(31), &[thread(1, State::Content, 1, 0)]);
        assert_eq!(clock.withheld(), secs(29));
        assert_eq!(clock.account().worst_ms, 20_000);
    }

    #[test]
    fn the_worst_window_is_not_the_whole() {
        let mut clock = Clock::default();
        for second in 1..=100 {
            // Every other second, and five in a row once.
            let waited = second / 2 + u64::from(second > 50).min(1) * 5;
            clock.look(secs(second), &[thread(1, State::Runnable, second, waited)]);
        }
        let account = clock.account();
        assert!(account.worst_ms < 13_000, "{account:?}");
        assert!(account.withheld_ms > 45_000, "{account:?}");
    }

    #[test]
    fn without_a_word_from_the_host_all_time_is_the_guest_s() {
        let mut clock = Clock::default();
        clock.look(secs(50), &[]);
        assert_eq!(clock.guest(), secs(50));
        assert!(!clock.account().is_known);
    }
}
