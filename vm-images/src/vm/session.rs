// SPDX-License-Identifier: GPL-2.0-only
//! A running QEMU and the two connections to it. Every wait has the deadline
//! of its phase, and while it lasts QEMU's life, the monitor, the console's
//! size and the user's wish to stop are watched too.

mod inquest;
mod slots;
mod time;

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbed_host::cancel::Cancel;
use testbed_host::process::{Child, Tool};
use testbed_protocol::{Decoder, FromGuest, LineError, ToGuest, encode};

use super::VmSpec;
use super::clock::{self, Clock, Time};
use super::ending::QemuEnd;
use super::journal::{Journal, Speaker};
use super::sockets::{Connected, Sockets};
use super::threads;
use crate::qemu::{Memory, Wiring, arguments};
use crate::qmp::{Qmp, QmpError, QmpEvent};
use crate::qtest::Qtest;
use crate::template::devices::Devices;
use crate::transcript::{End, Hang, Phase};

/// Longest sleep between two looks at everything that is watched.
const TICK: Duration = Duration::from_millis(50);

/// Limit for QEMU to end once it has closed its connections, on a host without time.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Time for a QEMU that refused something to be gone, if that is how it refuses.
const DYING: Duration = Duration::from_millis(500);

/// Most bytes of serial console that a run may write.
const CONSOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most bytes of QEMU's standard error that are quoted.
const STDERR_TAIL_BYTES: usize = 4096;

/// Most of a message that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Most unread messages; a guest that says more in one go says nonsense.
const INBOX_MAX: usize = 10_000;

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
    journal: Journal,
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
    /// Starts QEMU with this memory and waits until it is connected.
    pub(super) fn launch(spec: &VmSpec, memory: Memory, cancel: &Cancel) -> Result<Self, End> {
        let begin = Instant::now();
        let sockets = Sockets::new().map_err(End::launch_failed)?;
        let wiring = Wiring::Sockets {
            serial: spec.artifacts.join("serial.log"),
            channel: sockets.channel_path().map_err(End::launch_failed)?,
            qmp: sockets.qmp_path().map_err(End::launch_failed)?,
            test_port: sockets.test_port_path().map_err(End::launch_failed)?,
        };
        let journal = Journal::create(&spec.artifacts.join("channel.jsonl"), begin)
            .map_err(End::launch_failed)?;
        let mut child = Tool::new(&spec.qemu.program)
            .args(arguments(&spec.machine, &spec.launch(memory, wiring)))
            .log_to(spec.artifacts.join("qemu.stderr"))
            .deadline("launch", spec.deadlines.launch)
            .spawn()
            .map_err(End::launch_failed)?;
        let mut clock = Clock::default();
        let connected = sockets
            .accept(|| {
                clock.look_if_due(begin.elapsed(), || threads::look(child.id()));
                let time = clock::look_at(spec.deadlines.launch, begin.elapsed(), clock.withheld());
                child.try_wait().is_none() && !cancel.is_cancelled() && time == Time::Left
            })
            .map_err(End::launch_failed)?;
        let Some(Connected {
            channel,
            qmp,
            test_port,
        }) = connected
        else {
            return Err(gave_up(spec, &mut child, cancel, &clock));
        };
        let test_port = Qtest::connect(test_port).map_err(End::launch_failed)?;
        channel.set_nonblocking(true).map_err(End::launch_failed)?;
        let qmp = Qmp::connect(qmp).map_err(|error| {
            // Its end shows on the socket a moment before the process is gone.
            match child.wait_until(Instant::now() + CLOSE_LIMIT) {
                Some(_) => gave_up(spec, &mut child, cancel, &clock),
                None => End::launch_failed(error),
            }
        })?;
        Ok(Self {
            child,
            channel,
            channel_open: true,
            decoder: Decoder::new(),
            inbox: VecDeque::new(),
            qmp,
            test_port,
            empty: BTreeSet::new(),
            shutdown: None,
            goodbye: false,
            journal,
            artifacts: spec.artifacts.clone(),
            cancel: cancel.clone(),
            begin,
            clock,
            phase: Phase::Launch,
            phase_begin: begin,
            phase_withheld: Duration::ZERO,
            phase_limit: spec.deadlines.launch,
            bell: None,
            has_rung: false,
            keep_dump: spec.keep_dump,
            hang: None,
        })
    }

    /// Stops the machine and writes it to a file, but for its memory; returns its
    /// devices. It is of no use after.
    pub(super) fn save(&mut self, file: &Utf8Path) -> Result<Devices, End> {
        let go_on = self.patience();
        let stopped = self.qmp.stop();
        stopped.map_err(|error| self.monitor_failed(&error))?;
        let devices = self.devices()?;
        let saved = self.qmp.save(file, &go_on);
        saved.map_err(|error| self.monitor_failed(&error))?;
        Ok(devices)
    }

    /// Reads the machine from a file, but for its memory, and lets it go on if
    /// its devices are these.
    pub(super) fn load(&mut self, file: &Utf8Path, devices: &Devices) -> Result<(), End> {
        let go_on = self.patience();
        let loaded = self.qmp.load(file, &go_on);
        loaded.map_err(|error| self.monitor_failed(&error))?;
        let put_back = devices.put_back(&mut self.test_port);
        put_back.map_err(|error| self.broken(error.to_string()))?;
        if let Some(difference) = devices.difference(&self.devices()?) {
            return Err(self.broken(format!("it is not the same machine: {difference}")));
        }
        let gone_on = self.qmp.go_on();
        gone_on.map_err(|error| self.monitor_failed(&error))
    }

    fn devices(&mut self) -> Result<Devices, End> {
        Devices::read(&mut self.test_port).map_err(|error| self.broken(error.to_string()))
    }

    /// Returns what tells whether the phase may last longer.
    fn patience(&self) -> impl Fn() -> bool + use<> {
        let limit = self.phase_limit.saturating_mul(clock::PATIENCE);
        let (end, cancel) = (self.phase_begin + limit, self.cancel.clone());
        move || Instant::now() < end && !cancel.is_cancelled()
    }

    /// Tells why the monitor could not do what it was asked for: QEMU may have
    /// died of it.
    fn monitor_failed(&mut self, error: &QmpError) -> End {
        if self.cancel.is_cancelled() {
            return End::Cancelled;
        }
        match self.child.wait_until(Instant::now() + DYING) {
            Some(status) => End::QemuDied {
                during: self.phase,
                status: status.to_string(),
                stderr_tail: stderr_tail(&self.artifacts),
            },
            None => self.monitor_broken(error),
        }
    }

    /// Sends an order to the guest.
    pub(super) fn send(&mut self, message: &ToGuest) -> Result<(), End> {
        match message {
            // A journal tells what was sent, it is no second copy of it.
            ToGuest::Put { path, .. } => self.journal.note(Speaker::Host, &format!("put {path}")),
            other => self.journal.note(Speaker::Host, other),
        }
        let line = encode(message).map_err(|error| self.broken(error.to_string()))?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.channel.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.check()?;
                    self.rest(PollFlags::OUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU is going away; how, the next wait tells.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

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

    /// Waits for QEMU's end after the guest said goodbye.
    pub(super) fn wait_for_end(&mut self) -> Result<(), End> {
        loop {
            self.read_qmp()?;
            if let Some(status) = self.child.try_wait() {
                self.read_qmp()?;
                return self.qemu_end(status).judge();
            }
            self.check()?;
            self.rest(PollFlags::IN)?;
            self.read_channel()?;
        }
    }

    /// Returns the end that a message out of place comes to.
    pub(super) fn unexpected(&self, message: &FromGuest) -> End {
        let mut shown = format!("{message:?}");
        if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) {
            shown.truncate(end);
        }
        self.broken(format!("unexpected message {shown}"))
    }

    /// Returns the end that nonsense on the channel comes to.
    pub(super) fn broken(&self, error: String) -> End {
        End::ChannelBroken {
            during: self.phase,
            error,
        }
    }

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
            // Its last line was cut off by the next kernel's first.
            Err(_) if self.is_over_in_next_kernel() => Err(self.gone_over()),
            Err(error) => Err(self.broken(error.to_string())),
        }
    }

    fn is_over_in_next_kernel(&self) -> bool {
        let next = self.inbox.front();
        matches!(self.phase, Phase::Stage(_)) && matches!(next, Some(Ok(FromGuest::Hello { .. })))
    }

    /// Returns the end of a guest that went over to its next kernel unasked.
    pub(super) fn gone_over(&self) -> End {
        End::GuestGone {
            during: self.phase,
            reason: "kexec".to_owned(),
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

    /// Takes what the guest has said so far.
    fn read_channel(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; 64 * 1024];
        while self.channel_open && self.inbox.len() < INBOX_MAX {
            match self.channel.read(&mut buffer) {
                Ok(0) => self.channel_open = false,
                Ok(count) => {
                    for line in self.decoder.push(&buffer[..count]) {
                        match &line {
                            Ok(message) => self.journal.note(Speaker::Guest, message),
                            Err(error) => self.journal.note(Speaker::Guest, &error.to_string()),
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

    /// Takes what QEMU has said so far; a machine that stands still is an end.
    fn read_qmp(&mut self) -> Result<(), End> {
        let events = self
            .qmp
            .events()
            .map_err(|error| self.monitor_broken(&error))?;
        for event in events {
            self.journal.note(Speaker::Qemu, &format!("{event:?}"));
            match event {
                QmpEvent::Shutdown(reason) => self.shutdown = Some(reason),
                // A machine also stops on its way to a shutdown.
                QmpEvent::Stop if self.shutdown.is_none() => {
                    let status = self.qmp.status().unwrap_or_else(|error| error.to_string());
                    if status != "running" && status != "shutdown" {
                        return Err(End::Stopped {
                            during: self.phase,
                            status,
                        });
                    }
                }
                QmpEvent::DeviceGone(slot) => drop(self.empty.insert(slot)),
                QmpEvent::Stop | QmpEvent::DeviceKept(_) => {}
            }
        }
        Ok(())
    }

    fn monitor_broken(&self, error: &QmpError) -> End {
        End::MonitorBroken {
            during: self.phase,
            error: error.to_string(),
        }
    }

    /// QEMU has hung up: collects it and tells what that comes to.
    fn after_end(&mut self) -> End {
        let Some(status) = self.child.wait_until(Instant::now() + CLOSE_LIMIT) else {
            return End::MonitorBroken {
                during: self.phase,
                error: "QEMU closed the channel and goes on".to_owned(),
            };
        };
        if let Err(end) = self.read_qmp() {
            return end;
        }
        match self.qemu_end(status).judge() {
            Err(end) => end,
            Ok(()) => self.broken("the guest said goodbye unasked".to_owned()),
        }
    }

    fn qemu_end(&self, status: std::process::ExitStatus) -> QemuEnd {
        QemuEnd {
            status,
            shutdown: self.shutdown.clone(),
            goodbye: self.goodbye,
            during: self.phase,
            stderr_tail: stderr_tail(&self.artifacts),
        }
    }
}

/// Returns why QEMU did not get as far as being connected.
fn gave_up(spec: &VmSpec, child: &mut Child, cancel: &Cancel, clock: &Clock) -> End {
    if cancel.is_cancelled() {
        return End::Cancelled;
    }
    match child.try_wait() {
        Some(status) => End::QemuDied {
            during: Phase::Launch,
            status: status.to_string(),
            stderr_tail: stderr_tail(&spec.artifacts),
        },
        None if clock.guest() < spec.deadlines.launch => {
            let time = clock.account();
            End::HostTooSlow {
                phase: Phase::Launch,
                wall_ms: time.wall_ms,
                given_ms: time.given_ms(),
            }
        }
        None => End::expired(Phase::Launch, spec.deadlines.launch),
    }
}

fn stderr_tail(artifacts: &Utf8Path) -> String {
    let bytes = fs::read(artifacts.join("qemu.stderr")).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}
