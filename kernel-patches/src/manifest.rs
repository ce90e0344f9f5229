// SPDX-License-Identifier: MIT OR Apache-2.0
//! `series.yaml`: the manifest of a known series.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::error::Error;
use crate::yaml;

/// File name of a manifest.
pub const FILE_NAME: &str = "series.yaml";

/// A series' manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name on the command line and in scenarios.
    pub name: String,
    /// Summary in one line.
    pub title: String,
    /// Description: the change and its purpose.
    #[serde(default)]
    pub description: String,
    /// Patch files in order, relative to the folder.
    pub patches: Vec<Utf8PathBuf>,
    /// Patches that revert a reworded version of the change. If the series does not apply
    /// in reverse, the first patch that applies is used.
    #[serde(default)]
    pub revert: Vec<Utf8PathBuf>,
    /// Series that must be applied before.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Paths that must exist in the tree.
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
    /// When it cannot be read or is invalid.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(FILE_NAME);
        let manifest: Self = yaml::read(&path)?;
        let files = manifest
            .patches
            .iter()
            .chain(&manifest.revert)
            .chain(&manifest.config);
        for file in files {
            let inside = file.is_relative() && !file.components().any(|part| part.as_str() == "..");
            if !inside || !folder.join(file).is_file() {
                return Err(Error::input(
                    format!("reading `{path}`: `{file}` is not a file in its folder"),
                    "list files of the folder by relative paths without `..`",
                ));
            }
        }
        if manifest.patches.is_empty() {
            return Err(Error::input(
                format!("reading `{path}`: `patches` is empty"),
                "list at least one patch file",
            ));
        }
        Ok(manifest)
    }
}
