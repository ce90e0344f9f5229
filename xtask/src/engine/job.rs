// SPDX-License-Identifier: MIT OR Apache-2.0
//! A job: one VM run, as a value. `record.json` in the folder of a job holds it, so that the
//! job can be judged again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::read_json;
use selftests::analysis::Analysis;
use selftests::expectation::Has;
use selftests::generate;
use selftests::kselftest::KselftestBoots;
use selftests::scenario::Scenario;
use selftests::status::Subject;
use serde::{Deserialize, Serialize};
use vm_images::machine::Machine;
use vm_images::needs::GuestNeeds;
use vm_images::vm::{BootRun, GuestFile, NextKernel, VmRun};
use vm_images::{KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

use crate::engine::build::Build;
use crate::engine::run_folder::RunFolder;
use crate::job_plan::JobPlan;
use crate::result::Cached;

/// The record's name in a job's folder.
pub const RECORD: &str = "record.json";
/// The name of the analysis in a job's folder.
pub(crate) const ANALYSIS: &str = "analysis.json";
/// A larger analysis is not read, in bytes.
const ANALYSIS_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The only module that scenarios load.
const SYNC_POINT: &str = "sync_point.ko";

/// One VM run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its names in the plan.
    pub plan: JobPlan,
    /// Names of the series in the kernel.
    pub contains: BTreeSet<String>,
    /// Names of the series of which the kernel has only some patches.
    pub partly: BTreeSet<String>,
    /// The kernel that boots first.
    pub binaries: Binaries,
    /// The machine.
    pub machine: Machine,
    /// Memory, kernel arguments and slowness of the config.
    pub needs: GuestNeeds,
    /// The boots; none for a kselftest that cannot run.
    pub vm_run: VmRun,
    /// Whether the guest boots instead of being restored from a checkpoint.
    pub cold_boot: bool,
    /// The content id of the scenario, with which the job is judged again; absent for
    /// kselftests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario_id: Option<String>,
    /// The test, if it is a kselftest of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kselftest: Option<Kselftest>,
    /// The earlier run that the job was part of, if its result is reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// The binaries that a job runs. They are in the cache and may be deleted later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Binaries {
    /// Content id of the kernel.
    pub kernel_id: String,
    /// The image of the kernel.
    pub image: Utf8PathBuf,
    /// The images with debug information of all boots.
    pub symbols: Vec<Utf8PathBuf>,
    /// The initramfs; its file name is the hash of its content.
    pub initramfs: Utf8PathBuf,
}

/// A kselftest of the tree on a build.
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

/// The test of a job.
#[derive(Clone, Copy, Debug)]
pub enum TestCase<'a> {
    /// A generated test.
    Scenario(&'a Scenario),
    /// A kselftest of the tree.
    Kselftest(&'a Kselftest),
}

impl<'a> TestCase<'a> {
    /// Returns the subject to judge, or `None` for a kselftest that cannot run.
    pub fn subject(self) -> Option<Subject<'a>> {
        match self {
            Self::Scenario(scenario) => Some(scenario.into()),
            Self::Kselftest(Kselftest::Fit { test, .. }) => Some(test.into()),
            Self::Kselftest(Kselftest::Unfit { .. }) => None,
        }
    }

    /// Returns the hash of all parts of the test that its result depends on: all but the texts
    /// for people.
    pub(crate) fn id(self) -> String {
        let text = match self {
            Self::Scenario(scenario) => scenario.identity(),
            Self::Kselftest(test) => format!("{test:?}"),
        };
        ContentId::new("test").part(text).finish()
    }
}

impl Job {
    /// Returns the job of a test on a build; `boots` are its boots.
    pub(crate) fn new(plan: JobPlan, build: &Build, machine: &Machine, vm_run: VmRun) -> Self {
        let kernel = &build.kernel;
        let mut symbols = kernel.symbols();
        // A boot without a kernel of its own uses the kernel of the boot before.
        let of_boots = vm_run.boots.iter().map(|boot| {
            if let (Some(next), Some(name)) = (&boot.kernel, symbols.file_name()) {
                symbols = next.image.with_file_name(name);
            }
            symbols.clone()
        });
        Self {
            binaries: Binaries {
                kernel_id: kernel.id.clone(),
                image: kernel.image(),
                symbols: of_boots.collect(),
                initramfs: build.initramfs.clone(),
            },
            plan,
            contains: build.contains.clone(),
            partly: build.partly.clone(),
            machine: machine.clone(),
            needs: build.needs.clone(),
            vm_run,
            cold_boot: false,
            scenario_id: None,
            kselftest: None,
            cached: None,
        }
    }

    /// Returns the repetitions of the job, from 1.
    pub(crate) fn repeated(&self, repeat: u32) -> impl Iterator<Item = Self> {
        (1..=repeat).map(|repetition| self.clone().with_repetition(repetition))
    }

    /// Returns the repetition with this number, from 1.
    pub(crate) fn with_repetition(mut self, repetition: u32) -> Self {
        self.plan.repetition = repetition;
        self
    }

    /// Returns the series in the kernel.
    pub(crate) fn has(&self) -> Has<'_> {
        Has {
            whole: &self.contains,
            partly: &self.partly,
        }
    }

    /// Returns whether the job starts a VM.
    pub fn starts_vm(&self) -> bool {
        !self.vm_run.boots.is_empty()
    }

    /// Returns its test. The test of a generated job is found by name.
    pub(crate) fn test<'a>(&'a self, scenarios: &'a [Scenario]) -> Option<TestCase<'a>> {
        match &self.kselftest {
            Some(kselftest) => Some(TestCase::Kselftest(kselftest)),
            None => scenarios
                .iter()
                .find(|scenario| scenario.name == self.plan.test)
                .map(TestCase::Scenario),
        }
    }

    /// Returns whether the job ran this version of its scenario. A record without a content id
    /// fits each version.
    pub(crate) fn is_of(&self, test: TestCase<'_>) -> bool {
        let known = self.scenario_id.as_ref();
        known.is_none_or(|known| *known == test.id())
    }

    /// Returns the image with debug information of a boot, from 1.
    pub(crate) fn symbols_of(&self, boot: usize) -> Option<&Utf8PathBuf> {
        self.binaries.symbols.get(boot.checked_sub(1)?)
    }

    /// Returns the content id: jobs with the same id have the same kernel, test, files and
    /// machine. Names and times of files on the host are not part of it.
    ///
    /// # Errors
    /// When a file of the job cannot be read.
    pub fn id(&self, test: TestCase<'_>) -> std::io::Result<String> {
        let mut id = ContentId::new("job")
            .part(&self.binaries.kernel_id)
            .part(self.binaries.initramfs.as_str())
            .part(format!(
                "{:?} {:?} {:?} {}",
                self.needs, self.contains, self.partly, self.cold_boot
            ))
            .part(format!("{:?}", self.machine))
            .part(test.id());
        for boot in &self.vm_run.boots {
            let BootRun {
                kernel,
                files,
                program,
                args,
                env,
                dir,
                timeout,
            } = boot;
            id = id.part(format!("{program} {args:?} {env:?} {dir} {timeout:?}"));
            id = id.part(format!("{kernel:?}"));
            for file in files {
                id = id.part(format!("{} {:o}", file.path, file.mode));
                id = id.part(fs::read(&file.source)?);
            }
        }
        Ok(id.finish())
    }

    /// Writes the record into the job's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, run: &RunFolder) -> anyhow::Result<()> {
        fs::create_dir_all(run.path().join(self.plan.folder()))?;
        run.write_json(&format!("{}/{RECORD}", self.plan.folder()), self)
    }

    /// Reads the record of a job.
    ///
    /// # Errors
    /// When it is missing, damaged, or the record of another job.
    pub fn read(plan: &JobPlan, run: &RunFolder) -> anyhow::Result<Self> {
        let name = format!("{}/{RECORD}", plan.folder());
        let job: Self = run.read_json(&name)?;
        if job.plan != *plan {
            let (expected, found) = (plan.label(), job.plan.label());
            let error = format!("expected the record of {expected}, found {found}");
            return Err(run.damaged(&name, error));
        }
        Ok(job)
    }
}

/// Reads the analysis in a job's folder; `None` if it is missing, damaged or too large.
pub fn read_analysis(folder: &Utf8Path) -> Option<Analysis> {
    read_json(&folder.join(ANALYSIS), ANALYSIS_BYTES_MAX)
}

/// Returns the boots of a scenario on a build. Each boot gets all files, because a kexec
/// discards the initramfs. `kernel_of` returns the kernel of another checkout.
///
/// # Errors
/// When a checkout that the scenario uses was not built.
pub(crate) fn boots(
    scenario: &Scenario,
    build: &Build,
    machine: &Machine,
    kernel_of: &dyn Fn(&str) -> Option<NextKernel>,
) -> anyhow::Result<VmRun> {
    let in_guest = format!("/tests/{}", scenario.program());
    let files = files(scenario, &in_guest, build)?;
    let addresses = addresses(scenario, machine);
    let mut boots = Vec::new();
    let mut running = build.role();
    for boot in &scenario.boots {
        let next = boot.kernel.checkout().unwrap_or(running);
        let kernel = match next == running {
            true => None,
            false => Some(
                kernel_of(next)
                    .with_context(|| format!("no kernel of the checkout `{next}` for a kexec"))?,
            ),
        };
        running = next;
        let mut env = generate::environment(scenario, boot.number, &addresses);
        let paths = [
            ("KT_KERNEL", KEXEC_KERNEL_PATH),
            ("KT_INITRD", KEXEC_INITRD_PATH),
        ];
        env.extend(paths.map(|(name, path)| (name.to_owned(), path.to_owned())));
        boots.push(BootRun {
            kernel,
            files: files.clone(),
            program: in_guest.clone(),
            args: generate::arguments(scenario, boot.number),
            env,
            dir: "/".to_owned(),
            timeout: Duration::from_secs(scenario.timeout_secs),
        });
    }
    Ok(VmRun { boots })
}

/// Returns the PCI addresses of the slots that a scenario uses, in the order of its list.
fn addresses(scenario: &Scenario, machine: &Machine) -> Vec<String> {
    let devices = scenario.devices.iter();
    let mut slots: Vec<(usize, &str)> = devices
        .map(|device| (device.index, device.slot.as_str()))
        .collect();
    slots.sort_unstable();
    slots.dedup();
    let slots = slots.into_iter();
    slots
        .filter_map(|(_, slot)| machine.pci_address(slot))
        .collect()
}

fn files(scenario: &Scenario, in_guest: &str, build: &Build) -> anyhow::Result<Vec<GuestFile>> {
    let program = build.programs.get(&scenario.program());
    let mut files = vec![GuestFile {
        source: program
            .with_context(|| format!("no program `{}`", scenario.program()))?
            .clone(),
        path: in_guest.to_owned(),
        mode: 0o755,
    }];
    let modules = build
        .modules
        .iter()
        .filter(|_| generate::needs_modules(scenario));
    files.extend(modules.map(|modules| GuestFile {
        source: modules.join(SYNC_POINT),
        path: format!("/tests/{}/{SYNC_POINT}", generate::MODULES),
        mode: 0o644,
    }));
    Ok(files)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn read_rejects_the_record_of_another_job() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::at(place.path().to_owned().try_into().unwrap());
        let [own, other] = ["a", "b"].map(|name| job(name, "base", "pass", "pass").plan());
        let record = record(other);
        let folder = run.path().join(own.folder());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        let error = Job::read(&own, &run).unwrap_err().to_string();
        assert!(
            error.contains("expected the record of a on base"),
            "{error}"
        );
        assert!(error.contains("found b on base"), "{error}");
    }

    /// A job that starts no VM.
    pub(crate) fn record(plan: JobPlan) -> Job {
        Job {
            plan,
            contains: BTreeSet::new(),
            partly: BTreeSet::new(),
            binaries: Binaries {
                kernel_id: "k".to_owned(),
                image: "bzImage".into(),
                symbols: Vec::new(),
                initramfs: "initramfs".into(),
            },
            machine: Machine {
                name: "edu-pair".to_owned(),
                description: String::new(),
                kind: vm_images::machine::MachineType::Q35,
                cpus: 1,
                memory_mib: 1,
                kernel_arguments: String::new(),
                iommu: None,
                switches: Vec::new(),
                slots: Vec::new(),
            },
            needs: GuestNeeds {
                memory_mib: 1,
                kernel_arguments: String::new(),
                slowness: 1,
            },
            vm_run: VmRun::default(),
            cold_boot: false,
            scenario_id: None,
            kselftest: None,
            cached: None,
        }
    }
}
