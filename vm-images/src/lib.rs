// SPDX-License-Identifier: GPL-2.0-only
//! Kernel, machine and initramfs to a running guest, and a running guest to a
//! transcript.
//!
//! This room runs any bzImage with any program. It does not know patches,
//! scenarios or what a program's output means, and it decides nothing about
//! pass or fail: it tells what happened.

pub mod accel;
pub mod checkpoint;
pub mod deadlines;
mod ecam;
pub mod guest;
pub mod initramfs;
pub mod machine;
pub mod needs;
pub mod probe;
pub mod qemu;
mod qmp;
mod qtest;
mod slot_power;
pub mod transcript;
pub mod vm;

pub use patchbed_protocol::{
    Exit, ExitStatus, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH, boot_begins_marker, boot_ends_marker,
};
