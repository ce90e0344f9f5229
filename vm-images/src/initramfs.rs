// SPDX-License-Identifier: MIT OR Apache-2.0
//! Initramfs archives (cpio, newc). Equal entries give equal bytes on every host.

use std::collections::BTreeMap;
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use cpio::newc;
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_protocol::{KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

const TYPE_DIR: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_CHAR: u32 = 0o020_000;

/// Maximum size of a file in an archive, in bytes.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Mount points of PID 1, and folders that programs require.
const DIRS: &[&str] = &["dev", "proc", "sys", "tests", "tmp"];

/// Why an archive cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file cannot be read, or the archive cannot be written.
    #[error("cannot create an initramfs: {0}")]
    Io(#[from] io::Error),
    /// A file exceeds the limit.
    #[error("cannot create an initramfs: `{path}` is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
    },
}

/// The entries of an archive, by path without a leading `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Dir { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    CharDevice { mode: u32, major: u32, minor: u32 },
}

impl Initramfs {
    /// Returns an empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a bootable archive: `guest` as `/init`, a console, and the mount points.
    pub fn for_guest(guest: &Utf8Path) -> Result<Self, InitramfsError> {
        let mut archive = Self::new();
        for dir in DIRS {
            archive.add_dir(dir, 0o755);
        }
        archive.add_char_device("dev/console", 0o600, 5, 1);
        archive.add_host_file("init", 0o755, guest)?;
        Ok(archive)
    }

    /// Adds a folder and its parents.
    pub fn add_dir(&mut self, path: &str, mode: u32) {
        let path = self.add_parents(path);
        self.entries.insert(path, Entry::Dir { mode });
    }

    /// Adds a file and the folders of its path.
    pub fn add_file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        let path = self.add_parents(path);
        self.entries.insert(path, Entry::File { mode, bytes });
    }

    /// Adds a copy of a file of the host.
    pub fn add_host_file(
        &mut self,
        path: &str,
        mode: u32,
        host: &Utf8Path,
    ) -> Result<(), InitramfsError> {
        if fs::metadata(host)?.len() > FILE_BYTES_MAX {
            return Err(InitramfsError::TooLarge {
                path: host.to_owned(),
            });
        }
        self.add_file(path, mode, fs::read(host)?);
        Ok(())
    }

    /// Adds a character device node.
    pub fn add_char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        let path = self.add_parents(path);
        self.entries
            .insert(path, Entry::CharDevice { mode, major, minor });
    }

    /// Adds the files for a kexec: the kernel, and an initramfs with the current entries of
    /// this archive.
    pub fn add_next_kernel(&mut self, kernel: &Utf8Path) -> Result<(), InitramfsError> {
        let inner = self.to_bytes()?;
        self.add_file(KEXEC_INITRD_PATH, 0o644, inner);
        self.add_host_file(KEXEC_KERNEL_PATH, 0o644, kernel)
    }

    /// Returns the archive's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, InitramfsError> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the archive to a file atomically.
    pub fn write_to(&self, path: &Utf8Path) -> Result<(), InitramfsError> {
        Ok(publish(path, &self.to_bytes()?)?)
    }

    /// Adds the parent folders of a path; returns the path without a leading `/`.
    fn add_parents(&mut self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        for (index, _) in path.match_indices('/') {
            self.entries
                .entry(path[..index].to_owned())
                .or_insert(Entry::Dir { mode: 0o755 });
        }
        path.to_owned()
    }

    // A folder's path is a prefix of the paths in it, so it sorts before them.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            let header = newc::Builder::new(path).ino(inode).nlink(1).mtime(0);
            let (header, bytes): (_, &[u8]) = match entry {
                Entry::Dir { mode } => (header.mode(TYPE_DIR | mode).nlink(2), &[]),
                Entry::File { mode, bytes } => (header.mode(TYPE_FILE | mode), bytes),
                Entry::CharDevice { mode, major, minor } => {
                    let header = header.mode(TYPE_CHAR | mode);
                    (header.rdev_major(*major).rdev_minor(*minor), &[])
                }
            };
            let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let mut writer = header.write(&mut *out, size);
            writer.write_all(bytes)?;
            writer.finish()?;
        }
        newc::trailer(&mut *out)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(bytes: &[u8]) -> String {
        let mut lines = Vec::new();
        let mut rest = bytes;
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return lines.join("\n");
            }
            lines.push(format!(
                "{:06o} {}:{} {} {}:{} {}",
                entry.mode(),
                entry.uid(),
                entry.gid(),
                entry.mtime(),
                entry.rdev_major(),
                entry.rdev_minor(),
                entry.name(),
            ));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn to_bytes_sorts_entries_with_root_as_owner_and_time_zero() {
        let mut archive = Initramfs::new();
        archive.add_file("/tests/b", 0o755, b"two".to_vec());
        archive.add_file("init", 0o755, b"one".to_vec());
        archive.add_char_device("dev/console", 0o600, 5, 1);
        insta::assert_snapshot!(listing(&archive.to_bytes().unwrap()), @r"
        040755 0:0 0 0:0 dev
        020600 0:0 0 5:1 dev/console
        100755 0:0 0 0:0 init
        040755 0:0 0 0:0 tests
        100755 0:0 0 0:0 tests/b
        ");
    }

    #[test]
    fn to_bytes_does_not_depend_on_the_order_of_additions() {
        let (mut first, mut second) = (Initramfs::new(), Initramfs::new());
        first.add_file("a/b", 0o644, vec![1]);
        first.add_file("c", 0o644, vec![2]);
        second.add_file("c", 0o644, vec![2]);
        second.add_file("/a/b", 0o644, vec![1]);
        assert_eq!(first.to_bytes().unwrap(), second.to_bytes().unwrap());
    }

    #[test]
    fn add_next_kernel_adds_the_kernel_and_the_archive_so_far() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Utf8PathBuf::try_from(dir.path().join("bzImage")).unwrap();
        fs::write(&kernel, b"kernel").unwrap();
        let mut archive = Initramfs::new();
        archive.add_file("init", 0o755, b"one".to_vec());
        let before = archive.to_bytes().unwrap();
        archive.add_next_kernel(&kernel).unwrap();
        let Some(Entry::File { bytes, .. }) = archive.entries.get("kexec/initrd") else {
            panic!("no inner archive");
        };
        assert_eq!(*bytes, before);
        assert!(archive.entries.contains_key("kexec/bzImage"));
    }
}
