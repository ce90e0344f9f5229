// SPDX-License-Identifier: GPL-2.0-only
//! A series: ordered patches with a name, from wherever the user has them.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use testbed_host::files::read_text;

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
    pub take_out: Vec<Patch>,
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
                    .map_err(|error| Error::input(error.to_string(), "mend the file"))?,
            ),
            None => None,
        };
        Ok(Self {
            patches: load(&manifest.patches)?,
            take_out: load(&manifest.take_out)?,
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

    fn plain(path: &Utf8Path, patches: Vec<Patch>) -> Self {
        let title = patches
            .first()
            .map(|patch| patch.subject.clone())
            .unwrap_or_default();
        Self {
            name: path.file_stem().unwrap_or("series").to_owned(),
            title,
            patches,
            take_out: Vec::new(),
            requires: Vec::new(),
            needs_in_tree: Vec::new(),
            config: None,
            provides: Vec::new(),
            is_ours: false,
        }
    }
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
        .ok_or_else(|| Error::input(format!("`{path}` holds no diff"), "mend or remove the file"))
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
