// SPDX-License-Identifier: MIT OR Apache-2.0
//! A catalogue: a folder with the scenarios of one subject, and all that they need.
//!
//! | file | content |
//! | --- | --- |
//! | `catalogue.yaml` | the [`Manifest`] |
//! | `verbs.yaml` | the verbs of the scenario language |
//! | `lib/` | the C headers, and the other files of the kselftest folder |
//! | `SCENARIOS.in.md` | the text of the reference of the language |
//! | `scenarios/` | the scenarios |
//! | `snapshots/` | the recorded results, if there are any |
//! | `generated/` | the generated kselftests |

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::files::listing;
use serde::Deserialize;
use vm_images::machine_file::MachineError;

use crate::input::InputError;
use crate::scenario::{Language, Machines, ScenarioFile};
use crate::yaml::{self, At};

/// The file that makes a folder a catalogue.
pub const MANIFEST: &str = "catalogue.yaml";

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
    #[serde(default)]
    pub kernel_arguments: String,
    /// The name of the generated folder in `tools/testing/selftests`.
    pub kselftest: String,
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
        let path = folder.join(MANIFEST);
        let text = fs_err::read_to_string(&path)?;
        Ok(yaml::parse(&text, path.as_str())?)
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
    /// The files of `lib/`, by name.
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
    #[error("read the catalogue: {0}")]
    Read(#[from] std::io::Error),
}

impl Catalogue {
    /// Reads a catalogue. Its scenarios can use these machines.
    ///
    /// # Errors
    ///
    /// Returns the first error in a file, or the error of reading a file.
    pub fn load(folder: &Utf8Path, machines: Machines) -> Result<Self, LoadError> {
        let read = |name: &str| fs_err::read_to_string(folder.join(name));
        let path = |name: &str| folder.join(name).to_string();
        let manifest = Manifest::load(folder)?;
        let At { value, place } = &manifest.machine;
        if machines.slots(value).is_none() {
            let names: Vec<&str> = machines.names().collect();
            let hint = format!("known machines: {}", names.join(", "));
            let message = format!("unknown machine `{value}`");
            let text = read(MANIFEST)?;
            return Err(
                InputError::new(&path(MANIFEST), &text, *place, message, Some(hint)).into(),
            );
        }
        let mut lib = BTreeMap::new();
        for file in listing(&folder.join("lib"))? {
            if let Some(name) = file.file_name().filter(|_| file.is_file()) {
                lib.insert(name.to_owned(), fs_err::read_to_string(&file)?);
            }
        }
        Ok(Self {
            language: Language::parse(&read("verbs.yaml")?, &path("verbs.yaml"))?,
            reference: read("SCENARIOS.in.md")?,
            folder: folder.to_owned(),
            manifest,
            machines,
            lib,
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
        self.folder.join("generated").join(&self.manifest.kselftest)
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
        for path in listing(&self.scenarios())? {
            if path.extension() == Some("yaml") {
                let text = fs_err::read_to_string(&path)?;
                scenario_files.push(ScenarioFile::parse(&text, path.as_str(), self)?);
            }
        }
        scenario_files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scenario_files)
    }

    /// Returns the C headers of `lib/`, by name.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.lib.iter();
        let files = files.map(|(name, text)| (name.as_str(), text.as_str()));
        files.filter(|(name, _)| name.ends_with(".h"))
    }

    /// Returns a file of `lib/`; empty if there is none.
    pub(crate) fn lib(&self, name: &str) -> &str {
        self.lib.get(name).map_or("", String::as_str)
    }

    /// Returns the first catalogue of this project.
    #[cfg(test)]
    pub(crate) fn project() -> &'static Self {
        static PROJECT: std::sync::LazyLock<Catalogue> = std::sync::LazyLock::new(|| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogues/liveupdate-pci");
            let loaded = Catalogue::load(Utf8Path::new(folder), Machines::project());
            loaded.expect("the catalogue is valid")
        });
        &PROJECT
    }
}
