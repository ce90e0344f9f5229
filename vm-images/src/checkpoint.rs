// SPDX-License-Identifier: MIT OR Apache-2.0
//! VM checkpoints: the state of a guest that booted once and waits for the order to begin.
//! Many guests are restored from a checkpoint, each with private copies of the pages it
//! writes.
//!
//! The memory is a separate file that guests map privately; QEMU saves and loads the rest
//! of the machine (capability `x-ignore-shared`, since QEMU 4.0). Memory is read only when
//! the guest accesses it, so the time of a restore does not depend on the memory's size.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use crate::pci::Devices;

pub(crate) const MEMORY: &str = "memory";
pub(crate) const STATE: &str = "state";
pub(crate) const DEVICES: &str = "devices.json";
pub(crate) const CONSOLE: &str = "console.log";
pub(crate) const FACTS: &str = "checkpoint.json";

/// Maximum size of `checkpoint.json`, in bytes.
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// Maximum size of `devices.json`, in bytes.
const DEVICES_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The files that hold the guest's state.
const PARTS: [&str; 4] = [MEMORY, STATE, DEVICES, CONSOLE];

/// A saved guest that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(crate) dir: Utf8PathBuf,
    facts: Facts,
}

/// Metadata of a checkpoint. Written last, so a folder that contains it is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Boot id of the host. After a reboot, the host's clocks and processors may differ.
    host_boot: String,
    /// Stamps of the files when the checkpoint was saved.
    files: Vec<FileStamp>,
}

/// Metadata that detects a change of a file: a write changes the times, a copy has another
/// inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileStamp {
    name: String,
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(dir: &Utf8Path, name: &str) -> io::Result<Self> {
        let meta = fs::metadata(dir.join(name))?;
        Ok(Self {
            name: name.to_owned(),
            bytes: meta.len(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Facts {
    pub(crate) fn of(dir: &Utf8Path) -> io::Result<Self> {
        let stamps = PARTS.map(|name| FileStamp::of(dir, name));
        Ok(Self {
            host_boot: host_boot(),
            files: stamps.into_iter().collect::<io::Result<_>>()?,
        })
    }

    fn load(dir: &Utf8Path) -> io::Result<Self> {
        let bytes = read_plain(&dir.join(FACTS), FACTS_BYTES_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Checkpoint {
    /// Returns the checkpoint in a folder, if it is complete, unmodified and from this boot
    /// of the host.
    pub(crate) fn open(dir: &Utf8Path) -> Option<Self> {
        let known = Facts::load(dir).ok()?;
        let found = Facts::of(dir).ok()?;
        (known == found).then(|| Self {
            dir: dir.to_owned(),
            facts: known,
        })
    }

    /// Returns whether the checkpoint exists unmodified.
    pub fn is_intact(&self) -> bool {
        Self::open(&self.dir).as_ref() == Some(self)
    }

    /// Returns whether a file of the checkpoint was written to. Guests share the pages that
    /// they have not written, so such a write invalidates their results. Removal or
    /// replacement of the files does not affect running guests.
    pub fn is_modified(&self) -> bool {
        self.facts.files.iter().any(|saved| {
            let now = FileStamp::of(&self.dir, &saved.name);
            now.is_ok_and(|now| now.inode == saved.inode && now != *saved)
        })
    }

    /// Returns the file with the guest's memory.
    pub fn memory(&self) -> Utf8PathBuf {
        self.dir.join(MEMORY)
    }

    /// Returns the file with the state of the rest of the machine.
    pub fn state(&self) -> Utf8PathBuf {
        self.dir.join(STATE)
    }

    /// Returns the devices of the guest when it was saved.
    pub(crate) fn devices(&self) -> io::Result<Devices> {
        let bytes = read_plain(&self.dir.join(DEVICES), DEVICES_BYTES_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Returns the console log of its boot.
    pub fn console(&self) -> Utf8PathBuf {
        self.dir.join(CONSOLE)
    }

    /// Returns the disk space that the checkpoint takes, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        let names = PARTS.iter().chain([&FACTS]);
        names
            .filter_map(|name| fs::metadata(self.dir.join(name)).ok())
            .map(|meta| meta.blocks() * 512)
            .sum()
    }
}

/// Returns the boot id of the host. The TSC of the host keeps its rate and offset until the
/// next boot.
pub(crate) fn host_boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a folder with a checkpoint of a few bytes.
    fn checkpoint() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        for name in PARTS {
            fs::write(dir.join(name), name).unwrap();
        }
        let facts = serde_json::to_vec(&Facts::of(&dir).unwrap()).unwrap();
        fs::write(dir.join(FACTS), facts).unwrap();
        (folder, dir)
    }

    #[test]
    fn open_accepts_an_unmodified_checkpoint() {
        let (_folder, dir) = checkpoint();
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert!(checkpoint.is_intact() && !checkpoint.is_modified());
        fs::write(checkpoint.memory(), "memorz").unwrap();
        assert!(!checkpoint.is_intact() && checkpoint.is_modified());
        fs::remove_dir_all(&dir).unwrap();
        assert!(!checkpoint.is_intact() && !checkpoint.is_modified());
    }

    #[test]
    fn open_rejects_a_modified_file() {
        for name in PARTS {
            let (_folder, dir) = checkpoint();
            let mut bytes = fs::read(dir.join(name)).unwrap();
            bytes[0] ^= 1;
            fs::write(dir.join(name), bytes).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
        }
    }

    #[test]
    fn open_rejects_a_missing_or_replaced_file() {
        for name in PARTS.into_iter().chain([FACTS]) {
            let (_folder, dir) = checkpoint();
            fs::remove_file(dir.join(name)).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
            fs::write(dir.join(name), name).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
        }
    }

    #[test]
    fn open_rejects_a_checkpoint_of_another_host_boot() {
        let (_folder, dir) = checkpoint();
        let mut facts = Facts::load(&dir).unwrap();
        facts.host_boot.push('x');
        fs::write(dir.join(FACTS), serde_json::to_vec(&facts).unwrap()).unwrap();
        assert!(Checkpoint::open(&dir).is_none());
    }
}
