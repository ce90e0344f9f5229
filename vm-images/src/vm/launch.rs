// SPDX-License-Identifier: MIT OR Apache-2.0
//! The start of QEMU and its connections: the guest's channel, the monitor and the test
//! port. QEMU connects to sockets with short paths in a temporary folder, because the path
//! of a socket is limited to 107 bytes.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{Child, Tool};
use tempfile::TempDir;

use super::channel_log::ChannelLog;
use super::clock::{Clock, LimitState, check_limit, sample};
use crate::qemu::{Memory, Wiring, arguments};
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::spec::VmSpec;
use crate::transcript::{End, Phase};

/// Time for QEMU to exit after it closed its connections, also on a busy host.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Maximum length of QEMU's standard error in an end, in bytes.
const STDERR_TAIL_BYTES: usize = 4096;

/// A running QEMU and the connections to it.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) channel: UnixStream,
    pub(super) qmp: Qmp,
    pub(super) test_port: Qtest,
    pub(super) channel_log: ChannelLog,
    /// Start of QEMU, and the guest's time since then.
    pub(super) begin: Instant,
    pub(super) clock: Clock,
}

/// Starts QEMU with this memory and waits until it has connected.
pub(super) fn launch(spec: &VmSpec, memory: Memory, cancel: &Cancel) -> Result<Launched, End> {
    let begin = Instant::now();
    let sockets = Sockets::new().map_err(End::launch_failed)?;
    let [channel, qmp, test_port] = sockets.paths().map_err(End::launch_failed)?;
    let wiring = Wiring::Sockets {
        serial: spec.artifacts.join("serial.log"),
        channel,
        qmp,
        test_port,
    };
    let channel_log = ChannelLog::create(&spec.artifacts.join("channel.jsonl"), begin)
        .map_err(End::launch_failed)?;
    let child = Tool::new(&spec.qemu.program)
        .args(arguments(&spec.machine, &spec.launch(memory, wiring)))
        .log_to(spec.artifacts.join("qemu.stderr"))
        .spawn()
        .map_err(End::launch_failed)?;
    let limit = spec.deadlines.launch;
    let (mut clock, mut state) = (Clock::default(), LimitState::Running);
    let connected = sockets.accept(|| {
        clock.update_if_due(begin.elapsed(), || sample(child.id()));
        state = check_limit(limit, begin.elapsed(), clock.withheld());
        child.try_wait().is_none() && !cancel.is_cancelled() && state == LimitState::Running
    });
    let Some([channel, qmp, test_port]) = connected.map_err(End::launch_failed)? else {
        return Err(failure(spec, &child, cancel, &clock, state));
    };
    channel.set_nonblocking(true).map_err(End::launch_failed)?;
    let test_port = Qtest::connect(test_port).map_err(End::launch_failed)?;
    let qmp = Qmp::connect(qmp).map_err(|error| {
        // QEMU closes the socket shortly before it exits.
        match child.wait_until(Instant::now() + CLOSE_LIMIT) {
            Some(_) => failure(spec, &child, cancel, &clock, state),
            None => End::launch_failed(error),
        }
    })?;
    Ok(Launched {
        child,
        channel,
        qmp,
        test_port,
        channel_log,
        begin,
        clock,
    })
}

/// Returns why QEMU did not connect. `state` is the state of the limit that ended the wait.
fn failure(spec: &VmSpec, child: &Child, cancel: &Cancel, clock: &Clock, state: LimitState) -> End {
    if cancel.is_cancelled() {
        return End::Cancelled;
    }
    match child.try_wait() {
        Some(status) => End::QemuDied {
            during: Phase::Launch,
            status: status.to_string(),
            stderr_tail: stderr_tail(&spec.artifacts),
        },
        None if state == LimitState::Withheld => End::HostTooSlow {
            phase: Phase::Launch,
            wall_ms: clock.totals().wall_ms,
            given_ms: clock.totals().given_ms(),
        },
        None => End::expired(Phase::Launch, spec.deadlines.launch),
    }
}

/// Returns the end of QEMU's standard error.
pub(super) fn stderr_tail(artifacts: &Utf8Path) -> String {
    let bytes = fs::read(artifacts.join("qemu.stderr")).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

/// Names of the sockets: the guest's channel, the monitor and the test port.
const SOCKETS: [&str; 3] = ["channel", "qmp", "qtest"];

/// Parent of the sockets' folder if the path of the default folder is too long.
const SHORT_TEMP_DIR: &str = "/tmp";

/// Maximum length of the default folder's path with which the sockets' paths fit, in bytes.
const TEMP_DIR_BYTES_MAX: usize = 80;

/// Polling interval for connections.
const INTERVAL: Duration = Duration::from_millis(2);

/// Sockets that listen for QEMU, in the order of [`SOCKETS`].
#[derive(Debug)]
struct Sockets {
    dir: TempDir,
    listeners: Vec<UnixListener>,
}

impl Sockets {
    fn new() -> io::Result<Self> {
        let default = std::env::temp_dir();
        let is_short = default.as_os_str().len() <= TEMP_DIR_BYTES_MAX;
        let dir = tempfile::Builder::new()
            .prefix("patchbed-")
            .tempdir_in(if is_short {
                default
            } else {
                SHORT_TEMP_DIR.into()
            })?;
        let bind = |name: &str| {
            let listener = UnixListener::bind(dir.path().join(name))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listeners = SOCKETS.into_iter().map(bind).collect::<io::Result<_>>()?;
        Ok(Self { dir, listeners })
    }

    fn paths(&self) -> io::Result<[Utf8PathBuf; 3]> {
        let dir = Utf8Path::from_path(self.dir.path())
            .ok_or_else(|| io::Error::other("the folder for temporary files is not UTF-8"))?;
        Ok(SOCKETS.map(|name| dir.join(name)))
    }

    /// Waits for QEMU on all sockets while `may_continue` returns true, and deletes the
    /// folder. Returns `None` if it returned false.
    fn accept(self, mut may_continue: impl FnMut() -> bool) -> io::Result<Option<[UnixStream; 3]>> {
        let mut streams = Vec::new();
        for listener in &self.listeners {
            streams.push(loop {
                match listener.accept() {
                    Ok((stream, _)) => break stream,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
                if !may_continue() {
                    return Ok(None);
                }
                std::thread::sleep(INTERVAL);
            });
        }
        Ok(streams.try_into().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_deletes_the_folder_when_all_are_connected() {
        let sockets = Sockets::new().unwrap();
        let dir = sockets.dir.path().to_owned();
        let _streams = sockets
            .paths()
            .unwrap()
            .map(|path| UnixStream::connect(path).unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        let accepted = sockets.accept(|| Instant::now() < deadline).unwrap();
        assert!(accepted.is_some());
        assert!(!dir.exists());
    }

    #[test]
    fn accept_deletes_the_folder_when_it_gives_up() {
        let sockets = Sockets::new().unwrap();
        let dir = sockets.dir.path().to_owned();
        assert!(sockets.accept(|| false).unwrap().is_none());
        assert!(!dir.exists());
    }
}
