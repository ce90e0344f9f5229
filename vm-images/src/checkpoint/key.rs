// SPDX-License-Identifier: GPL-2.0-only
//! What decides what a saved guest is.

use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cache::hex;
use sha2::{Digest as _, Sha256};

use crate::qemu::{Memory, Qemu, Wiring, arguments};
use crate::vm::VmSpec;

/// Changes when guests are saved in another way. Each way has a folder of its
/// own, for two versions of this program must not drop what is the other's.
pub(super) const FORMAT: &str = "2";

/// Returns a name that two guests share only if going on from one is as good
/// as going on from the other: the whole machine as QEMU is told of it, QEMU
/// itself, the content of kernel and initramfs, and the host.
pub(super) fn key(spec: &VmSpec) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(FORMAT.as_bytes());
    part(host_boot().as_bytes());
    part(processor().as_bytes());
    part(program(&spec.qemu).as_bytes());
    // Where the two files lie is of no matter, what is in them is.
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

/// Returns the host's name for its boot: what the processor's clock counts, and
/// how fast, holds until the next one.
pub(super) fn host_boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

/// Returns the host's processor and what it can do.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_interest = |line: &&str| line.starts_with("model name") || line.starts_with("flags");
    text.lines().filter(of_interest).take(2).collect()
}

/// Returns the version of QEMU, and what tells one build of it from another.
fn program(qemu: &Qemu) -> String {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|dir| dir.join(&qemu.program))
        .find_map(|path| fs::metadata(path).ok());
    let build = found.map(|meta| (meta.len(), meta.mtime(), meta.ino()));
    format!("{} {build:?}", qemu.full_version)
}

/// Returns whether a name could be that of a checkpoint.
pub(super) fn is_key(name: &str) -> bool {
    name.len() == 32 && Utf8Path::new(name).extension().is_none()
}
