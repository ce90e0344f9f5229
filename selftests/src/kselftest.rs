// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the program of a kselftest of the tree is called.
//!
//! Most tests are one call without arguments, with the time limit of their TARGET. Tests
//! that need more, such as a second kernel, are described in `kselftest/TARGET.yaml` of
//! this crate. Building the tests is not done here.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::input::InputError;
use crate::yaml::{self, At};

/// Time limit in seconds of the tree's runner for a TARGET without a `settings` file.
pub const DEFAULT_TIMEOUT_SECS: u64 = 45;
/// Time limit in seconds for a TARGET whose `settings` disable the limit.
pub const UNLIMITED_TIMEOUT_SECS: u64 = 900;
/// The largest time limit in seconds.
pub const TIMEOUT_SECS_MAX: u64 = 3600;
/// The largest number of boots of a test.
const BOOTS_MAX: usize = 8;
/// Longer files are rejected, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A kselftest of the tree, ready to be run and judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KselftestBoots {
    /// The TARGET it belongs to.
    pub target: String,
    /// The name of its program.
    pub name: String,
    /// The calls of its program, one for each boot.
    pub boots: Vec<BootCall>,
    /// Kernel lines at level error that the test provokes on purpose.
    pub tolerates: Vec<Tolerated>,
}

/// The call of a test's program in one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootCall {
    /// The arguments, without the program name.
    pub args: Vec<String>,
    /// Additions to the environment.
    pub env: BTreeMap<String, String>,
    /// Time limit in seconds on a machine of usual speed.
    pub timeout_secs: u64,
}

impl BootCall {
    /// Returns the time limit on a machine that is `slowness` times slower than usual.
    #[must_use]
    pub fn time_limit(&self, slowness: u32) -> Duration {
        let secs = self.timeout_secs.saturating_mul(u64::from(slowness.max(1)));
        Duration::from_secs(secs.min(TIMEOUT_SECS_MAX))
    }
}

/// A kernel line that is not a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerated {
    /// Text that the line contains.
    pub text: String,
    /// Why it is not a finding.
    pub because: String,
}

impl KselftestBoots {
    /// Returns `TARGET:TEST`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.target, self.name)
    }
}

/// The content of `TARGET.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetNotes {
    tests: BTreeMap<String, RawTest>,
    tolerates: Vec<Tolerated>,
}

/// `TARGET.yaml` before its values are checked.
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

/// Why `TARGET.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The content of the file is invalid.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file cannot be read.
    #[error("reading `{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// The error.
        source: std::io::Error,
    },
}

impl TargetNotes {
    /// Reads `TARGET.yaml` in `folder`. A missing file is equal to an empty file.
    ///
    /// # Errors
    /// When the file cannot be read or is invalid.
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

    /// Parses the content of `TARGET.yaml`. `file` is only used in error messages.
    ///
    /// # Errors
    /// Returns the first error, with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, InputError> {
        let raw: RawNotes = yaml::parse(text, file)?;
        for test in raw.tests.values() {
            let invalid = |place, message: String, hint: String| {
                Err(InputError::new(file, text, place, message, Some(hint)))
            };
            let boots = &test.boots.value;
            if boots.is_empty() || boots.len() > BOOTS_MAX {
                return invalid(
                    test.boots.place,
                    format!("invalid number of boots: {}", boots.len()),
                    format!("list 1 to {BOOTS_MAX} boots, or delete the entry"),
                );
            }
            for limit in boots.iter().filter_map(|boot| boot.timeout_secs.as_ref()) {
                if !(1..=TIMEOUT_SECS_MAX).contains(&limit.value) {
                    return invalid(
                        limit.place,
                        format!("invalid time limit: {} seconds", limit.value),
                        format!("use 1 to {TIMEOUT_SECS_MAX}"),
                    );
                }
            }
        }
        Ok(Self {
            tests: raw.tests,
            tolerates: raw.tolerates,
        })
    }

    /// Returns the names of the tests in the file. They are run even if the tree's
    /// runner does not run them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    /// Returns a test of `target`. `settings_secs` is the time limit in the `settings`
    /// file of the TARGET; 0 disables the limit.
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

    fn folder() -> camino::Utf8PathBuf {
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("kselftest")
    }

    #[test]
    fn find_accepts_every_file_in_the_kselftest_folder() {
        let notes = TargetNotes::find(&folder(), "liveupdate").unwrap();
        let test = notes.test("liveupdate", "luo_kexec_simple", None);
        let args: Vec<_> = test.boots.iter().map(|boot| boot.args.join(" ")).collect();
        assert_eq!(args, ["-s 1", "-s 2"]);
        assert_eq!(test.label(), "liveupdate:luo_kexec_simple");
        assert_eq!(notes.names().count(), 4);
        for entry in folder().read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().strip_suffix(".yaml").unwrap();
            TargetNotes::find(&folder(), name).unwrap();
        }
    }

    #[test]
    fn test_without_an_entry_is_one_call_with_the_time_limit_of_the_target() {
        let notes = TargetNotes::find(&folder(), "no-such").unwrap();
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
    fn parse_reports_the_place_of_an_invalid_value() {
        let error = |text: &str| TargetNotes::parse(text, "t.yaml").unwrap_err().to_string();
        insta::assert_snapshot!(error("tests:\n  a:\n    boots: []\n"), @r"
        t.yaml:3:12: invalid number of boots: 0
            3 |     boots: []
              |            ^
          hint: list 1 to 8 boots, or delete the entry
        ");
        let message = error("tests:\n  a:\n    boots: [{timeout_secs: 0}]\n");
        assert!(
            message.starts_with("t.yaml:3:28: invalid time limit: 0 seconds"),
            "{message}"
        );
        let message = error("tests:\n  a:\n    boots: [{arg: x}]\n");
        assert!(message.contains("unknown key `arg`"), "{message}");
        assert!(message.contains("did you mean `args`?"), "{message}");
    }
}
