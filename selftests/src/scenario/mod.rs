// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios: what is done to one or more kernels and what must be seen, as a
//! checked value. Knows nothing of C, of virtual machines, or of what running a
//! scenario comes to.

mod check;
mod names;
mod raw;

use std::fmt;

use camino::Utf8Path;

use crate::input::{InputError, Place};
use crate::klog::SplatClass;
use crate::yaml;

/// Seconds that a stage may take when the scenario does not say.
pub const STAGE_TIMEOUT_SECS: u64 = 120;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Kebab-case name.
    pub name: String,
    /// The property under test, one line.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// Series without which the scenario must fail.
    pub fails_without: Vec<String>,
    /// Classes of complaints that may come where it must fail.
    pub fails_with: Vec<SplatClass>,
    /// The slots used, by name; the index of a slot is the number in its name.
    pub devices: Vec<Slot>,
    /// Seconds that each stage may take on the slowest profile.
    pub timeout_secs: u64,
    /// Whether the guest is afterwards as it was before.
    pub leaves_no_trace: bool,
    /// Complaints of the kernel that must be seen.
    pub splats: Vec<ExpectedSplat>,
    /// The stages; never empty.
    pub stages: Vec<Stage>,
}

/// What is done in one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// From 1.
    pub number: usize,
    /// In order; never empty.
    pub steps: Vec<Step>,
}

/// One thing done, and what must be seen after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From 1 in each stage.
    pub number: usize,
    /// What is done.
    pub action: Action,
    /// What it must return.
    pub returns: Returns,
    /// Kernel functions and how often each was called so far in the stage.
    pub calls: Vec<(String, u64)>,
    /// Lines of the kernel log so far in the stage.
    pub log: Vec<ExpectedLog>,
    /// Whether the scenario bites here: what goes wrong first without the series.
    pub teeth: bool,
    /// Why.
    pub because: Option<String>,
    /// Where the step was written.
    pub place: Place,
}

/// What a step does. Names are C identifiers, unique in the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the line of each variant names its fields")]
pub enum Action {
    /// Opens the file of a device.
    OpenDevice { slot: Slot, file: String },
    /// Makes a memfd.
    CreateMemfd { file: String, contents: String },
    /// Makes a session.
    CreateSession { session: String },
    /// Preserves a file in a session.
    Preserve {
        file: String,
        session: String,
        token: u64,
    },
    /// Retrieves a session of the kernel before.
    RetrieveSession { session: String },
    /// Retrieves a file from a session.
    Retrieve {
        file: String,
        session: String,
        token: u64,
    },
    /// Finishes a session.
    Finish { session: String },
    /// Closes a file, a session or a user.
    Close { object: String },
    /// Removes a device through sysfs.
    RemoveDevice { slot: Slot },
    /// Looks for devices again.
    Rescan,
    /// A user inside the kernel does something with the outgoing FLB.
    User { user: String, act: UserAct },
    /// Writes a device's register.
    WriteRegister { file: String, at: u64, value: u64 },
    /// Reads a device's register, and compares it where a value is given.
    ReadRegister {
        file: String,
        at: u64,
        value: Option<u64>,
    },
    /// Reads a memfd and compares it.
    ReadFile { file: String, contents: String },
    /// Does nothing.
    Observe { what: String },
}

/// What a user inside the kernel does with the outgoing FLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAct {
    /// Takes a reference.
    Get,
    /// Touches the object.
    Use,
    /// Gives the reference back.
    Put,
}

impl UserAct {
    /// Returns the word that the test driver takes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Use => "use",
            Self::Put => "put",
        }
    }
}

/// A device slot of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The name, `endpoint0`.
    pub name: String,
    /// The device's place in the order of addresses, from 0.
    pub index: usize,
}

/// What an action must return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// Success.
    Ok,
    /// This error, such as `EBUSY`.
    Errno(String),
}

/// How many lines with a text must be in the kernel log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedLog {
    /// The text.
    pub text: String,
    /// At least so many.
    pub min: u64,
    /// At most so many; `None` is without a limit.
    pub max: Option<u64>,
}

/// A complaint of the kernel that must be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSplat {
    /// Its class.
    pub class: SplatClass,
    /// Text that its message or title contains.
    pub text: String,
    /// How often, exactly.
    pub count: u64,
    /// In which stage, from 1.
    pub stage: usize,
    /// Why it is right to see it.
    pub because: Option<String>,
}

impl Scenario {
    /// Parses and checks the text of a scenario; `file` is the name to report
    /// mistakes under, and its stem must be the scenario's name.
    ///
    /// # Errors
    ///
    /// Returns the first mistake with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, InputError> {
        check::scenario(yaml::parse(text, file)?, text, file)
    }

    /// Returns the C identifier of the scenario, which is also the name of its
    /// program and of its fixture.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Returns the full name of the test of a stage, from 1.
    #[must_use]
    pub fn test_name(&self, stage: usize) -> String {
        format!("{}.stage_{stage}", self.identifier())
    }

    /// Returns the kernel functions whose calls are counted, in order of mention.
    #[must_use]
    pub fn probed_functions(&self) -> Vec<&str> {
        let mut functions = Vec::new();
        for (function, _) in self.steps().flat_map(|step| &step.calls) {
            if !functions.contains(&function.as_str()) {
                functions.push(function.as_str());
            }
        }
        functions
    }

    /// Returns all steps of all stages.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }
}

/// Returns the JSON schema of the language, as it is checked in.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(raw::RawScenario);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// Why scenarios could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A mistake in a scenario.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file that could not be read.
    #[error("read scenarios in `{folder}`: {source}")]
    Read {
        /// The folder of scenarios.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Reads all scenarios of a folder (`*.yaml`), sorted by name.
///
/// # Errors
///
/// Returns the first mistake, or what could not be read.
pub fn load_all(folder: &Utf8Path) -> Result<Vec<Scenario>, LoadError> {
    let unreadable = |source| LoadError::Read {
        folder: folder.to_string(),
        source,
    };
    let mut scenarios = Vec::new();
    for entry in folder.read_dir_utf8().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.into_path();
        if path.extension() != Some("yaml") {
            continue;
        }
        let text = fs_err::read_to_string(&path).map_err(unreadable)?;
        scenarios.push(Scenario::parse(&text, path.as_str())?);
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenarios)
}

impl fmt::Display for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Errno(name) => f.write_str(name),
        }
    }
}

/// The sentence of a step in diagnostics, timelines and comments.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenDevice { slot, file } => write!(f, "open {} as {file}", slot.name),
            Self::CreateMemfd { file, .. } => write!(f, "create memfd {file}"),
            Self::CreateSession { session } => write!(f, "create session {session}"),
            Self::Preserve { file, session, .. } => write!(f, "preserve {file} in {session}"),
            Self::RetrieveSession { session } => write!(f, "retrieve session {session}"),
            Self::Retrieve { file, session, .. } => write!(f, "retrieve {file} from {session}"),
            Self::Finish { session } => write!(f, "finish {session}"),
            Self::Close { object } => write!(f, "close {object}"),
            Self::RemoveDevice { slot } => write!(f, "remove {}", slot.name),
            Self::Rescan => f.write_str("rescan the PCI bus"),
            Self::User { user, act } => write!(f, "{user}: {} the outgoing FLB", act.word()),
            Self::WriteRegister { file, at, value } => {
                write!(f, "write {value:#x} to register {at:#x} of {file}")
            }
            Self::ReadRegister { file, at, .. } => write!(f, "read register {at:#x} of {file}"),
            Self::ReadFile { file, .. } => write!(f, "read {file}"),
            Self::Observe { what } => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_checked_in() {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario.schema.json");
        let found = fs_err::read_to_string(path).unwrap();
        assert!(found == json_schema(), "run `cargo xtask generate`");
    }

    #[test]
    fn the_checked_in_scenarios_are_those_of_the_project() {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let found: Vec<_> = load_all(&folder)
            .unwrap()
            .into_iter()
            .map(|scenario| format!("{} {:?}", scenario.name, scenario.fails_without))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        get-outgoing-without-preserve ["flb-refcount"]
        live-update-kexec []
        outgoing-flb-held-while-last-file-goes ["flb-refcount"]
        sysfs-remove-while-preserved []
        "#);
    }
}
