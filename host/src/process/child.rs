// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running child process. Children are started only here.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::error::ProcessError;

/// Polling interval of a parent that waits for its child.
const POLL: Duration = Duration::from_millis(5);

/// A running child in a process group of its own; killed with its group on drop.
#[derive(Debug)]
pub struct Child {
    pub(super) inner: std::process::Child,
    status: Option<ExitStatus>,
}

impl Child {
    pub(super) fn start(mut command: Command, shown: String) -> Result<Self, ProcessError> {
        command.process_group(0);
        die_with_parent(&mut command);
        match command.spawn() {
            Ok(inner) => Ok(Self {
                inner,
                status: None,
            }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                // A missing working directory gives ENOENT, too.
                match command.get_current_dir().filter(|dir| !dir.exists()) {
                    Some(_) => Err(ProcessError::Spawn {
                        command: shown,
                        source,
                    }),
                    None => Err(ProcessError::NotFound {
                        program: command.get_program().to_string_lossy().into_owned(),
                    }),
                }
            }
            Err(source) => Err(ProcessError::Spawn {
                command: shown,
                source,
            }),
        }
    }

    /// Returns the child's process id.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Returns the child's exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.inner.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for the child to end, at most until `deadline`.
    pub fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Kills the child's whole process group and collects the child.
    pub fn kill(&mut self) {
        self.kill_group();
        if self.status.is_none() {
            self.status = self.inner.wait().ok();
        }
    }

    /// Sends SIGTERM to the child's group, so that it can remove partial files, and SIGKILL
    /// to the remaining processes after `grace`.
    pub fn end(&mut self, grace: Duration) {
        if self.try_wait().is_none() {
            self.signal_group(Signal::TERM);
            self.wait_until(Instant::now() + grace);
        }
        self.kill();
    }

    /// Kills the remaining processes of the group, also after the child itself ended.
    pub(super) fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.inner.id()).ok().and_then(Pid::from_raw) {
            // Fails if the group has ended already.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            self.kill();
        }
    }
}

#[expect(
    unsafe_code,
    reason = "`pre_exec` is the only way to set a parent-death signal"
)]
fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes one
    // async-signal-safe system call; it neither allocates nor takes locks.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}

/// Connects the child's output, and its input if `stdin`, to pipes.
pub(super) fn piped(command: &mut Command, stdin: bool) {
    command
        .stdin(if stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}
