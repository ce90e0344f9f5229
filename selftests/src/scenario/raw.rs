// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario files as YAML: all keys, with only names and types checked. The JSON schema
//! and SCENARIOS.md are generated from these types, including the comments of the fields.

mod step;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use step::{RawCount, RawLog, RawStep};

use crate::yaml::At;

/// The steps to run in one or more kernels, and their expected results.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub(super) struct RawScenario {
    /// The name of the file without `.yaml`, in kebab-case.
    pub(super) name: At<String>,
    /// The property under test, in one line.
    pub(super) title: At<String>,
    /// The use case of the property, in a few sentences.
    pub(super) why: At<String>,
    /// Series without which the scenario must fail. Each is a folder in `kernel-patches`.
    #[serde(default)]
    pub(super) fails_without: Vec<At<String>>,
    /// Series that introduced the bug that `fails_without` fixes. On a kernel without one
    /// of them, the scenario passes.
    #[serde(default)]
    pub(super) fails_since: Vec<At<String>>,
    /// Classes of kernel reports, such as `KASAN`, that are allowed on a kernel without the
    /// series in `fails_without`. A report of another class is a finding.
    #[serde(default)]
    pub(super) fails_with: Vec<At<String>>,
    /// Analysis of a bug in released kernels that the scenario reproduces: the expected
    /// and the actual behaviour, and the place in the code. `fails_without` has the series
    /// that fixes it.
    pub(super) known_finding: Option<At<String>>,
    /// The required machine, a file in `vm-images/machines` (default `edu-pair`).
    pub(super) machine: Option<At<String>>,
    /// Slots of the machine whose devices are used, such as `endpoint0`. `endpoint0.vf1` is
    /// virtual function 1 of the device in that slot.
    #[serde(default)]
    pub(super) devices: Vec<At<String>>,
    /// Parameters with their values. Each combination of values is a separate test with the
    /// name `NAME.VALUE-VALUE`, in the order of the parameter names. `$PARAMETER` is
    /// replaced by the value anywhere in the file.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Vec<At<String>>>,
    /// Combinations of values to leave out, as maps from parameter to value.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "parsed with the parameters before the substitution of values"
    )]
    pub(super) except: Vec<BTreeMap<String, At<String>>>,
    /// Sessions and files to create before the first step.
    #[serde(default)]
    pub(super) setup: RawSetup,
    /// Time limit of each boot in seconds, on the slowest config (default 120).
    pub(super) timeout_secs: Option<At<u64>>,
    /// Whether the scenario leaves the guest in its initial state, so that another test may
    /// run in it if the user requests that (default false).
    pub(super) leaves_no_trace: Option<At<bool>>,
    /// Expected kernel reports. Any other kernel report fails the scenario.
    #[serde(default)]
    pub(super) splats: Vec<RawSplat>,
    /// The steps of each boot, with a kexec between two boots.
    #[serde(default)]
    pub(super) boots: Vec<RawBoot>,
}

/// Objects to create before the first step: first the sessions, then the files by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSetup {
    /// Names of live update sessions.
    #[serde(default)]
    pub(super) sessions: Vec<At<String>>,
    /// Files, by the names that steps refer to.
    #[serde(default)]
    pub(super) files: BTreeMap<String, At<RawFile>>,
}

/// A file of the setup. Exactly one of `device`, `memfd` and `path` is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    /// The slot of a device, whose device file is opened.
    pub(super) device: Option<At<String>>,
    /// The contents of a memfd, which is created.
    pub(super) memfd: Option<At<String>>,
    /// A path, which is opened.
    pub(super) path: Option<At<String>>,
    /// Seals of the memfd, such as `write` and `grow`.
    #[serde(default)]
    pub(super) seals: Vec<At<String>>,
}

/// A kernel report that is expected `count` times, or between `min` and `max` times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplat {
    /// The class of the report, such as `WARN`, `KASAN` or `lockdep`.
    pub(super) class: At<String>,
    /// A part of the message of the report.
    pub(super) text: At<String>,
    /// The exact number of reports.
    pub(super) count: Option<u64>,
    /// The minimal number of reports.
    pub(super) min: Option<u64>,
    /// The maximal number of reports.
    pub(super) max: Option<u64>,
    /// The number of the boot, from 1 (default 1).
    pub(super) boot: Option<At<usize>>,
    /// Parameter values for which the report is expected (default: all).
    #[serde(default)]
    pub(super) when: BTreeMap<String, At<RawValues>>,
    /// The reason why the report is expected.
    pub(super) because: Option<String>,
}

/// The steps that run in one kernel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBoot {
    /// The kernel that the kexec before this boot starts: `same` (the default), or the
    /// kernel of the checkout `base` or `series`.
    pub(super) kernel: Option<At<String>>,
    /// The steps of the boot, in order. Each step has one action.
    #[serde(default)]
    pub(super) steps: Vec<At<RawStep>>,
}

/// A value or a list of values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawValues {
    /// A single value.
    Single(String),
    /// Any of these values.
    Any(Vec<String>),
}

impl RawValues {
    pub(super) fn contains(&self, value: &str) -> bool {
        self.all().iter().any(|other| other == value)
    }

    pub(super) fn all(&self) -> Vec<String> {
        match self {
            Self::Single(value) => vec![value.clone()],
            Self::Any(values) => values.clone(),
        }
    }
}
