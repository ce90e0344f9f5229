// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series: named, ordered patches from a manifest, a folder, an mbox or a file.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::listing;
use serde::Deserialize;

use crate::error::{Doing, Error, read_input, read_yaml};
use crate::mail::{self, Patch};

const MANIFEST: &str = "series.yaml";
/// Size limit of a patch file or mbox, in bytes.
const SERIES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Ordered patches and their metadata.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name in scenarios and results.
    pub name: String,
    /// Summary in one line.
    pub title: String,
    /// The patches in order.
    pub patches: Vec<Patch>,
    /// Patches that revert a reworded version of the change; if the series does not
    /// apply in reverse, the first patch that applies is used.
    pub revert: Vec<Patch>,
    /// Names of series that must be applied before.
    pub requires: Vec<String>,
    /// Paths that must exist in the tree.
    pub needs_in_tree: Vec<Utf8PathBuf>,
    /// A kernel configuration fragment.
    pub config: Option<String>,
    /// Names of known series that it replaces.
    pub provides: Vec<String>,
    /// Whether it is a known series, found by name.
    pub is_known: bool,
}

impl Series {
    /// Returns the series `text`: the name of a known series (a folder in `library`), or
    /// the path of a folder of `.patch` files, a patch or an mbox. Fails when it does not
    /// exist or has no complete series.
    pub fn find(text: &str, library: &Utf8Path) -> Result<Self, Error> {
        let plain_name = !text.is_empty() && !text.contains('/') && !text.starts_with('.');
        if plain_name && library.join(text).join(MANIFEST).is_file() {
            return Ok(Self {
                is_known: true,
                ..Self::from_manifest(&library.join(text))?
            });
        }
        let series = Self::from_path(text, library)?;
        check_name(&series.name, text)?;
        Ok(series)
    }

    fn from_path(text: &str, library: &Utf8Path) -> Result<Self, Error> {
        let path = Utf8Path::new(text);
        if path.join(MANIFEST).is_file() {
            return Self::from_manifest(path);
        }
        if path.is_dir() {
            return Self::from_folder(path);
        }
        if path.is_file() {
            return Self::from_file(path);
        }
        if text.contains('/') || text.ends_with(".mbox") || text.ends_with(".patch") {
            return Err(Error::input(
                format!("cannot open the series `{text}`: no such file or folder"),
                "pass a folder of `.patch` files, one patch, or an mbox",
            ));
        }
        let hint = "pass a folder of `.patch` files, one patch, an mbox, or a known series";
        Err(Error::input(
            format!("unknown series `{text}`"),
            format!("{hint}: {}", names(library).join(", ")),
        ))
    }

    fn from_manifest(folder: &Utf8Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?;
        let load = |files: &[Utf8PathBuf]| -> Result<Vec<Patch>, Error> {
            let patches = files.iter().map(|file| read_patch(&folder.join(file)));
            patches.collect()
        };
        let config = manifest.config.map(|file| read_input(&folder.join(file)));
        Ok(Self {
            patches: load(&manifest.patches)?,
            revert: load(&manifest.revert)?,
            name: manifest.name,
            title: manifest.title,
            requires: manifest.requires,
            needs_in_tree: manifest.needs_in_tree,
            config: config.transpose()?,
            ..Self::default()
        })
    }

    fn from_folder(folder: &Utf8Path) -> Result<Self, Error> {
        let mut files = listing(folder).doing(format!("listing `{folder}`"))?;
        files.retain(|path| path.extension() == Some("patch") && path.is_file());
        let mut patches = Vec::new();
        for file in &files {
            // 0000-cover-letter.patch has no diff.
            patches.extend(parse_one(file, &read(file)?));
        }
        if patches.is_empty() {
            return Err(Error::input(
                format!("reading `{folder}`: no `.patch` file has a diff"),
                "create the folder with `git format-patch -o FOLDER RANGE`",
            ));
        }
        Ok(Self::plain(folder, patches))
    }

    fn from_file(path: &Utf8Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let patches = if bytes.starts_with(b"From ") {
            mail::parse_mbox(path.as_str(), &bytes)?
        } else {
            Vec::from_iter(parse_one(path, &bytes))
        };
        if patches.is_empty() {
            return Err(Error::input(
                format!("reading `{path}`: it is neither a patch nor an mbox"),
                "pass a patch (it has a line `diff --git ...`) or an mbox (it starts with `From ...`)",
            ));
        }
        Ok(Self::plain(path, patches))
    }

    pub(crate) fn has_changes_of(&self, other: &Self) -> bool {
        let changes = |series: &Self| -> Vec<String> {
            series.patches.iter().map(Patch::diff_sha256).collect()
        };
        changes(self) == changes(other)
    }

    fn plain(path: &Utf8Path, patches: Vec<Patch>) -> Self {
        let first = patches.first();
        Self {
            name: stem(path),
            title: first.map_or_else(String::new, |patch| patch.subject.clone()),
            patches,
            ..Self::default()
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    title: String,
    /// The change and its purpose, for readers of the file.
    #[serde(default, rename = "description")]
    _description: String,
    /// Patch files in order, relative to the folder.
    patches: Vec<Utf8PathBuf>,
    #[serde(default)]
    revert: Vec<Utf8PathBuf>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    needs_in_tree: Vec<Utf8PathBuf>,
    config: Option<Utf8PathBuf>,
}

impl Manifest {
    fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let manifest: Self = read_yaml(&path)?;
        let patches = manifest.patches.iter().chain(&manifest.revert);
        for file in patches.chain(&manifest.config) {
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

/// Returns the name of a file or folder; for `.`, the name of the current folder.
fn stem(path: &Utf8Path) -> String {
    let whole = path.canonicalize_utf8();
    let whole = whole.as_deref().unwrap_or(path);
    let named = path.file_stem().or_else(|| whole.file_stem());
    named.unwrap_or_default().to_owned()
}

/// Rejects names that are not a plain word or that are names of checkouts.
fn check_name(name: &str, path: &str) -> Result<(), Error> {
    let is_taken = ["", ".", "..", "base", "series"].contains(&name);
    if !is_taken && !name.contains('/') && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::input(
        format!("reading `{path}`: {name:?} is not a valid name of a series"),
        format!("rename the file or folder, or change `name` in its `{MANIFEST}`"),
    ))
}

/// Returns the names of the known series, sorted.
pub fn names(library: &Utf8Path) -> Vec<String> {
    let folders = listing(library).unwrap_or_default().into_iter();
    let folders = folders.filter(|path| path.join(MANIFEST).is_file());
    folders
        .filter_map(|path| path.file_name().map(str::to_owned))
        .collect()
}

fn parse_one(path: &Utf8Path, bytes: &[u8]) -> Option<Patch> {
    mail::parse_one(path.file_name().unwrap_or_default(), bytes)
}

fn read_patch(path: &Utf8Path) -> Result<Patch, Error> {
    parse_one(path, &read(path)?).ok_or_else(|| {
        Error::input(
            format!("reading `{path}`: it has no diff"),
            "list only patches in the manifest",
        )
    })
}

fn read(path: &Utf8Path) -> Result<Vec<u8>, Error> {
    let size = fs::metadata(path).doing("reading a patch")?.len();
    if size > SERIES_BYTES_MAX {
        return Err(Error::input(
            format!("reading `{path}`: its size is {size} bytes"),
            format!("use files of at most {SERIES_BYTES_MAX} bytes"),
        ));
    }
    fs::read(path).doing("reading a patch")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";

    #[test]
    fn find_rejects_invalid_and_reserved_names() {
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
            assert!(error.contains("is not a valid name"), "{error}");
        }
        let named = |name: &str| {
            let text = format!("name: {name}\ntitle: t\npatches: [a.patch]\n");
            fs::write(folder.join(MANIFEST), text).unwrap();
            find(&folder).map(|series| series.name)
        };
        assert_eq!(named("good").unwrap(), "good");
        for bad in ["\"\"", "base", "series", "../../x", "..", "\"\\e[31m\""] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
