// SPDX-License-Identifier: GPL-2.0-only
//! Modules from outside of the tree, built against a kernel of ours.
//!
//! They are built where the kernel was, right after it, for its objects are what a
//! module is checked against; what comes out has a place of its own in the cache.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;

use super::build::Maker;
use crate::content::ContentId;
use crate::error::Error;

const PREPARE_LIMIT: Duration = Duration::from_secs(600);
const MODULES_LIMIT: Duration = Duration::from_secs(1800);

/// The source of modules: one folder's files, a `Makefile` or `Kbuild` with
/// `obj-m` among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    files: BTreeMap<String, String>,
}

impl Modules {
    /// Returns the modules that `files`, names with their text, make.
    ///
    /// # Errors
    /// When a name is none of a file in a folder, or the rules are missing.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let files: BTreeMap<String, String> = files.into_iter().collect();
        if let Some(name) = files.keys().find(|name| !is_plain(name)) {
            return Err(Error::input(
                format!("`{name}` is no name for a file of a module"),
                "letters, digits, `_`, `-` and `.`, in one folder",
            ));
        }
        if !["Makefile", "Kbuild"]
            .iter()
            .any(|name| files.contains_key(*name))
        {
            return Err(Error::input(
                "modules without a `Makefile`",
                "one with `obj-m += NAME.o` says what to make of the source",
            ));
        }
        Ok(Self { files })
    }

    /// Returns the name of what these become against the kernel named `kernel`.
    pub(super) fn id(&self, kernel: &str) -> String {
        let id = ContentId::new("modules").part(kernel.as_bytes());
        let add = |id: ContentId, (name, text): (&String, &String)| {
            id.part(name.as_bytes()).part(text.as_bytes())
        };
        self.files.iter().fold(id, add).finish()
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

impl Maker<'_> {
    /// Builds `modules` against the kernel just built here, and puts them at `dir`.
    pub(super) fn make_modules(&self, modules: &Modules, dir: &Utf8Path) -> Result<(), Error> {
        let activity = format!("building modules of {}", self.what());
        let _activity = Activity::start(self.observer, activity, None);
        let room = self.work.home().join("modules");
        lay(modules, &room)?;
        let prepare = self
            .make(&["modules_prepare"])
            .log_to(self.log())
            .deadline("modules_prepare", PREPARE_LIMIT);
        self.in_progress
            .during(|| prepare.run(self.cancel))?
            .map_err(|error| self.explain(error, "get ready for modules"))?;
        // What a module is linked against; kbuild writes it under this name only
        // when all modules of the tree are built.
        let objects = self.work.objects();
        fs::copy(
            objects.join("vmlinux.symvers"),
            objects.join("Module.symvers"),
        )
        .map_err(Error::host("listing what a kernel exports"))?;
        let make = self
            .make(&["modules"])
            .arg(format!("M={room}"))
            .log_to(self.log())
            .deadline("module build", MODULES_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map_err(|error| self.explain(error, "build these modules"))?;
        publish(&room, dir)
    }
}

/// Copies the sources to an empty `room`.
fn lay(modules: &Modules, room: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(room) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::host("clearing a folder of modules")(error));
        }
        _ => fs::create_dir_all(room).map_err(Error::host("making a folder"))?,
    }
    for (name, text) in &modules.files {
        fs::write(room.join(name), text).map_err(Error::host("copying the source of a module"))?;
    }
    Ok(())
}

/// Copies what was made in `room` to `dir`, whole or not at all.
fn publish(room: &Utf8Path, dir: &Utf8Path) -> Result<(), Error> {
    let made = made(room)?;
    if made.is_empty() {
        return Err(Error::input(
            "the `Makefile` of the modules makes none",
            "`obj-m += NAME.o` says what to make",
        ));
    }
    let place = dir.parent().unwrap_or(dir);
    let folder = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(place)
        .map_err(Error::host("making a folder"))?;
    let parts = Utf8Path::from_path(folder.path()).unwrap_or(place);
    for module in &made {
        let name = module.file_name().unwrap_or_default();
        fs::copy(module, parts.join(name)).map_err(Error::host("keeping a module"))?;
    }
    match fs::rename(parts, dir) {
        // Another checkout may have built the same meanwhile.
        Err(_) if dir.is_dir() => Ok(()),
        other => other.map_err(Error::host("keeping modules")),
    }
}

fn made(room: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let mut made = Vec::new();
    for entry in room
        .read_dir_utf8()
        .map_err(Error::host("looking for modules"))?
    {
        let entry = entry.map_err(Error::host("looking for modules"))?;
        if entry.path().extension() == Some("ko") {
            made.push(entry.path().to_owned());
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Result<Modules, Error> {
        Modules::new(
            files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        )
    }

    #[test]
    fn names_stay_in_the_folder_and_rules_are_needed() {
        for name in ["../up.c", "a/b.c", "", ".hidden", "a b.c"] {
            let error = modules(&[("Makefile", ""), (name, "")]).unwrap_err();
            assert!(error.to_string().contains("is no name"), "{error}");
        }
        let error = modules(&[("one.c", "")]).unwrap_err();
        assert!(error.to_string().contains("without a `Makefile`"));
        assert!(modules(&[("Makefile", "obj-m += one.o"), ("one.c", "")]).is_ok());
    }

    #[test]
    fn modules_are_of_their_source_and_their_kernel() {
        let one = modules(&[("Makefile", "obj-m += one.o"), ("one.c", "a")]).unwrap();
        let other = modules(&[("Makefile", "obj-m += one.o"), ("one.c", "b")]).unwrap();
        assert_ne!(one.id("kernel"), other.id("kernel"));
        assert_ne!(one.id("kernel"), one.id("another"));
    }

    #[test]
    fn what_was_made_is_published_once_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let (room, place) = (home.join("room"), home.join("place"));
        fs::create_dir_all(&room).unwrap();
        let error = publish(&room, &place).unwrap_err();
        assert!(error.to_string().contains("makes none"), "{error}");
        for name in ["one.ko", "one.o", "Module.symvers"] {
            fs::write(room.join(name), name).unwrap();
        }
        publish(&room, &place).unwrap();
        publish(&room, &place).unwrap();
        let names: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["one.ko"]);
    }
}
