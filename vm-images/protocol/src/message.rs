// SPDX-License-Identifier: GPL-2.0-only
//! The messages. The host commands, the guest obeys and tells what came of it.

use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::{FILE_BYTES_MAX, LINE_BYTES_MAX, ORDER_BYTES_MAX, bytes};

/// What the guest tells the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuest {
    /// The guest is up and waits to be told to begin; the first message of
    /// every kernel that boots. Says nothing that must differ between two guests
    /// that go on from one saved moment.
    Hello {
        /// The language the guest speaks, see [`crate::PROTOCOL`].
        protocol: u32,
    },
    /// The guest has begun, as told, and waits for orders.
    RunContext {
        /// Boot as named by the kernel command line; 0 when it names none.
        boot: u32,
        /// The kernel's own random name for this boot.
        boot_id: String,
        /// The kernel's release, as of `uname -r`.
        release: String,
        /// Guest time since the kernel started, in milliseconds.
        uptime_ms: u64,
        /// File systems that this kernel does not offer, by mount point.
        #[serde(default)]
        missing: Vec<String>,
    },
    /// The program runs.
    Started {
        /// Path of the program.
        program: String,
    },
    /// The program wrote something, to standard output or standard error: both
    /// are one pipe, so that their order is kept.
    Output {
        /// What was written, at most [`crate::OUTPUT_CHUNK_BYTES_MAX`] bytes.
        #[serde(with = "bytes")]
        data: Vec<u8>,
    },
    /// The program asks its machine for something; answered by `Answer`, before
    /// which it can ask for nothing else.
    Request {
        /// A line of at most [`crate::REQUEST_BYTES_MAX`] bytes.
        text: String,
    },
    /// The program came to its end.
    Exited {
        /// How it ended.
        #[serde(flatten)]
        exit: Exit,
        /// Guest time since the kernel started, in milliseconds.
        uptime_ms: u64,
        /// The program wrote more than [`crate::OUTPUT_TOTAL_BYTES_MAX`] bytes.
        output_cut: bool,
    },
    /// The next kernel is loaded.
    KexecLoaded,
    /// The guest asks its kernel to go over to the next one.
    Kexecing,
    /// Something the guest was to do failed; the guest goes on.
    Trouble {
        /// What was being done, to be read after "failed to".
        doing: String,
        /// The error.
        error: String,
    },
    /// The guest is about to switch the machine off.
    Goodbye,
}

/// What the host orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// Begin a life of your own; answered by `RunContext`. Comes first, and again to
    /// no guest but one that goes on from a saved moment.
    Begin {
        /// The time of day, in nanoseconds since 1970.
        unix_ns: u64,
        /// Randomness that no other guest gets.
        #[serde(with = "bytes")]
        entropy: Vec<u8>,
    },
    /// Write a file; answered by nothing but `Trouble` if it cannot be written.
    Put {
        /// Path in the guest; folders it lies in are made.
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
        /// Its arguments, without the program's own name.
        args: Vec<String>,
        /// Its environment, added to the guest's small default.
        env: Vec<(String, String)>,
        /// Folder in the guest that it starts in.
        dir: String,
        /// Time after which the guest kills it, in milliseconds, should the host not
        /// have said before that it is up.
        timeout_ms: u64,
    },
    /// The time of the program that runs is up: kill it. Answered by its `Exited`;
    /// nothing once that has ended.
    TimeIsUp,
    /// What came of a request, for the program; nothing once that has ended.
    Answer {
        /// A line.
        text: String,
    },
    /// Load the next kernel and go over to it with this command line.
    Kexec {
        /// Command line of the next kernel.
        cmdline: String,
        /// Whether the next kernel is to find itself as its own next kernel, as this
        /// one found it.
        again: bool,
    },
    /// Say `Goodbye` and switch the machine off.
    PowerOff,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// As it is; what a person sends by hand.
    Data(#[serde(with = "bytes")] Vec<u8>),
    /// As an LZ4 block with its size before it: a guest that is emulated takes
    /// longer to receive a byte than to unpack it.
    Lz4(#[serde(with = "bytes")] Vec<u8>),
}

impl Content {
    /// Returns bytes packed.
    pub fn pack(bytes: &[u8]) -> Self {
        Self::Lz4(lz4_flex::compress_prepend_size(bytes))
    }

    /// Returns the bytes.
    ///
    /// # Errors
    /// When they are packed badly, or say that they are more than a file may have.
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
                    _ => Err(format!("it is to have {size:?} bytes")),
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
    /// The kernel's word on it.
    pub status: ExitStatus,
    /// The guest killed it because its time was up.
    pub timed_out: bool,
}

impl Exit {
    /// Returns true when the program ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        !self.timed_out && self.status == ExitStatus::Code(0)
    }
}

/// The status a program left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was killed and did not die: it hangs inside the kernel.
    Stuck,
}
