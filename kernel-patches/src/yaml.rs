// SPDX-License-Identifier: GPL-2.0-only
//! The one module of this room that names the YAML crate.

use camino::Utf8Path;
use patchbed_host::files::read_text;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A manifest larger than this is not one, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a YAML file; a mistake is reported with file, line, column and the line itself.
pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<T, Error> {
    let text = read_text(path, FILE_BYTES_MAX).map_err(|error| {
        Error::input(
            error.to_string(),
            "a manifest is a small file of text; or name a folder of patches or an mbox",
        )
    })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Error::input(
            format!("`{path}`: {}", error.render()),
            "fix the line shown",
        )
    })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_manifest_that_is_no_text_is_wrong_input_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("series.yaml");
        fs::write(&path, b"name: \xff\n").unwrap();
        let error = read::<String>(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains(path.as_str()), "{error}");
    }
}
