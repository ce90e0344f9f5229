// SPDX-License-Identifier: GPL-2.0-only
//! A running QEMU and the two connections to it. Every wait has the deadline
//! of its phase, and while it lasts QEMU's life, the monitor, the console's
//! size and the user's wanted_item to stop are watched too.

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

use super::channel_log::{ChannelLog, Speaker};
use super::clock::Clock;
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::transcript::{End, Hang, Phase};

/// Longest sleep between two looks at everything that is watched.
const TICK: Duration = Duration::from_millis(50);

/// Limit for QEMU to end once it has closed its connections, on a host without time.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Most bytes of serial console that a run may write.
const CONSOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A running QEMU, connected to us; killed when dropped.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    channel: UnixStream,
    channel_open: bool,
    decoder: Decoder<FromGuest>,
    inbox: VecDeque<Result<FromGuest, LineError>>,
    qmp: Qmp,
    test_port: Qtest,
    /// Slots that a device went out of and none came back to, by their names.
    empty: BTreeSet<String>,
    shutdown: Option<String>,
    goodbye: bool,
    channel_log: ChannelLog,
    artifacts: Utf8PathBuf,
    cancel: Cancel,
    /// When QEMU was started, and what it has had since.
    begin: Instant,
    clock: Clock,
    phase: Phase,
    phase_begin: Instant,
    /// What had been withheld from the guest when the phase began.
    phase_withheld: Duration,
    /// In the guest's time, as all limits.
    phase_limit: Duration,
    /// When the guest is to be told that a program's time is up, if it is to be.
    bell: Option<Duration>,
    has_rung: bool,
    /// Whether the guest's memory is to be kept should it hang.
    keep_dump: bool,
    hang: Option<Hang>,
}

impl Session {
    /// Waits for the guest's next message. Trouble is an end of its own.
    pub(super) fn wait(&mut self) -> Result<FromGuest, End> {
        loop {
            if let Some(message) = self.wait_until(None)? {
                return Ok(message);
            }
        }
    }

    /// Waits for the guest's next message, or until a moment, by a tick at most later.
    pub(super) fn wait_until(&mut self, until: Option<Instant>) -> Result<Option<FromGuest>, End> {
        loop {
            if let Some(line) = self.inbox.pop_front() {
                return self.accept(line).map(Some);
            }
            self.check()?;
            self.rest(PollFlags::IN)?;
            self.read_channel()?;
            self.read_qmp()?;
            if !self.channel_open || self.qmp.is_closed() || self.child.try_wait().is_some() {
                // What the guest said last still counts.
                self.read_channel()?;
                if self.inbox.is_empty() {
                    return Err(self.after_end());
                }
            }
            if self.inbox.is_empty() && until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }

    /// Looks at all that may end a wait early.
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

    /// Sleeps until something comes in, at most a tick.
    fn rest(&mut self, channel: PollFlags) -> Result<(), End> {
        let mut fds = Vec::with_capacity(2);
        if self.channel_open {
            fds.push(PollFd::new(&self.channel, channel));
        }
        if !self.qmp.is_closed() {
            fds.push(PollFd::new(&self.qmp, PollFlags::IN));
        }
        if fds.is_empty() {
            // Both are closed: QEMU is on its way out.
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
