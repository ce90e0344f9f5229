// SPDX-License-Identifier: GPL-2.0-only
//! Locks between runs: two runs at once never harm each other.

use std::fs::{File, TryLockError};
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;

use crate::cancel::Cancel;
use crate::events::{Event, Observer};

/// How often a waiting run looks again.
const POLL: Duration = Duration::from_millis(100);

/// An exclusive lock on a file, given back on drop and by the death of the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The user asked to stop while waiting.
    #[error("interrupted while waiting for {0}")]
    Cancelled(String),
    /// The lock file could not be opened or locked.
    #[error("cannot lock {what}: {source}")]
    Io {
        /// What the lock protects, for people.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl FileLock {
    /// Takes the lock at `path`, waiting for whoever has it, without a limit
    /// but with a note that says `what` is waited for: the holder may be
    /// building a kernel, and its own waits have deadlines.
    ///
    /// # Errors
    /// When the file cannot be locked, or the wait was cancelled.
    pub fn acquire(
        path: &Utf8Path,
        what: &str,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            what: what.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(io)?
            .into_parts()
            .0;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            if cancel.is_cancelled() {
                return Err(LockError::Cancelled(what.to_owned()));
            }
            if !said {
                said = true;
                observer.event(Event::Note {
                    text: format!("waiting for another run that has {what}"),
                });
            }
            std::thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::events::Silent;

    #[test]
    fn a_held_lock_is_waited_for_until_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().join("lock")).unwrap();
        let cancel = Cancel::new();
        let held = FileLock::acquire(&path, "it", &cancel, &Silent).unwrap();
        cancel.cancel();
        assert!(matches!(
            FileLock::acquire(&path, "it", &cancel, &Silent),
            Err(LockError::Cancelled(_))
        ));
        drop(held);
        // A child of another test may hold the file for the moment before its exec.
        FileLock::acquire(&path, "it", &Cancel::new(), &Silent).unwrap();
    }
}
