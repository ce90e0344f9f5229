// SPDX-License-Identifier: GPL-2.0-only
//! What can go wrong with a child process.

use std::process::ExitStatus;
use std::time::Duration;

/// Why a child process did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not on this host.
    #[error(
        "`{program}` is not installed or not in PATH; `{} doctor` names what to install",
        crate::program::name()
    )]
    NotFound {
        /// The program's name.
        program: String,
    },
    /// The program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Spawn {
        /// The command as a shell would take it.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program said no.
    #[error("`{command}` failed ({status}){}", last_lines(.tail))]
    Failed {
        /// The command as a shell would take it.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines of output.
        tail: String,
    },
    /// The program took longer than its limit and was killed.
    #[error("`{command}` did not end within the {name} limit of {} s{}", .limit.as_secs(), last_lines(.tail))]
    Deadline {
        /// The command as a shell would take it.
        command: String,
        /// Which limit expired.
        name: String,
        /// How long it was.
        limit: Duration,
        /// Its last lines of output.
        tail: String,
    },
    /// The user asked to stop.
    #[error("interrupted during `{command}`")]
    Cancelled {
        /// The command as a shell would take it.
        command: String,
    },
    /// The program wrote more than we are willing to hold.
    #[error("`{command}` wrote more than {limit} bytes and was stopped")]
    TooMuchOutput {
        /// The command as a shell would take it.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A pipe or the log file failed.
    #[error("cannot talk to `{command}`: {source}")]
    Io {
        /// The command as a shell would take it.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl ProcessError {
    /// Returns whether the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}

fn last_lines(tail: &str) -> String {
    if tail.trim().is_empty() {
        String::new()
    } else {
        format!("; its last lines:\n{}", tail.trim_end())
    }
}
