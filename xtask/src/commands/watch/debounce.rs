// SPDX-License-Identifier: GPL-2.0-only
//! Saves come in bursts: an editor writes beside a file and renames, git writes
//! many files. A debounce is over when nothing was saved for a moment.

use std::time::{Duration, Instant};

/// Nothing saved for so long ends a debounce.
const QUIET: Duration = Duration::from_millis(100);
/// A debounce that goes on for longer is not waited for: something writes without end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Saves that belong together.
#[derive(Clone, Debug)]
pub(super) struct Debounce {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Returns a debounce that began at `since` and is over, to begin with.
    pub(super) fn long_over(since: Instant) -> Self {
        Self {
            first: since,
            last: since.checked_sub(QUIET).unwrap_or(since),
        }
    }

    /// Adds a save at `now` to the debounce that is under way, or begins one.
    pub(super) fn add(debounce: &mut Option<Self>, now: Instant) {
        let first = debounce.as_ref().map_or(now, |debounce| debounce.first);
        *debounce = Some(Self { first, last: now });
    }

    /// Returns when the first of them was.
    pub(super) const fn since(&self) -> Instant {
        self.first
    }

    /// Returns whether it is time to look at what was saved.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= (self.last + QUIET).min(self.first + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_over_after_a_quiet_moment_or_when_patience_ends() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut debounce = None;
        Debounce::add(&mut debounce, start);
        Debounce::add(&mut debounce, after(90));
        let there = debounce.clone().unwrap();
        assert!(!there.is_over(after(100)));
        assert!(!there.is_over(after(189)));
        assert!(there.is_over(after(190)));
        assert_eq!(there.since(), start);
        for millis in (100..1990).step_by(50) {
            Debounce::add(&mut debounce, after(millis));
            assert!(!debounce.as_ref().unwrap().is_over(after(millis + 1)));
        }
        assert!(debounce.unwrap().is_over(after(2000)));
    }

    #[test]
    fn the_first_turn_does_not_wait() {
        let now = Instant::now();
        assert!(Debounce::long_over(now).is_over(now));
    }
}
