// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running QEMU and the connections to it: the guest's messages, and the phases of the
//! run with their limits in the guest's time. Every wait is limited by the deadline of the
//! current phase, and also ends when QEMU exits, the monitor reports a stop, the console
//! log exceeds its limit, or the run is cancelled.

mod hang;
mod monitor;

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Child;
use patchbed_protocol::{Decoder, FromGuest, LineError, ToGuest, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::channel_log::{ChannelLog, Sender};
use super::clock::{self, Clock, LimitState};
use super::launch;
use crate::arch::Arch;
use crate::qemu::Memory;
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::spec::VmSpec;
use crate::transcript::{End, Hang, HostTime, Phase, millis};

/// Maximum sleep between two checks of the conditions that end a wait.
const TICK: Duration = Duration::from_millis(50);

/// Maximum size of the console log of a run, in bytes.
const CONSOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Maximum length of a message in an error, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Maximum number of unread messages. A guest that sends more is invalid.
const INBOX_MAX: usize = 10_000;

/// A running, connected QEMU; killed on drop.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    channel: UnixStream,
    channel_open: bool,
    decoder: Decoder,
    inbox: VecDeque<Result<FromGuest, LineError>>,
    qmp: Qmp,
    test_port: Qtest,
    arch: Arch,
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
    /// Starts QEMU with this memory and waits until it has connected.
    pub(super) fn launch(spec: &VmSpec, memory: Memory, cancel: &Cancel) -> Result<Self, End> {
        let launched = launch::launch(spec, memory, cancel)?;
        Ok(Self {
            child: launched.child,
            channel: launched.channel,
            channel_open: true,
            decoder: Decoder::default(),
            inbox: VecDeque::new(),
            qmp: launched.qmp,
            test_port: launched.test_port,
            arch: spec.machine.kind.arch(),
            empty: BTreeSet::new(),
            shutdown: None,
            goodbye: false,
            channel_log: launched.channel_log,
            artifacts: spec.artifacts.clone(),
            cancel: cancel.clone(),
            begin: launched.begin,
            clock: launched.clock,
            phase: Phase::Launch,
            phase_begin: launched.begin,
            phase_withheld: Duration::ZERO,
            phase_limit: spec.deadlines.launch,
            program_timeout: None,
            program_timed_out: false,
            keep_dump: spec.keep_dump,
            hang: None,
        })
    }

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

    /// Sends an order to the guest.
    pub(super) fn send(&mut self, message: &ToGuest) -> Result<(), End> {
        match message {
            // The log names a file without its content.
            ToGuest::Put { path, .. } => {
                self.channel_log.note(Sender::Host, &format!("put {path}"));
            }
            other => self.channel_log.note(Sender::Host, other),
        }
        let line = encode(message).map_err(|error| self.broken(error.to_string()))?;
        // The order to kill the program must not cut this line.
        let program_timeout = self.program_timeout.take();
        let result = self.write(&line);
        self.program_timeout = program_timeout;
        result
    }

    fn write(&mut self, mut rest: &[u8]) -> Result<(), End> {
        while !rest.is_empty() {
            match self.channel.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.check()?;
                    self.sleep(PollFlags::OUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU is about to exit; the next wait finds the cause.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads the available messages.
    fn read_channel(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; 64 * 1024];
        while self.channel_open && self.inbox.len() < INBOX_MAX {
            match self.channel.read(&mut buffer) {
                Ok(0) => self.channel_open = false,
                Ok(count) => {
                    for line in self.decoder.push(&buffer[..count]) {
                        match &line {
                            Ok(message) => self.channel_log.note(Sender::Guest, message),
                            Err(error) => self.channel_log.note(Sender::Guest, &error.to_string()),
                        }
                        self.inbox.push_back(line);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.channel_open = false;
                }
                Err(error) => return Err(self.broken(error.to_string())),
            }
        }
        Ok(())
    }

    /// Returns the message of a line, unless it ends the run.
    fn accept(&mut self, line: Result<FromGuest, LineError>) -> Result<FromGuest, End> {
        match line {
            Ok(FromGuest::Trouble { doing, error }) => Err(End::Trouble {
                during: self.phase,
                doing,
                error,
            }),
            Ok(message) => {
                self.goodbye |= message == FromGuest::Goodbye;
                Ok(message)
            }
            // The next kernel's first message cut off the last line of this kernel.
            Err(_) if self.next_is_hello() => Err(self.unexpected_kexec()),
            Err(error) => Err(self.broken(error.to_string())),
        }
    }

    /// Returns the end of a run after an unexpected message.
    pub(super) fn unexpected(&self, message: &FromGuest) -> End {
        let mut shown = format!("{message:?}");
        if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) {
            shown.truncate(end);
        }
        self.broken(format!("unexpected message {shown}"))
    }

    /// Returns the end of a run after invalid data on the channel.
    pub(super) fn broken(&self, error: String) -> End {
        End::ChannelBroken {
            during: self.phase,
            error,
        }
    }

    /// Returns the end of a run whose guest executed a kexec without an order.
    pub(super) fn unexpected_kexec(&self) -> End {
        End::GuestGone {
            during: self.phase,
            reason: "kexec".to_owned(),
        }
    }

    fn next_is_hello(&self) -> bool {
        let next = self.inbox.front();
        matches!(self.phase, Phase::Program(_)) && matches!(next, Some(Ok(FromGuest::Hello { .. })))
    }
}

/// The phases and their limits.
impl Session {
    /// Enters a phase with a limit in the guest's time. The phases `Boot` and `Restore`
    /// include the start of QEMU.
    pub(super) fn enter(&mut self, phase: Phase, limit: Duration) {
        if !matches!(phase, Phase::Boot | Phase::Restore) {
            self.update_clock();
            self.phase_begin = Instant::now();
            self.phase_withheld = self.clock.withheld();
        }
        self.phase = phase;
        self.phase_limit = limit;
        self.program_timeout = None;
    }

    /// Sets the time in the phase at which the guest is ordered to kill its program.
    pub(super) fn set_program_timeout(&mut self, timeout: Duration) {
        self.program_timeout = Some(timeout);
        self.program_timed_out = false;
    }

    /// Returns whether the program was diagnosed and killed because of its timeout.
    pub(super) const fn program_timed_out(&self) -> bool {
        self.program_timed_out
    }

    /// Returns the host time since the phase began.
    pub(super) fn phase_elapsed(&self) -> Duration {
        self.phase_begin.elapsed()
    }

    /// Returns the guest's time since the start of QEMU.
    pub(super) fn guest_time(&self) -> Duration {
        self.clock.guest()
    }

    /// Returns the totals of the clock and the hang diagnosis, and kills QEMU.
    pub(super) fn into_records(mut self) -> (HostTime, Option<Hang>) {
        self.update_clock();
        (self.clock.totals(), self.hang.take())
    }

    /// Updates the clock and handles expired limits.
    fn check_time(&mut self) -> Result<(), End> {
        let process = self.child.id();
        self.clock
            .update_if_due(self.begin.elapsed(), || clock::sample(process));
        let timeout = self.program_timeout;
        if timeout.is_some_and(|timeout| self.limit_state(timeout) == LimitState::Expired) {
            self.end_program()?;
        }
        match self.limit_state(self.phase_limit) {
            LimitState::Running => Ok(()),
            LimitState::Expired => {
                self.diagnose_hang(LimitState::Expired);
                Err(End::expired(self.phase, self.phase_limit))
            }
            LimitState::Withheld => {
                let (wall, withheld) = self.phase_times();
                self.diagnose_hang(LimitState::Withheld);
                Err(End::HostTooSlow {
                    phase: self.phase,
                    wall_ms: millis(wall),
                    given_ms: millis(wall.saturating_sub(withheld)),
                })
            }
        }
    }

    /// Diagnoses a machine whose program exceeded its timeout, and orders the guest to kill
    /// the program. The guest's own clock does not exclude the time withheld from it.
    fn end_program(&mut self) -> Result<(), End> {
        self.program_timeout = None;
        self.program_timed_out = true;
        let before = self.guest_time();
        self.diagnose_hang(LimitState::Expired);
        // The time of the diagnosis does not count.
        self.update_clock();
        self.phase_limit += self.guest_time() - before;
        self.send(&ToGuest::TimeIsUp)
    }

    /// Returns the wall time of the phase and the withheld part of it.
    fn phase_times(&self) -> (Duration, Duration) {
        let withheld = self.clock.withheld() - self.phase_withheld;
        (self.phase_elapsed(), withheld)
    }

    fn limit_state(&self, limit: Duration) -> LimitState {
        let (wall, withheld) = self.phase_times();
        clock::check_limit(limit, wall, withheld)
    }

    fn update_clock(&mut self) {
        let threads = clock::sample(self.child.id());
        self.clock.update(self.begin.elapsed(), &threads);
    }
}
