// SPDX-License-Identifier: MIT OR Apache-2.0
//! Out-of-tree modules, built against a kernel.
//!
//! They are built in the kernel's build folder right after the kernel, since modpost
//! needs its objects, and cached separately.

use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cache::{partial_folder, publish_folder};
use patchbed_host::content::ContentId;
use patchbed_host::files::missing_is_removed;

use crate::error::{Doing, Error};

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
        if !files.contains_key("Makefile") && !files.contains_key("Kbuild") {
            return Err(Error::input(
                "reading the source of modules: it has no `Makefile`",
                "add a `Makefile` with `obj-m += NAME.o`",
            ));
        }
        Ok(Self { files })
    }

    /// Writes the sources to the emptied `folder`.
    pub(super) fn write_to(&self, folder: &Utf8Path) -> Result<(), Error> {
        missing_is_removed(fs::remove_dir_all(folder)).doing("clearing the folder of modules")?;
        fs::create_dir_all(folder).doing("creating a folder")?;
        for (name, text) in &self.files {
            fs::write(folder.join(name), text).doing("writing the source of a module")?;
        }
        Ok(())
    }

    /// Returns the content id of these modules, built against the kernel with id `kernel`.
    pub(super) fn id(&self, kernel: &str) -> String {
        let mut id = ContentId::new("modules").part(kernel);
        for (name, text) in &self.files {
            id = id.part(name).part(text);
        }
        id.finish()
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Publishes the modules in the folder `from` as the folder `dir` of the cache.
pub(super) fn publish(from: &Utf8Path, dir: &Utf8Path) -> Result<(), Error> {
    let doing = "storing modules in the cache";
    let (_folder, parts) = partial_folder(dir).doing(doing)?;
    let mut is_empty = true;
    for entry in from.read_dir_utf8().doing("listing built modules")? {
        let entry = entry.doing("listing built modules")?;
        if entry.path().extension() == Some("ko") {
            fs::copy(entry.path(), parts.join(entry.file_name())).doing(doing)?;
            is_empty = false;
        }
    }
    if is_empty {
        return Err(Error::input(
            "building modules: the `Makefile` builds none",
            "add `obj-m += NAME.o` to the `Makefile`",
        ));
    }
    publish_folder(&parts, dir, || dir.is_dir()).doing(doing)
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
