// SPDX-License-Identifier: GPL-2.0-only
//! A series: ordered patches with a name, from wherever the user has them.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_text;

use crate::error::Error;
use crate::mail::{self, Patch};
use crate::manifest::{self, Manifest};

/// A series larger than this is refused, in bytes.
const SERIES_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// No fragment of a configuration is larger, in bytes.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Ordered patches, and what is known about them.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name that scenarios and results use.
    pub name: String,
    /// One line on what it does.
    pub title: String,
    /// The patches, in the order to apply.
    pub patches: Vec<Patch>,
    /// Patches of which one takes the change out of a tree that has it in other words.
    pub revert: Vec<Patch>,
    /// Names of series that must be below this one.
    pub requires: Vec<String>,
    /// Paths that a tree must have for the series to make sense there.
    pub needs_in_tree: Vec<Utf8PathBuf>,
    /// A kernel configuration fragment, if the series brings one.
    pub config: Option<String>,
    /// Names of series of ours whose place it takes.
    pub provides: Vec<String>,
    /// Whether it is one of ours, found by name.
    pub is_ours: bool,
}

impl Series {
    /// Returns the series that `what` names: one of ours (a folder below
    /// `library`), a folder of `.patch` files, one patch, or an mbox of mails.
    ///
    /// # Errors
    /// When there is no such thing, or it holds no whole series.
    pub fn find(what: &str, library: &Utf8Path) -> Result<Self, Error> {
        let plain_name = !what.is_empty() && !what.contains('/') && !what.starts_with('.');
        if plain_name && library.join(what).join(manifest::FILE_NAME).is_file() {
            let mut series = Self::from_manifest(&library.join(what))?;
            series.is_ours = true;
            return Ok(series);
        }
        let series = Self::from_path(what, library)?;
        check_name(&series.name, what)?;
        Ok(series)
    }

    fn from_path(what: &str, library: &Utf8Path) -> Result<Self, Error> {
        let path = Utf8Path::new(what);
        if path.join(manifest::FILE_NAME).is_file() {
            return Self::from_manifest(path);
        }
        if path.is_dir() {
            return Self::from_folder(path);
        }
        if path.is_file() {
            return Self::from_file(path);
        }
        Err(Error::input(
            format!("there is no series `{what}`"),
            format!(
                "give a folder of `.patch` files, an mbox, or one of ours: {}",
                names(library).join(", ")
            ),
        ))
    }

    fn from_manifest(folder: &Utf8Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?;
        let load = |files: &[Utf8PathBuf]| {
            files
                .iter()
                .map(|file| read_patch(&folder.join(file)))
                .collect::<Result<Vec<_>, _>>()
        };
        let config = match &manifest.config {
            Some(file) => Some(
                read_text(&folder.join(file), CONFIG_BYTES_MAX)
                    .map_err(|error| Error::input(error.to_string(), "fix the file"))?,
            ),
            None => None,
        };
        Ok(Self {
            patches: load(&manifest.patches)?,
            revert: load(&manifest.revert)?,
            name: manifest.name,
            title: manifest.title,
            requires: manifest.requires,
            needs_in_tree: manifest.needs_in_tree,
            config,
            provides: Vec::new(),
            is_ours: false,
        })
    }

    fn from_folder(folder: &Utf8Path) -> Result<Self, Error> {
        let mut files: Vec<Utf8PathBuf> = folder
            .read_dir_utf8()
            .map_err(Error::host(format!("listing `{folder}`")))?
            .filter_map(Result::ok)
            .map(|entry| entry.path().to_owned())
            .filter(|path| path.extension() == Some("patch") && path.is_file())
            .collect();
        files.sort();
        let mut patches = Vec::new();
        for file in &files {
            // A cover letter among the files (0000-cover-letter.patch) has no diff.
            patches.extend(mail::parse_one(
                file.file_name().unwrap_or_default(),
                &read(file)?,
            ));
        }
        if patches.is_empty() {
            return Err(Error::input(
                format!("`{folder}` has no `.patch` file with a diff in it"),
                "`git format-patch -o FOLDER RANGE` makes such a folder",
            ));
        }
        Ok(Self::plain(folder, patches))
    }

    fn from_file(path: &Utf8Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let patches = if bytes.starts_with(b"From ") {
            mail::parse_mbox(path.as_str(), &bytes)?
        } else {
            Vec::from_iter(mail::parse_one(
                path.file_name().unwrap_or_default(),
                &bytes,
            ))
        };
        if patches.is_empty() {
            return Err(Error::input(
                format!("`{path}` is neither a patch nor an mbox of patches"),
                "an mbox starts with a line `From ...`; a patch has a line `diff --git ...`",
            ));
        }
        Ok(Self::plain(path, patches))
    }

    /// Returns whether it changes the same in the same order as another one.
    pub(crate) fn has_changes_of(&self, other: &Self) -> bool {
        let changes = |series: &Self| -> Vec<String> {
            series.patches.iter().map(Patch::diff_sha256).collect()
        };
        changes(self) == changes(other)
    }

    fn plain(path: &Utf8Path, patches: Vec<Patch>) -> Self {
        let title = patches
            .first()
            .map(|patch| patch.subject.clone())
            .unwrap_or_default();
        Self {
            name: stem(path),
            title,
            patches,
            revert: Vec::new(),
            requires: Vec::new(),
            needs_in_tree: Vec::new(),
            config: None,
            provides: Vec::new(),
            is_ours: false,
        }
    }
}

/// Returns the name of a file or folder, of `.` as well.
fn stem(path: &Utf8Path) -> String {
    let whole = path.canonicalize_utf8();
    let whole = whole.as_deref().unwrap_or(path);
    let named = path.file_stem().or_else(|| whole.file_stem());
    named.unwrap_or_default().to_owned()
}

/// Makes sure that a name is one, and that of no checkout.
fn check_name(name: &str, what: &str) -> Result<(), Error> {
    let is_taken = ["", ".", "..", "base", "series"].contains(&name);
    if !is_taken && !name.contains('/') && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::input(
        format!("a series cannot be called {name:?}, as that in `{what}` is"),
        format!(
            "give it a plain name: in its `{}`, or of the file or folder",
            manifest::FILE_NAME
        ),
    ))
}

/// Returns the names of our own series, sorted.
pub fn names(library: &Utf8Path) -> Vec<String> {
    let entries = library
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join(manifest::FILE_NAME).is_file())
        .map(|entry| entry.file_name().to_owned())
        .collect();
    names.sort();
    names
}

fn read_patch(path: &Utf8Path) -> Result<Patch, Error> {
    let name = path.file_name().unwrap_or_default();
    mail::parse_one(name, &read(path)?)
        .ok_or_else(|| Error::input(format!("`{path}` holds no diff"), "fix or remove the file"))
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, Error> {
    let size = fs::metadata(path)
        .map_err(Error::host("reading a patch"))?
        .len();
    if size > SERIES_BYTES_MAX {
        return Err(Error::input(
            format!("`{path}` has {size} bytes, too many for a series"),
            format!("the limit is {SERIES_BYTES_MAX}"),
        ));
    }
    fs::read(path).map_err(Error::host("reading a patch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn a_name_is_plain_and_that_of_no_checkout() {
        let place = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(place.path()).unwrap();
        let folder = place.join("mine");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.patch"), PATCH).unwrap();
        let find = |path: &Utf8Path| Series::find(path.as_str(), place);
        assert_eq!(find(&folder).unwrap().name, "mine");
        assert_eq!(find(&folder.join(".")).unwrap().name, "mine");
        for bad in ["base", "series"] {
            let file = place.join(format!("{bad}.patch"));
            fs::write(&file, PATCH).unwrap();
            let error = find(&file).unwrap_err().to_string();
            assert!(error.contains("cannot be called"), "{error}");
        }
        let named = |name: &str| {
            let text = format!("name: {name}\ntitle: t\npatches: [a.patch]\n");
            fs::write(folder.join(manifest::FILE_NAME), text).unwrap();
            find(&folder).map(|series| series.name)
        };
        assert_eq!(named("good").unwrap(), "good");
        for bad in ["\"\"", "base", "series", "../../x", "..", "\"\\e[31m\""] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
