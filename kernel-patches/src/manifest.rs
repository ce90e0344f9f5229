// SPDX-License-Identifier: GPL-2.0-only
//! `series.yaml`: what a series of ours says about itself.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::error::Error;
use crate::yaml;

/// The file that makes a folder a series with a manifest.
pub const FILE_NAME: &str = "series.yaml";

/// A series' manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The series' name, used on the command line and in scenarios.
    pub name: String,
    /// One line on what it does.
    pub title: String,
    /// What it does and why it is here.
    #[serde(default)]
    pub description: String,
    /// Patch files in the order to apply, relative to the folder.
    pub patches: Vec<Utf8PathBuf>,
    /// Patches of which one takes the change out of a tree that has it in other
    /// words; tried in order when the series does not apply in reverse.
    #[serde(default)]
    pub revert: Vec<Utf8PathBuf>,
    /// Series that must be below this one.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Paths that a tree must have for the series to make sense there.
    #[serde(default)]
    pub needs_in_tree: Vec<Utf8PathBuf>,
    /// A kernel configuration fragment, relative to the folder.
    #[serde(default)]
    pub config: Option<Utf8PathBuf>,
}

impl Manifest {
    /// Reads the manifest of the series in `folder`.
    ///
    /// # Errors
    /// When it cannot be read, or holds a mistake, which is shown with its place.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(FILE_NAME);
        let manifest: Self = yaml::read(&path)?;
        let named = manifest
            .patches
            .iter()
            .chain(&manifest.revert)
            .chain(&manifest.config);
        for file in named {
            let inside = file.is_relative() && !file.components().any(|part| part.as_str() == "..");
            if !inside || !folder.join(file).is_file() {
                return Err(Error::input(
                    format!("`{path}` names `{file}`, which is not a file in that folder"),
                    "fix the name, or add the file",
                ));
            }
        }
        if manifest.patches.is_empty() {
            return Err(Error::input(
                format!("`{path}` lists no patches"),
                "list at least one",
            ));
        }
        Ok(manifest)
    }
}
