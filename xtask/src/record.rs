// SPDX-License-Identifier: GPL-2.0-only
//! What a run keeps of a job: what it was, and what it ran.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use fs_err as fs;
use selftests::kselftest::KselftestBoots;
use serde::{Deserialize, Serialize};

use crate::plan::JobPlan;
use crate::result::Cached;
use crate::run_folder::RunFolder;

/// The record's name in a job's folder.
pub(crate) const FILE_NAME: &str = "record.json";

/// What is cached of a job, beside its console log and its transcript, to judge it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) plan: JobPlan,
    /// Names of the series in the kernel.
    pub(crate) contains: BTreeSet<String>,
    /// Names of the series of which the kernel has some patches only.
    #[serde(default)]
    pub(crate) partly: BTreeSet<String>,
    pub(crate) binaries: Binaries,
    /// What is known of the test, if it is one of the tree's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kselftest: Option<Kselftest>,
    /// The run that it was part of, when that is not the one of its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cached: Option<Cached>,
}

/// What a job ran, by path; in the cache, so that it may be gone later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binaries {
    /// The kernel's content id.
    pub(crate) kernel_id: String,
    pub(crate) image: Utf8PathBuf,
    /// The kernel with symbols.
    pub(crate) symbols: Utf8PathBuf,
    /// The same of each boot.
    #[serde(default)]
    pub(crate) boot_symbols: Vec<Utf8PathBuf>,
    pub(crate) initramfs: Utf8PathBuf,
    /// The test program's path in the guest.
    pub(crate) program: String,
}

impl Binaries {
    /// Returns the kernel with symbols that was the `number`-th to boot, from 1.
    pub(crate) fn symbols_of(&self, number: usize) -> Option<&Utf8PathBuf> {
        let of_boot = self.boot_symbols.get(number.checked_sub(1)?);
        // Older records tell of the first alone.
        of_boot.or((number == 1).then_some(&self.symbols))
    }
}

/// A test of the tree's own on a kernel; cached with the job, so that it can be
/// judged again without the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kselftest {
    /// It is run.
    Fit {
        test: KselftestBoots,
        /// Options that its TARGET asks for and the kernel does not have.
        lacks: Vec<String>,
    },
    /// It cannot be run.
    Unfit { reason: String },
}

impl Record {
    /// Writes the record into the job's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&self, run: &RunFolder) -> anyhow::Result<()> {
        fs::create_dir_all(run.path().join(self.plan.folder()))?;
        run.write_json(&format!("{}/{FILE_NAME}", self.plan.folder()), self)
    }

    /// Reads the record of a job.
    ///
    /// # Errors
    /// When there is none, it is not one of ours, or that of another job.
    pub(crate) fn read(plan: &JobPlan, run: &RunFolder) -> anyhow::Result<Self> {
        let name = format!("{}/{FILE_NAME}", plan.folder());
        let record: Self = run.read_json(&name)?;
        if record.plan != *plan {
            let (own, other) = (plan.label(), record.plan.label());
            let what = format!("it is not of {own}, but of {other}");
            return Err(run.damaged(&name, what));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn the_record_of_another_job_is_none() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::at(place.path().to_owned().try_into().unwrap());
        let [own, other] = ["a", "b"].map(|name| job(name, "base", "pass", "pass").plan());
        let mut record = Record {
            plan: own.clone(),
            contains: BTreeSet::new(),
            partly: BTreeSet::new(),
            binaries: Binaries {
                kernel_id: String::new(),
                image: Utf8PathBuf::new(),
                symbols: Utf8PathBuf::new(),
                boot_symbols: Vec::new(),
                initramfs: Utf8PathBuf::new(),
                program: String::new(),
            },
            kselftest: None,
            cached: None,
        };
        record.keep(&run).unwrap();
        assert!(Record::read(&own, &run).is_ok());
        record.plan = other;
        run.write_json(&format!("{}/{FILE_NAME}", own.folder()), &record)
            .unwrap();
        let error = format!("{:#}", Record::read(&own, &run).unwrap_err());
        let told = "is damaged: it is not of a on base (fast), but of b on base (fast)";
        assert!(error.contains(told), "{error}");
    }
}
