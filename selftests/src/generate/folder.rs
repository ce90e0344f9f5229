// SPDX-License-Identifier: MIT OR Apache-2.0
//! The generated folder on disk: writing it, and comparing it with the expected files.

use std::collections::BTreeMap;
use std::io;

use camino::Utf8Path;

use crate::scenario::ScenarioFile;

/// A difference between the folder and the expected files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The file does not exist.
    Missing {
        /// The name of the file.
        name: String,
        /// The expected contents.
        expected: String,
    },
    /// The file has other contents.
    Changed {
        /// The name of the file.
        name: String,
        /// The contents on disk.
        found: String,
        /// The expected contents.
        expected: String,
    },
    /// The file is not generated from any scenario.
    Stale {
        /// The name of the file.
        name: String,
    },
}

impl Difference {
    /// Returns the name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } | Self::Changed { name, .. } | Self::Stale { name } => name,
        }
    }
}

/// Returns the differences between the folder and the files generated from the scenarios.
///
/// # Errors
///
/// Returns an error if the folder or a file in it cannot be read.
pub fn check(scenario_files: &[ScenarioFile], folder: &Utf8Path) -> io::Result<Vec<Difference>> {
    Ok(compare(super::files(scenario_files), &read(folder)?))
}

/// Writes the files generated from the scenarios, and returns the differences before.
///
/// # Errors
///
/// Returns an error if the folder cannot be read or written.
pub fn write(scenario_files: &[ScenarioFile], folder: &Utf8Path) -> io::Result<Vec<Difference>> {
    fs_err::create_dir_all(folder)?;
    let differences = check(scenario_files, folder)?;
    for difference in &differences {
        match difference {
            Difference::Missing { name, expected } | Difference::Changed { name, expected, .. } => {
                let path = folder.join(name);
                fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
                fs_err::write(path, expected)?;
            }
            Difference::Stale { name } => fs_err::remove_file(folder.join(name))?,
        }
    }
    Ok(differences)
}

fn compare(
    expected: BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let stale: Vec<_> = found
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .map(|name| Difference::Stale { name: name.clone() })
        .collect();
    expected
        .into_iter()
        .filter_map(|(name, expected)| match found.get(&name) {
            None => Some(Difference::Missing { name, expected }),
            Some(found) if *found != expected => Some(Difference::Changed {
                name,
                found: found.clone(),
                expected,
            }),
            Some(_) => None,
        })
        .chain(stale)
        .collect()
}

/// The files of the folder and of its subfolder of modules, by relative path.
fn read(folder: &Utf8Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = read_one(folder)?;
    let modules = read_one(&folder.join(super::MODULES))?.into_iter();
    files.extend(modules.map(|(name, text)| (format!("{}/{name}", super::MODULES), text)));
    Ok(files)
}

/// The generated files of one folder. Build output is ignored.
fn read_one(folder: &Utf8Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        let name = path.file_name().unwrap_or_default();
        let generated = matches!(name, "Makefile" | "config" | "settings" | ".gitignore")
            || (matches!(path.extension(), Some("c" | "h")) && !name.ends_with(".mod.c"));
        if generated && path.is_file() {
            let text = String::from_utf8_lossy(&fs_err::read(&path)?).into_owned();
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_reports_missing_changed_and_stale_files() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let differences = compare(
            map(&[("a", "1"), ("b", "2"), ("c", "3")]),
            &map(&[("b", "x"), ("c", "3"), ("d", "4")]),
        );
        let names: Vec<_> = differences.iter().map(Difference::name).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert!(matches!(differences[2], Difference::Stale { .. }));
    }
}
