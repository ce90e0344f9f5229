// SPDX-License-Identifier: MIT OR Apache-2.0
//! Progress events.
//!
//! Library crates emit events; only the renderers in `xtask` print them.

/// A progress event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An activity started.
    Started {
        /// Name of the activity, as shown to the user; repeated in its later events.
        activity: String,
        /// Number of units to do, if known.
        total: Option<u64>,
    },
    /// An activity made progress.
    Advanced {
        /// The activity's name, as started.
        activity: String,
        /// Units done so far.
        done: u64,
        /// The current step, as shown to the user; may be empty.
        detail: String,
    },
    /// An activity ended, successfully or not.
    Finished {
        /// The activity's name, as started.
        activity: String,
    },
    /// A message to print once.
    Note {
        /// The message.
        text: String,
    },
}

/// Receives events; must not block.
pub trait Observer: Send + Sync {
    /// Handles an event.
    fn event(&self, event: Event);

    /// Removes transient output, before something else is printed.
    fn clear(&self) {}
}

/// An observer that drops all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event) {}
}

/// A running activity: emits `Started` on creation and `Finished` on drop.
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
    /// Emits `Started` for `name`, with `total` units to do if known.
    pub fn start(observer: &'a dyn Observer, name: impl Into<String>, total: Option<u64>) -> Self {
        let name = name.into();
        observer.event(Event::Started {
            activity: name.clone(),
            total,
        });
        Self { observer, name }
    }

    /// Emits `Advanced` with the units done and the current step.
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
