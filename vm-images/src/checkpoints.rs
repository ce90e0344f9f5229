// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store of checkpoints: creates them on first use, and deletes those that are stale or
//! exceed the limit on disk space.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::hex;
use patchbed_host::context::Context;
use patchbed_host::lock::FileLock;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{CONSOLE, Checkpoint, DEVICES, FACTS, Facts, MEMORY, STATE, host_boot};
use crate::qemu::{Memory, Qemu, Wiring, arguments};
use crate::spec::VmSpec;
use crate::transcript::{End, Phase};
use crate::vm;

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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCheckpoint {
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
    /// QEMU cannot save the machine, because of a device with this name. This is expected
    /// and not reported.
    #[error("QEMU cannot save a machine with `{0}`")]
    Unsaved(&'static str),
    /// The guest did not reach the point at which it is saved.
    #[error("{0}")]
    NotBooted(End),
    /// The guest booted, but QEMU could not save or restore it.
    #[error("{0}")]
    NotSaved(End),
    /// The host failed.
    #[error("{0}")]
    Host(String),
}

/// The folder with all checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: Utf8PathBuf,
}

impl Checkpoints {
    /// Returns the checkpoints below a folder, which is created if it does not exist. Fails
    /// when the folder cannot be created.
    pub fn at(dir: &Utf8Path) -> std::io::Result<Self> {
        let dir = dir.join(FORMAT);
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Returns the checkpoint for a guest; boots and saves the guest if there is no
    /// checkpoint yet. The name in `spec` is used for progress, its artifacts folder is not
    /// used. The error states why there is no checkpoint.
    pub fn get(&self, spec: &VmSpec, context: &Context) -> Result<Checkpoint, NoCheckpoint> {
        if let Some(device) = spec.machine.unsaved_device() {
            return Err(NoCheckpoint::Unsaved(device));
        }
        let key = key(spec).map_err(host)?;
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
        let (_folder, artifacts) = self.temporary_dir()?;
        let spec = VmSpec {
            artifacts,
            ..spec.clone()
        };
        vm::test_restore(&spec, checkpoint, context).map_err(|end| match end {
            End::Cancelled => NoCheckpoint::Cancelled,
            end => NoCheckpoint::NotSaved(end),
        })
    }

    fn temporary_dir(&self) -> Result<(tempfile::TempDir, Utf8PathBuf), NoCheckpoint> {
        let folder = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(&self.dir)
            .map_err(host)?;
        let path = Utf8PathBuf::try_from(folder.path().to_owned()).map_err(host)?;
        Ok((folder, path))
    }

    /// Deletes a checkpoint, if it exists.
    pub fn forget(&self, checkpoint: &Checkpoint) {
        let _ = fs::remove_dir_all(&checkpoint.dir);
    }

    fn make(&self, spec: &VmSpec, dir: &Utf8Path, context: &Context) -> Result<(), NoCheckpoint> {
        let (_partial, parts) = self.temporary_dir()?;
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
        let facts = Facts::of(&parts).and_then(|facts| Ok(serde_json::to_vec_pretty(&facts)?));
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
        let keys = entries(&self.dir).filter(|path| path.file_name().is_some_and(is_key));
        for dir in keys {
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

    /// Deletes incomplete checkpoints of killed processes, and the locks of checkpoints that
    /// do not exist. A process that holds such a lock keeps it, while the next process locks
    /// a new file of this name. Both may then create the checkpoint; the second finds the
    /// first's result.
    fn delete_abandoned(&self) {
        for path in entries(&self.dir).filter(|path| age(path) > PARTIAL_AGE) {
            let is_unused_lock =
                path.extension() == Some("lock") && !path.with_extension("").exists();
            if path
                .file_name()
                .is_some_and(|name| name.starts_with(PARTIAL))
            {
                let _ = fs::remove_dir_all(path);
            } else if is_unused_lock {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Deletes checkpoints of other formats that were not changed for a week.
    fn delete_other_formats(&self) {
        for path in self.dir.parent().into_iter().flat_map(entries) {
            if path != self.dir && age(&path) > OTHER_FORMAT_AGE {
                let _ = fs::remove_dir_all(path);
            }
        }
    }
}

/// Records the use of a checkpoint in the modification time of its folder; the times of its
/// files must not change.
fn touch(dir: &Utf8Path) {
    let folder = std::fs::File::open(dir);
    let _ = folder.and_then(|folder| folder.set_modified(SystemTime::now()));
}

fn last_use(path: &Utf8Path) -> SystemTime {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn age(path: &Utf8Path) -> Duration {
    last_use(path).elapsed().unwrap_or_default()
}

/// Returns the paths of a folder's entries; none if it cannot be read.
fn entries(folder: &Utf8Path) -> impl Iterator<Item = Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten();
    entries.flatten().map(camino::Utf8DirEntry::into_path)
}

fn host(error: impl fmt::Display) -> NoCheckpoint {
    NoCheckpoint::Host(error.to_string())
}

fn failure_of(end: End) -> NoCheckpoint {
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

/// Version of the storage format. Each version has a separate folder, so that a program of
/// one version does not delete the checkpoints of another.
const FORMAT: &str = "2";

/// Returns a key for a guest. Two guests have the same key only if their checkpoints are
/// interchangeable. The key covers QEMU's arguments for the machine, the QEMU binary, the
/// content of kernel and initramfs, and the host.
fn key(spec: &VmSpec) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(FORMAT.as_bytes());
    part(host_boot().as_bytes());
    part(processor().as_bytes());
    part(program(&spec.qemu).as_bytes());
    // The content of the two files counts, not their paths.
    let launch = spec.launch(Memory::Fresh, Wiring::Terminal);
    for arg in arguments(&spec.machine, &launch) {
        if arg != launch.kernel && arg != launch.initramfs {
            part(arg.as_bytes());
        }
    }
    for file in [&spec.kernel, &spec.initramfs] {
        part(&fs::read(file)?);
    }
    Ok(hex(&hash.finalize()))
}

/// Returns the model and the flags of the host's processor.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_relevant = |line: &&str| line.starts_with("model name") || line.starts_with("flags");
    text.lines().filter(is_relevant).take(2).collect()
}

/// Returns QEMU's version, with the size, time and inode of the binary to separate builds.
fn program(qemu: &Qemu) -> String {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(&qemu.program))
        .find_map(|path| fs::metadata(path).ok());
    let build = found.map(|meta| (meta.len(), meta.mtime(), meta.ino()));
    format!("{} {build:?}", qemu.full_version)
}

/// Returns whether a file name has the form of a key.
fn is_key(name: &str) -> bool {
    name.len() == 32 && Utf8Path::new(name).extension().is_none()
}
