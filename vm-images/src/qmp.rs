// SPDX-License-Identifier: GPL-2.0-only
//! A small client for QEMU's monitor: commands with a deadline, and the few
//! events that tell why a machine went away. Never waits for anything unless
//! asked to.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use patchbed_host::process::quote;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::qemu::devices::DeviceSpec;

/// Longest line that is taken from the monitor.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Limit for each answer; the monitor answers at once or not at all, but for a host that
/// has no time for QEMU.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The same where nothing depends on the answer any more.
const BRIEF_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two looks at what takes a while.
const PAUSE: Duration = Duration::from_millis(2);

/// Tells whether what takes a while may take longer.
pub(crate) type GoOn<'a> = &'a dyn Fn() -> bool;

/// Why the monitor is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    #[error("QEMU's monitor hung up")]
    Closed,
    #[error("QEMU's monitor did not answer `{command}` within {} s", limit.as_secs())]
    Silent { command: String, limit: Duration },
    #[error("QEMU refused `{command}`: {reason}")]
    Refused { command: String, reason: String },
    #[error("QEMU's monitor sent a line longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("QEMU's monitor sent what is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot talk to QEMU's monitor: {0}")]
    Io(#[from] io::Error),
}

/// What QEMU tells unasked, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QmpEvent {
    /// The machine goes away, for this reason.
    Shutdown(String),
    /// The machine was stopped.
    Stop,
    /// The device with this id is gone.
    DeviceGone(String),
    /// The guest would not let go of the device with this id.
    DeviceKept(String),
}

/// One line from the monitor.
#[derive(Debug, Deserialize)]
struct Line {
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    partial: Vec<u8>,
    events: Vec<QmpEvent>,
    closed: bool,
    answer_limit: Duration,
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Qmp {
    /// Returns a monitor that is ready for commands. QEMU's greeting needs no
    /// answer of its own: it is just the first line that is no answer.
    pub(crate) fn connect(stream: UnixStream) -> Result<Self, QmpError> {
        stream.set_nonblocking(true)?;
        let mut qmp = Self {
            stream,
            partial: Vec::new(),
            events: Vec::new(),
            closed: false,
            answer_limit: ANSWER_LIMIT,
        };
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// From now on waits for answers no longer than a QEMU takes that is well.
    pub(crate) fn be_brief(&mut self) {
        self.answer_limit = BRIEF_LIMIT;
    }

    /// Gives a command and returns the answer.
    fn command(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        // A command is shorter than any socket buffer.
        self.stream.write_all(line.as_bytes())?;
        let deadline = Instant::now() + self.answer_limit;
        loop {
            for line in self.read_lines()? {
                if let Some(refusal) = line.error {
                    return Err(refused(command, &refusal.desc));
                }
                if let Some(answer) = line.answer {
                    return Ok(answer);
                }
            }
            if self.closed {
                return Err(QmpError::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QmpError::Silent {
                    command: command.to_owned(),
                    limit: self.answer_limit,
                });
            }
            let limit = Timespec::try_from(left).unwrap_or_default();
            let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
            match poll(&mut fds, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Returns the machine's run state, like `running` or `internal-error`.
    pub(crate) fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.command("query-status", &json!({}))?;
        Ok(answer["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Writes a machine that was stopped to a file, but for its memory, which
    /// must be a file already.
    pub(crate) fn save(&mut self, file: &Utf8Path, go_on: GoOn<'_>) -> Result<(), QmpError> {
        self.leave_memory_where_it_is()?;
        // A file that is there is whole: it gets its name when all is in it.
        let partial = format!("{file}.partial");
        let script = format!(
            "cat > {partial} && mv {partial} {file}",
            partial = quote(&partial),
            file = quote(file.as_str())
        );
        self.command("migrate", &json!({ "uri": format!("exec:{script}") }))?;
        loop {
            let answer = self.command("query-migrate", &json!({}))?;
            match answer["status"].as_str() {
                Some("completed") if file.exists() => return Ok(()),
                Some("failed" | "cancelled") => {
                    let reason = answer["error-desc"].as_str().unwrap_or("no reason given");
                    return Err(refused("migrate", reason));
                }
                _ => pause("migrate", go_on)?,
            }
        }
    }

    /// Reads a machine from a file; it stands still then.
    pub(crate) fn load(&mut self, file: &Utf8Path, go_on: GoOn<'_>) -> Result<(), QmpError> {
        self.leave_memory_where_it_is()?;
        let script = format!("cat {}", quote(file.as_str()));
        self.command(
            "migrate-incoming",
            &json!({ "uri": format!("exec:{script}") }),
        )?;
        while self.status()? == "inmigrate" {
            pause("migrate-incoming", go_on)?;
        }
        Ok(())
    }

    /// Stops the machine.
    pub(crate) fn stop(&mut self) -> Result<(), QmpError> {
        self.command("stop", &json!({})).map(drop)
    }

    /// Lets the machine go on.
    pub(crate) fn go_on(&mut self) -> Result<(), QmpError> {
        self.command("cont", &json!({})).map(drop)
    }

    /// Presses the attention button of the slot that a device is in: the guest is to
    /// let go of it, and an event tells when it has.
    pub(crate) fn unplug(&mut self, id: &str) -> Result<(), QmpError> {
        self.command("device_del", &json!({ "id": id })).map(drop)
    }

    /// Plugs a device in.
    pub(crate) fn plug(&mut self, device: &DeviceSpec) -> Result<(), QmpError> {
        self.command("device_add", &device.to_json()).map(drop)
    }

    /// By itself QEMU would put the memory into the same file, or want it there.
    fn leave_memory_where_it_is(&mut self) -> Result<(), QmpError> {
        let capability = json!({ "capability": "x-ignore-shared", "state": true });
        self.command(
            "migrate-set-capabilities",
            &json!({ "capabilities": [capability] }),
        )
        .map(drop)
    }

    /// Returns what the monitor for people says to a line.
    pub(crate) fn monitor(&mut self, line: &str) -> Result<String, QmpError> {
        let answer = self.command("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Returns what the monitor for people says to a line about a processor.
    pub(crate) fn monitor_of(&mut self, processor: u32, line: &str) -> Result<String, QmpError> {
        let arguments = json!({ "command-line": line, "cpu-index": processor });
        let answer = self.command("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Has the serial console take keys from a pipe, and go on to be written to its file.
    pub(crate) fn listen_on_console(
        &mut self,
        console: &Utf8Path,
        keys: &Utf8Path,
    ) -> Result<(), QmpError> {
        let file = json!({ "out": console, "append": true, "in": keys });
        let backend = json!({ "type": "file", "data": file });
        let arguments = json!({ "id": "serial", "backend": backend });
        self.command("chardev-change", &arguments).map(drop)
    }

    /// Holds the line of the serial console down for a moment.
    pub(crate) fn send_break(&mut self) -> Result<(), QmpError> {
        self.command("chardev-send-break", &json!({ "id": "serial" }))
            .map(drop)
    }

    /// Writes the guest's memory to a file that debuggers read. The guest stands still
    /// meanwhile.
    pub(crate) fn dump_memory(&mut self, file: &Utf8Path, go_on: GoOn<'_>) -> Result<(), QmpError> {
        let arguments = json!({
            "paging": false,
            "protocol": format!("file:{file}"),
            "format": "elf",
            "detach": true,
        });
        self.command("dump-guest-memory", &arguments)?;
        loop {
            let answer = self.command("query-dump", &json!({}))?;
            match answer["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed") => return Err(refused("dump-guest-memory", "no reason given")),
                _ => pause("dump-guest-memory", go_on)?,
            }
        }
    }

    /// Returns the events that came since the last call; never waits.
    pub(crate) fn events(&mut self) -> Result<Vec<QmpEvent>, QmpError> {
        self.read_lines()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Returns whether QEMU hung up.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads what is there; keeps the events, returns all lines.
    fn read_lines(&mut self) -> Result<Vec<Line>, QmpError> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while !self.closed {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.take(&buffer[..count], &mut lines)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU was killed with something of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.closed = true,
                Err(error) => return Err(error.into()),
            }
        }
        self.events.extend(lines.iter().filter_map(event_of));
        Ok(lines)
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), QmpError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + piece.len() > LINE_BYTES_MAX {
                return Err(QmpError::TooLong);
            }
            self.partial.extend_from_slice(piece);
            if self.partial.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                if !line.trim_ascii().is_empty() {
                    lines.push(serde_json::from_slice(&line)?);
                }
            }
        }
        Ok(())
    }
}

fn refused(command: &str, reason: &str) -> QmpError {
    QmpError::Refused {
        command: command.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Waits a little, if there is still time.
fn pause(command: &str, go_on: GoOn<'_>) -> Result<(), QmpError> {
    if !go_on() {
        return Err(refused(command, "no time was left for it to end"));
    }
    std::thread::sleep(PAUSE);
    Ok(())
}

fn event_of(line: &Line) -> Option<QmpEvent> {
    match line.event.as_deref()? {
        "SHUTDOWN" => Some(QmpEvent::Shutdown(
            line.data["reason"].as_str().unwrap_or("unknown").to_owned(),
        )),
        "STOP" => Some(QmpEvent::Stop),
        // What has no id was no device of the machine's file.
        "DEVICE_DELETED" => device_of(line).map(QmpEvent::DeviceGone),
        "DEVICE_UNPLUG_GUEST_ERROR" => device_of(line).map(QmpEvent::DeviceKept),
        _ => None,
    }
}

fn device_of(line: &Line) -> Option<String> {
    line.data["device"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#;

    /// Returns a monitor, its other end, after the given lines were sent.
    fn monitor(lines: &[&str]) -> (Result<Qmp, QmpError>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for line in lines {
            theirs.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
        (Qmp::connect(ours), theirs)
    }

    #[test]
    fn events_are_kept_whatever_else_is_said() {
        let shutdown = r#"{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#;
        let (qmp, _theirs) = monitor(&[GREETING, shutdown, r#"{"return": {}}"#]);
        assert_eq!(
            qmp.unwrap().events().unwrap(),
            vec![QmpEvent::Shutdown("guest-reset".into())]
        );
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let (qmp, _theirs) = monitor(&[
            GREETING,
            r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
        ]);
        assert!(matches!(qmp, Err(QmpError::Refused { reason, .. }) if reason == "no"));
    }

    #[test]
    fn a_closed_monitor_ends_the_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(Qmp::connect(ours), Err(QmpError::Closed)));
    }

    #[test]
    fn nonsense_is_an_error() {
        let (qmp, _theirs) = monitor(&["hello"]);
        assert!(matches!(qmp, Err(QmpError::Json(_))));
    }
}
