// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a kernel in a virtual machine and records a transcript.
//!
//! This crate runs any kernel with any program. It does not depend on patches or
//! scenarios, does not interpret the output of programs, and does not decide about pass or
//! fail.

pub mod accel;
pub mod arch;
pub mod checkpoint;
pub mod checkpoints;
pub mod guest;
pub mod initramfs;
pub mod machine;
pub mod machine_file;
pub mod needs;
mod pci;
pub mod probe;
pub mod qemu;
mod qmp;
mod qtest;
pub mod spec;
pub mod transcript;
pub mod vm;

pub use patchbed_protocol::{
    Exit, ExitStatus, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH, boot_begins_marker, boot_ends_marker,
};
