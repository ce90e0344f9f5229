// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of a job in its folder: the planned job, the binaries that it ran, and the
//! analysis of its files.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;
use selftests::analysis::Analysis;
use selftests::kselftest::KselftestBoots;
use serde::{Deserialize, Serialize};

use crate::engine::plan::JobPlan;
use crate::engine::run_folder::RunFolder;
use crate::result::Cached;

/// The record's name in a job's folder.
pub const FILE_NAME: &str = "record.json";
/// The name of the analysis in a job's folder.
pub(crate) const ANALYSIS: &str = "analysis.json";
/// A larger analysis is not read, in bytes.
const ANALYSIS_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The data that is needed, beside console log and transcript, to evaluate a job again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub(crate) plan: JobPlan,
    /// Names of the series in the kernel.
    pub contains: BTreeSet<String>,
    /// Names of the series of which the kernel has only some patches.
    #[serde(default)]
    pub partly: BTreeSet<String>,
    /// The binaries that it ran.
    pub binaries: Binaries,
    /// The test, if it is a kselftest of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kselftest: Option<Kselftest>,
    /// The earlier run that the job was part of, if its result is reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// The binaries that a job ran. They are in the cache and may be deleted later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Binaries {
    /// Content hash of the kernel.
    pub kernel_id: String,
    /// The image of the kernel.
    pub image: Utf8PathBuf,
    /// The kernel image with debug information.
    pub symbols: Utf8PathBuf,
    /// The images with debug information of all boots.
    #[serde(default)]
    pub boot_symbols: Vec<Utf8PathBuf>,
    pub(crate) initramfs: Utf8PathBuf,
    /// The test program's path in the guest.
    pub program: String,
}

impl Binaries {
    /// Returns the image with debug information of a boot, from 1.
    pub fn symbols_of(&self, number: usize) -> Option<&Utf8PathBuf> {
        let of_boot = self.boot_symbols.get(number.checked_sub(1)?);
        // Older records have the first boot only.
        of_boot.or((number == 1).then_some(&self.symbols))
    }
}

/// A kselftest of the tree on a build; recorded so that the job can be evaluated again
/// without the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kselftest {
    /// It can run.
    Fit {
        /// The call of each boot.
        test: KselftestBoots,
        /// Options that its TARGET requires and the kernel does not have.
        lacks: Vec<String>,
    },
    /// It cannot run.
    Unfit {
        /// Why it cannot run.
        reason: String,
    },
}

/// Reads the analysis in a job's folder; `None` if it is missing, damaged or too large.
pub fn read_analysis(folder: &Utf8Path) -> Option<Analysis> {
    let bytes = read_plain(&folder.join(ANALYSIS), ANALYSIS_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Record {
    /// Writes the record into the job's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, run: &RunFolder) -> anyhow::Result<()> {
        fs::create_dir_all(run.path().join(self.plan.folder()))?;
        run.write_json(&format!("{}/{FILE_NAME}", self.plan.folder()), self)
    }

    /// Reads the record of a job.
    ///
    /// # Errors
    /// When it is missing, damaged, or the record of another job.
    pub fn read(plan: &JobPlan, run: &RunFolder) -> anyhow::Result<Self> {
        let name = format!("{}/{FILE_NAME}", plan.folder());
        let record: Self = run.read_json(&name)?;
        if record.plan != *plan {
            let (expected, found) = (plan.label(), record.plan.label());
            let error = format!("expected the record of {expected}, found {found}");
            return Err(run.damaged(&name, error));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn read_rejects_the_record_of_another_job() {
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
        record.write(&run).unwrap();
        assert!(Record::read(&own, &run).is_ok());
        record.plan = other;
        run.write_json(&format!("{}/{FILE_NAME}", own.folder()), &record)
            .unwrap();
        let error = format!("{:#}", Record::read(&own, &run).unwrap_err());
        let text = "is damaged: expected the record of a on base (fast), found b on base (fast)";
        assert!(error.contains(text), "{error}");
    }
}
