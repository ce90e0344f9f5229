// SPDX-License-Identifier: MIT OR Apache-2.0
//! Locks between concurrent runs.

use std::fs::{File, TryLockError};
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;

use crate::cancel::Cancel;
use crate::events::{Event, Observer};

/// Polling interval of a waiting run.
const POLL: Duration = Duration::from_millis(100);

/// An exclusive lock on a file, released on drop or when the process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The run was cancelled while it waited.
    #[error("interrupted while waiting for {0}")]
    Cancelled(String),
    /// The lock file could not be opened or locked.
    #[error("cannot lock {name}: {source}")]
    Io {
        /// The locked resource, as shown to the user.
        name: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl FileLock {
    /// Takes the lock at `path`. Waits without a limit while another process holds it,
    /// after a note that names the resource: the holder may be building a kernel, and its
    /// own waits have deadlines. Fails when the file cannot be locked, or the wait was
    /// cancelled.
    pub fn acquire(
        path: &Utf8Path,
        name: &str,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            name: name.to_owned(),
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
        let mut reported = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            if cancel.is_cancelled() {
                return Err(LockError::Cancelled(name.to_owned()));
            }
            if !reported {
                reported = true;
                observer.event(Event::Note {
                    text: format!("waiting for another run that uses {name}"),
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
    fn acquire_waits_for_a_held_lock_until_cancelled() {
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
        // A child forked by a concurrent test may hold the file until its exec.
        FileLock::acquire(&path, "it", &Cancel::new(), &Silent).unwrap();
    }
}
