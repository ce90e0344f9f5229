// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a job.

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::{Cause, Status};
use serde::{Deserialize, Serialize};
use vm_images::accel::Accelerator;
use vm_images::transcript::BootMode;

use crate::job_plan::JobPlan;

/// One job's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobResult {
    /// The test's name: a scenario's name, or `TARGET:TEST` for a kselftest of the tree.
    pub test: String,
    /// Whether the test is a kselftest of the tree. A kselftest that could not run has the
    /// status `skip`, which is expected but not counted as a pass.
    #[serde(default)]
    pub kselftest: bool,
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The machine's name.
    pub machine: String,
    /// The architecture of the kernel, as the kernel names it: `x86_64`.
    pub arch: String,
    /// The number of the repetition, from 1.
    pub repetition: u32,
    /// `pass`, `fail`, `crash`, `hang`, `skip` or `error`.
    pub status: Status,
    /// The cause, if the job neither passed nor was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The status that the test expects on this checkout: `pass` or `fail`; `not-asserted`
    /// if the checkout has only a part of a series without which the test fails.
    pub expectation: Expected,
    /// Whether the status is the expected one.
    pub expected: bool,
    /// Whether the job failed and the failure is expected.
    pub xfail: bool,
    /// The reason for the status, in a sentence.
    pub reason: String,
    /// From starting QEMU until the first kernel is ready, in milliseconds.
    pub boot_ms: u64,
    /// `restore` when the guest was restored from a checkpoint, `cold` when it booted,
    /// `cold-instead` when it booted because the restore failed; empty when no guest was
    /// started.
    #[serde(default, with = "word_or_empty")]
    #[schemars(with = "String")]
    pub boot_mode: Option<BootMode>,
    /// Whether the job shared its guest with other jobs.
    #[serde(default)]
    pub shared: bool,
    /// Duration of the whole job, in milliseconds.
    pub duration_ms: u64,
    /// `kvm` or `tcg`; empty when no guest was started.
    #[serde(with = "word_or_empty")]
    #[schemars(with = "String")]
    pub accel: Option<Accelerator>,
    /// The job's folder, relative to the run folder.
    pub artifacts: String,
    /// The difference between the result and its snapshot, if there is a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_difference: Option<String>,
    /// Titles of the kernel reports.
    #[serde(default)]
    pub splats: Vec<String>,
    /// The earlier run that the result is reused from, because build, test and machine are
    /// unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// Writes an absent value as an empty word, as schema 2 requires.
mod word_or_empty {
    use serde::de::{DeserializeOwned, Error};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(word) if word.is_empty() => Ok(None),
            word => serde_json::from_value(word)
                .map(Some)
                .map_err(D::Error::custom),
        }
    }
}

/// An earlier run of the same `watch`, and the time of the job in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cached {
    /// The name of its run folder.
    pub run: String,
    /// End of the job, in local time with its UTC offset.
    pub at: String,
}

impl JobResult {
    /// Returns the planned job of this result.
    pub fn plan(&self) -> JobPlan {
        JobPlan {
            test: self.test.clone(),
            config: self.config.clone(),
            checkout: self.checkout.clone(),
            machine: self.machine.clone(),
            repetition: self.repetition,
        }
    }

    /// Returns whether the result needs attention: it is a finding or inconclusive.
    pub fn needs_attention(&self) -> bool {
        !self.expected || self.snapshot_difference.is_some()
    }

    /// Returns whether the result is a finding: an unexpected status of the kernel or the
    /// test, or a difference from the snapshot.
    pub fn is_finding(&self) -> bool {
        self.needs_attention() && !self.is_inconclusive()
    }

    /// Returns whether the tool or the host failed, so that the job has no result for the
    /// kernel.
    pub fn is_inconclusive(&self) -> bool {
        self.status == Status::Error
    }

    /// Returns whether the job was skipped as expected: neither a pass nor a finding.
    pub fn is_skipped(&self) -> bool {
        self.status == Status::Skip && self.expected
    }

    /// Returns whether the result is as expected and not skipped. Every output counts these.
    pub fn is_good(&self) -> bool {
        !self.needs_attention() && !self.is_skipped()
    }

    /// Makes the job inconclusive, because its artifacts could not be written.
    pub fn make_inconclusive(&mut self, why: &anyhow::Error) {
        self.status = Status::Error;
        self.cause = Some(Cause::Infrastructure);
        self.expected = false;
        self.xfail = false;
        self.reason = format!("the job's folder cannot be written: {why:#}");
    }

    /// Gives the job the status `error`, because its scenario has changed since the run.
    pub fn make_outdated(&mut self) {
        self.status = Status::Error;
        self.cause = Some(Cause::Test);
        self.expected = false;
        self.xfail = false;
        self.reason = "the scenario has changed since the run; repeat the run".to_owned();
    }
}
