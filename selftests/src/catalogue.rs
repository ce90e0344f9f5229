// SPDX-License-Identifier: MIT OR Apache-2.0
//! A catalogue: a folder with the scenarios of one subject, and all that they need beyond the
//! core, which has the verbs and C functions of every catalogue.
//!
//! | file | content |
//! | --- | --- |
//! | `catalogue.yaml` | the [`Manifest`] |
//! | `scenarios/` | the scenarios |
//! | `verbs.yaml` | optional: verbs in addition to those of the core |
//! | `lib/` | optional: C files, `Makefile`, `config` and `commit-message`, each in addition to or in place of a file of the core |
//! | `SCENARIOS.in.md` | optional: the text of the reference of the language |
//! | `snapshots/` | the recorded results |
//! | `generated/` | the generated kselftests |

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::files::{listing, read_text};
use serde::Deserialize;
use vm_images::machine_file::{MachineError, is_kernel_arguments};

use crate::input::{InputError, Place};
use crate::scenario::{Language, Machines, ScenarioFile};
use crate::yaml::{self, At};

/// The file that makes a folder a catalogue.
pub const MANIFEST: &str = "catalogue.yaml";
const VERBS: &str = "verbs.yaml";
const REFERENCE: &str = "SCENARIOS.in.md";
/// The files of `lib/` that are not C files.
const OTHER_FILES: [&str; 3] = ["Makefile", "commit-message", "config"];
/// A larger file of a catalogue is not read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The content of `catalogue.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The subject, in a sentence.
    pub about: String,
    /// The known series that is tested by default.
    pub series: String,
    /// The known series that every checkout contains by default, in this order.
    #[serde(default)]
    pub prerequisites: Vec<String>,
    /// The machine of scenarios without the key `machine`.
    machine: At<String>,
    /// Words of the kernel command line that all scenarios need.
    kernel_arguments: Option<At<String>>,
    /// The name of the generated folder in `tools/testing/selftests`.
    kselftest: At<String>,
    /// The topics of scenarios, each with the purpose of its tests. Scenarios without the key
    /// `topic` have the topic `kselftest`.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
    /// The scenarios that `ci` runs with the config `kasan`.
    #[serde(default)]
    pub smoke: Vec<String>,
}

impl Manifest {
    /// Reads the manifest of a catalogue.
    ///
    /// # Errors
    ///
    /// Returns the first error in the file, or the error of reading it.
    pub fn load(folder: &Utf8Path) -> Result<Self, LoadError> {
        let (path, text) = read(folder, MANIFEST)?;
        let manifest: Self = yaml::parse(&text, &path)?;
        // The folder is deleted and written again, so its name must not be a path.
        let At { value, place } = &manifest.kselftest;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = |name: &String| !name.is_empty() && name.chars().all(is_plain);
        if let Some(topic) = manifest.topics.keys().find(|topic| !is_name(topic)) {
            let message = format!("invalid name `{topic}` of a topic");
            let hint = Some("use lower-case letters, digits and `_`".to_owned());
            return Err(InputError::new(&path, &text, *place, message, hint).into());
        }
        if !is_name(value) {
            let message = format!("invalid name `{value}` of a kselftest folder");
            let hint = Some("use lower-case letters, digits and `_`".to_owned());
            return Err(InputError::new(&path, &text, *place, message, hint).into());
        }
        if let Some(At { value, place }) = &manifest.kernel_arguments
            && !is_kernel_arguments(value)
        {
            let message = "invalid characters or too many characters in the kernel arguments";
            let hint = Some("write printable ASCII on one line".to_owned());
            return Err(InputError::new(&path, &text, *place, message, hint).into());
        }
        Ok(manifest)
    }

    /// Returns the purpose of the tests of a topic.
    #[must_use]
    pub fn about(&self, topic: &str) -> &str {
        self.topics.get(topic).unwrap_or(&self.about)
    }

    /// Returns the words of the kernel command line that all scenarios need.
    #[must_use]
    pub fn kernel_arguments(&self) -> &str {
        let words = self.kernel_arguments.as_ref();
        words.map_or("", |words| &words.value)
    }

    /// Returns the name of the generated folder in `tools/testing/selftests`.
    #[must_use]
    pub fn kselftest(&self) -> &str {
        &self.kselftest.value
    }
}

/// Reads a file of a catalogue, and returns its path and text.
fn read(folder: &Utf8Path, name: &str) -> Result<(String, String), LoadError> {
    let path = folder.join(name);
    match read_text(&path, FILE_BYTES_MAX) {
        Ok(text) => Ok((path.into_string(), text)),
        Err(source) => Err(LoadError::Read {
            path: path.into_string(),
            source,
        }),
    }
}

/// A catalogue whose manifest, verbs and C files have been read.
#[derive(Debug)]
pub struct Catalogue {
    /// The folder.
    pub folder: Utf8PathBuf,
    /// The content of `catalogue.yaml`.
    pub manifest: Manifest,
    pub(crate) language: Language,
    pub(crate) machines: Machines,
    /// The files of `lib/` and of the core, by name. A file of the catalogue replaces a file of
    /// the core.
    lib: BTreeMap<String, String>,
    /// The text of the reference, with names in braces for the generated parts.
    pub(crate) reference: String,
}

/// The error of loading a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An error in a file of the catalogue.
    #[error(transparent)]
    Input(#[from] InputError),
    /// An error in the description of a machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file that could not be read.
    #[error(
        "cannot read `{path}` of the catalogue: {source}\n\
         hint: copy it from a catalogue of patchbed"
    )]
    Read {
        /// The path of the file.
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl Catalogue {
    /// Reads a catalogue, and the folder `core` with the verbs and C functions of every
    /// catalogue. Its scenarios can use these machines.
    ///
    /// # Errors
    ///
    /// Returns the first error in a file, or the error of reading a file.
    pub fn load(folder: &Utf8Path, core: &Utf8Path, machines: Machines) -> Result<Self, LoadError> {
        let manifest = Manifest::load(folder)?;
        let At { value, place } = &manifest.machine;
        if machines.slots(value).is_none() {
            let names: Vec<&str> = machines.names().collect();
            let hint = format!("known machines: {}", names.join(", "));
            let message = format!("unknown machine `{value}`");
            let (path, text) = read(folder, MANIFEST)?;
            return Err(InputError::new(&path, &text, *place, message, Some(hint)).into());
        }
        let mut language = verbs(core)?;
        if folder.join(VERBS).exists() {
            language.extend(verbs(folder)?);
        }
        language.check().map_err(|mistake| {
            let path = folder.join(VERBS);
            let start = Place { line: 1, column: 1 };
            InputError::new(path.as_str(), "", start, mistake, None)
        })?;
        let mut lib = BTreeMap::new();
        for folder in [core, folder] {
            let folder = folder.join("lib");
            if !folder.exists() {
                continue;
            }
            for path in entries(&folder)? {
                let name = path.file_name().unwrap_or_default();
                if matches!(path.extension(), Some("c" | "h")) || OTHER_FILES.contains(&name) {
                    lib.insert(name.to_owned(), read(&folder, name)?.1);
                }
            }
        }
        Ok(Self {
            language,
            reference: read(of_file(folder, core, REFERENCE), REFERENCE)?.1,
            folder: folder.to_owned(),
            manifest,
            machines,
            lib: complete(folder, lib)?,
        })
    }

    /// Returns the folder of the scenarios.
    #[must_use]
    pub fn scenarios(&self) -> Utf8PathBuf {
        self.folder.join("scenarios")
    }

    /// Returns the folder of the recorded results.
    #[must_use]
    pub fn snapshots(&self) -> Utf8PathBuf {
        self.folder.join("snapshots")
    }

    /// Returns the folder of the generated kselftests.
    #[must_use]
    pub fn generated(&self) -> Utf8PathBuf {
        self.folder
            .join("generated")
            .join(self.manifest.kselftest())
    }

    /// Returns the name of the machine of scenarios that name none.
    #[must_use]
    pub fn machine(&self) -> &str {
        &self.manifest.machine.value
    }

    /// Reads all scenario files (`*.yaml`), sorted by name.
    ///
    /// # Errors
    ///
    /// Returns the first error in a file, or the error of reading a file.
    pub fn scenario_files(&self) -> Result<Vec<ScenarioFile>, LoadError> {
        let mut scenario_files = Vec::new();
        for path in entries(&self.scenarios())? {
            if path.extension() == Some("yaml") {
                let (path, text) = read(&self.scenarios(), path.file_name().unwrap_or_default())?;
                scenario_files.push(ScenarioFile::parse(&text, &path, self)?);
            }
        }
        scenario_files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scenario_files)
    }

    /// Returns the C files and headers of `lib/`, by name.
    pub fn c_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.lib.iter();
        let files = files.map(|(name, text)| (name.as_str(), text.as_str()));
        files.filter(|(name, _)| name.ends_with(".c") || name.ends_with(".h"))
    }

    /// Returns the name of the catalogue's own header, which programs include.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        let own = format!("{}.h", self.manifest.kselftest());
        self.lib.contains_key(&own).then_some(own)
    }

    /// Returns a file of `lib/`; empty if there is none.
    pub(crate) fn lib(&self, name: &str) -> &str {
        self.lib.get(name).map_or("", String::as_str)
    }

    /// Returns the first catalogue of this project.
    #[cfg(test)]
    pub(crate) fn project() -> &'static Self {
        static PROJECT: std::sync::LazyLock<Catalogue> = std::sync::LazyLock::new(|| {
            let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
            let folder = root.join("catalogues/liveupdate-pci");
            let loaded = Catalogue::load(&folder, &root.join("core"), Machines::project());
            loaded.expect("the catalogue is valid")
        });
        &PROJECT
    }
}

fn verbs(folder: &Utf8Path) -> Result<Language, LoadError> {
    let (path, text) = read(folder, VERBS)?;
    Ok(Language::parse(&text, &path)?)
}

/// Checks that the files of `lib/` are complete.
fn complete(
    folder: &Utf8Path,
    lib: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, LoadError> {
    let lacks = |name: &str, source: &str| LoadError::Read {
        path: folder.join("lib").join(name).to_string(),
        source: std::io::Error::other(source.to_owned()),
    };
    if let Some(missing) = OTHER_FILES.iter().find(|name| !lib.contains_key(**name)) {
        return Err(lacks(missing, "no such file"));
    }
    let makefile = &lib["Makefile"];
    let parts = ["{{ORIGIN}}", "{{PROGRAMS}}", "{{LIBRARY}}", "{{HEADERS}}"];
    match parts.iter().find(|part| !makefile.contains(**part)) {
        Some(part) => Err(lacks("Makefile", &format!("it has no `{part}`"))),
        None => Ok(lib),
    }
}

/// Returns the folder of a file: the catalogue, or the core if the catalogue has no such file.
fn of_file<'a>(folder: &'a Utf8Path, core: &'a Utf8Path, name: &str) -> &'a Utf8Path {
    match folder.join(name).exists() {
        true => folder,
        false => core,
    }
}

/// Returns the paths in a folder, sorted.
fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, LoadError> {
    listing(folder).map_err(|source| LoadError::Read {
        path: folder.to_string(),
        source,
    })
}
