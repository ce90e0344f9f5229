// SPDX-License-Identifier: MIT OR Apache-2.0
//! An overlay: the files that differ between a checkout and its tree.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::content::ContentId;
use crate::error::Error;
use crate::scratch::{remove_below, write_below};

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

    /// Writes the files to `folder`, a copy of the tree, and deletes the removed files
    /// there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_over(&self, folder: &Utf8Path) -> Result<(), Error> {
        for (path, state) in &self.0 {
            match state {
                Some(state) => write_below(folder, path, &state.bytes, state.executable)
                    .map_err(Error::infrastructure("writing a checkout's file"))?,
                None => {
                    remove_below(folder, path).map_err(Error::infrastructure("removing a file"))?;
                }
            }
        }
        Ok(())
    }

    /// Returns its content id.
    pub(crate) fn content_id(&self) -> String {
        let mut id = ContentId::new("overlay");
        for (path, state) in &self.0 {
            id = id.part(path.as_str().as_bytes());
            id = match state {
                Some(state) => id.part(&[u8::from(state.executable)]).part(&state.bytes),
                None => id.part(b"removed"),
            };
        }
        id.finish()
    }
}
