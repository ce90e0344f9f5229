// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store of checkpoints: creates them on first use, and deletes those that are stale or
//! exceed the limit on disk space.

use std::fmt;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::context::Context;
use patchbed_host::lock::FileLock;

use super::{CONSOLE, Checkpoint, DEVICES, FACTS, Facts, MEMORY, STATE, key};
use crate::transcript::End;
use crate::vm::{self, VmSpec};

/// Maximum disk space of all checkpoints, in bytes.
const STORE_BYTES_MAX: u64 = 8 << 30;

/// Disk space that must remain free when a checkpoint is created, in addition to the
/// guest's memory, in MiB.
const SPARE_MIB: u64 = 1024;

/// Prefix of the folder of an incomplete checkpoint.
const PARTIAL: &str = ".partial-";

/// An incomplete checkpoint of this age is abandoned; longer than any boot may take.
const PARTIAL_AGE: Duration = Duration::from_secs(3600);

/// Checkpoints of another format are deleted after this time without a change of their
/// folder.
const OTHER_FORMAT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why there is no checkpoint; the guest has to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCheckpoint {
    /// The run was cancelled.
    Cancelled,
    /// QEMU cannot save the machine, because of a device with this name. This is expected
    /// and not reported.
    Unsaved(&'static str),
    /// The guest did not reach the point at which it is saved.
    NotBooted(End),
    /// The guest booted, but QEMU could not save or restore it.
    NotSaved(End),
    /// The host failed.
    Host(String),
}

impl fmt::Display for NoCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("interrupted"),
            Self::Unsaved(device) => write!(f, "QEMU cannot save a machine with `{device}`"),
            Self::NotBooted(end) | Self::NotSaved(end) => end.fmt(f),
            Self::Host(error) => f.write_str(error),
        }
    }
}

/// The folder with all checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: Utf8PathBuf,
}

impl Checkpoints {
    /// Returns the checkpoints below a folder, which is created if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn at(dir: &Utf8Path) -> std::io::Result<Self> {
        let dir = dir.join(key::FORMAT);
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Returns the checkpoint for a guest; boots and saves the guest if there is no
    /// checkpoint yet. The name in `spec` is used for progress, its artifacts folder is not
    /// used.
    ///
    /// # Errors
    /// Why there is no checkpoint.
    pub fn get(&self, spec: &VmSpec, context: &Context) -> Result<Checkpoint, NoCheckpoint> {
        if let Some(device) = spec.machine.unsaved_device() {
            return Err(NoCheckpoint::Unsaved(device));
        }
        let key = key::key(spec).map_err(host)?;
        let dir = self.dir.join(&key);
        let lock = self.dir.join(format!("{key}.lock"));
        let Context {
            cancel, observer, ..
        } = context;
        let _lock = FileLock::acquire(&lock, "the checkpoint of this guest", cancel, &**observer)
            .map_err(|error| match cancel.is_cancelled() {
            true => NoCheckpoint::Cancelled,
            false => host(error),
        })?;
        if let Some(checkpoint) = Checkpoint::open(&dir) {
            touch(&dir);
            return Ok(checkpoint);
        }
        let _ = fs::remove_dir_all(&dir);
        self.check_free_space(spec)?;
        let _activity = context.activity(format!("save {}", spec.name), None);
        self.make(spec, &dir, context)?;
        let checkpoint = Checkpoint::open(&dir)
            .ok_or_else(|| host("the checkpoint changed while it was saved"))?;
        self.test_restore(spec, &checkpoint, context)
            .inspect_err(|_| self.forget(&checkpoint))?;
        Ok(checkpoint)
    }

    /// Restores the new checkpoint once, so that a defect is found before tests use it.
    fn test_restore(
        &self,
        spec: &VmSpec,
        checkpoint: &Checkpoint,
        context: &Context,
    ) -> Result<(), NoCheckpoint> {
        let folder = self.temporary_dir()?;
        let spec = VmSpec {
            artifacts: Utf8Path::from_path(folder.path())
                .ok_or_else(|| host("the path of the cache is not UTF-8"))?
                .to_owned(),
            ..spec.clone()
        };
        vm::test_restore(&spec, checkpoint, context).map_err(|end| match end {
            End::Cancelled => NoCheckpoint::Cancelled,
            end => NoCheckpoint::NotSaved(end),
        })
    }

    fn temporary_dir(&self) -> Result<tempfile::TempDir, NoCheckpoint> {
        tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(&self.dir)
            .map_err(host)
    }

    /// Deletes a checkpoint, if it exists.
    pub fn forget(&self, checkpoint: &Checkpoint) {
        let _ = fs::remove_dir_all(&checkpoint.dir);
    }

    fn make(&self, spec: &VmSpec, dir: &Utf8Path, context: &Context) -> Result<(), NoCheckpoint> {
        let partial = self.temporary_dir()?;
        let parts = Utf8Path::from_path(partial.path())
            .ok_or_else(|| host("the path of the cache is not UTF-8"))?;
        let spec = VmSpec {
            artifacts: parts.join("artifacts"),
            checkpoint: None,
            ..spec.clone()
        };
        let devices = vm::save(&spec, &parts.join(MEMORY), &parts.join(STATE), context)
            .map_err(failure_of)?;
        let devices = serde_json::to_vec(&devices).map_err(host)?;
        fs::write(parts.join(DEVICES), devices).map_err(host)?;
        fs::rename(spec.artifacts.join("serial.log"), parts.join(CONSOLE)).map_err(host)?;
        fs::remove_dir_all(&spec.artifacts).map_err(host)?;
        let facts = Facts::of(parts).and_then(|facts| Ok(serde_json::to_vec_pretty(&facts)?));
        fs::write(parts.join(FACTS), facts.map_err(host)?).map_err(host)?;
        fs::rename(parts, dir).map_err(host)
    }

    /// Checks the free disk space. A disk that becomes full while the guest writes its
    /// memory file kills QEMU with SIGBUS.
    fn check_free_space(&self, spec: &VmSpec) -> Result<(), NoCheckpoint> {
        let disk = rustix::fs::statvfs(self.dir.as_std_path()).map_err(host)?;
        let free_mib = disk.f_bavail * disk.f_frsize / (1 << 20);
        let memory_mib = u64::from(spec.memory_mib.unwrap_or(spec.machine.memory_mib));
        let needed_mib = memory_mib + SPARE_MIB;
        if free_mib >= needed_mib {
            return Ok(());
        }
        Err(host(format!(
            "not enough disk space in `{}`: {free_mib} MiB free, a checkpoint needs up to {needed_mib} MiB",
            self.dir
        )))
    }

    /// Deletes stale checkpoints, and then the least recently used, except `in_use`, until
    /// the rest fits into the limit.
    pub fn tidy(&self, in_use: &[Checkpoint]) {
        let mut valid: Vec<(SystemTime, Checkpoint)> = Vec::new();
        self.delete_abandoned();
        self.delete_other_formats();
        self.delete_unused_locks();
        for dir in self.folders() {
            match Checkpoint::open(&dir) {
                Some(checkpoint) => valid.push((last_use(&dir), checkpoint)),
                // A checkpoint under construction has another name until it is complete.
                None => drop(fs::remove_dir_all(&dir)),
            }
        }
        let sizes = valid.iter().map(|(_, checkpoint)| checkpoint.disk_bytes());
        let mut total: u64 = sizes.sum();
        valid.sort_by_key(|(used, _)| *used);
        for (_, checkpoint) in valid {
            if total <= STORE_BYTES_MAX {
                break;
            }
            if !in_use.contains(&checkpoint) {
                total -= checkpoint.disk_bytes().min(total);
                self.forget(&checkpoint);
            }
        }
    }

    /// Deletes incomplete checkpoints of killed processes.
    fn delete_abandoned(&self) {
        let entries = self.dir.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let partial = entry.file_name().starts_with(PARTIAL);
            let age = last_use(entry.path()).elapsed().unwrap_or_default();
            if partial && age > PARTIAL_AGE {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Deletes the locks of checkpoints that do not exist. A process that holds such a lock
    /// keeps it, while the next process locks a new file of this name. Both may then create
    /// the checkpoint; the second finds the first's result.
    fn delete_unused_locks(&self) {
        let entries = self.dir.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let is_old = last_use(path).elapsed().unwrap_or_default() > PARTIAL_AGE;
            if path.extension() == Some("lock") && is_old && !path.with_extension("").exists() {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Deletes checkpoints of other formats that were not changed for a week.
    fn delete_other_formats(&self) {
        let Some(all) = self.dir.parent() else {
            return;
        };
        let entries = all.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let age = last_use(entry.path()).elapsed().unwrap_or_default();
            if entry.path() != self.dir && age > OTHER_FORMAT_AGE {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn folders(&self) -> Vec<Utf8PathBuf> {
        let Ok(entries) = self.dir.read_dir_utf8() else {
            return Vec::new();
        };
        entries
            .filter_map(Result::ok)
            .filter(|entry| key::is_key(entry.file_name()))
            .map(|entry| entry.path().to_owned())
            .collect()
    }
}

/// Records the use of a checkpoint in the modification time of its folder; the times of its
/// files must not change.
fn touch(dir: &Utf8Path) {
    let now = rustix::fs::Timestamps {
        last_access: NOW,
        last_modification: NOW,
    };
    let _ = rustix::fs::utimensat(
        rustix::fs::CWD,
        dir.as_std_path(),
        &now,
        rustix::fs::AtFlags::empty(),
    );
}

const NOW: rustix::fs::Timespec = rustix::fs::Timespec {
    tv_sec: 0,
    tv_nsec: rustix::fs::UTIME_NOW as _,
};

fn last_use(dir: &Utf8Path) -> SystemTime {
    fs::metadata(dir)
        .and_then(|meta| meta.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn host(error: impl fmt::Display) -> NoCheckpoint {
    NoCheckpoint::Host(error.to_string())
}

fn failure_of(end: End) -> NoCheckpoint {
    use crate::transcript::Phase;
    match &end {
        End::Cancelled => NoCheckpoint::Cancelled,
        End::LaunchFailed { error } => NoCheckpoint::Host(error.clone()),
        End::QemuDied { during, .. }
        | End::ChannelBroken { during, .. }
        | End::MonitorBroken { during, .. }
        | End::HostTooSlow { phase: during, .. }
        | End::DeadlineExpired { phase: during, .. }
            if *during == Phase::Save =>
        {
            NoCheckpoint::NotSaved(end)
        }
        _ => NoCheckpoint::NotBooted(end),
    }
}
