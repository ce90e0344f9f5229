// SPDX-License-Identifier: GPL-2.0-only
//! The tree's own selftests: one of its TARGETs, built by the tree's own rules for
//! a guest without shell and shared libraries, and cached by content.
//!
//! What cannot run there is kept with the reason, never left out. How a test is
//! run, and what to think of what it says, is not this room's business.

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
use patchbed_host::events::Observer;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::config::Config;
use crate::content::ContentId;
use crate::error::Error;
use crate::kernel::{Kernel, Toolchain};
use crate::tree::Tree;

pub use wanted::{Wanted, has_target, no_such_target};

/// Raise this when the way of building changes what comes out.
const BUILD_FORMAT: &str = "2";
const FACTS: &str = "suite.json";
/// The folder of the files that go to guests.
const FILES: &str = "files";
/// A longer account of a suite, or configuration, is none of ours, in bytes.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A longer file for guests is none of ours, in bytes.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What is remembered of a built TARGET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Seconds that its `settings` give a test; 0 is for no limit.
    pub timeout_secs: Option<u64>,
    /// Its `config`: the options that it asks of a kernel.
    pub config: String,
    /// Its tests, in the order of its Makefile.
    pub tests: Vec<Test>,
    /// Sentences on what was left out besides tests.
    pub notes: Vec<String>,
    /// Its files for guests, by name, with their content, to notice one that was
    /// cut off or changed.
    pub files: BTreeMap<String, String>,
}

/// One test of a TARGET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Its file's name.
    pub name: String,
    /// Whether the tree's own runner runs it, rather than somebody by hand.
    pub by_default: bool,
    /// Whether it can run in a guest.
    pub form: Form,
}

/// Whether a test can run in a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// It can.
    Program {
        /// Names of the files that it needs beside itself.
        companions: Vec<String>,
    },
    /// It cannot.
    Unfit {
        /// Why, to follow the test's name.
        reason: String,
    },
}

/// A file for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteFile {
    /// Its name in the folder of the test.
    pub name: String,
    /// Where it is on the host.
    pub path: Utf8PathBuf,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A built TARGET in the cache.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The TARGET's name.
    pub target: String,
    /// Its content id.
    pub id: String,
    /// Its folder in the cache.
    pub dir: Utf8PathBuf,
    /// What is remembered of it.
    pub facts: Facts,
    /// Whether it was built just now.
    pub is_fresh: bool,
}

impl Suite {
    /// Returns the test of this name.
    pub fn find(&self, name: &str) -> Option<&Test> {
        self.facts.tests.iter().find(|test| test.name == name)
    }

    /// Returns the files of a test that can run, the program first; no file of one
    /// that cannot.
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

    /// Returns the options of the TARGET's `config` that `kernel` does not have,
    /// each as a line `CONFIG_X=y (got: n)`. What is asked for as a module may be
    /// built in.
    ///
    /// # Errors
    /// When the kernel's configuration cannot be read.
    pub fn lacks(&self, kernel: &Kernel) -> Result<Vec<String>, Error> {
        let config = read_plain(&kernel.dir.join("config"), TEXT_BYTES_MAX)
            .map_err(Error::host("reading a kernel's configuration"))?;
        Ok(lacking(
            &self.facts.config,
            &String::from_utf8_lossy(&config),
        ))
    }

    /// Returns the mistake of asking for a test that the TARGET does not have.
    pub fn no_such_test(&self, name: &str) -> Error {
        let names = self.facts.tests.iter().map(|test| test.name.as_str());
        Error::input(
            format!("the selftests `{}` have no test `{name}`", self.target),
            format!("its tests are: {}", wanted::nearest_first(name, names)),
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
        let mut kept = suite.facts.files.iter();
        let is_whole = kept
            .all(|(name, known)| content_of(&files.join(name)).is_ok_and(|found| found == *known));
        let is_kept = |file: SuiteFile| suite.facts.files.contains_key(&file.name);
        let mut needed = suite.facts.tests.iter().flat_map(|test| suite.files(test));
        (is_whole && needed.all(is_kept)).then_some(suite)
    }
}

/// Returns a name for what is in a file and whether it may be executed.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let bytes = read_plain(path, FILE_BYTES_MAX)?;
    let id = ContentId::new("selftest file").part(&[u8::from(is_executable(path))]);
    Ok(id.part(&bytes).finish())
}

/// Returns the files in a folder by their content.
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

fn lacking(asked: &str, granted: &str) -> Vec<String> {
    let config = Config {
        name: String::new(),
        plan_request: Vec::new(),
        fragments: vec![asked.to_owned()],
    };
    let mut lacking = config.ungranted(granted);
    lacking.retain(|line| !line.ends_with("=m (got: y)"));
    lacking
}

/// What to build the selftests from, and for which kernel.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tree of the checkout.
    pub tree: &'a Tree,
    /// The checkout whose selftests are wanted.
    pub checkout: &'a Checkout,
    /// A kernel of that checkout: its headers are what tests are compiled against.
    pub kernel: &'a Kernel,
    /// The compiler.
    pub toolchain: &'a Toolchain,
    /// The TARGET, as selftests' Makefile names it: `liveupdate`, `filesystems/epoll`.
    pub target: &'a str,
}

/// Returns the selftests of a TARGET: from the cache, or built now. Checkouts that do
/// not differ in what tests are built from share them.
///
/// # Errors
/// When the checkout has no such TARGET or its Makefile cannot be read (the user's to
/// fix), or the host fails. A test that does not build is no error but unfit.
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
    // Beside its place, so that what comes out is put there by a renaming.
    let folder = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(&place)
        .map_err(Error::host("making a folder"))?;
    let room = Utf8Path::from_path(folder.path()).unwrap_or(&place);
    let built = build::build(request, room, cancel, observer)?;
    let parts = room.join("suite");
    let mut facts = collect::collect(&built, request.target, &parts.join(FILES))?;
    facts.files = contents(&parts.join(FILES)).map_err(Error::host("keeping selftests"))?;
    let text = serde_json::to_vec_pretty(&facts).map_err(Error::host("keeping selftests"))?;
    fs::write(parts.join(FACTS), text).map_err(Error::host("keeping selftests"))?;
    put_in_place(&parts, &dir, request.target)?;
    Suite::load(&dir, request.target, &id, true).ok_or_else(|| {
        Error::host(format!("reading `{dir}`"))(std::io::Error::other(
            "the selftests are not there",
        ))
    })
}

/// Another run may have built the same meanwhile; what is whole stays, since
/// somebody may be using it.
fn put_in_place(parts: &Utf8Path, dir: &Utf8Path, target: &str) -> Result<(), Error> {
    if Suite::load(dir, target, "", false).is_some() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(dir);
    match fs::rename(parts, dir) {
        Err(_) if Suite::load(dir, target, "", false).is_some() => Ok(()),
        moved => moved.map_err(Error::host("keeping selftests")),
    }
}

/// All that decides what comes out: the source, the headers, the compiler, and the
/// libraries, since a test that lacks one is kept as unfit.
fn suite_id(request: &Request<'_>) -> Result<String, Error> {
    let headers = request.kernel.headers();
    let mut id = ContentId::new("kselftest")
        .part(BUILD_FORMAT.as_bytes())
        .part(request.target.as_bytes())
        .part(request.toolchain.identity.as_bytes())
        .part(libraries::content(&libraries::RECORDS)?.as_bytes())
        .part(source::content(request.tree, request.checkout).as_bytes());
    for entry in walkdir::WalkDir::new(&headers).sort_by_file_name() {
        let entry = entry.map_err(Error::host(format!("reading `{headers}`")))?;
        let Some(path) = Utf8Path::from_path(entry.path()).filter(|_| entry.file_type().is_file())
        else {
            continue;
        };
        let below = path.strip_prefix(&headers).unwrap_or(path);
        let bytes = fs::read(path).map_err(Error::host("reading a kernel's headers"))?;
        id = id.part(below.as_str().as_bytes()).part(&bytes);
    }
    Ok(id.finish())
}

#[cfg(test)]
mod tests;
