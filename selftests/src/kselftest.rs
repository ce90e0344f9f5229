// SPDX-License-Identifier: GPL-2.0-only
//! A test of the tree's own: which calls of its program make a run of it.
//!
//! The tree says so for most of them (one call, no arguments, a time limit per
//! TARGET). For those that need more, such as a second kernel, files of ours below
//! `kselftest/` say it, one for each TARGET. How tests are built is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::input::InputError;
use crate::yaml::{self, At};

/// Seconds that the tree's runner gives a test whose TARGET does not say.
pub const DEFAULT_TIMEOUT_SECS: u64 = 45;
/// Seconds for a test whose TARGET says that there is no limit. Every wait has one.
pub const UNLIMITED_TIMEOUT_SECS: u64 = 900;
/// No test gets more seconds.
pub const TIMEOUT_SECS_MAX: u64 = 3600;
/// A test has no more boots.
const BOOTS_MAX: usize = 8;
/// Longer files are none of ours, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A test of the tree's own, ready to be run and judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KselftestBoots {
    /// The TARGET it belongs to.
    pub target: String,
    /// Its program's name.
    pub name: String,
    /// The calls of its program, a kernel for each.
    pub boots: Vec<BootCall>,
    /// Lines at level error that it brings about on purpose.
    pub tolerates: Vec<Tolerated>,
}

/// How a test's program is called in one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootCall {
    /// The arguments, without the program's own name.
    pub args: Vec<String>,
    /// Additions to the environment.
    pub env: BTreeMap<String, String>,
    /// Seconds that the tree or our file gives it, on a machine of usual speed.
    pub timeout_secs: u64,
}

impl BootCall {
    /// Returns how long it may take on a machine that is `slowness` times slower
    /// than usual.
    #[must_use]
    pub fn time_limit(&self, slowness: u32) -> Duration {
        let secs = self.timeout_secs.saturating_mul(u64::from(slowness.max(1)));
        Duration::from_secs(secs.min(TIMEOUT_SECS_MAX))
    }
}

/// A line of the kernel that is no finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerated {
    /// What the line contains.
    pub text: String,
    /// Why it is none.
    pub because: String,
}

impl KselftestBoots {
    /// Returns `TARGET:TEST`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.target, self.name)
    }
}

/// What we know of the tests of one TARGET.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetNotes {
    tests: BTreeMap<String, RawTest>,
    tolerates: Vec<Tolerated>,
}

/// A file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotes {
    #[serde(default)]
    tests: BTreeMap<String, RawTest>,
    #[serde(default)]
    tolerates: Vec<Tolerated>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    boots: At<Vec<RawBoot>>,
    #[serde(default)]
    tolerates: Vec<Tolerated>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBoot {
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    timeout_secs: Option<At<u64>>,
}

/// Why nothing is known of a TARGET.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The file has a mistake that its author can fix.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file cannot be read.
    #[error("reading `{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

impl TargetNotes {
    /// Reads `TARGET.yaml` in `folder`; without one, there is nothing to know.
    ///
    /// # Errors
    /// When it cannot be read or has a mistake.
    pub fn find(folder: &Utf8Path, target: &str) -> Result<Self, NotesError> {
        let path = folder.join(format!("{target}.yaml"));
        match read_plain(&path, FILE_BYTES_MAX) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                Ok(Self::parse(&text, path.as_str())?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(NotesError::Io {
                file: path.into_string(),
                source,
            }),
        }
    }

    /// Parses what we know. `file` is only the name to report mistakes under.
    ///
    /// # Errors
    /// Returns the first mistake, with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, InputError> {
        let raw: RawNotes = yaml::parse(text, file)?;
        for test in raw.tests.values() {
            let mistake = |place, message: String, hint: String| {
                Err(InputError::new(file, text, place, message, Some(hint)))
            };
            let boots = &test.boots.value;
            if boots.is_empty() || boots.len() > BOOTS_MAX {
                return mistake(
                    test.boots.place,
                    format!("a test has 1 to {BOOTS_MAX} boots, not {}", boots.len()),
                    "a test without any needs no entry".to_owned(),
                );
            }
            for limit in boots.iter().filter_map(|boot| boot.timeout_secs.as_ref()) {
                if !(1..=TIMEOUT_SECS_MAX).contains(&limit.value) {
                    return mistake(
                        limit.place,
                        format!("a boot cannot have {} seconds", limit.value),
                        format!("give 1 to {TIMEOUT_SECS_MAX}"),
                    );
                }
            }
        }
        Ok(Self {
            tests: raw.tests,
            tolerates: raw.tolerates,
        })
    }

    /// Returns the names of the tests that are run because we know how, whether or
    /// not the tree's own runner runs them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    /// Returns a test of `target`, whose `settings` give it so many seconds (0 for
    /// no limit).
    #[must_use]
    pub fn test(&self, target: &str, name: &str, settings_secs: Option<u64>) -> KselftestBoots {
        let usual = match settings_secs {
            None => DEFAULT_TIMEOUT_SECS,
            Some(0) => UNLIMITED_TIMEOUT_SECS,
            Some(secs) => secs.min(TIMEOUT_SECS_MAX),
        };
        let known = self.tests.get(name);
        let boots = known.map_or_else(
            || vec![RawBoot::bare().call(usual)],
            |test| {
                test.boots
                    .value
                    .iter()
                    .map(|boot| boot.call(usual))
                    .collect()
            },
        );
        let own = known.map_or(&[][..], |test| &test.tolerates);
        KselftestBoots {
            target: target.to_owned(),
            name: name.to_owned(),
            boots,
            tolerates: self.tolerates.iter().chain(own).cloned().collect(),
        }
    }
}

impl RawBoot {
    const fn bare() -> Self {
        Self {
            args: Vec::new(),
            env: BTreeMap::new(),
            timeout_secs: None,
        }
    }

    fn call(&self, usual_secs: u64) -> BootCall {
        let own = self.timeout_secs.as_ref().map(|limit| limit.value);
        BootCall {
            args: self.args.clone(),
            env: self.env.clone(),
            timeout_secs: own.unwrap_or(usual_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> camino::Utf8PathBuf {
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("kselftest")
    }

    #[test]
    fn every_file_of_ours_is_right_and_names_two_kernels_where_they_are_needed() {
        let notes = TargetNotes::find(&ours(), "liveupdate").unwrap();
        let test = notes.test("liveupdate", "luo_kexec_simple", None);
        let args: Vec<_> = test.boots.iter().map(|boot| boot.args.join(" ")).collect();
        assert_eq!(args, ["-s 1", "-s 2"]);
        assert_eq!(test.label(), "liveupdate:luo_kexec_simple");
        assert_eq!(notes.names().count(), 4);
        for entry in ours().read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().strip_suffix(".yaml").unwrap();
            TargetNotes::find(&ours(), name).unwrap();
        }
    }

    #[test]
    fn a_test_that_nobody_knows_is_called_once_in_the_tree_s_time() {
        let notes = TargetNotes::find(&ours(), "no-such").unwrap();
        let secs = |settings| notes.test("t", "a", settings).boots[0].timeout_secs;
        assert_eq!(secs(None), DEFAULT_TIMEOUT_SECS);
        assert_eq!(secs(Some(0)), UNLIMITED_TIMEOUT_SECS);
        assert_eq!(secs(Some(7)), 7);
        assert_eq!(secs(Some(u64::MAX)), TIMEOUT_SECS_MAX);
        let test = notes.test("t", "a", None);
        assert_eq!(test.boots.len(), 1);
        assert!(test.boots[0].args.is_empty());
        assert_eq!(test.boots[0].time_limit(4), Duration::from_secs(180));
        assert_eq!(
            test.boots[0].time_limit(u32::MAX).as_secs(),
            TIMEOUT_SECS_MAX
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        let said = |text: &str| TargetNotes::parse(text, "t.yaml").unwrap_err().to_string();
        insta::assert_snapshot!(said("tests:\n  a:\n    boots: []\n"), @"
        t.yaml:3:12: a test has 1 to 8 boots, not 0
            3 |     boots: []
              |            ^
          hint: a test without any needs no entry
        ");
        let error = said("tests:\n  a:\n    boots: [{timeout_secs: 0}]\n");
        assert!(
            error.starts_with("t.yaml:3:28: a boot cannot have 0 seconds"),
            "{error}"
        );
        let error = said("tests:\n  a:\n    boots: [{arg: x}]\n");
        assert!(error.contains("unknown key `arg`"), "{error}");
        assert!(error.contains("did you mean `args`?"), "{error}");
    }
}
