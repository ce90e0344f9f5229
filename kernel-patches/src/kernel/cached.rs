// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel in the cache, and the out-of-tree modules that are built against it: their files,
//! metadata and content ids.
//!
//! Modules are built in the kernel's build folder right after the kernel, since modpost needs
//! its objects, and cached separately.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{partial_folder, publish_folder};
use patchbed_host::content::ContentId;
use patchbed_host::files::{listing, missing_is_removed, read_json, write_json};
use serde::{Deserialize, Serialize};

use super::toolchain::Toolchain;
use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::{Doing, Error};
use crate::worktree::BUILD_FORMAT;

/// Increase when the files of a cached kernel change: all kernels get new ids, and build
/// folders keep their objects.
const ENTRY_FORMAT: &str = "2";
const FACTS: &str = "kernel.json";
/// File name of the list of source files.
pub(super) const SOURCES: &str = "sources";
/// File name of the boot image, for every architecture.
pub(super) const IMAGE: &str = "bzImage";
/// Size limit of `kernel.json`, in bytes.
const FACTS_BYTES_MAX: u64 = 1024 * 1024;

/// The metadata of a cached kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// The checkout's name when it was built.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The label of the tree.
    pub tree: String,
    /// Build time in seconds.
    pub build_secs: u64,
    /// Size of the image in bytes; detects a truncated image.
    pub image_bytes: u64,
    /// Size of the list of source files in bytes; detects a truncated list.
    pub sources_bytes: u64,
    /// Content id of its code; `None` for a mutant's kernel.
    pub code: Option<String>,
}

/// A built kernel in the cache.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Content id.
    pub id: String,
    /// Its folder in the cache.
    pub dir: Utf8PathBuf,
    /// Its metadata.
    pub facts: Facts,
    /// Whether this run built it.
    pub is_fresh: bool,
}

impl Kernel {
    /// Returns the path of the boot image.
    pub fn image(&self) -> Utf8PathBuf {
        self.dir.join(IMAGE)
    }

    /// Returns the path of the kernel with symbols.
    pub fn symbols(&self) -> Utf8PathBuf {
        self.dir.join("vmlinux")
    }

    /// Returns the path of its `.config`.
    pub fn config(&self) -> Utf8PathBuf {
        self.dir.join("config")
    }

    /// Returns the folder of its user-space headers, with `include/`.
    pub fn headers(&self) -> Utf8PathBuf {
        self.dir.join("headers")
    }

    /// Returns the folder with the tree's `kselftest.h` and `kselftest_harness.h`.
    pub fn selftests(&self) -> Utf8PathBuf {
        self.dir.join("selftests")
    }

    /// Returns the source files that it was built from, relative to the tree.
    pub fn sources(&self) -> Result<BTreeSet<String>, Error> {
        let list = self.dir.join(SOURCES);
        let text = fs::read_to_string(list).doing("reading the source files of a kernel")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Stores the metadata of a kernel in its folder.
    pub(super) fn store(facts: &Facts, dir: &Utf8Path) -> std::io::Result<()> {
        write_json(&dir.join(FACTS), facts)
    }

    /// Returns the kernel in `dir`, if it is complete.
    pub(super) fn load(dir: &Utf8Path, id: &str, is_fresh: bool) -> Option<Self> {
        let facts: Facts = read_json(&dir.join(FACTS), FACTS_BYTES_MAX)?;
        let image_bytes = fs::metadata(dir.join(IMAGE)).ok()?.len();
        let sources = fs::metadata(dir.join(SOURCES)).ok()?;
        // Without the list, the coverage of a series cannot be computed.
        let is_listed = sources.len() > 0 && sources.len() == facts.sources_bytes;
        (image_bytes == facts.image_bytes && is_listed).then(|| Self {
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        })
    }
}

/// Returns the content id of the kernel of `checkout` and `config`.
pub fn kernel_id(checkout: &Checkout, config: &Config, toolchain: &Toolchain) -> String {
    ContentId::new("kernel")
        .part(BUILD_FORMAT)
        .part(ENTRY_FORMAT)
        .part(&checkout.id)
        .part(config.of(checkout).text())
        .part(&toolchain.identity)
        .finish()
}

/// The source of modules: the files of a folder, with a `Makefile` or `Kbuild` that sets
/// `obj-m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    files: BTreeMap<String, String>,
}

impl Modules {
    /// Returns modules from `files`: names and texts. Fails when a name is not a plain file
    /// name, or the `Makefile` is missing.
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
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Publishes the modules in the folder `from` as the folder `dir` of the cache.
pub(super) fn publish_modules(from: &Utf8Path, dir: &Utf8Path) -> Result<(), Error> {
    let doing = "storing modules in the cache";
    let mut modules = listing(from).doing("listing built modules")?;
    modules.retain(|path| path.extension() == Some("ko"));
    if modules.is_empty() {
        return Err(Error::input(
            "building modules: the `Makefile` builds none",
            "add `obj-m += NAME.o` to the `Makefile`",
        ));
    }
    let (_folder, parts) = partial_folder(dir).doing(doing)?;
    for module in modules {
        let name = module.file_name().unwrap_or_default();
        fs::copy(&module, parts.join(name)).doing(doing)?;
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
    fn publish_modules_copies_modules_only_and_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let (folder, place) = (home.join("folder"), home.join("place"));
        fs::create_dir_all(&folder).unwrap();
        let error = publish_modules(&folder, &place).unwrap_err();
        assert!(error.to_string().contains("builds none"), "{error}");
        for name in ["one.ko", "one.o", "Module.symvers"] {
            fs::write(folder.join(name), name).unwrap();
        }
        publish_modules(&folder, &place).unwrap();
        publish_modules(&folder, &place).unwrap();
        let names: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["one.ko"]);
    }
}
