// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cache of self-check results, keyed by kernel, guest, QEMU, machines and this program, which
//! contains the source of the faults and the rules of detection. Missed faults and inconclusive
//! results are not cached.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::cache::{hex, publish};
use patchbed_host::content::ContentId;
use selftests::fault::LEAK_MACHINE;
use selftests::fault::self_check::Place;
use sha2::{Digest, Sha256};
use vm_images::machine::Machine;
use vm_images::needs::GuestNeeds;

use crate::engine::build::Build;
use crate::engine::environment::Environment;
use crate::engine::options::TestOptions;
use crate::engine::session::Session;
use crate::result::{Detection, SelfCheckResult};

/// Part of the cache key; to be changed with the format of the files.
const FORMAT: &str = "2";

/// Results of self-checks by name: the detection and a detail for the report.
pub(super) type Detections = BTreeMap<String, (Detection, String)>;

/// Returns the name of the machine for faults of a place; `machine` is the default.
pub(super) const fn machine_of(place: Place, machine: &str) -> &str {
    match place {
        Place::Leaks => LEAK_MACHINE,
        Place::Shared | Place::Stalled | Place::Alone => machine,
    }
}

/// Key of the self-checks that run once for all kernels with the same `.config` and guest needs.
/// The initramfs is not part of it, because it contains the kernel for a kexec.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Configuration([String; 2]);

impl Configuration {
    pub(super) fn of(dot_config: &str, needs: &GuestNeeds) -> Self {
        Self([dot_config.to_owned(), format!("{needs:?}")])
    }
}

/// Cache of self-check results.
#[derive(Debug)]
pub(super) struct SelfCheckCache {
    dir: Utf8PathBuf,
    /// The parts of the key that all kernels of a run share.
    common: Vec<String>,
}

impl SelfCheckCache {
    /// Opens the cache for this program and environment.
    ///
    /// # Errors
    /// When the program or PID 1 cannot be read, a machine was not set up, or the folder of the
    /// cache cannot be created.
    pub(super) fn new(
        machine: &str,
        environment: &Environment,
        args: &TestOptions,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let boot_mode = if args.cold_boot { "boot" } else { "checkpoint" };
        let mut common = vec![
            FORMAT.to_owned(),
            program_hash()?.to_owned(),
            hex(&Sha256::digest(fs::read(&environment.guest)?)),
            environment.qemu.full_version.clone(),
            environment.accelerator().to_string(),
            boot_mode.to_owned(),
        ];
        common.extend(machines(machine, |name| environment.machine(name))?);
        Ok(Self {
            dir: session.cache.dir(&["self_checks"])?,
            common,
        })
    }

    /// Opens the cache in a folder, with a key that has no common parts.
    #[cfg(test)]
    pub(super) const fn at(dir: Utf8PathBuf) -> Self {
        Self {
            dir,
            common: Vec::new(),
        }
    }

    /// Returns the results of a build.
    pub(super) fn of_build(&self, build: &Build) -> Option<Vec<SelfCheckResult>> {
        let bytes = fs::read(self.path(&build_key(build))).ok()?;
        let mut results: Vec<SelfCheckResult> = serde_json::from_slice(&bytes).ok()?;
        for result in &mut results {
            // The results may come from a run with other names for the same kernel.
            result.checkout.clone_from(&build.checkout);
            result.config.clone_from(&build.config);
        }
        Some(results)
    }

    /// Stores the results of a kernel, unless a fault was missed or a result is inconclusive.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store_build(
        &self,
        build: &Build,
        results: &[SelfCheckResult],
    ) -> anyhow::Result<()> {
        if !results.iter().all(|one| may_be_cached(one.detection)) {
            return Ok(());
        }
        let path = self.path(&build_key(build));
        Ok(publish(&path, &serde_json::to_vec_pretty(results)?)?)
    }

    /// Returns the results of a configuration.
    pub(super) fn of_configuration(&self, configuration: &Configuration) -> Option<Detections> {
        let bytes = fs::read(self.path(&configuration.0)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Stores the results of a configuration, unless a fault was missed or a result is
    /// inconclusive.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store_configuration(
        &self,
        configuration: &Configuration,
        detections: &Detections,
    ) -> anyhow::Result<()> {
        if !detections
            .values()
            .all(|(detection, _)| may_be_cached(*detection))
        {
            return Ok(());
        }
        let path = self.path(&configuration.0);
        Ok(publish(&path, &serde_json::to_vec_pretty(detections)?)?)
    }

    fn path(&self, own: &[String]) -> Utf8PathBuf {
        let name = key(self.common.iter().chain(own));
        self.dir.join(format!("{name}.json"))
    }
}

fn may_be_cached(detection: Detection) -> bool {
    matches!(detection, Detection::Detected | Detection::NotConfigured)
}

/// Returns the hash of this program.
fn program_hash() -> std::io::Result<&'static str> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash);
    }
    let program = fs::read("/proc/self/exe")?;
    Ok(HASH.get_or_init(|| hex(&Sha256::digest(&program))))
}

/// Returns the parts of the key for the machines that faults are injected on.
fn machines<'a>(
    machine: &str,
    find: impl Fn(&str) -> anyhow::Result<&'a Machine>,
) -> anyhow::Result<Vec<String>> {
    let places = [Place::Leaks, Place::Shared, Place::Stalled, Place::Alone];
    let described = |place| Ok(format!("{:?}", find(machine_of(place, machine))?));
    places.into_iter().map(described).collect()
}

/// Returns the parts of the key for a build. The modules are built from the kernel and from
/// sources in this program, both of which are part of the key.
fn build_key(build: &Build) -> Vec<String> {
    // The file name is the hash of the content.
    let initramfs = build.initramfs.file_name().unwrap_or_default();
    vec![
        build.kernel.id.clone(),
        initramfs.to_owned(),
        format!("{:?}", build.needs),
    ]
}

/// Hashes the parts. Lengths are hashed too, so that moving bytes between parts changes the key.
fn key<'a>(parts: impl Iterator<Item = &'a String>) -> String {
    parts.fold(ContentId::default(), ContentId::part).finish()
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[test]
    fn machines_returns_machines_of_all_places_and_fails_for_unknown_machine() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-images/machines");
        let load = |name: &str| {
            let path = Utf8Path::new(folder).join(format!("{name}.yaml"));
            Machine::load(&path).unwrap()
        };
        let known = [load(LEAK_MACHINE), load("switch")];
        let find = |name: &str| {
            let mut known = known.iter();
            let machine = known.find(|machine| machine.name == name);
            machine.ok_or_else(|| anyhow::anyhow!("no `{name}`"))
        };
        let mut used = machines("switch", find).unwrap();
        used.sort();
        used.dedup();
        let mut expected = known.each_ref().map(|machine| format!("{machine:?}"));
        expected.sort();
        assert_eq!(used, expected);
        let error = machines("edu-pair", find).unwrap_err();
        assert_eq!(error.to_string(), "no `edu-pair`");
    }

    #[test]
    fn key_differs_if_any_part_differs() {
        let key = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
            super::key(parts.iter())
        };
        let all = key(&["1", "judge", "kernel"]);
        assert_eq!(all, key(&["1", "judge", "kernel"]));
        for other in [
            &["2", "judge", "kernel"][..],
            &["1", "other", "kernel"],
            &["1", "judge", "other"],
            &["1", "judgek", "ernel"],
            &["1", "judge"],
        ] {
            assert_ne!(all, key(other), "{other:?}");
        }
    }
}
