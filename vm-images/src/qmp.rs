// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client for QEMU's monitor: commands with a deadline, and the events that explain why a
//! machine ended. Only commands wait.

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

/// Maximum length of a line from the monitor, in bytes.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Time limit for an answer. The monitor answers at once, unless the host gives QEMU no
/// processor time.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for an answer when the result of the run is already fixed.
const SHORT_LIMIT: Duration = Duration::from_secs(5);

/// Polling interval of commands that run in the background.
const PAUSE: Duration = Duration::from_millis(2);

/// Returns whether a background command may continue.
pub(crate) type MayContinue<'a> = &'a dyn Fn() -> bool;

/// An error of the monitor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    #[error("QEMU closed its monitor")]
    Closed,
    #[error("QEMU's monitor did not answer `{command}` within {} s", limit.as_secs())]
    Silent { command: String, limit: Duration },
    #[error("QEMU refused `{command}`: {reason}")]
    Refused { command: String, reason: String },
    #[error("QEMU's monitor sent a line longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("QEMU's monitor sent invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot exchange data with QEMU's monitor: {0}")]
    Io(#[from] io::Error),
}

/// The events of QEMU that are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QmpEvent {
    /// The machine shuts down, for this reason.
    Shutdown(String),
    /// The machine was stopped.
    Stop,
    /// The device with this id was removed.
    DeviceDeleted(String),
    /// The guest rejected the unplug request for the device with this id.
    UnplugRejected(String),
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
    /// Returns a monitor that accepts commands. QEMU's greeting is skipped as a line that
    /// is no answer.
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

    /// Shortens the time limit of the following commands.
    pub(crate) fn shorten_limit(&mut self) {
        self.answer_limit = SHORT_LIMIT;
    }

    /// Sends a command and returns the answer.
    fn command(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        // A command fits into the buffer of the socket.
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

    /// Returns the machine's run state, such as `running` or `internal-error`.
    pub(crate) fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.command("query-status", &json!({}))?;
        Ok(answer["status"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Writes the state of a stopped machine to a file, without its memory, which must be a
    /// shared file.
    pub(crate) fn save(
        &mut self,
        file: &Utf8Path,
        may_continue: MayContinue<'_>,
    ) -> Result<(), QmpError> {
        self.ignore_shared_memory()?;
        // QEMU reports completion before `cat` has written all data, so wait for the
        // rename.
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
                _ => pause("migrate", may_continue)?,
            }
        }
    }

    /// Reads the state of a machine from a file. The machine is stopped afterwards.
    pub(crate) fn load(
        &mut self,
        file: &Utf8Path,
        may_continue: MayContinue<'_>,
    ) -> Result<(), QmpError> {
        self.ignore_shared_memory()?;
        let uri = format!("exec:cat {}", quote(file.as_str()));
        self.command("migrate-incoming", &json!({ "uri": uri }))?;
        while self.status()? == "inmigrate" {
            pause("migrate-incoming", may_continue)?;
        }
        Ok(())
    }

    /// Stops the machine.
    pub(crate) fn stop(&mut self) -> Result<(), QmpError> {
        self.command("stop", &json!({})).map(drop)
    }

    /// Resumes the machine.
    pub(crate) fn resume(&mut self) -> Result<(), QmpError> {
        self.command("cont", &json!({})).map(drop)
    }

    /// Presses the attention button of a device's slot. The guest is expected to release
    /// the device; an event reports its removal.
    pub(crate) fn unplug(&mut self, id: &str) -> Result<(), QmpError> {
        self.command("device_del", &json!({ "id": id })).map(drop)
    }

    /// Plugs a device in.
    pub(crate) fn plug(&mut self, device: &DeviceSpec) -> Result<(), QmpError> {
        self.command("device_add", &device.to_json()).map(drop)
    }

    /// Excludes the memory from the saved state, which holds it by default.
    fn ignore_shared_memory(&mut self) -> Result<(), QmpError> {
        let capability = json!({ "capability": "x-ignore-shared", "state": true });
        let arguments = json!({ "capabilities": [capability] });
        self.command("migrate-set-capabilities", &arguments)
            .map(drop)
    }

    /// Runs a command of the human monitor for a processor and returns its output.
    pub(crate) fn monitor(&mut self, processor: u32, line: &str) -> Result<String, QmpError> {
        let arguments = json!({ "command-line": line, "cpu-index": processor });
        let answer = self.command("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Connects the input of the serial console to a pipe; the output is still appended to
    /// the log.
    pub(crate) fn connect_console_input(
        &mut self,
        console: &Utf8Path,
        keys: &Utf8Path,
    ) -> Result<(), QmpError> {
        let file = json!({ "out": console, "append": true, "in": keys });
        let backend = json!({ "type": "file", "data": file });
        let arguments = json!({ "id": "serial", "backend": backend });
        self.command("chardev-change", &arguments).map(drop)
    }

    /// Sends a break on the serial console.
    pub(crate) fn send_break(&mut self) -> Result<(), QmpError> {
        self.command("chardev-send-break", &json!({ "id": "serial" }))
            .map(drop)
    }

    /// Writes the guest's memory to an ELF file for debuggers. The guest is stopped
    /// meanwhile.
    pub(crate) fn dump_memory(
        &mut self,
        file: &Utf8Path,
        may_continue: MayContinue<'_>,
    ) -> Result<(), QmpError> {
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
                _ => pause("dump-guest-memory", may_continue)?,
            }
        }
    }

    /// Returns the events since the last call, without waiting.
    pub(crate) fn events(&mut self) -> Result<Vec<QmpEvent>, QmpError> {
        self.read_lines()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Returns whether QEMU closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads the available data; stores the events and returns all lines.
    fn read_lines(&mut self) -> Result<Vec<Line>, QmpError> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while !self.closed {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.take(&buffer[..count], &mut lines)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU was killed before it read all data.
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

/// Sleeps before the next poll of a background command, unless its time is up.
fn pause(command: &str, may_continue: MayContinue<'_>) -> Result<(), QmpError> {
    if !may_continue() {
        return Err(refused(command, "timed out or cancelled"));
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
        // Devices without an id are not from the machine file.
        "DEVICE_DELETED" => device_of(line).map(QmpEvent::DeviceDeleted),
        "DEVICE_UNPLUG_GUEST_ERROR" => device_of(line).map(QmpEvent::UnplugRejected),
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

    /// Returns a monitor that received the given lines, and the other end.
    fn monitor(lines: &[&str]) -> (Result<Qmp, QmpError>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for line in lines {
            theirs.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
        (Qmp::connect(ours), theirs)
    }

    #[test]
    fn connect_stores_events_that_precede_the_answer() {
        let shutdown = r#"{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#;
        let (qmp, _theirs) = monitor(&[GREETING, shutdown, r#"{"return": {}}"#]);
        assert_eq!(
            qmp.unwrap().events().unwrap(),
            vec![QmpEvent::Shutdown("guest-reset".into())]
        );
    }

    #[test]
    fn connect_reports_the_reason_of_a_refusal() {
        let (qmp, _theirs) = monitor(&[
            GREETING,
            r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
        ]);
        assert!(matches!(qmp, Err(QmpError::Refused { reason, .. }) if reason == "no"));
    }

    #[test]
    fn connect_fails_when_the_monitor_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(Qmp::connect(ours), Err(QmpError::Closed)));
    }

    #[test]
    fn connect_rejects_invalid_json() {
        let (qmp, _theirs) = monitor(&["hello"]);
        assert!(matches!(qmp, Err(QmpError::Json(_))));
    }
}
