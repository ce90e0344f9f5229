// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol between guest and host over the virtio port: one JSON object on each line,
//! in both directions.
//!
//! This crate defines the messages and their encoding. It does not depend on sockets,
//! devices or programs.

pub mod bytes;
mod codec;
mod message;

pub use codec::{Decoder, EncodeError, LineError, Message, encode};
pub use message::{Content, Exit, ExitStatus, FromGuest, ToGuest};

/// Version of the protocol; both ends must use the same.
pub const PROTOCOL: u32 = 6;

/// Name of the virtio port.
pub const PORT_NAME: &str = "patchbed";

/// Parameter of the kernel command line with the boot's number.
pub const BOOT_PARAMETER: &str = "patchbed.boot=";

/// Maximum length of a line from the guest, including its newline.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Maximum length of a line from the host, including its newline. The host is trusted and
/// sends whole files.
pub const ORDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Maximum size of a file in an order, in bytes: base64 encodes 3 bytes as 4.
pub const FILE_BYTES_MAX: usize = ORDER_BYTES_MAX / 4 * 3 - 64 * 1024;

/// Number of random bytes for a guest.
pub const ENTROPY_BYTES: usize = 64;

/// Maximum size of a program's output in one message, in bytes.
pub const OUTPUT_CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Maximum size of a program's output in total, in bytes. Further output is read and
/// discarded, which [`FromGuest::Exited`] reports.
pub const OUTPUT_TOTAL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Folder in the guest with the pipes for a program's requests to its machine, `request`
/// and `answer`.
pub const REQUESTS_DIR: &str = "/machine";

/// Environment variable with that folder.
pub const REQUESTS_VARIABLE: &str = "LIVEUPDATE_TEST_MACHINE";

/// Maximum length of a request, in bytes, without its newline.
pub const REQUEST_BYTES_MAX: usize = 128;

/// Path of the next kernel in the guest.
pub const KEXEC_KERNEL_PATH: &str = "/kexec/bzImage";

/// Path of the next kernel's initramfs in the guest.
pub const KEXEC_INITRD_PATH: &str = "/kexec/initrd";

/// Returns the line that the guest writes to the kernel log before a boot's program starts.
/// It separates the program's messages from the boot's.
pub fn boot_begins_marker(boot: u32) -> String {
    format!("patchbed: boot {boot} begins")
}

/// Returns the line that the guest writes to the kernel log after a boot's program has
/// ended.
pub fn boot_ends_marker(boot: u32) -> String {
    format!("patchbed: boot {boot} ends")
}
