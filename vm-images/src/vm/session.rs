// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running QEMU and the connections to it. Every wait is limited by the deadline of the
//! current phase, and also ends when QEMU exits, the monitor reports a stop, the console
//! log exceeds its limit, or the run is cancelled.

mod channel;
mod end;
mod hang_diagnosis;
mod launch;
mod saved;
mod slots;
mod time;

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Child;
use patchbed_protocol::{Decoder, FromGuest, LineError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::channel_log::{ChannelLog, Sender};
use super::clock::Clock;
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::transcript::{End, Hang, Phase};

/// Maximum sleep between two checks of the conditions that end a wait.
const TICK: Duration = Duration::from_millis(50);

/// Time for QEMU to exit after it closed its connections, also on a busy host.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Maximum size of the console log of a run, in bytes.
const CONSOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A running, connected QEMU; killed on drop.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    channel: UnixStream,
    channel_open: bool,
    decoder: Decoder<FromGuest>,
    inbox: VecDeque<Result<FromGuest, LineError>>,
    qmp: Qmp,
    test_port: Qtest,
    /// Names of the slots whose device was removed and not plugged in again.
    empty: BTreeSet<String>,
    shutdown: Option<String>,
    goodbye: bool,
    channel_log: ChannelLog,
    artifacts: Utf8PathBuf,
    cancel: Cancel,
    /// Start of QEMU, and the guest's time since then.
    begin: Instant,
    clock: Clock,
    phase: Phase,
    phase_begin: Instant,
    /// Time withheld from the guest before the phase.
    phase_withheld: Duration,
    /// Limit of the phase, in the guest's time.
    phase_limit: Duration,
    /// Time in the phase at which the guest is ordered to kill its program.
    program_timeout: Option<Duration>,
    program_timed_out: bool,
    /// Whether a hang diagnosis stores a memory dump.
    keep_dump: bool,
    hang: Option<Hang>,
}

impl Session {
    /// Waits for the next message of the guest. Failures end the run.
    pub(super) fn wait(&mut self) -> Result<FromGuest, End> {
        loop {
            if let Some(message) = self.wait_until(None)? {
                return Ok(message);
            }
        }
    }

    /// Waits for the next message of the guest, at most until a time, with the precision of
    /// [`TICK`].
    pub(super) fn wait_until(&mut self, until: Option<Instant>) -> Result<Option<FromGuest>, End> {
        loop {
            if let Some(line) = self.inbox.pop_front() {
                return self.accept(line).map(Some);
            }
            self.check()?;
            self.sleep(PollFlags::IN)?;
            self.read_channel()?;
            self.read_qmp()?;
            if !self.channel_open || self.qmp.is_closed() || self.child.try_wait().is_some() {
                // Messages that were sent before the end still count.
                self.read_channel()?;
                if self.inbox.is_empty() {
                    return Err(self.after_close());
                }
            }
            if self.inbox.is_empty() && until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }

    /// Checks the conditions that end a wait early.
    fn check(&mut self) -> Result<(), End> {
        if self.cancel.is_cancelled() {
            return Err(End::Cancelled);
        }
        self.check_time()?;
        let console = fs::metadata(self.artifacts.join("serial.log"));
        if console.is_ok_and(|console| console.len() > CONSOLE_BYTES_MAX) {
            return Err(End::ConsoleFlood {
                during: self.phase,
                limit_bytes: CONSOLE_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// Sleeps until a connection is ready, at most for [`TICK`].
    fn sleep(&mut self, channel: PollFlags) -> Result<(), End> {
        let mut fds = Vec::with_capacity(2);
        if self.channel_open {
            fds.push(PollFd::new(&self.channel, channel));
        }
        if !self.qmp.is_closed() {
            fds.push(PollFd::new(&self.qmp, PollFlags::IN));
        }
        if fds.is_empty() {
            // Both connections are closed: QEMU is about to exit.
            self.child.wait_until(Instant::now() + TICK);
            return Ok(());
        }
        let tick = Timespec::try_from(TICK).unwrap_or_default();
        match poll(&mut fds, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(self.broken(error.to_string())),
        }
    }
}
