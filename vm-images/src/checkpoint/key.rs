// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys of checkpoints.

use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::content::ContentId;

use crate::qemu::{Memory, Qemu, Wiring, arguments};
use crate::vm::VmSpec;

/// Version of the storage format. Each version has a separate folder, so that a program of
/// one version does not delete the checkpoints of another.
pub(super) const FORMAT: &str = "2";

/// Returns a key for a guest. Two guests have the same key only if their checkpoints are
/// interchangeable. The key covers QEMU's arguments for the machine, the QEMU binary, the
/// content of kernel and initramfs, and the host.
pub(super) fn key(spec: &VmSpec) -> std::io::Result<String> {
    let mut id = ContentId::default()
        .part(FORMAT)
        .part(host_boot())
        .part(processor())
        .part(program(&spec.qemu));
    // The content of the two files counts, not their paths.
    let launch = spec.launch(Memory::Fresh, Wiring::Terminal);
    for arg in arguments(&spec.machine, &launch) {
        if arg != launch.kernel && arg != launch.initramfs {
            id = id.part(arg);
        }
    }
    for file in [&spec.kernel, &spec.initramfs] {
        id = id.part(fs::read(file)?);
    }
    Ok(id.finish())
}

/// Returns the boot id of the host. The TSC of the host keeps its rate and offset until the
/// next boot.
pub(super) fn host_boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
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
pub(super) fn is_key(name: &str) -> bool {
    name.len() == 32 && Utf8Path::new(name).extension().is_none()
}
