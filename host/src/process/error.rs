// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of child processes.

use std::process::ExitStatus;
use std::time::Duration;

/// Why a child process failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not installed.
    #[error(
        "cannot run `{program}`: not installed or not in PATH\nhint: `{} doctor` lists the packages to install",
        crate::program::name()
    )]
    NotFound {
        /// The program's name.
        program: String,
    },
    /// The program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Spawn {
        /// The command, quoted for a shell.
        command: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("`{command}` failed ({status}){}", last_lines(.tail))]
    Failed {
        /// The command, quoted for a shell.
        command: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines of its output.
        tail: String,
    },
    /// The program exceeded its time limit and was killed.
    #[error("`{command}` did not end within the {name} limit of {} s{}", .limit.as_secs(), last_lines(.tail))]
    Deadline {
        /// The command, quoted for a shell.
        command: String,
        /// Name of the limit.
        name: String,
        /// The limit.
        limit: Duration,
        /// The last lines of its output.
        tail: String,
    },
    /// The run was cancelled.
    #[error("interrupted during `{command}`")]
    Cancelled {
        /// The command, quoted for a shell.
        command: String,
    },
    /// The program exceeded the output limit and was killed.
    #[error("`{command}` was stopped: more than {limit} bytes of output")]
    TooMuchOutput {
        /// The command, quoted for a shell.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A pipe or the log file failed.
    #[error("cannot exchange data with `{command}`: {source}")]
    Io {
        /// The command, quoted for a shell.
        command: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl ProcessError {
    /// Returns whether the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}

fn last_lines(tail: &str) -> String {
    if tail.trim().is_empty() {
        String::new()
    } else {
        format!("; last lines of output:\n{}", tail.trim_end())
    }
}
