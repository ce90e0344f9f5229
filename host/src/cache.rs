// SPDX-License-Identifier: GPL-2.0-only
//! The cache folder: everything in it is keyed by content and may be deleted.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// The cache folder of patchbed.
#[derive(Clone, Debug)]
pub struct Cache {
    root: Utf8PathBuf,
}

/// Why there is no cache folder.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// None of the variables that could name it is set.
    #[error("no place for the cache: set `PATCHBED_CACHE`, `XDG_CACHE_HOME` or `HOME`")]
    NoPlace,
    /// The path is relative, so it would move with the working directory.
    #[error("`{variable}` must be an absolute path, not `{value}`")]
    Relative {
        /// The environment variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// The path is not UTF-8, which everything that is built there would need.
    #[error("`{variable}` must be UTF-8, not `{value}`")]
    NotUtf8 {
        /// The environment variable.
        variable: &'static str,
        /// What it holds, as far as it can be shown.
        value: String,
    },
    /// The folder could not be made.
    #[error("cannot make the cache folder: {0}; `PATCHBED_CACHE` moves it")]
    Io(#[from] std::io::Error),
}

impl Cache {
    /// Returns the cache folder that the environment names: `PATCHBED_CACHE`,
    /// else `XDG_CACHE_HOME/patchbed`, else `HOME/.cache/patchbed`.
    ///
    /// # Errors
    /// When no variable is set, the path is relative, or it cannot be made.
    pub fn from_env() -> Result<Self, CacheError> {
        Self::choose(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
            .and_then(Self::at)
    }

    /// Returns a cache at `root`, made if need be.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(root: Utf8PathBuf) -> Result<Self, CacheError> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    fn choose(var: impl Fn(&str) -> Option<OsString>) -> Result<Utf8PathBuf, CacheError> {
        for (variable, below) in [
            ("PATCHBED_CACHE", ""),
            ("XDG_CACHE_HOME", "patchbed"),
            ("HOME", ".cache/patchbed"),
        ] {
            let Some(value) = var(variable) else {
                continue;
            };
            let path = PathBuf::from(value);
            let Ok(path) = Utf8PathBuf::try_from(path.clone()) else {
                let value = path.display().to_string();
                return Err(CacheError::NotUtf8 { variable, value });
            };
            if !path.is_absolute() {
                let value = path.into_string();
                return Err(CacheError::Relative { variable, value });
            }
            return Ok(if below.is_empty() {
                path
            } else {
                path.join(below)
            });
        }
        Err(CacheError::NoPlace)
    }

    /// Returns a folder below the cache, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn dir(&self, below: &[&str]) -> Result<Utf8PathBuf, CacheError> {
        let path = below
            .iter()
            .fold(self.root.clone(), |path, part| path.join(part));
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// Puts a file in place whole or not at all: written beside its place and
/// renamed into it, so that another run never sees half of it. A link or a pipe that is in
/// its place is replaced, and nothing is written through it.
///
/// # Errors
/// When it cannot be written or renamed, as when a folder is in its place.
pub fn publish(path: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder)?;
    // As for any new file, the umask says who may read it.
    let mut parts = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    std::io::Write::write_all(&mut parts, bytes)?;
    parts.persist(path).map(drop).map_err(|error| error.error)
}

/// Returns the first 128 bits of a sum in hexadecimal, enough to name things by; all of
/// what is shorter.
pub fn hex(sum: &[u8]) -> String {
    let bytes = sum.iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_takes_the_place_of_a_link_or_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let (precious, plain) = (root.join("precious"), root.join("plain"));
        fs::write(&precious, "mine").unwrap();
        fs::write(&plain, "").unwrap();
        fs_err::os::unix::fs::symlink(&precious, root.join("link")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(root.join("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        for name in ["link", "pipe", "new"] {
            let path = root.join(name);
            publish(&path, b"text").unwrap();
            let meta = fs::symlink_metadata(&path).unwrap();
            assert!(meta.is_file(), "{name}");
            let as_any_file = fs::metadata(&plain).unwrap().permissions();
            assert_eq!(meta.permissions(), as_any_file, "{name}");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
        fs::create_dir(root.join("folder")).unwrap();
        assert!(publish(&root.join("folder"), b"text").is_err());
    }

    #[test]
    fn a_name_is_the_first_half_of_a_sum() {
        assert_eq!(hex(&[0x0a, 0xff]), "0aff");
        let sum: Vec<u8> = (0..32).collect();
        assert_eq!(hex(&sum), "000102030405060708090a0b0c0d0e0f");
    }

    fn choose(vars: &[(&str, &str)]) -> Result<Utf8PathBuf, CacheError> {
        Cache::choose(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_most_particular_variable_wins() {
        let all = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("PATCHBED_CACHE", "/t"),
        ];
        assert_eq!(choose(&all).unwrap(), "/t");
        assert_eq!(choose(&all[..2]).unwrap(), "/x/patchbed");
        assert_eq!(choose(&all[..1]).unwrap(), "/h/.cache/patchbed");
    }

    #[test]
    fn relative_or_missing_places_are_refused() {
        assert!(matches!(
            choose(&[("HOME", "h")]),
            Err(CacheError::Relative { .. })
        ));
        assert!(matches!(choose(&[]), Err(CacheError::NoPlace)));
    }
}
