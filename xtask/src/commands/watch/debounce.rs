// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups saves that follow each other quickly. An editor writes a temporary file and
//! renames it, and git writes many files, so a group ends after a pause.

use std::time::{Duration, Instant};

/// The pause that ends a group.
const PAUSE: Duration = Duration::from_millis(100);
/// Limit of the length of a group, for programs that write all the time.
const LENGTH_MAX: Duration = Duration::from_secs(2);

/// A group of saves.
#[derive(Clone, Debug)]
pub(super) struct Debounce {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Returns a group that began at `since` and is over.
    pub(super) fn already_over(since: Instant) -> Self {
        Self {
            first: since,
            last: since.checked_sub(PAUSE).unwrap_or(since),
        }
    }

    /// Adds a save at `now` to the group, or begins a group.
    pub(super) fn add(debounce: &mut Option<Self>, now: Instant) {
        let first = debounce.as_ref().map_or(now, |debounce| debounce.first);
        *debounce = Some(Self { first, last: now });
    }

    /// Returns the time of the first save.
    pub(super) const fn since(&self) -> Instant {
        self.first
    }

    /// Returns whether the group has ended.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= (self.last + PAUSE).min(self.first + LENGTH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_over_after_a_pause_or_at_the_maximum_length() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut debounce = None;
        Debounce::add(&mut debounce, start);
        Debounce::add(&mut debounce, after(90));
        let group = debounce.clone().unwrap();
        assert!(!group.is_over(after(100)));
        assert!(!group.is_over(after(189)));
        assert!(group.is_over(after(190)));
        assert_eq!(group.since(), start);
        for millis in (100..1990).step_by(50) {
            Debounce::add(&mut debounce, after(millis));
            assert!(!debounce.as_ref().unwrap().is_over(after(millis + 1)));
        }
        assert!(debounce.unwrap().is_over(after(2000)));
    }

    #[test]
    fn is_over_is_true_at_once_for_already_over() {
        let now = Instant::now();
        assert!(Debounce::already_over(now).is_over(now));
    }
}
