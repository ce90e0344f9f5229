// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages, their names and limits. The host sends orders; the guest executes them and
//! reports the results.

use serde::{Deserialize, Serialize};

use crate::codec::{Message, bytes};

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
pub const REQUESTS_VARIABLE: &str = "KT_MACHINE";

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

/// A message of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuest {
    /// The guest has booted and waits for the order to begin; the first message of every
    /// kernel. It has no content that must differ between guests restored from one
    /// checkpoint.
    Hello {
        /// The protocol version, see [`crate::PROTOCOL`].
        protocol: u32,
    },
    /// The guest has begun and waits for orders.
    Ready {
        /// Boot number of the kernel command line; 0 if there is none.
        boot: u32,
        /// The kernel's random boot id.
        boot_id: String,
        /// The kernel's release, as `uname -r` prints it.
        release: String,
        /// Guest time since the kernel started, in milliseconds.
        uptime_ms: u64,
        /// Mount points of file systems that the kernel does not support.
        #[serde(default)]
        missing: Vec<String>,
    },
    /// The program has started.
    Started {
        /// Path of the program.
        program: String,
    },
    /// Output of the program. Standard output and standard error share a pipe, which
    /// preserves their order.
    Output {
        /// At most [`crate::OUTPUT_CHUNK_BYTES_MAX`] bytes.
        #[serde(with = "bytes")]
        data: Vec<u8>,
    },
    /// A request of the program to its machine; answered by `Answer`, which precedes the
    /// next request.
    Request {
        /// A line of at most [`crate::REQUEST_BYTES_MAX`] bytes.
        text: String,
    },
    /// The program ended.
    Exited {
        /// How it ended.
        #[serde(flatten)]
        exit: Exit,
        /// Guest time since the kernel started, in milliseconds.
        uptime_ms: u64,
        /// Whether the output exceeded [`crate::OUTPUT_TOTAL_BYTES_MAX`] bytes.
        output_cut: bool,
    },
    /// The next kernel is loaded.
    KexecLoaded,
    /// The guest executes the kexec now.
    Kexecing,
    /// An order failed; the guest stays usable.
    Trouble {
        /// The failed action, to be read after "failed to".
        doing: String,
        /// The error.
        error: String,
    },
    /// The guest powers off now.
    Goodbye,
}

/// An order of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// Begin with the current time and random numbers; answered by `Ready`. The first
    /// order, and sent only once to each guest.
    Begin {
        /// The current time, in nanoseconds since 1970.
        unix_ns: u64,
        /// Random bytes for this guest only.
        #[serde(with = "bytes")]
        entropy: Vec<u8>,
    },
    /// Write a file; there is no answer except `Trouble` after an error.
    Put {
        /// Path in the guest; its folders are created.
        path: String,
        /// Permissions.
        mode: u32,
        /// Content.
        #[serde(flatten)]
        content: Content,
    },
    /// Run a program; answered by `Started`, `Output`s and `Exited`.
    Run(Call),
    /// Kill the running program because of its timeout; answered by its `Exited`. Ignored
    /// if no program runs.
    TimeIsUp,
    /// The result of a request, for the program. Ignored if no program runs.
    Answer {
        /// A line.
        text: String,
    },
    /// Load the next kernel and execute it with this command line.
    Kexec {
        /// Command line of the next kernel.
        cmdline: String,
        /// Whether the next kernel must be able to kexec to itself, so that the guest adds
        /// the kernel's files to its initramfs.
        again: bool,
    },
    /// Send `Goodbye` and power off.
    PowerOff,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Path of the program in the guest.
    pub program: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Additions to the guest's default environment.
    pub env: Vec<(String, String)>,
    /// Working directory in the guest.
    pub dir: String,
    /// Time after which the guest kills the program without an order, in milliseconds.
    pub timeout_ms: u64,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Plain bytes, for orders that are sent by hand.
    Data(#[serde(with = "bytes")] Vec<u8>),
    /// An LZ4 block with its size: an emulated guest takes longer to receive a byte than to
    /// decompress it.
    Lz4(#[serde(with = "bytes")] Vec<u8>),
}

impl Content {
    /// Returns compressed content.
    pub fn pack(bytes: &[u8]) -> Self {
        Self::Lz4(lz4_flex::compress_prepend_size(bytes))
    }

    /// Returns the plain bytes. Fails when the block is invalid, or its size exceeds the
    /// limit.
    pub fn unpack(self) -> Result<Vec<u8>, String> {
        let packed = match self {
            Self::Data(bytes) => return Ok(bytes),
            Self::Lz4(packed) => packed,
        };
        let size = packed.first_chunk().ok_or("content without its size")?;
        let size = u32::from_le_bytes(*size);
        if size as usize > FILE_BYTES_MAX {
            return Err(format!(
                "content of {size} bytes exceeds the limit of {FILE_BYTES_MAX}"
            ));
        }
        lz4_flex::decompress_size_prepended(&packed).map_err(|error| error.to_string())
    }
}

impl Message for FromGuest {
    const LINE_BYTES_MAX: usize = LINE_BYTES_MAX;
}

impl Message for ToGuest {
    const LINE_BYTES_MAX: usize = ORDER_BYTES_MAX;
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status of the program.
    pub status: ExitStatus,
    /// Whether it was killed because of its timeout.
    pub timed_out: bool,
}

impl Exit {
    /// Returns whether the program exited with code 0 before its timeout.
    pub fn is_success(&self) -> bool {
        !self.timed_out && self.status == ExitStatus::Code(0)
    }
}

/// The exit status of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was killed and did not exit: it hangs in the kernel.
    Stuck,
}
