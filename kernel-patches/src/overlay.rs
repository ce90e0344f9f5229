// SPDX-License-Identifier: MIT OR Apache-2.0
//! An overlay: the files that differ between a checkout and its tree.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::{is_executable, missing_is_removed};

use crate::error::{Doing, Error};

/// A parent folder may be missing, or a file in another checkout.
const MISSING: [ErrorKind; 2] = [ErrorKind::NotFound, ErrorKind::NotADirectory];

/// A file of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Content.
    pub bytes: Vec<u8>,
    /// Whether it is executable.
    pub executable: bool,
}

impl FileState {
    /// Returns the file `path` below `root`; `None` if it is not a regular file.
    pub(crate) fn read(root: &Utf8Path, path: &Utf8Path) -> Result<Option<Self>, Error> {
        let file = root.join(path);
        let meta = match fs::symlink_metadata(&file) {
            Err(error) if MISSING.contains(&error.kind()) => return Ok(None),
            meta => meta.doing("reading a file of a checkout")?,
        };
        if meta.is_symlink() {
            return Err(Error::input(
                format!("applying the series: it makes `{path}` a symbolic link"),
                "use patches of regular files only",
            ));
        }
        if !meta.is_file() {
            return Ok(None);
        }
        Ok(Some(Self {
            bytes: fs::read(file).doing("reading a file of a checkout")?,
            executable: is_executable(&meta),
        }))
    }
}

pub(crate) fn bytes_of(state: Option<&FileState>) -> &[u8] {
    state.map_or(&[], |state| &state.bytes)
}

/// Writes a file below `root`, or removes it for `None`.
pub(crate) fn write_state(
    root: &Utf8Path,
    path: &Utf8Path,
    state: Option<&FileState>,
) -> Result<(), Error> {
    match state {
        Some(state) => write_below(root, path, &state.bytes, state.executable)
            .doing("writing a checkout's file"),
        None => remove_below(root, path).doing("removing a file"),
    }
}

/// The changed, added and removed (`None`) files of a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay(BTreeMap<Utf8PathBuf, Option<FileState>>);

impl Overlay {
    pub(crate) fn from_files(files: BTreeMap<Utf8PathBuf, Option<FileState>>) -> Self {
        Self(files)
    }

    /// Returns the files, by path.
    pub fn files(&self) -> &BTreeMap<Utf8PathBuf, Option<FileState>> {
        &self.0
    }

    /// Returns this overlay with the files of `other` added; `other` takes precedence.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.0.extend(other.0.clone());
        all
    }

    #[must_use]
    pub(crate) fn only(&self, is_wanted: impl Fn(&Utf8Path) -> bool) -> Self {
        let mut some = self.clone();
        some.0.retain(|path, _| is_wanted(path));
        some
    }

    /// Writes the files to `folder`, a copy of the tree, and deletes the removed files
    /// there.
    pub fn write_over(&self, folder: &Utf8Path) -> Result<(), Error> {
        let mut files = self.0.iter();
        files.try_for_each(|(path, state)| write_state(folder, path, state.as_ref()))
    }

    /// Returns a file of `tree` with this overlay; `None` if it does not exist.
    pub(crate) fn state(
        &self,
        tree: &Utf8Path,
        path: &Utf8Path,
    ) -> Result<Option<FileState>, Error> {
        match self.0.get(path) {
            Some(state) => Ok(state.clone()),
            None => FileState::read(tree, path),
        }
    }

    pub(crate) fn content_id(&self) -> String {
        let mut id = ContentId::new("overlay");
        for (path, state) in &self.0 {
            id = id.part(path.as_str());
            id = match state {
                Some(state) => id.part([u8::from(state.executable)]).part(&state.bytes),
                None => id.part(b"removed"),
            };
        }
        id.finish()
    }
}

/// Returns the parent folders of a relative path, outermost first.
pub(crate) fn parents(path: &Utf8Path) -> Vec<&Utf8Path> {
    let parents = path.ancestors().skip(1);
    let mut parents: Vec<&Utf8Path> = parents.filter(|path| !path.as_str().is_empty()).collect();
    parents.reverse();
    parents
}

/// Removes `.` and `..` from a path without reading the file system.
pub(crate) fn normalize(path: &Utf8Path) -> Utf8PathBuf {
    let mut normalized = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if normalized.file_name().is_some() => {
                normalized.pop();
            }
            other => normalized.push(other.as_str()),
        }
    }
    normalized
}

/// Writes a file below `root` and creates its folders. Symbolic links in the path are
/// removed, and an existing file is replaced instead of overwritten, since it may be a
/// hard link to a tree that must not change.
pub(crate) fn write_below(
    root: &Utf8Path,
    path: &Utf8Path,
    bytes: &[u8],
    executable: bool,
) -> std::io::Result<()> {
    for parent in parents(path) {
        let folder = root.join(parent);
        if fs::symlink_metadata(&folder).is_ok_and(|kind| !kind.is_dir()) {
            fs::remove_file(&folder)?;
        }
    }
    remove_below(root, path)?;
    let target = root.join(path);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&target, bytes)?;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(target, std::fs::Permissions::from_mode(mode))
}

/// Removes a file below `root`, if it exists and its path has no symbolic link.
pub(crate) fn remove_below(root: &Utf8Path, path: &Utf8Path) -> std::io::Result<()> {
    let is_behind_a_link = |parent: &&Utf8Path| {
        fs::symlink_metadata(root.join(parent)).is_ok_and(|kind| kind.is_symlink())
    };
    if parents(path).iter().any(is_behind_a_link) {
        return Ok(());
    }
    missing_is_removed(fs::remove_file(root.join(path)))
}
