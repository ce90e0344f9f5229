// SPDX-License-Identifier: GPL-2.0-only
//! The generated folder on disk: written, or held against what it should be.

use std::collections::BTreeMap;
use std::io;

use camino::Utf8Path;

use crate::scenario::ScenarioFile;

/// A file of the generated folder that is not as the scenarios give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Should be there, and is not.
    Missing {
        /// The file's name.
        name: String,
        /// What it should be.
        expected: String,
    },
    /// Is there with other contents.
    Changed {
        /// The file's name.
        name: String,
        /// What is on disk.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Comes from no scenario any more.
    Stale {
        /// The file's name.
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

/// Returns how the folder differs from what the scenarios give; empty is good.
///
/// # Errors
///
/// Returns an error when the folder or a file in it cannot be read.
pub fn check(scenario_files: &[ScenarioFile], folder: &Utf8Path) -> io::Result<Vec<Difference>> {
    Ok(compare(super::files(scenario_files), &read(folder)?))
}

/// Makes the folder what the scenarios give, and returns what had to change.
///
/// # Errors
///
/// Returns an error when the folder cannot be read or written.
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

/// The files of the folder and of that of the modules in it, by their paths within.
fn read(folder: &Utf8Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = read_one(folder)?;
    let modules = read_one(&folder.join(super::MODULES))?.into_iter();
    files.extend(modules.map(|(name, text)| (format!("{}/{name}", super::MODULES), text)));
    Ok(files)
}

/// The files of a folder; what is built in it does not count.
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
    fn missing_changed_and_stale_files_are_told_apart() {
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
