// SPDX-License-Identifier: GPL-2.0-only
//! What kernels have shown before, in the cache: by the kernel, and by all that the
//! injection went through, this program included, for it is the judge, and has the source
//! of the faults in it. Nothing that was not seen is remembered.

use std::sync::OnceLock;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::cache::{hex, publish};
use selftests::fault::self_check::Place;
use sha2::{Digest, Sha256};
use vm_images::machine::Machine;
use vm_images::needs::GuestNeeds;

use super::super::RunContext;
use super::super::prepare::Build;
use super::{Shown, machine_of};
use crate::cli::TestArgs;
use crate::result::{Detection, SelfCheckResult};
use crate::session::Session;

/// Changes when what is remembered is written in another way.
const FORMAT: &str = "2";

/// What makes kernels alike for the self_checks that one of them shows for all: how they are
/// built, and what their guests are given. The kernel itself, which guests carry for a
/// kexec as well, has no part in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Configuration([String; 2]);

impl Configuration {
    /// Returns that of a kernel with this `.dot_config`.
    pub(super) fn of(dot_config: &str, needs: &GuestNeeds) -> Self {
        Self([dot_config.to_owned(), format!("{needs:?}")])
    }
}

/// What kernels have shown before.
#[derive(Debug)]
pub(super) struct SelfCheckCache {
    dir: Utf8PathBuf,
    /// What all kernels of this run have in common.
    common: Vec<String>,
}

impl SelfCheckCache {
    /// Returns the cache of what goes through this program and this environment.
    ///
    /// # Errors
    /// When the program or PID 1 cannot be read, a machine was not set up, or the cache has
    /// no room.
    pub(super) fn new(
        context: &RunContext,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let environment = &context.environment;
        let start = if args.cold_boot { "boot" } else { "checkpoint" };
        let mut common = vec![
            FORMAT.to_owned(),
            judge()?.to_owned(),
            hex(&Sha256::digest(fs::read(&environment.guest)?)),
            environment.qemu.full_version.clone(),
            environment.accelerator.to_string(),
            start.to_owned(),
        ];
        common.extend(machines(args, |name| environment.machine(name))?);
        Ok(Self {
            dir: session.cache.dir(&["self_checks"])?,
            common,
        })
    }

    /// Returns the cache in a folder, of kernels that have nothing in common.
    #[cfg(test)]
    pub(super) const fn at(dir: Utf8PathBuf) -> Self {
        Self {
            dir,
            common: Vec::new(),
        }
    }

    /// Returns what a kernel showed before, if all of it was seen.
    pub(super) fn of_kernel(&self, build: &Build) -> Option<Vec<SelfCheckResult>> {
        let bytes = fs::read(self.of(&own(build))).ok()?;
        let mut known: Vec<SelfCheckResult> = serde_json::from_slice(&bytes).ok()?;
        for result in &mut known {
            // The same kernel may be another checkout of another series.
            result.checkout.clone_from(&build.checkout);
            result.config.clone_from(&build.config);
        }
        Some(known)
    }

    /// Remembers what a kernel showed, unless something was not seen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_kernel(
        &self,
        build: &Build,
        shown: &[SelfCheckResult],
    ) -> anyhow::Result<()> {
        if shown.iter().any(SelfCheckResult::is_finding) {
            return Ok(());
        }
        let path = self.of(&own(build));
        Ok(publish(&path, &serde_json::to_vec_pretty(shown)?)?)
    }

    /// Returns what the kernel showed that led its configuration, if all of it was seen.
    pub(super) fn of_configuration(&self, configuration: &Configuration) -> Option<Shown> {
        let bytes = fs::read(self.of(&configuration.0)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers what the kernel showed that leads its configuration, unless something was
    /// not seen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_configuration(
        &self,
        configuration: &Configuration,
        shown: &Shown,
    ) -> anyhow::Result<()> {
        if shown
            .values()
            .any(|(detection, _)| *detection == Detection::Missed)
        {
            return Ok(());
        }
        let path = self.of(&configuration.0);
        Ok(publish(&path, &serde_json::to_vec_pretty(shown)?)?)
    }

    fn of(&self, own: &[String]) -> Utf8PathBuf {
        let name = key(self.common.iter().chain(own));
        self.dir.join(format!("{name}.json"))
    }
}

/// Returns a name for the content of this program, which stays the same while it runs.
fn judge() -> std::io::Result<&'static str> {
    static JUDGE: OnceLock<String> = OnceLock::new();
    if let Some(known) = JUDGE.get() {
        return Ok(known);
    }
    let program = fs::read("/proc/self/exe")?;
    Ok(JUDGE.get_or_init(|| hex(&Sha256::digest(&program))))
}

/// Returns all of the machines that faults are injected on.
fn machines<'a>(
    args: &TestArgs,
    find: impl Fn(&str) -> anyhow::Result<&'a Machine>,
) -> anyhow::Result<Vec<String>> {
    let places = [Place::Leaks, Place::Shared, Place::Stalled, Place::Alone];
    let machine = |place| Ok(format!("{:?}", find(machine_of(place, args))?));
    places.into_iter().map(machine).collect()
}

/// What makes a kernel's guests what they are. Its modules are of its own and of this
/// program's source.
fn own(build: &Build) -> Vec<String> {
    // It is named by its content.
    let initramfs = build.initramfs.file_name().unwrap_or_default();
    vec![
        build.kernel.id.clone(),
        initramfs.to_owned(),
        format!("{:?}", build.guest),
    ]
}

/// Returns a name that is of all these parts, and of no others.
fn key<'a>(parts: impl Iterator<Item = &'a String>) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    hex(&sum.finalize())
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use clap::Parser;
    use selftests::fault::LEAK_MACHINE;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &[&str]) -> TestArgs {
        let words = ["patchbed", "test"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Test(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_machines_are_those_that_faults_are_pulled_on() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-images/machines");
        let load = |name: &str| {
            let path = Utf8Path::new(folder).join(format!("{name}.yaml"));
            Machine::load(&path).unwrap()
        };
        let there = [load(LEAK_MACHINE), load("switch")];
        let find = |name: &str| {
            let mut there = there.iter();
            let machine = there.find(|one| one.name == name);
            machine.ok_or_else(|| anyhow::anyhow!("no `{name}`"))
        };
        let mut used = machines(&args(&["--machine", "switch"]), find).unwrap();
        used.sort();
        used.dedup();
        let mut expected = there.each_ref().map(|machine| format!("{machine:?}"));
        expected.sort();
        assert_eq!(used, expected);
        // What is not there is not left out.
        let error = machines(&args(&[]), find).unwrap_err();
        assert_eq!(error.to_string(), "no `edu-pair`");
    }

    #[test]
    fn every_part_makes_another_key() {
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
