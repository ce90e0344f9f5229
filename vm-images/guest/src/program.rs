// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs programs, one at a time, and sends their output and exit status to the host. A
//! program ends with its exit, not with the end of its output: it may leave a process
//! behind that preserves files over a kexec, and that process holds the output pipe, too.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use patchbed_protocol::{
    Call, Exit, ExitStatus, FromGuest, OUTPUT_CHUNK_BYTES_MAX, OUTPUT_TOTAL_BYTES_MAX,
    REQUESTS_DIR, REQUESTS_VARIABLE, boot_begins_marker, boot_ends_marker,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, wait,
};

use crate::port::{Port, PortError};
use crate::requests::Requests;
use crate::system;

/// Maximum sleep between two checks for orphans and the timeout.
const TICK: Duration = Duration::from_millis(250);

/// Time for a killed program to exit before it is reported as stuck.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Maximum number of reads from the pipe after the program's exit. They cover the output of
/// the program itself; the output of a process that it left behind is not awaited.
const LAST_READS_MAX: usize = 64;

/// The environment of every program, before the additions of the host.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/tests:/usr/bin:/bin:/usr/sbin:/sbin"),
    ("HOME", "/"),
    ("TMPDIR", "/tmp"),
];

/// Runs programs and holds the resources that must outlive them.
#[derive(Debug)]
pub(crate) struct Programs {
    boot: u32,
    /// Output pipes of ended programs. They stay open, so that a process left behind is not
    /// killed by SIGPIPE.
    pipes: Vec<File>,
    /// The pipes for requests to the machine; `None` if they could not be created.
    requests: Option<Requests>,
}

impl Programs {
    /// Returns a runner for this boot.
    pub(crate) fn new(boot: u32) -> Self {
        Self {
            boot,
            pipes: Vec::new(),
            requests: Requests::open().ok(),
        }
    }

    /// Runs a program to its exit, or kills it at its timeout.
    pub(crate) fn run(&mut self, port: &mut Port, call: &Call) -> Result<(), PortError> {
        self.clean_up();
        // Requests of the program before are dropped.
        self.requests.iter_mut().for_each(Requests::discard);
        system::log(&boot_begins_marker(self.boot));
        let result = match Running::start(call, self.requests.is_some()) {
            Ok(running) => {
                port.send(&FromGuest::Started {
                    program: call.program.clone(),
                })?;
                let timeout = Duration::from_millis(call.timeout_ms);
                Ok(running.watch(port, self.requests.as_mut(), timeout)?)
            }
            Err(error) => Err(error),
        };
        system::log(&boot_ends_marker(self.boot));
        let (exit, output) = match result {
            Ok(ended) => ended,
            Err(error) => return port.trouble(format!("start `{}`", call.program), &error),
        };
        self.pipes.push(output.pipe);
        port.send(&FromGuest::Exited {
            exit,
            uptime_ms: system::uptime_ms(),
            output_cut: output.cut,
        })
    }

    /// Reaps orphans, and drains the pipes of ended programs, so that processes left behind
    /// do not block on a write.
    pub(crate) fn clean_up(&mut self) {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let mut discarded = [0; 4096];
        self.pipes.retain_mut(|pipe| {
            for _ in 0..LAST_READS_MAX {
                match pipe.read(&mut discarded) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(_) => return true,
                }
            }
            true
        });
    }
}

/// A running program.
struct Running {
    pid: Pid,
    pidfd: OwnedFd,
    output: Output,
}

impl Running {
    fn start(call: &Call, has_requests: bool) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let mut command = Command::new(&call.program);
        command
            .args(&call.args)
            .env_clear()
            .envs(ENVIRONMENT.iter().copied())
            .envs(has_requests.then_some((REQUESTS_VARIABLE, REQUESTS_DIR)))
            .envs(call.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        let child = spawn_in(&call.dir, &mut command)?;
        let pid = Pid::from_child(&child);
        Ok(Self {
            pid,
            pidfd: pidfd_open(pid, PidfdFlags::empty())?,
            output: Output {
                pipe: File::from(reader),
                sent_bytes: 0,
                cut: false,
            },
        })
    }

    /// Follows the program until it exits or is stuck.
    fn watch(
        mut self,
        port: &mut Port,
        mut requests: Option<&mut Requests>,
        timeout: Duration,
    ) -> Result<(Exit, Output), PortError> {
        let mut deadline = Instant::now() + timeout;
        let mut timed_out = false;
        let mut pipe_open = true;
        let status = loop {
            let is_ordered = !timed_out && port.is_time_up();
            let left = deadline.saturating_duration_since(Instant::now());
            if is_ordered || left.is_zero() {
                if timed_out {
                    break ExitStatus::Stuck;
                }
                timed_out = true;
                deadline = Instant::now() + KILL_LIMIT;
                if !is_ordered {
                    // With an order, the host has run its own diagnosis before.
                    let _ = std::fs::write("/proc/sysrq-trigger", "w");
                }
                // All processes except PID 1: test frameworks use process groups of their own.
                let _ = kill_process_group(Pid::INIT, Signal::KILL);
                continue;
            }
            self.poll(port, requests.as_deref(), pipe_open, left.min(TICK))?;
            port.read_available()?;
            // Output that precedes a request is sent before the request.
            pipe_open = pipe_open && self.output.forward(port, 1)?;
            if let Some(requests) = &mut requests {
                requests.serve(port)?;
            }
            if let Some(status) = self.reap() {
                break status;
            }
        };
        self.output.forward(port, LAST_READS_MAX)?;
        Ok((Exit { status, timed_out }, self.output))
    }

    /// Waits for output, a request or the exit of the program, or for an order.
    fn poll(
        &self,
        port: &Port,
        requests: Option<&Requests>,
        pipe_open: bool,
        limit: Duration,
    ) -> Result<(), PortError> {
        let limit = Timespec::try_from(limit).unwrap_or_default();
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        if pipe_open {
            fds.push(PollFd::new(&self.output.pipe, PollFlags::IN));
        }
        // An order to kill the program must be handled at once.
        fds.push(PollFd::new(port.pollable(), PollFlags::IN));
        let request = requests.and_then(Requests::pollable);
        fds.extend(request.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Reaps ended processes; returns the program's status if it was among them.
    fn reap(&self) -> Option<ExitStatus> {
        let mut found = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.pid {
                found = Some(exit_status(status));
            }
        }
        found
    }
}

/// Starts a program with a working directory, by a temporary change of this process's
/// directory. `Command::current_dir` would make the library fork with a socket pair, which
/// a kernel without networking does not support. PID 1 has a single thread, so the change
/// has no side effects.
fn spawn_in(dir: &str, command: &mut Command) -> io::Result<Child> {
    std::env::set_current_dir(dir).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot change to `{dir}`: {error}"))
    })?;
    let child = command.spawn();
    // Relative paths of later mounts and files must not depend on the directory.
    std::env::set_current_dir("/")?;
    child
}

/// The output of a program.
#[derive(Debug)]
struct Output {
    pipe: File,
    sent_bytes: usize,
    cut: bool,
}

impl Output {
    /// Sends the content of the pipe with at most `reads_max` reads; returns false at its
    /// end.
    fn forward(&mut self, port: &mut Port, reads_max: usize) -> Result<bool, PortError> {
        let mut buffer = vec![0; OUTPUT_CHUNK_BYTES_MAX];
        for _ in 0..reads_max {
            let count = match self.pipe.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(_) => return Ok(true),
            };
            let allowed = count.min(OUTPUT_TOTAL_BYTES_MAX - self.sent_bytes);
            self.sent_bytes += allowed;
            self.cut |= allowed < count;
            if allowed > 0 {
                port.send(&FromGuest::Output {
                    data: buffer[..allowed].to_vec(),
                })?;
            }
        }
        Ok(true)
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Stuck,
    }
}
