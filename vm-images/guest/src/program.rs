// SPDX-License-Identifier: GPL-2.0-only
//! Runs programs, one at a time, and tells the host what they write and how
//! they end. A program's end is its exit, not the end of its output: it may
//! leave a process behind that holds files over a kexec, and that process
//! holds the output pipe too.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use patchbed_protocol::{
    Exit, ExitStatus, FromGuest, OUTPUT_CHUNK_BYTES_MAX, OUTPUT_TOTAL_BYTES_MAX, REQUESTS_DIR,
    REQUESTS_VARIABLE, boot_begins_marker, boot_ends_marker,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, wait,
};

use crate::port::{Port, PortError};
use crate::requests::Requests;
use crate::{facts, kmsg};

/// Longest sleep between two looks at orphans and at the clock.
const TICK: Duration = Duration::from_millis(250);

/// Time for a killed program to die before it is said to be stuck.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Most reads from the pipe after the program's end: what it wrote itself is
/// in there, what a process it left behind goes on writing is not waited for.
const LAST_READS_MAX: usize = 64;

/// The environment every program gets; the host's additions come on top.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/tests:/usr/bin:/bin:/usr/sbin:/sbin"),
    ("HOME", "/"),
    ("TMPDIR", "/tmp"),
];

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// The folder it starts in.
    pub(crate) dir: String,
}

/// Runs programs and keeps what must outlive them.
#[derive(Debug)]
pub(crate) struct Programs {
    boot: u32,
    /// Output pipes of programs that ended. They stay open, so that a process
    /// left behind is not killed for writing into a closed pipe.
    pipes: Vec<File>,
    /// By which programs ask their machine for something; none if this kernel
    /// cannot make them.
    requests: Option<Requests>,
}

impl Programs {
    /// Returns a runner of programs for this boot.
    pub(crate) fn new(boot: u32) -> Self {
        Self {
            boot,
            pipes: Vec::new(),
            requests: Requests::open().ok(),
        }
    }

    /// Runs a program to its end, or kills it when its time is up.
    pub(crate) fn run(
        &mut self,
        port: &mut Port,
        call: &Call,
        timeout_ms: u64,
    ) -> Result<(), PortError> {
        self.tend();
        // What was left by the one before is not for this one.
        self.requests.iter_mut().for_each(Requests::forget);
        kmsg::say(&boot_begins_marker(self.boot));
        let status = match Running::start(call, self.requests.is_some()) {
            Ok(running) => {
                port.send(&FromGuest::Started {
                    program: call.program.clone(),
                })?;
                let timeout = Duration::from_millis(timeout_ms);
                let (exit, output) = running.watch(port, self.requests.as_mut(), timeout)?;
                self.pipes.push(output.pipe);
                Ok((exit, output.cut))
            }
            Err(error) => Err(error),
        };
        kmsg::say(&boot_ends_marker(self.boot));
        match status {
            Ok((exit, output_cut)) => port.send(&FromGuest::Exited {
                exit,
                uptime_ms: facts::uptime_ms(),
                output_cut,
            }),
            Err(error) => port.trouble(format!("start `{}`", call.program), &error),
        }
    }

    /// Reaps orphans and empties the pipes of programs that ended, so that
    /// what they left behind never waits for a reader.
    pub(crate) fn tend(&mut self) {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let mut waste = [0; 4096];
        self.pipes.retain_mut(|pipe| {
            for _ in 0..LAST_READS_MAX {
                match pipe.read(&mut waste) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(_) => return true,
                }
            }
            true
        });
    }
}

/// A program that was started.
struct Running {
    pid: Pid,
    pidfd: OwnedFd,
    output: Output,
}

impl Running {
    fn start(call: &Call, may_ask: bool) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let mut command = Command::new(&call.program);
        command
            .args(&call.args)
            .env_clear()
            .envs(ENVIRONMENT.iter().copied())
            .envs(may_ask.then_some((REQUESTS_VARIABLE, REQUESTS_DIR)))
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
            output: Output::new(reader),
        })
    }

    /// Follows the program until it ended or does not die.
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
            let told = !timed_out && port.is_time_up();
            let left = deadline.saturating_duration_since(Instant::now());
            if told || left.is_zero() {
                if timed_out {
                    break ExitStatus::Stuck;
                }
                timed_out = true;
                deadline = Instant::now() + KILL_LIMIT;
                if !told {
                    show_where_tasks_hang();
                }
                kill_everything();
                continue;
            }
            self.poll(port, requests.as_deref(), pipe_open, left.min(TICK))?;
            port.take_in()?;
            // What it wrote before it asked comes before what it asks.
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

    /// Waits for the program's output, its plan_request or its end.
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
        // A time that is up does not wait for a program's wanted_item.
        fds.push(PollFd::new(port.watched(), PollFlags::IN));
        let plan_request = requests.and_then(Requests::watched);
        fds.extend(plan_request.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Reaps whatever ended; returns the program's status when it was among it.
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

/// Starts a program in a folder, by going there for the moment. Telling the library
/// would make it fork with the help of a socket pair, which a kernel without
/// networking does not have; and nobody but this thread is here to notice.
fn spawn_in(dir: &str, command: &mut Command) -> io::Result<Child> {
    std::env::set_current_dir(dir)
        .map_err(|error| io::Error::new(error.kind(), format!("going to `{dir}`: {error}")))?;
    let child = command.spawn();
    // What was mounted or sent later must not depend on where we are.
    std::env::set_current_dir("/")?;
    child
}

/// A program's output on its way to the host.
#[derive(Debug)]
struct Output {
    pipe: File,
    sent_bytes: usize,
    cut: bool,
}

impl Output {
    fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: File::from(pipe),
            sent_bytes: 0,
            cut: false,
        }
    }

    /// Sends what is in the pipe, with at most so many reads; false at its end.
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

/// Where tasks hang is what a developer asks next: into the kernel log. Nobody else
/// does that for a host that did not say that time was up.
fn show_where_tasks_hang() {
    let _ = std::fs::write("/proc/sysrq-trigger", "w");
}

/// Kills every process but this one: test frameworks put their children into
/// groups of their own, and after a time-out nothing is worth keeping.
fn kill_everything() {
    let _ = kill_process_group(Pid::INIT, Signal::KILL);
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Stuck,
    }
}
