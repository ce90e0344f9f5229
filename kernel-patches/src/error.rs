// SPDX-License-Identifier: GPL-2.0-only
//! Bad news of this room: wrong input that the user can fix, and a host that fails.

use patchbed_host::cache::CacheError;
use patchbed_host::lock::LockError;
use patchbed_host::process::ProcessError;

/// Whose business an error is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user can fix it.
    Input,
    /// The host or one of its tools failed.
    Host,
    /// The user asked to stop.
    Interrupted,
}

/// Why no kernel came of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user can fix it.
    #[error("{what}\nhint: {hint}")]
    Input {
        /// What is wrong, and where.
        what: String,
        /// What to try.
        hint: String,
    },
    /// The host or one of its tools failed.
    #[error("{doing}: {source}")]
    Host {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns an error that the user can fix.
    pub fn input(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// Returns a wrapper that says what was being done when the host failed.
    pub fn host<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let doing = doing.into();
        move |source| Self::Host {
            doing,
            source: Box::new(source),
        }
    }

    /// Returns a wrapper for a child process that failed while `doing` something.
    pub fn tool(doing: impl Into<String>) -> impl FnOnce(ProcessError) -> Self {
        let doing = doing.into();
        move |source| {
            if source.is_cancelled() {
                Self::Interrupted
            } else {
                Self::Host {
                    doing,
                    source: Box::new(source),
                }
            }
        }
    }

    /// Returns whose business it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Input { .. } => Kind::Input,
            Self::Host { .. } => Kind::Host,
            Self::Interrupted => Kind::Interrupted,
        }
    }
}

/// Somebody else's words are quoted in an error up to here, in characters.
const QUOTED_MAX: usize = 200;

/// Returns a text as far as it is quoted in an error.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<CacheError> for Error {
    fn from(source: CacheError) -> Self {
        Self::host("using the cache folder")(source)
    }
}

impl From<LockError> for Error {
    fn from(source: LockError) -> Self {
        match source {
            LockError::Cancelled(_) => Self::Interrupted,
            LockError::Io { .. } => Self::host("locking")(source),
        }
    }
}
