// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel in the cache: its files, metadata and content id.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::{read_json, write_json};
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

impl Facts {
    pub(super) fn store(&self, dir: &Utf8Path) -> std::io::Result<()> {
        write_json(&dir.join(FACTS), self)
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
