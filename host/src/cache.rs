// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cache folder: its entries are keyed by content and may be deleted.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tempfile::TempDir;

/// The cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: Utf8PathBuf,
}

/// Why there is no cache folder.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages show the meaning of the fields")]
pub enum CacheError {
    /// None of the environment variables is set.
    #[error("no place for the cache: set `PATCHBED_CACHE`, `XDG_CACHE_HOME` or `HOME`")]
    NoPlace,
    /// The path is relative, so it would depend on the working directory.
    #[error("cannot use `{variable}`: `{value}` is not an absolute path")]
    Relative {
        variable: &'static str,
        value: String,
    },
    /// The path is not UTF-8, which builds in the cache require.
    #[error("cannot use `{variable}`: `{value}` is not UTF-8")]
    NotUtf8 {
        variable: &'static str,
        value: String,
    },
    /// The folder could not be created.
    #[error("cannot create the cache folder: {0}\nhint: `PATCHBED_CACHE` sets another folder")]
    Io(#[from] std::io::Error),
}

impl Cache {
    /// Returns the cache folder: `PATCHBED_CACHE`, else `XDG_CACHE_HOME/patchbed`, else
    /// `HOME/.cache/patchbed`. Fails when no variable is set, the path is relative, or the
    /// folder cannot be created.
    pub fn from_env() -> Result<Self, CacheError> {
        Self::choose(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
            .and_then(Self::at)
    }

    /// Returns a cache at `root`, which is created if it does not exist. Its path is
    /// resolved: kbuild records resolved paths, which are compared with those of the cache.
    /// Fails when the folder cannot be created.
    pub fn at(root: Utf8PathBuf) -> Result<Self, CacheError> {
        fs::create_dir_all(&root)?;
        let root = root.canonicalize_utf8()?;
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

    /// Returns a folder below the cache, which is created if it does not exist. Fails when
    /// it cannot be created.
    pub fn dir(&self, below: &[&str]) -> Result<Utf8PathBuf, CacheError> {
        let path = below
            .iter()
            .fold(self.root.clone(), |path, part| path.join(part));
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// Writes a file atomically: to a temporary file in the same folder, which is then renamed.
/// A symbolic link or a pipe at `path` is replaced, not written through. Fails when the
/// file cannot be written or renamed, as when `path` is a folder.
pub fn publish(path: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder)?;
    // tempfile's default mode is 0600; the umask applies to this one.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Returns a temporary folder beside `place`, on its file system, and its path.
///
/// # Errors
/// When it cannot be created.
pub fn partial_folder(place: &Utf8Path) -> std::io::Result<(TempDir, Utf8PathBuf)> {
    let folder = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(place.parent().unwrap_or(place))?;
    let path = Utf8PathBuf::try_from(folder.path().to_owned()).map_err(std::io::Error::other)?;
    Ok((folder, path))
}

/// Renames the folder `parts` to `place`, where it replaces an incomplete entry. A complete
/// entry of a concurrent run stays, since a VM may use it.
///
/// # Errors
/// When it cannot be renamed.
pub fn publish_folder(
    parts: &Utf8Path,
    place: &Utf8Path,
    is_complete: impl Fn() -> bool,
) -> std::io::Result<()> {
    if is_complete() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(place);
    match fs::rename(parts, place) {
        Err(_) if is_complete() => Ok(()),
        renamed => renamed,
    }
}

/// Returns the first 128 bits of a hash in hexadecimal, or all bits of a shorter hash.
pub fn hex(sum: &[u8]) -> String {
    let bytes = sum.iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_replaces_links_and_pipes_and_rejects_folders() {
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
    fn hex_returns_the_first_16_bytes_of_a_longer_hash() {
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
    fn choose_prefers_the_most_specific_variable() {
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
    fn choose_rejects_relative_and_missing_paths() {
        assert!(matches!(
            choose(&[("HOME", "h")]),
            Err(CacheError::Relative { .. })
        ));
        assert!(matches!(choose(&[]), Err(CacheError::NoPlace)));
    }
}
