// SPDX-License-Identifier: GPL-2.0-only
//! The messages. The host commands, the guest obeys and tells what came of it.

use serde::{Deserialize, Serialize};

use crate::bytes;

/// What the guest tells the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuest {
    /// The guest is up and waits for orders; the first message of every kernel.
    Hello {
        /// The language the guest speaks, see [`crate::PROTOCOL`].
        protocol: u32,
        /// Stage as named by the kernel command line; 0 when it names none.
        stage: u32,
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
    /// Run a program; answered by `Started`, `Output`s and `Exited`.
    Run {
        /// Path of the program in the guest.
        program: String,
        /// Its arguments, without the program's own name.
        args: Vec<String>,
        /// Its environment, added to the guest's small default.
        env: Vec<(String, String)>,
        /// Time after which the guest kills it, in milliseconds.
        timeout_ms: u64,
    },
    /// Load the next kernel and go over to it with this command line.
    Kexec {
        /// Command line of the next kernel.
        cmdline: String,
    },
    /// Say `Goodbye` and switch the machine off.
    PowerOff,
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
