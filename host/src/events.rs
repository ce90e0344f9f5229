// SPDX-License-Identifier: GPL-2.0-only
//! What code that runs things says about its progress.
//!
//! Rooms emit events; only the renderers in `xtask` print them.

/// One piece of news from something that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An activity began. `total` is how many units it expects to do, if known.
    Started {
        /// What is being done, for people; names the activity in later events.
        activity: String,
        /// Units to do, if known.
        total: Option<u64>,
    },
    /// An activity got further.
    Advanced {
        /// The activity's name, as started.
        activity: String,
        /// Units done so far.
        done: u64,
        /// What it is at right now, for people; may be empty.
        detail: String,
    },
    /// An activity ended, well or badly.
    Finished {
        /// The activity's name, as started.
        activity: String,
    },
    /// A sentence that the user should see once.
    Note {
        /// The sentence.
        text: String,
    },
}

/// Receives events; must not block.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// An observer that drops everything, for tests and for callers that do not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event) {}
}

/// An activity under way: says that it started, and on drop that it finished.
#[must_use]
pub struct Activity<'a> {
    observer: &'a dyn Observer,
    name: String,
}

impl std::fmt::Debug for Activity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Activity<'a> {
    /// Says that `name` started, with `total` units to do if known.
    pub fn start(observer: &'a dyn Observer, name: impl Into<String>, total: Option<u64>) -> Self {
        let name = name.into();
        observer.event(Event::Started {
            activity: name.clone(),
            total,
        });
        Self { observer, name }
    }

    /// Says how far it is and what it is at.
    pub fn advance(&self, done: u64, detail: impl Into<String>) {
        self.observer.event(Event::Advanced {
            activity: self.name.clone(),
            done,
            detail: detail.into(),
        });
    }
}

impl Drop for Activity<'_> {
    fn drop(&mut self) {
        self.observer.event(Event::Finished {
            activity: self.name.clone(),
        });
    }
}
