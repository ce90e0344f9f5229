// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running child process, on top of `duct`: a process group of its own, which dies with
//! its parent, and output that is read while the child runs, with limits on bytes and time
//! (`duct` captures output without a limit and returns it only at the end).

use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};

use crate::cancel::Cancel;

const CHUNK_BYTES: usize = 16 * 1024;
const POLL: Duration = Duration::from_millis(10);
/// Time for which the pipes of an ended child are read while a grandchild holds them open.
const DRAIN: Duration = Duration::from_secs(2);
/// Time for a child to clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// Longer lines are passed on in pieces.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// A running child in a process group of its own; killed with its group on drop.
#[derive(Debug)]
pub struct Child(duct::Handle);

impl Child {
    /// Starts a command; `set_up` changes it before.
    pub(super) fn start(
        command: &duct::Expression,
        set_up: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let command = command.unchecked().before_spawn(move |command| {
            command.process_group(0);
            die_with_parent(command);
            set_up(command);
            Ok(())
        });
        command.start().map(Self)
    }

    /// Returns the child's process id.
    pub fn id(&self) -> u32 {
        self.0.pids().first().copied().unwrap_or_default()
    }

    /// Returns the child's exit status, if it has ended.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        Some(self.0.try_wait().ok()??.status)
    }

    /// Waits for the child to end, at most until `deadline`.
    pub fn wait_until(&self, deadline: Instant) -> Option<ExitStatus> {
        Some(self.0.wait_deadline(deadline).ok()??.status)
    }

    /// Kills the child's whole process group and collects the child.
    pub fn kill(&self) {
        self.kill_group();
        let _ = self.0.wait();
    }

    /// Sends SIGTERM to the child's group, so that it can remove partial files, and SIGKILL
    /// to the remaining processes after `grace`.
    pub(super) fn end(&self, grace: Duration) {
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
        if let Some(group) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
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

/// Why reading ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(ExitStatus),
    Deadline,
    Cancelled,
    /// The receiver does not accept more output.
    Stopped,
}

/// Passes output and its stream (0 for standard output, 1 for standard error) to `take` until the child has ended and its pipes are empty,
/// or `take` returns false. Kills the rest of the child's group.
pub(super) fn follow(
    child: &Child,
    pipes: [PipeReader; 2],
    deadline: Instant,
    cancel: &Cancel,
    take: &mut dyn FnMut(usize, &[u8]) -> bool,
) -> Ended {
    let mut pipes = pipes.map(Some);
    let mut exited: Option<(ExitStatus, Instant)> = None;
    loop {
        if !read_ready(&mut pipes, take) {
            child.kill();
            return Ended::Stopped;
        }
        let is_open = pipes.iter().any(Option::is_some);
        if exited.is_none() {
            let status = match is_open {
                true => child.try_wait(),
                false => child.wait_until(Instant::now() + POLL),
            };
            if let Some(status) = status {
                // Grandchildren must not survive or hold the pipes open.
                child.kill_group();
                exited = Some((status, Instant::now() + DRAIN));
            }
        }
        if let Some((status, drained)) = exited {
            if !is_open || Instant::now() >= drained {
                return Ended::Exited(status);
            }
        } else if cancel.is_cancelled() {
            child.end(GRACE);
            return Ended::Cancelled;
        } else if Instant::now() >= deadline {
            child.end(GRACE);
            return Ended::Deadline;
        }
    }
}

/// Waits for output, at most for [`POLL`], and reads once from each pipe that has some. A
/// pipe at its end becomes `None`. Returns false if `take` did.
fn read_ready(
    pipes: &mut [Option<PipeReader>; 2],
    take: &mut dyn FnMut(usize, &[u8]) -> bool,
) -> bool {
    let mut fds: Vec<PollFd<'_>> = pipes
        .iter()
        .flatten()
        .map(|pipe| PollFd::new(pipe, PollFlags::IN))
        .collect();
    if fds.is_empty() {
        return true;
    }
    let limit = Timespec::try_from(POLL).unwrap_or_default();
    if poll(&mut fds, Some(&limit)).is_err() {
        return true;
    }
    let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let mut ready = ready.into_iter();
    let mut buffer = [0; CHUNK_BYTES];
    for (stream, entry) in pipes.iter_mut().enumerate() {
        let Some(pipe) = entry else { continue };
        if ready.next() != Some(true) {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(count @ 1..) if !take(stream, &buffer[..count]) => return false,
            Ok(1..) => {}
            _ => *entry = None,
        }
    }
    true
}

/// Splits a byte stream into lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds bytes and passes every complete line to `line`, without its line end.
    pub(super) fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || self.0.len() >= LINE_BYTES_MAX {
                self.flush(line);
            }
            if byte != b'\n' {
                self.0.push(byte);
            }
        }
    }

    /// Passes on the remaining text that has no line end.
    pub(super) fn flush(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.0.is_empty() {
            let text = String::from_utf8_lossy(&self.0);
            line(text.trim_end_matches('\r'));
            self.0.clear();
        }
    }
}

/// The last lines of a child's output, for error messages.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<String>);

impl Tail {
    const LINES_MAX: usize = 30;

    pub(super) fn push(&mut self, line: &str) {
        if self.0.len() == Self::LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(super) fn into_text(self) -> String {
        Vec::from(self.0).join("\n")
    }
}
