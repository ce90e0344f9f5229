// SPDX-License-Identifier: MIT OR Apache-2.0
//! An overlay: the files that differ between a checkout and its tree.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::missing_is_removed;

use crate::error::{Doing, Error};

/// A file of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Content.
    pub bytes: Vec<u8>,
    /// Whether it is executable.
    pub executable: bool,
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
        let other = other.0.iter();
        all.0
            .extend(other.map(|(path, state)| (path.clone(), state.clone())));
        all
    }

    /// Returns the files with these paths.
    #[must_use]
    pub(crate) fn only(&self, is_wanted: impl Fn(&Utf8Path) -> bool) -> Self {
        let mut some = self.clone();
        some.0.retain(|path, _| is_wanted(path));
        some
    }

    /// Writes the files to `folder`, a copy of the tree, and deletes the removed files
    /// there.
    pub fn write_over(&self, folder: &Utf8Path) -> Result<(), Error> {
        for (path, state) in &self.0 {
            match state {
                Some(state) => write_below(folder, path, &state.bytes, state.executable)
                    .doing("writing a checkout's file")?,
                None => {
                    remove_below(folder, path).doing("removing a file")?;
                }
            }
        }
        Ok(())
    }

    /// Returns the content of a file of `tree` with this overlay; `None` if it does not exist.
    pub(crate) fn read(&self, tree: &Utf8Path, path: &Utf8Path) -> Result<Option<Vec<u8>>, Error> {
        if let Some(state) = self.0.get(path) {
            return Ok(state.as_ref().map(|state| state.bytes.clone()));
        }
        match fs::read(tree.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read.doing("reading the tree")?)),
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
    let mut parents: Vec<&Utf8Path> = path
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_str().is_empty())
        .collect();
    parents.reverse();
    parents
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
