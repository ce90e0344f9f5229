// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads YAML files.

use camino::Utf8Path;
use patchbed_host::files::read_text;
use patchbed_host::yaml::parse;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Size limit of a YAML file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a YAML file; an error has file, line, column, the source line and a hint.
pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<T, Error> {
    let text = read_text(path, FILE_BYTES_MAX).map_err(|error| {
        Error::input(error.to_string(), "use a UTF-8 text file of at most 1 MiB")
    })?;
    parse(&text, path.as_str()).map_err(|error| Error::input_without_hint(error.to_string()))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn read_reports_the_path_of_a_file_that_is_not_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("series.yaml");
        fs::write(&path, b"name: \xff\n").unwrap();
        let error = read::<String>(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        assert!(error.to_string().contains(path.as_str()), "{error}");
    }

    #[test]
    fn read_reports_the_position_of_an_unknown_key() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Named {
            #[expect(dead_code, reason = "only its parsing matters")]
            name: String,
        }
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("series.yaml");
        fs::write(&path, "name: a\nnmae: b\n").unwrap();
        let error = read::<Named>(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
        let error = error.to_string();
        let expected = format!("{path}:2:1: unknown key `nmae`");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.ends_with("hint: did you mean `name`?"), "{error}");
    }
}
