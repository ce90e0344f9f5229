// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree's kselftests: builds a TARGET with the tree's Makefiles for a guest without
//! a shell and shared libraries, and caches it by content.
//!
//! A test that cannot run in the guest is listed with the reason. Running tests and
//! parsing their output is outside of this crate.

mod build;
mod collect;
mod libraries;
mod program;
mod source;
mod wanted;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::events::Observer;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::{Doing, Error};
use crate::kernel::{Kernel, Toolchain};
use crate::tree::Tree;

pub use wanted::{Wanted, has_target, no_such_target};

/// Increase when a change of the build steps changes their output.
const BUILD_FORMAT: &str = "2";
const FACTS: &str = "suite.json";
/// The folder of the files for guests.
const FILES: &str = "files";
/// Size limit of `suite.json` and of a `.config`, in bytes.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Size limit of a file for guests, in bytes.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The metadata of a built TARGET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Time limit of a test from its `settings`, in seconds; 0 is no limit.
    pub timeout_secs: Option<u64>,
    /// Its `config`: the kernel options that it requires.
    pub config: String,
    /// Its tests, in the order of its Makefile.
    pub tests: Vec<Test>,
    /// Sentences on files that were skipped and are not tests.
    pub notes: Vec<String>,
    /// Content ids of its files for guests, by name; they detect a truncated or changed
    /// file.
    pub files: BTreeMap<String, String>,
}

/// One test of a TARGET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// File name.
    pub name: String,
    /// Whether `run_tests` of the tree runs it.
    pub by_default: bool,
    /// Whether it can run in a guest.
    pub form: Form,
}

/// Whether a test can run in a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A program that can run.
    Program {
        /// Names of the files that it needs in its folder.
        companions: Vec<String>,
    },
    /// A test that cannot run.
    Unfit {
        /// The reason: a predicate whose subject is the test.
        reason: String,
    },
}

/// A file for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteFile {
    /// Name in the folder of the test.
    pub name: String,
    /// Path on the host.
    pub path: Utf8PathBuf,
    /// Whether it is executable.
    pub executable: bool,
}

/// A built TARGET in the cache.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The TARGET's name.
    pub target: String,
    /// Content id.
    pub id: String,
    /// Its folder in the cache.
    pub dir: Utf8PathBuf,
    /// Its metadata.
    pub facts: Facts,
    /// Whether this run built it.
    pub is_fresh: bool,
}

impl Suite {
    /// Returns the test with this name.
    pub fn find(&self, name: &str) -> Option<&Test> {
        self.facts.tests.iter().find(|test| test.name == name)
    }

    /// Returns the files of a test, the program first; an empty list if the test cannot
    /// run.
    pub fn files(&self, test: &Test) -> Vec<SuiteFile> {
        let Form::Program { companions } = &test.form else {
            return Vec::new();
        };
        let files = self.dir.join(FILES);
        let names = std::iter::once(&test.name).chain(companions);
        names
            .map(|name| SuiteFile {
                name: name.clone(),
                path: files.join(name),
                executable: is_executable(&files.join(name)),
            })
            .collect()
    }

    /// Returns the options of the TARGET's `config` that `kernel` does not set, each as
    /// `CONFIG_X=y (got: n)`. `=y` satisfies `=m`.
    ///
    /// # Errors
    /// When the kernel's configuration cannot be read.
    pub fn missing_options(&self, kernel: &Kernel) -> Result<Vec<String>, Error> {
        let config = read_plain(&kernel.dir.join("config"), TEXT_BYTES_MAX)
            .doing("reading a kernel's configuration")?;
        Ok(missing_options(
            &self.facts.config,
            &String::from_utf8_lossy(&config),
        ))
    }

    /// Returns the error for a test name that is not in the TARGET.
    pub fn no_such_test(&self, name: &str) -> Error {
        let names = self.facts.tests.iter().map(|test| test.name.as_str());
        Error::input(
            format!("unknown kselftest `{}:{name}`", self.target),
            format!("use one of: {}", wanted::nearest_first(name, names)),
        )
    }

    fn load(dir: &Utf8Path, target: &str, id: &str, is_fresh: bool) -> Option<Self> {
        let text = read_plain(&dir.join(FACTS), TEXT_BYTES_MAX).ok()?;
        let facts: Facts = serde_json::from_slice(&text).ok()?;
        let suite = Self {
            target: target.to_owned(),
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        };
        let files = dir.join(FILES);
        let mut cached = suite.facts.files.iter();
        let is_whole = cached
            .all(|(name, known)| content_of(&files.join(name)).is_ok_and(|found| found == *known));
        let is_cached = |file: SuiteFile| suite.facts.files.contains_key(&file.name);
        let mut needed = suite.facts.tests.iter().flat_map(|test| suite.files(test));
        (is_whole && needed.all(is_cached)).then_some(suite)
    }
}

/// Returns the content id of a file and its executable bit.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let bytes = read_plain(path, FILE_BYTES_MAX)?;
    let id = ContentId::new("selftest file").part([u8::from(is_executable(path))]);
    Ok(id.part(&bytes).finish())
}

/// Returns the content ids of the files in a folder, by name.
fn contents(folder: &Utf8Path) -> std::io::Result<BTreeMap<String, String>> {
    let entries = folder.read_dir_utf8()?;
    entries
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_owned(), content_of(entry.path())?))
        })
        .collect()
}

fn is_executable(path: &Utf8Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

fn missing_options(required: &str, actual: &str) -> Vec<String> {
    let config = Config {
        name: String::new(),
        optional_fragments: Vec::new(),
        fragments: vec![required.to_owned()],
    };
    let mut missing = config.mismatches(actual);
    missing.retain(|line| !line.ends_with("=m (got: y)"));
    missing
}

/// A request to build a TARGET.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tree of the checkout.
    pub tree: &'a Tree,
    /// The checkout whose selftests are built.
    pub checkout: &'a Checkout,
    /// A kernel of that checkout; the tests are compiled against its headers.
    pub kernel: &'a Kernel,
    /// The compiler.
    pub toolchain: &'a Toolchain,
    /// The TARGET as in the Makefile of the selftests: `liveupdate`, `filesystems/epoll`.
    pub target: &'a str,
}

/// Returns the selftests of a TARGET from the cache, or builds them. Checkouts with the
/// same test sources share them.
///
/// # Errors
/// [`Error::Input`] when the checkout has no such TARGET or make cannot read its
/// Makefile, [`Error::Infrastructure`] when the host fails. A test that does not build
/// is [`Form::Unfit`].
pub fn make(
    request: &Request<'_>,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Suite, Error> {
    let Request { tree, checkout, .. } = request;
    if !has_target(tree, checkout, request.target) {
        return Err(no_such_target(tree, &[checkout], request.target));
    }
    let id = suite_id(request)?;
    let place = cache.dir(&["kselftests"])?;
    let dir = place.join(&id);
    if let Some(suite) = Suite::load(&dir, request.target, &id, false) {
        return Ok(suite);
    }
    // On the same file system, so that a rename publishes the result.
    let folder = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(&place)
        .doing("making a folder")?;
    let work = Utf8Path::from_path(folder.path()).unwrap_or(&place);
    let built = build::build(request, work, cancel, observer)?;
    let parts = work.join("suite");
    let mut facts = collect::collect(&built, request.target, &parts.join(FILES))?;
    facts.files = contents(&parts.join(FILES)).doing("storing kselftests in the cache")?;
    let text = serde_json::to_vec_pretty(&facts).doing("storing kselftests in the cache")?;
    fs::write(parts.join(FACTS), text).doing("storing kselftests in the cache")?;
    publish(&parts, &dir, request.target)?;
    Suite::load(&dir, request.target, &id, true).ok_or_else(|| {
        Error::infrastructure(
            format!("reading `{dir}`"),
            std::io::Error::other("the kselftests are missing"),
        )
    })
}

/// Renames `parts` to `dir`. A complete suite of a concurrent run stays, since a guest may
/// use its files.
fn publish(parts: &Utf8Path, dir: &Utf8Path, target: &str) -> Result<(), Error> {
    if Suite::load(dir, target, "", false).is_some() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(dir);
    match fs::rename(parts, dir) {
        Err(_) if Suite::load(dir, target, "", false).is_some() => Ok(()),
        moved => moved.doing("storing kselftests in the cache"),
    }
}

/// Returns the hash of all inputs: source, headers, compiler and the libraries of the
/// host, since a test that does not link is stored as [`Form::Unfit`].
fn suite_id(request: &Request<'_>) -> Result<String, Error> {
    let headers = request.kernel.headers();
    let mut id = ContentId::new("kselftest")
        .part(BUILD_FORMAT)
        .part(request.target)
        .part(&request.toolchain.identity)
        .part(libraries::content(&libraries::RECORDS)?)
        .part(source::content(request.tree, request.checkout));
    for entry in walkdir::WalkDir::new(&headers).sort_by_file_name() {
        let entry = entry.doing(format!("reading `{headers}`"))?;
        let Some(path) = Utf8Path::from_path(entry.path()).filter(|_| entry.file_type().is_file())
        else {
            continue;
        };
        let relative = path.strip_prefix(&headers).unwrap_or(path);
        let bytes = fs::read(path).doing("reading a kernel's headers")?;
        id = id.part(relative.as_str()).part(&bytes);
    }
    Ok(id.finish())
}

#[cfg(test)]
mod tests;
