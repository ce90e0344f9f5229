// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of this crate, and text files of the user, whose errors are wrong input.

use camino::Utf8Path;
use patchbed_host::cache::CacheError;
use patchbed_host::files::read_text;
use patchbed_host::lock::LockError;
use patchbed_host::process::ProcessError;
use patchbed_host::yaml::parse;
use serde::de::DeserializeOwned;

/// Why a series could not be applied or built. The variant selects the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong input.
    #[error("{message}{}", hint.iter().map(|hint| format!("\nhint: {hint}")).collect::<String>())]
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

/// Returns a text that an error quotes, cut after 200 characters.
pub(crate) fn shorten(text: &str) -> String {
    cut(text, 200)
}

/// Returns a text, cut after `chars` characters.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
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

/// Size limit of a text file of the user, in bytes.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn read_input(path: &Utf8Path) -> Result<String, Error> {
    read_text(path, TEXT_BYTES_MAX)
        .map_err(|error| Error::input(error.to_string(), "use a UTF-8 text file of at most 1 MiB"))
}

/// Reads a YAML file; an error has file, line, column, the source line and a hint.
pub(crate) fn read_yaml<T: DeserializeOwned>(path: &Utf8Path) -> Result<T, Error> {
    let text = read_input(path)?;
    parse(&text, path.as_str()).map_err(|error| Error::input_without_hint(error.to_string()))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn read_yaml_reports_the_path_of_a_file_that_is_not_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("series.yaml");
        fs::write(&path, b"name: \xff\n").unwrap();
        let error = read_yaml::<String>(&path).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        assert!(error.to_string().contains(path.as_str()), "{error}");
    }

    #[test]
    fn read_yaml_reports_the_position_of_an_unknown_key() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Named {
            #[expect(dead_code, reason = "only its parsing matters")]
            name: String,
        }
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("series.yaml");
        fs::write(&path, "name: a\nnmae: b\n").unwrap();
        let error = read_yaml::<Named>(&path).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        let error = error.to_string();
        let expected = format!("{path}:2:1: unknown key `nmae`");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.ends_with("hint: did you mean `name`?"), "{error}");
    }
}
