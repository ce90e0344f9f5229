// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages. The host sends orders; the guest executes them and reports the results.

use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::{FILE_BYTES_MAX, LINE_BYTES_MAX, ORDER_BYTES_MAX, bytes};

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
    Run {
        /// Path of the program in the guest.
        program: String,
        /// Its arguments, without the program's name.
        args: Vec<String>,
        /// Additions to the guest's default environment.
        env: Vec<(String, String)>,
        /// Working directory in the guest.
        dir: String,
        /// Time after which the guest kills the program without an order, in milliseconds.
        timeout_ms: u64,
    },
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

    /// Returns the plain bytes.
    ///
    /// # Errors
    /// When the block is invalid, or its size exceeds the limit.
    pub fn unpack(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Data(bytes) => Ok(bytes),
            Self::Lz4(packed) => {
                let size = packed.first_chunk().map(|size| u32::from_le_bytes(*size));
                match size {
                    Some(size) if size as usize <= FILE_BYTES_MAX => {
                        lz4_flex::decompress_size_prepended(&packed)
                            .map_err(|error| error.to_string())
                    }
                    Some(size) => Err(format!(
                        "content of {size} bytes exceeds the limit of {FILE_BYTES_MAX}"
                    )),
                    None => Err("content without its size".to_owned()),
                }
            }
        }
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
