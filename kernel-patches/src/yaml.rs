// SPDX-License-Identifier: GPL-2.0-only
//! The one module of this room that names the YAML crate.

use camino::Utf8Path;
use fs_err as fs;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A manifest larger than this is not one, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a YAML file; a mistake is reported with file, line, column and the line itself.
pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<T, Error> {
    let size = fs::metadata(path)
        .map_err(Error::host("reading a manifest"))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(Error::input(
            format!("`{path}` has {size} bytes, too many for a manifest"),
            "name a folder of patches or an mbox",
        ));
    }
    let text = fs::read_to_string(path).map_err(Error::host("reading a manifest"))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Error::input(
            format!("`{path}`: {}", error.render()),
            "mend the line shown",
        )
    })
}
