// SPDX-License-Identifier: GPL-2.0-only
//! A checkpoint: a guest that booted once and was saved where it waits to be told
//! to begin. Guests go on from it many times, each in memory of its own, of
//! which it copies only the pages it writes.
//!
//! The memory is a file of its own that guests map privately; QEMU saves and
//! loads the rest of the machine (capability `x-ignore-shared`, since QEMU 4.0).
//! Nothing is read or copied before the guest touches it, so that going on costs
//! the same for a large guest as for a small one.

pub(crate) mod devices;
mod key;
mod store;

use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;
use serde::{Deserialize, Serialize};

use devices::Devices;
pub use store::{Checkpoints, NoCheckpoint};

const MEMORY: &str = "memory";
const STATE: &str = "state";
const DEVICES: &str = "devices.json";
const CONSOLE: &str = "console.log";
const FACTS: &str = "checkpoint.json";

/// Larger files tell nothing of a checkpoint, in bytes.
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// Larger files tell of no devices, in bytes.
const DEVICES_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The files of a checkpoint that say what the guest is.
const PARTS: [&str; 4] = [MEMORY, STATE, DEVICES, CONSOLE];

/// A saved guest, ready to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    dir: Utf8PathBuf,
    facts: Facts,
}

/// What is known of a checkpoint; written last, so that a folder with it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    /// The boot of the host that it was made in; clocks and processors of
    /// another may differ.
    host_boot: String,
    /// Its files as they were when it was saved.
    files: Vec<FileStamp>,
}

/// What tells whether a file was touched: any write changes the times, and a
/// copy has another number.
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
    fn of(dir: &Utf8Path) -> io::Result<Self> {
        let stamps = PARTS.map(|name| FileStamp::of(dir, name));
        Ok(Self {
            host_boot: key::host_boot(),
            files: stamps.into_iter().collect::<io::Result<_>>()?,
        })
    }

    fn load(dir: &Utf8Path) -> io::Result<Self> {
        let bytes = read_plain(&dir.join(FACTS), FACTS_BYTES_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Checkpoint {
    /// Returns the checkpoint in a folder, if it is whole, untouched and of this
    /// boot of the host.
    fn open(dir: &Utf8Path) -> Option<Self> {
        let known = Facts::load(dir).ok()?;
        let found = Facts::of(dir).ok()?;
        (known == found).then(|| Self {
            dir: dir.to_owned(),
            facts: known,
        })
    }

    /// Returns whether it is still there, and what was saved.
    pub fn is_whole(&self) -> bool {
        Self::open(&self.dir).as_ref() == Some(self)
    }

    /// Returns whether somebody wrote to it. Guests have pages in common with it
    /// that they have not written: one that changes under them is no build for any
    /// verdict. One that was dropped, or made anew, stays as it was for them.
    pub fn is_touched(&self) -> bool {
        self.facts.files.iter().any(|then| {
            let now = FileStamp::of(&self.dir, &then.name);
            now.is_ok_and(|now| now.inode == then.inode && now != *then)
        })
    }

    /// Returns the file that the guest's memory is.
    pub fn memory(&self) -> Utf8PathBuf {
        self.dir.join(MEMORY)
    }

    /// Returns the file with the rest of the machine.
    pub fn state(&self) -> Utf8PathBuf {
        self.dir.join(STATE)
    }

    /// Returns the guest's devices as they were when it was saved.
    pub(crate) fn devices(&self) -> io::Result<Devices> {
        let bytes = read_plain(&self.dir.join(DEVICES), DEVICES_BYTES_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Returns the console log of its boot.
    pub fn console(&self) -> Utf8PathBuf {
        self.dir.join(CONSOLE)
    }

    /// Returns the room it takes on the disk, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        let names = PARTS.iter().chain([&FACTS]);
        names
            .filter_map(|name| fs::metadata(self.dir.join(name)).ok())
            .map(|meta| meta.blocks() * 512)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a folder with a checkpoint in it, of a few bytes.
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
    fn a_checkpoint_that_nobody_touched_is_one() {
        let (_folder, dir) = checkpoint();
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert!(checkpoint.is_whole() && !checkpoint.is_touched());
        fs::write(checkpoint.memory(), "memorz").unwrap();
        assert!(!checkpoint.is_whole() && checkpoint.is_touched());
        fs::remove_dir_all(&dir).unwrap();
        assert!(!checkpoint.is_whole() && !checkpoint.is_touched());
    }

    #[test]
    fn one_that_was_written_to_is_none() {
        for name in PARTS {
            let (_folder, dir) = checkpoint();
            let mut bytes = fs::read(dir.join(name)).unwrap();
            bytes[0] ^= 1;
            fs::write(dir.join(name), bytes).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
        }
    }

    #[test]
    fn one_with_a_part_missing_or_replaced_is_none() {
        for name in PARTS.into_iter().chain([FACTS]) {
            let (_folder, dir) = checkpoint();
            fs::remove_file(dir.join(name)).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
            fs::write(dir.join(name), name).unwrap();
            assert!(Checkpoint::open(&dir).is_none(), "{name}");
        }
    }

    #[test]
    fn one_of_another_boot_of_the_host_is_none() {
        let (_folder, dir) = checkpoint();
        let mut facts = Facts::load(&dir).unwrap();
        facts.host_boot.push('x');
        fs::write(dir.join(FACTS), serde_json::to_vec(&facts).unwrap()).unwrap();
        assert!(Checkpoint::open(&dir).is_none());
    }
}
