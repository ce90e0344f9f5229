// SPDX-License-Identifier: MIT OR Apache-2.0
//! A built TARGET in the cache: its tests, and their files for guests.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::{is_executable, listing, read_json, read_plain, write_json};
use serde::{Deserialize, Serialize};

use super::source::hint_of_names;
use crate::config::Config;
use crate::error::{Doing, Error};
use crate::kernel::Kernel;

const FACTS: &str = "suite.json";
/// The folder of the files for guests.
pub(super) const FILES: &str = "files";
/// Size limit of `suite.json` and of a `.config`, in bytes.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Size limit of a file for guests, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

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
        let file = |name: &String| SuiteFile {
            name: name.clone(),
            path: files.join(name),
            executable: is_program(&files.join(name)),
        };
        names.map(file).collect()
    }

    /// Returns the options of the TARGET's `config` that `kernel` does not set, each as
    /// `CONFIG_X=y (got: n)`. `=y` satisfies `=m`.
    pub fn missing_options(&self, kernel: &Kernel) -> Result<Vec<String>, Error> {
        let config = read_plain(&kernel.config(), TEXT_BYTES_MAX);
        let config = config.doing("reading a kernel's configuration")?;
        let config = String::from_utf8_lossy(&config);
        Ok(missing_options(&self.facts.config, &config))
    }

    /// Returns the error for a test name that is not in the TARGET.
    pub fn no_such_test(&self, name: &str) -> Error {
        let names = self.facts.tests.iter().map(|test| test.name.as_str());
        Error::input(
            format!("unknown kselftest `{}:{name}`", self.target),
            hint_of_names(name, names),
        )
    }

    /// Adds the content ids of the files below `parts` to the metadata and stores it there.
    pub(super) fn store(parts: &Utf8Path, mut facts: Facts) -> std::io::Result<()> {
        for path in listing(&parts.join(FILES))? {
            let name = path.file_name().unwrap_or_default().to_owned();
            facts.files.insert(name, content_of(&path)?);
        }
        write_json(&parts.join(FACTS), &facts)
    }

    pub(super) fn load(dir: &Utf8Path, target: &str, id: &str, is_fresh: bool) -> Option<Self> {
        let facts: Facts = read_json(&dir.join(FACTS), TEXT_BYTES_MAX)?;
        let suite = Self {
            target: target.to_owned(),
            id: id.to_owned(),
            dir: dir.to_owned(),
            facts,
            is_fresh,
        };
        let files = dir.join(FILES);
        let is_whole = |(name, known): (&String, &String)| {
            content_of(&files.join(name)).is_ok_and(|found| found == *known)
        };
        let is_cached = |file: SuiteFile| suite.facts.files.contains_key(&file.name);
        let mut needed = suite.facts.tests.iter().flat_map(|test| suite.files(test));
        let is_complete = suite.facts.files.iter().all(is_whole) && needed.all(is_cached);
        is_complete.then_some(suite)
    }
}

/// Returns the content id of a file and its executable bit.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let bytes = read_plain(path, FILE_BYTES_MAX)?;
    let id = ContentId::new("selftest file").part([u8::from(is_program(path))]);
    Ok(id.part(&bytes).finish())
}

fn is_program(path: &Utf8Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| is_executable(&meta))
}

pub(super) fn missing_options(required: &str, actual: &str) -> Vec<String> {
    let config = Config {
        fragments: vec![required.to_owned()],
        ..Config::default()
    };
    let mut missing = config.mismatches(actual);
    missing.retain(|line| !line.ends_with("=m (got: y)"));
    missing
}
