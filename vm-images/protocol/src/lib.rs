// SPDX-License-Identifier: GPL-2.0-only
//! What the guest and the host say to each other over the virtio port: one
//! JSON object a line, in both directions.
//!
//! This crate knows the words and how they become bytes. It does not know
//! sockets, devices, or what the programs that are run mean.

pub mod bytes;
mod codec;
mod message;

pub use codec::{Decoder, EncodeError, LineError, Message, encode};
pub use message::{Content, Exit, ExitStatus, FromGuest, ToGuest};

/// Number of the language; both ends must speak the same.
pub const PROTOCOL: u32 = 6;

/// Name of the virtio port that carries the channel.
pub const PORT_NAME: &str = "patchbed";

/// Word of the kernel command line that carries the boot's number.
pub const BOOT_PARAMETER: &str = "patchbed.boot=";

/// Longest line, its newline included, that the host accepts from a guest.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Longest line, its newline included, that the guest accepts from its host,
/// who is not hostile and sends whole files.
pub const ORDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest file that fits into an order, in bytes: base64 makes 4 of 3.
pub const FILE_BYTES_MAX: usize = ORDER_BYTES_MAX / 4 * 3 - 64 * 1024;

/// How much randomness a guest gets to begin with, in bytes.
pub const ENTROPY_BYTES: usize = 64;

/// Most bytes of a program's output in one message.
pub const OUTPUT_CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of output that are sent for one program; the rest is read and
/// thrown away, and [`FromGuest::Exited`] says so.
pub const OUTPUT_TOTAL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Folder in the guest with the two pipes by which a program asks its machine for
/// something, `request` and `answer`: a line each.
pub const REQUESTS_DIR: &str = "/machine";

/// What tells programs of that folder.
pub const REQUESTS_VARIABLE: &str = "LIVEUPDATE_TEST_MACHINE";

/// Longest request, in bytes, its newline not counted.
pub const REQUEST_BYTES_MAX: usize = 128;

/// Where the guest finds the next kernel.
pub const KEXEC_KERNEL_PATH: &str = "/kexec/bzImage";

/// Where the guest finds the next kernel's initramfs.
pub const KEXEC_INITRD_PATH: &str = "/kexec/initrd";

/// Returns the line that the guest writes to the kernel log before a boot's
/// program starts, so that the log can be cut to the program's time.
pub fn boot_begins_marker(boot: u32) -> String {
    format!("patchbed: boot {boot} begins")
}

/// Returns the line that the guest writes to the kernel log after a boot's
/// program ended.
pub fn boot_ends_marker(boot: u32) -> String {
    format!("patchbed: boot {boot} ends")
}
