// SPDX-License-Identifier: GPL-2.0-only
//! A scenario as it is written in YAML: every key of the language, nothing
//! checked but names and types. The JSON schema is made from these types, so the
//! comments on the fields are what an editor shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// Names of the series without which the scenario must fail.
    #[serde(default)]
    pub(super) fails_without: Vec<At<String>>,
    /// Classes of kernel complaints, `KASAN` and so on, that may come without these
    /// series; any other is a finding there, too.
    #[serde(default)]
    pub(super) fails_with: Vec<At<String>>,
    /// Device slots used, `endpoint0`, `endpoint1`, in the order of their addresses.
    #[serde(default)]
    pub(super) devices: Vec<At<String>>,
    /// Seconds that each stage may take on the slowest profile (default 120).
    pub(super) timeout_secs: Option<At<u64>>,
    /// Whether the guest is afterwards as it was before, so that another test
    /// may follow in it when the user asks for that (default false).
    pub(super) leaves_no_trace: Option<At<bool>>,
    /// Kernel complaints that must be seen; any other fails the scenario.
    #[serde(default)]
    pub(super) splats: Vec<RawSplat>,
    /// What is done in each kernel; a kexec lies between two stages.
    pub(super) stages: Vec<RawStage>,
}

/// A kernel complaint that must be seen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplat {
    /// `WARN`, `KASAN`, `lockdep` and so on.
    pub(super) class: At<String>,
    /// Text that the complaint's message contains.
    pub(super) text: At<String>,
    /// How often, exactly.
    pub(super) count: u64,
    /// In which stage, from 1 (default 1).
    pub(super) stage: Option<At<usize>>,
    /// Why it is right to see it.
    pub(super) because: Option<String>,
}

/// What is done in one kernel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    /// In order; each does one thing.
    pub(super) steps: Vec<At<RawStep>>,
}

/// One thing done, and what must be seen after it. Exactly one of the keys that
/// name an action is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    /// Action: opens the file of a device slot, under the name in `as`.
    pub(super) open_device: Option<At<String>>,
    /// Action: makes a memfd with these contents, under the name in `as`.
    pub(super) create_memfd: Option<At<String>>,
    /// Action: makes a live update session of this name.
    pub(super) create_session: Option<At<String>>,
    /// Action: preserves this file in the session named by `into`.
    pub(super) preserve: Option<At<String>>,
    /// Action: retrieves the session of this name from the kernel before.
    pub(super) retrieve_session: Option<At<String>>,
    /// Action: retrieves this file from the session named by `from`.
    pub(super) retrieve: Option<At<String>>,
    /// Action: finishes this session.
    pub(super) finish: Option<At<String>>,
    /// Action: closes this file, session or user.
    pub(super) close: Option<At<String>>,
    /// Action: removes the device of this slot through sysfs.
    pub(super) remove_device: Option<At<String>>,
    /// Action: looks for devices again on the bus; the only value is `pci`.
    pub(super) rescan: Option<At<String>>,
    /// Action: this user inside the kernel takes a reference on the outgoing FLB.
    pub(super) get_outgoing: Option<At<String>>,
    /// Action: this user touches the object that it holds.
    pub(super) use_outgoing: Option<At<String>>,
    /// Action: this user gives its reference back.
    pub(super) put_outgoing: Option<At<String>>,
    /// Action: writes `value` to the register `at` of this device file.
    pub(super) write_register: Option<At<String>>,
    /// Action: reads the register `at` of this device file; with `value`, it must be that.
    pub(super) read_register: Option<At<String>>,
    /// Action: reads this memfd, which must have `contents`.
    pub(super) read_file: Option<At<String>>,
    /// Action: none; says what is looked at.
    pub(super) observe: Option<At<String>>,

    /// The name of the file that the action makes.
    #[serde(rename = "as")]
    pub(super) name: Option<At<String>>,
    /// The session that a file is preserved in.
    pub(super) into: Option<At<String>>,
    /// The session that a file is retrieved from.
    pub(super) from: Option<At<String>>,
    /// A register's offset.
    pub(super) at: Option<At<u64>>,
    /// A register's value.
    pub(super) value: Option<At<u64>>,
    /// What a file must contain.
    pub(super) contents: Option<At<String>>,

    /// What the action must return: `ok` (the default) or an errno such as `EBUSY`.
    pub(super) returns: Option<At<String>>,
    /// How often each of these kernel functions was called so far in the stage.
    #[serde(default)]
    pub(super) calls: BTreeMap<String, At<u64>>,
    /// Lines of the kernel log so far in the stage.
    #[serde(default)]
    pub(super) log: Vec<RawLog>,
    /// Whether the scenario bites here: without the series in `fails_without`,
    /// this is the first step that goes wrong.
    #[serde(default)]
    pub(super) teeth: bool,
    /// Why this is done and expected; becomes a comment in the generated test.
    pub(super) because: Option<String>,
}

/// How many lines with a text the kernel logged so far in the stage.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// Text that the lines contain.
    pub(super) text: At<String>,
    /// Exactly so many.
    pub(super) count: Option<u64>,
    /// At least so many.
    pub(super) min: Option<u64>,
    /// At most so many.
    pub(super) max: Option<u64>,
}
