// SPDX-License-Identifier: MIT OR Apache-2.0
//! The services that operations share: cancellation, progress and the cache folder.

use std::fmt;
use std::sync::Arc;

use camino::Utf8Path;

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::events::{Activity, Event, Observer};
use crate::lock::{FileLock, LockError};

/// The services of one command. Clones share them.
#[derive(Clone)]
pub struct Context {
    /// Ends every wait when it is set.
    pub cancel: Cancel,
    /// Receives progress events.
    pub observer: Arc<dyn Observer>,
    /// Stores results that later commands reuse.
    pub cache: Cache,
}

impl Context {
    /// Starts an activity with `total` units to do, if known; it ends when it is dropped.
    pub fn activity(&self, name: impl Into<String>, total: Option<u64>) -> Activity<'_> {
        Activity::start(&*self.observer, name, total)
    }

    /// Waits for the lock file `path`. `name` is the locked thing, for messages.
    ///
    /// # Errors
    /// When the file cannot be locked, or the user interrupted the run.
    pub fn lock(&self, path: &Utf8Path, name: &str) -> Result<FileLock, LockError> {
        FileLock::acquire(path, name, &self.cancel, &*self.observer)
    }

    /// Emits a message to print once.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        self.observer.event(Event::Note { text });
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("cancel", &self.cancel)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
