// SPDX-License-Identifier: GPL-2.0-only
//! Where checkpoints are kept: made when they are first asked for, dropped when
//! they are stale or take too much room.

use std::fmt;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::lock::FileLock;

use super::{CONSOLE, Checkpoint, DEVICES, FACTS, Facts, MEMORY, STATE, key};
use crate::transcript::End;
use crate::vm::{self, VmSpec};

/// Room that checkpoints may take together, in bytes.
const ROOM_BYTES: u64 = 8 << 30;

/// Room that must be left on the disk when a checkpoint is made, beside what the
/// guest's memory can take, in MiB.
const SPARE_MIB: u64 = 1024;

/// How the name of a checkpoint begins while it is being made.
const PARTIAL: &str = ".partial-";

/// After this time nobody is making it any more; longer than any boot may take.
const PARTIAL_AGE: Duration = Duration::from_secs(3600);

/// Checkpoints of other versions of this program are dropped when none was made or
/// dropped for so long.
const OTHER_FORMAT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why there is no checkpoint; the guest has to boot then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCheckpoint {
    /// The user asked to stop.
    Cancelled,
    /// The machine has a device, by QEMU's name for it, that QEMU cannot save. That is
    /// known beforehand, and no news.
    Unsaved(&'static str),
    /// The guest did not come as far as where it is saved.
    NotBooted(End),
    /// It booted, but QEMU could not save it.
    NotSaved(End),
    /// The host was in the way.
    Host(String),
}

impl fmt::Display for NoCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("interrupted"),
            Self::Unsaved(device) => write!(f, "QEMU cannot save a machine with `{device}`"),
            Self::NotBooted(end) | Self::NotSaved(end) => end.fmt(f),
            Self::Host(what) => f.write_str(what),
        }
    }
}

/// The folder with all checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: Utf8PathBuf,
}

impl Checkpoints {
    /// Returns the checkpoints below a folder, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(dir: &Utf8Path) -> std::io::Result<Self> {
        let dir = dir.join(key::FORMAT);
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Returns the checkpoint for a guest, after booting and saving it if there is
    /// none. The spec's name is used for progress, its folder for artifacts not.
    ///
    /// # Errors
    /// When there is none to be had, and why.
    pub fn get(
        &self,
        spec: &VmSpec,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<Checkpoint, NoCheckpoint> {
        if let Some(device) = spec.machine.unsaved_device() {
            return Err(NoCheckpoint::Unsaved(device));
        }
        let key = key::key(spec).map_err(host)?;
        let dir = self.dir.join(&key);
        let lock = self.dir.join(format!("{key}.lock"));
        let _lock = FileLock::acquire(&lock, "the checkpoint of this guest", cancel, observer)
            .map_err(|error| match cancel.is_cancelled() {
                true => NoCheckpoint::Cancelled,
                false => host(error),
            })?;
        if let Some(checkpoint) = Checkpoint::open(&dir) {
            touch(&dir);
            return Ok(checkpoint);
        }
        let _ = fs::remove_dir_all(&dir);
        self.check_room(spec)?;
        let _activity = Activity::start(observer, format!("save {}", spec.name), None);
        self.make(spec, &dir, cancel)?;
        let checkpoint =
            Checkpoint::open(&dir).ok_or_else(|| host("it changed while it was saved"))?;
        self.try_out(spec, &checkpoint, cancel, observer)
            .inspect_err(|_| self.forget(&checkpoint))?;
        Ok(checkpoint)
    }

    /// Better to know now than at every guest.
    fn try_out(
        &self,
        spec: &VmSpec,
        checkpoint: &Checkpoint,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Result<(), NoCheckpoint> {
        let folder = self.room_for_one()?;
        let spec = VmSpec {
            artifacts: Utf8Path::from_path(folder.path())
                .ok_or_else(|| host("the cache's path is not UTF-8"))?
                .to_owned(),
            ..spec.clone()
        };
        vm::try_out(&spec, checkpoint, cancel, observer).map_err(|end| match end {
            End::Cancelled => NoCheckpoint::Cancelled,
            end => NoCheckpoint::NotSaved(end),
        })
    }

    fn room_for_one(&self) -> Result<tempfile::TempDir, NoCheckpoint> {
        tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(&self.dir)
            .map_err(host)
    }

    /// Drops the checkpoint for a guest, if there is one.
    pub fn forget(&self, checkpoint: &Checkpoint) {
        let _ = fs::remove_dir_all(&checkpoint.dir);
    }

    fn make(&self, spec: &VmSpec, dir: &Utf8Path, cancel: &Cancel) -> Result<(), NoCheckpoint> {
        let partial = self.room_for_one()?;
        let parts = Utf8Path::from_path(partial.path())
            .ok_or_else(|| host("the cache's path is not UTF-8"))?;
        let spec = VmSpec {
            artifacts: parts.join("artifacts"),
            checkpoint: None,
            ..spec.clone()
        };
        let devices =
            vm::save(&spec, &parts.join(MEMORY), &parts.join(STATE), cancel).map_err(why)?;
        let devices = serde_json::to_vec(&devices).map_err(host)?;
        fs::write(parts.join(DEVICES), devices).map_err(host)?;
        fs::rename(spec.artifacts.join("serial.log"), parts.join(CONSOLE)).map_err(host)?;
        fs::remove_dir_all(&spec.artifacts).map_err(host)?;
        let facts = Facts::of(parts).and_then(|facts| Ok(serde_json::to_vec_pretty(&facts)?));
        fs::write(parts.join(FACTS), facts.map_err(host)?).map_err(host)?;
        fs::rename(parts, dir).map_err(host)
    }

    /// A disk that runs full while a guest writes to its memory kills QEMU.
    fn check_room(&self, spec: &VmSpec) -> Result<(), NoCheckpoint> {
        let disk = rustix::fs::statvfs(self.dir.as_std_path()).map_err(host)?;
        let free_mib = disk.f_bavail * disk.f_frsize / (1 << 20);
        let memory_mib = u64::from(spec.memory_mib.unwrap_or(spec.machine.memory_mib));
        let needed_mib = memory_mib + SPARE_MIB;
        if free_mib >= needed_mib {
            return Ok(());
        }
        Err(host(format!(
            "`{}` has {free_mib} MiB left, saving a guest takes up to {needed_mib}",
            self.dir
        )))
    }

    /// Drops checkpoints that are of no use any more, and those not used for
    /// longest until the others, but for `in_use`, fit into the room for them.
    pub fn tidy(&self, in_use: &[Checkpoint]) {
        let mut kept: Vec<(SystemTime, Checkpoint)> = Vec::new();
        self.drop_remains();
        self.drop_other_formats();
        self.drop_locks();
        for dir in self.folders() {
            match Checkpoint::open(&dir) {
                Some(checkpoint) => kept.push((last_use(&dir), checkpoint)),
                // Whoever makes one at this moment does so under another name.
                None => drop(fs::remove_dir_all(&dir)),
            }
        }
        let mut taken: u64 = kept.iter().map(|(_, one)| one.disk_bytes()).sum();
        kept.sort_by_key(|(used, _)| *used);
        for (_, checkpoint) in kept {
            if taken <= ROOM_BYTES {
                break;
            }
            if !in_use.contains(&checkpoint) {
                taken -= checkpoint.disk_bytes().min(taken);
                self.forget(&checkpoint);
            }
        }
    }

    /// Whoever was killed while making a checkpoint left it half made.
    fn drop_remains(&self) {
        let entries = self.dir.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let partial = entry.file_name().starts_with(PARTIAL);
            let age = last_use(entry.path()).elapsed().unwrap_or_default();
            if partial && age > PARTIAL_AGE {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The locks of checkpoints that are gone. Whoever has one at this moment keeps
    /// it, and a new one of that name is another file: both may then make the
    /// checkpoint, and the second finds it made.
    fn drop_locks(&self) {
        let entries = self.dir.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let is_old = last_use(path).elapsed().unwrap_or_default() > PARTIAL_AGE;
            if path.extension() == Some("lock") && is_old && !path.with_extension("").exists() {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// What another version of this program kept and has not used for long.
    fn drop_other_formats(&self) {
        let Some(all) = self.dir.parent() else {
            return;
        };
        let entries = all.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let unused = last_use(entry.path()).elapsed().unwrap_or_default();
            if entry.path() != self.dir && unused > OTHER_FORMAT_AGE {
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

/// The folder's own time is that of the last use: the files may not be touched.
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

fn why(end: End) -> NoCheckpoint {
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
