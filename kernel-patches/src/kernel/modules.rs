// SPDX-License-Identifier: MIT OR Apache-2.0
//! Out-of-tree modules, built against a kernel.
//!
//! They are built in the kernel's build folder right after the kernel, since modpost
//! needs its objects, and cached separately.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;

use super::build::Builder;
use crate::content::ContentId;
use crate::error::Error;

const PREPARE_LIMIT: Duration = Duration::from_secs(600);
const MODULES_LIMIT: Duration = Duration::from_secs(1800);

/// The source of modules: the files of a folder, with a `Makefile` or `Kbuild` that sets
/// `obj-m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    files: BTreeMap<String, String>,
}

impl Modules {
    /// Returns modules from `files`: names and texts.
    ///
    /// # Errors
    /// When a name is not a plain file name, or the `Makefile` is missing.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let files: BTreeMap<String, String> = files.into_iter().collect();
        if let Some(name) = files.keys().find(|name| !is_plain(name)) {
            return Err(Error::input(
                format!("reading the source of modules: invalid file name `{name}`"),
                "use letters, digits, `_`, `-` and `.`",
            ));
        }
        if !["Makefile", "Kbuild"]
            .iter()
            .any(|name| files.contains_key(*name))
        {
            return Err(Error::input(
                "reading the source of modules: it has no `Makefile`",
                "add a `Makefile` with `obj-m += NAME.o`",
            ));
        }
        Ok(Self { files })
    }

    /// Returns the content id of these modules, built against the kernel with id `kernel`.
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

impl Builder<'_> {
    /// Builds `modules` against the kernel in the build folder and stores them in `dir`.
    pub(super) fn build_modules(&self, modules: &Modules, dir: &Utf8Path) -> Result<(), Error> {
        let activity = format!("building modules of {}", self.name());
        let _activity = Activity::start(self.observer, activity, None);
        let folder = self.work.home().join("modules");
        write_sources(modules, &folder)?;
        let prepare = self
            .make(&["modules_prepare"])
            .log_to(self.log())
            .deadline("modules_prepare", PREPARE_LIMIT);
        self.in_progress
            .during(|| prepare.run(self.cancel))?
            .map_err(|error| self.explain(error, "preparing modules of"))?;
        // modpost reads `Module.symvers`, which kbuild writes only when all modules of the
        // tree are built.
        let objects = self.work.objects();
        fs::copy(
            objects.join("vmlinux.symvers"),
            objects.join("Module.symvers"),
        )
        .map_err(Error::infrastructure(
            "copying the exported symbols of a kernel",
        ))?;
        let make = self
            .make(&["modules"])
            .arg(format!("M={folder}"))
            .log_to(self.log())
            .deadline("module build", MODULES_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map_err(|error| self.explain(error, "building modules of"))?;
        publish(&folder, dir)
    }
}

/// Writes the sources to the emptied `folder`.
fn write_sources(modules: &Modules, folder: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::infrastructure("clearing the folder of modules")(
                error,
            ));
        }
        _ => fs::create_dir_all(folder).map_err(Error::infrastructure("creating a folder"))?,
    }
    for (name, text) in &modules.files {
        fs::write(folder.join(name), text)
            .map_err(Error::infrastructure("writing the source of a module"))?;
    }
    Ok(())
}

/// Copies the modules in `from` to a temporary folder and renames it to `dir`.
fn publish(from: &Utf8Path, dir: &Utf8Path) -> Result<(), Error> {
    let modules = built_modules(from)?;
    if modules.is_empty() {
        return Err(Error::input(
            "building modules: the `Makefile` builds none",
            "add `obj-m += NAME.o` to the `Makefile`",
        ));
    }
    let parent = dir.parent().unwrap_or(dir);
    let folder = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(parent)
        .map_err(Error::infrastructure("creating a folder"))?;
    let parts = Utf8Path::from_path(folder.path()).unwrap_or(parent);
    for module in &modules {
        let name = module.file_name().unwrap_or_default();
        fs::copy(module, parts.join(name))
            .map_err(Error::infrastructure("storing modules in the cache"))?;
    }
    match fs::rename(parts, dir) {
        // A concurrent run published the same modules.
        Err(_) if dir.is_dir() => Ok(()),
        other => other.map_err(Error::infrastructure("storing modules in the cache")),
    }
}

fn built_modules(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let mut modules = Vec::new();
    for entry in folder
        .read_dir_utf8()
        .map_err(Error::infrastructure("listing built modules"))?
    {
        let entry = entry.map_err(Error::infrastructure("listing built modules"))?;
        if entry.path().extension() == Some("ko") {
            modules.push(entry.path().to_owned());
        }
    }
    Ok(modules)
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
    fn new_rejects_bad_file_names_and_a_missing_makefile() {
        for name in ["../up.c", "a/b.c", "", ".hidden", "a b.c"] {
            let error = modules(&[("Makefile", ""), (name, "")]).unwrap_err();
            assert!(error.to_string().contains("invalid file name"), "{error}");
        }
        let error = modules(&[("one.c", "")]).unwrap_err();
        assert!(error.to_string().contains("has no `Makefile`"));
        assert!(modules(&[("Makefile", "obj-m += one.o"), ("one.c", "")]).is_ok());
    }

    #[test]
    fn id_depends_on_source_and_kernel() {
        let one = modules(&[("Makefile", "obj-m += one.o"), ("one.c", "a")]).unwrap();
        let other = modules(&[("Makefile", "obj-m += one.o"), ("one.c", "b")]).unwrap();
        assert_ne!(one.id("kernel"), other.id("kernel"));
        assert_ne!(one.id("kernel"), one.id("another"));
    }

    #[test]
    fn publish_copies_modules_only_and_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let (folder, place) = (home.join("folder"), home.join("place"));
        fs::create_dir_all(&folder).unwrap();
        let error = publish(&folder, &place).unwrap_err();
        assert!(error.to_string().contains("builds none"), "{error}");
        for name in ["one.ko", "one.o", "Module.symvers"] {
            fs::write(folder.join(name), name).unwrap();
        }
        publish(&folder, &place).unwrap();
        publish(&folder, &place).unwrap();
        let names: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["one.ko"]);
    }
}
