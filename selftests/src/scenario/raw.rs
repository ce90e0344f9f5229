// SPDX-License-Identifier: GPL-2.0-only
//! A scenario as it is written in YAML: every key of the language, nothing
//! checked but names and types. The JSON schema and the reference page are made
//! from these types, so the comments on the fields are what their readers see.

mod step;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use step::{RawCount, RawLog, RawStep};

use crate::yaml::At;

/// What is done to one or more kernels, and what must be seen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub(super) struct RawScenario {
    /// Kebab-case; the name of the file without `.yaml`.
    pub(super) name: At<String>,
    /// One line, the property under test.
    pub(super) title: At<String>,
    /// Why it matters: the use case, in a few sentences.
    pub(super) why: At<String>,
    /// Names of the series without which the scenario must fail, each a folder in
    /// `kernel-patches`.
    #[serde(default)]
    pub(super) fails_without: Vec<At<String>>,
    /// Names of the series that brought the fault which `fails_without` fixes: on a
    /// kernel that lacks one of them, the scenario passes in any case.
    #[serde(default)]
    pub(super) fails_since: Vec<At<String>>,
    /// Classes of kernel reports, `KASAN` and so on, that may come without these
    /// series; any other is a finding there, too.
    #[serde(default)]
    pub(super) fails_with: Vec<At<String>>,
    /// That the scenario shows a fault of the kernel as it is released: what was
    /// expected, what happens, and where in the code. `fails_without` names the series
    /// that fixes it.
    pub(super) known_finding: Option<At<String>>,
    /// The machine it needs, a file in `vm-images/machines` (default `edu-pair`).
    pub(super) machine: Option<At<String>>,
    /// Device slots of the machine that are used, `endpoint0` and so on; with `.vf0` behind it,
    /// a virtual function of the device in the slot.
    #[serde(default)]
    pub(super) devices: Vec<At<String>>,
    /// Values that make one scenario several: each combination is a test of its own,
    /// named `NAME.VALUE-VALUE`, in the order of the parameters' names. `$PARAMETER`
    /// anywhere in the file stands for its value.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Vec<At<String>>>,
    /// Combinations of values that make no sense, as maps from parameter to value.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "read before any value is put in, with the parameters"
    )]
    pub(super) except: Vec<BTreeMap<String, At<String>>>,
    /// What is made before the first step: shorter than steps that do it.
    #[serde(default)]
    pub(super) setup: RawSetup,
    /// Seconds that each boot may take on the slowest config (default 120).
    pub(super) timeout_secs: Option<At<u64>>,
    /// Whether the guest is afterwards as it was before, so that another test
    /// may follow in it when the user asks for that (default false).
    pub(super) leaves_no_trace: Option<At<bool>>,
    /// Kernel reports that must be seen; any other fails the scenario.
    #[serde(default)]
    pub(super) splats: Vec<RawSplat>,
    /// What is done in each kernel; a kexec lies between two boots.
    #[serde(default)]
    pub(super) boots: Vec<RawBoot>,
}

/// What is made before the first step: the sessions, then the files, by their names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSetup {
    /// Live update sessions, by name.
    #[serde(default)]
    pub(super) sessions: Vec<At<String>>,
    /// Files, by the name that steps know them by.
    #[serde(default)]
    pub(super) files: BTreeMap<String, At<RawFile>>,
}

/// A file of the setup: of one kind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    /// The file of the device in this slot.
    pub(super) device: Option<At<String>>,
    /// A memfd with these contents.
    pub(super) memfd: Option<At<String>>,
    /// Whatever is at this path.
    pub(super) path: Option<At<String>>,
    /// Seals of the memfd, such as `write` and `grow`.
    #[serde(default)]
    pub(super) seals: Vec<At<String>>,
}

/// A kernel report that must be seen: `count` times, or between `min` and `max`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplat {
    /// `WARN`, `KASAN`, `lockdep` and so on.
    pub(super) class: At<String>,
    /// Text that the report's message contains.
    pub(super) text: At<String>,
    /// How often, exactly.
    pub(super) count: Option<u64>,
    /// At least so often.
    pub(super) min: Option<u64>,
    /// At most so often.
    pub(super) max: Option<u64>,
    /// In which boot, from 1 (default 1).
    pub(super) boot: Option<At<usize>>,
    /// Only with these values of the parameters.
    #[serde(default)]
    pub(super) when: BTreeMap<String, At<RawValues>>,
    /// Why it is right to see it.
    pub(super) because: Option<String>,
}

/// What is done in one kernel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBoot {
    /// Which kernel the kexec before this boot goes to: `same` (the default), or that
    /// of the checkout `base` or `series`.
    pub(super) kernel: Option<At<String>>,
    /// In order; each does one thing.
    #[serde(default)]
    pub(super) steps: Vec<At<RawStep>>,
}

/// One value or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawValues {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl RawValues {
    pub(super) fn contains(&self, value: &str) -> bool {
        self.all().iter().any(|one| one == value)
    }

    pub(super) fn all(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Any(any) => any.clone(),
        }
    }
}
