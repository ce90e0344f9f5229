// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of this crate.

use patchbed_host::cache::CacheError;
use patchbed_host::lock::LockError;
use patchbed_host::process::ProcessError;

/// The cause of an error; selects the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong input.
    Input,
    /// The host or one of its tools failed.
    Infrastructure,
    /// The user asked to stop.
    Interrupted,
}

/// Why a series could not be applied or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong input.
    #[error("{message}{}", hint_line(hint.as_deref()))]
    Input {
        /// The failed operation and the reason, with the file.
        message: String,
        /// How to fix it, if the message does not show it.
        hint: Option<String>,
    },
    /// The host or one of its tools failed.
    #[error("{doing}: {source}")]
    Infrastructure {
        /// The operation that failed.
        doing: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns an error for wrong input.
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// Returns an error for wrong input whose message shows how to fix it.
    pub fn input_without_hint(message: impl Into<String>) -> Self {
        Self::Input {
            message: message.into(),
            hint: None,
        }
    }

    /// Returns an error of the host or of a child process during the operation `doing`.
    pub fn infrastructure<E>(doing: impl Into<String>, source: E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let source: Box<dyn std::error::Error + Send + Sync> = Box::new(source);
        match source.downcast_ref::<ProcessError>() {
            Some(process) if process.is_cancelled() => Self::Interrupted,
            _ => Self::Infrastructure {
                doing: doing.into(),
                source,
            },
        }
    }

    /// Returns an error for an unexpected state of the host, such as a missing file.
    pub(crate) fn unexpected(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::infrastructure(doing, std::io::Error::other(why.into()))
    }

    /// Returns the cause.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Input { .. } => Kind::Input,
            Self::Infrastructure { .. } => Kind::Infrastructure,
            Self::Interrupted => Kind::Interrupted,
        }
    }
}

/// Adds the failed operation to an error of the host or of a child process.
pub(crate) trait Doing<T> {
    fn doing(self, doing: impl Into<String>) -> Result<T, Error>;
}

impl<T, E> Doing<T> for Result<T, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn doing(self, doing: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::infrastructure(doing, source))
    }
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map_or(String::new(), |hint| format!("\nhint: {hint}"))
}

/// Length limit of quoted text in an error, in characters.
const QUOTED_MAX: usize = 200;

/// Returns the text, cut to [`QUOTED_MAX`].
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<CacheError> for Error {
    fn from(source: CacheError) -> Self {
        Self::infrastructure("using the cache folder", source)
    }
}

impl From<LockError> for Error {
    fn from(source: LockError) -> Self {
        match source {
            LockError::Cancelled(_) => Self::Interrupted,
            LockError::Io { .. } => Self::infrastructure("locking", source),
        }
    }
}
