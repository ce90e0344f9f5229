// SPDX-License-Identifier: GPL-2.0-only
//! What kernels have shown before, in the cache: by the kernel, and by all that the
//! showing went through, this program included, for it is the judge. Nothing that was
//! not seen is remembered.

use camino::Utf8PathBuf;
use fs_err as fs;
use selftests::canary;
use sha2::{Digest, Sha256};
use testbed_host::cache::publish;

use super::super::Ready;
use super::super::prepare::{Ground, hex};
use super::Shown;
use crate::cli::{DEFAULT_MACHINE, TestArgs};
use crate::result::{DetectorResult, Sight};
use crate::session::Session;

/// Changes when what is remembered is written in another way.
const FORMAT: &str = "1";

/// What kernels have shown before.
#[derive(Debug)]
pub(super) struct Memory {
    dir: Utf8PathBuf,
    /// What all kernels of this run have in common.
    common: Vec<String>,
}

impl Memory {
    /// Returns the memory of what goes through this program and this rig.
    ///
    /// # Errors
    /// When the program cannot be read, or the cache has no room.
    pub(super) fn new(ready: &Ready, args: &TestArgs, session: &Session) -> anyhow::Result<Self> {
        let rig = &ready.rig;
        let judge = fs::read("/proc/self/exe")?;
        let start = if args.no_template { "boot" } else { "template" };
        let machines = [canary::LEAK_MACHINE, DEFAULT_MACHINE];
        let machines = machines.iter().filter_map(|name| rig.machine(name).ok());
        let mut common = vec![
            FORMAT.to_owned(),
            hex(&Sha256::digest(&judge)),
            rig.qemu.full_version.clone(),
            rig.accelerator.to_string(),
            start.to_owned(),
            args.machine.clone().unwrap_or_default(),
        ];
        common.extend(machines.map(|machine| format!("{machine:?}")));
        Ok(Self {
            dir: session.cache.dir(&["detectors"])?,
            common,
        })
    }

    /// Returns what a kernel showed before, if all of it was seen.
    pub(super) fn of_kernel(&self, ground: &Ground) -> Option<Vec<DetectorResult>> {
        let bytes = fs::read(self.of(&own(ground))).ok()?;
        let mut known: Vec<DetectorResult> = serde_json::from_slice(&bytes).ok()?;
        for result in &mut known {
            // The same kernel may be another stack of another series.
            result.stack.clone_from(&ground.stack);
            result.profile.clone_from(&ground.profile);
        }
        Some(known)
    }

    /// Remembers what a kernel showed, unless something was not seen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_kernel(
        &self,
        ground: &Ground,
        shown: &[DetectorResult],
    ) -> anyhow::Result<()> {
        if shown.iter().any(DetectorResult::is_finding) {
            return Ok(());
        }
        let path = self.of(&own(ground));
        Ok(publish(&path, &serde_json::to_vec_pretty(shown)?)?)
    }

    /// Returns what was shown for all kernels of a configuration, if all of it was seen.
    pub(super) fn of_configuration(&self, config: &str) -> Option<Shown> {
        let bytes = fs::read(self.of(&[config.to_owned()])).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers what was shown for all kernels of a configuration, unless something was
    /// not seen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_configuration(&self, config: &str, shown: &Shown) -> anyhow::Result<()> {
        if shown.values().any(|(sight, _)| *sight == Sight::Blind) {
            return Ok(());
        }
        let path = self.of(&[config.to_owned()]);
        Ok(publish(&path, &serde_json::to_vec_pretty(shown)?)?)
    }

    fn of(&self, own: &[String]) -> Utf8PathBuf {
        let name = key(self.common.iter().chain(own));
        self.dir.join(format!("{name}.json"))
    }
}

/// What makes a kernel's guests what they are.
fn own(ground: &Ground) -> Vec<String> {
    let name = |path: Option<&Utf8PathBuf>| {
        let name = path.and_then(|path| path.file_name());
        name.unwrap_or_default().to_owned()
    };
    vec![
        ground.kernel.id.clone(),
        // Both are named by their content.
        name(ground.modules.as_ref()),
        name(Some(&ground.initramfs)),
        format!("{:?}", ground.guest),
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
