// SPDX-License-Identifier: MIT OR Apache-2.0
//! The start of QEMU and its connections.

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{Child, Tool};
use patchbed_protocol::Decoder;

use super::{CLOSE_LIMIT, Session};
use crate::qemu::{Memory, Wiring, arguments};
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::transcript::{End, Phase};
use crate::vm::channel_log::ChannelLog;
use crate::vm::clock::{self, Clock, LimitState};
use crate::vm::sockets::{Connected, Sockets};
use crate::vm::{VmSpec, threads};

/// Maximum length of QEMU's standard error in an end, in bytes.
const STDERR_TAIL_BYTES: usize = 4096;

impl Session {
    /// Starts QEMU with this memory and waits until it has connected.
    pub(in crate::vm) fn launch(
        spec: &VmSpec,
        memory: Memory,
        cancel: &Cancel,
    ) -> Result<Self, End> {
        let begin = Instant::now();
        let sockets = Sockets::new().map_err(End::launch_failed)?;
        let wiring = Wiring::Sockets {
            serial: spec.artifacts.join("serial.log"),
            channel: sockets.channel_path().map_err(End::launch_failed)?,
            qmp: sockets.qmp_path().map_err(End::launch_failed)?,
            test_port: sockets.test_port_path().map_err(End::launch_failed)?,
        };
        let channel_log = ChannelLog::create(&spec.artifacts.join("channel.jsonl"), begin)
            .map_err(End::launch_failed)?;
        let mut child = Tool::new(&spec.qemu.program)
            .args(arguments(&spec.machine, &spec.launch(memory, wiring)))
            .log_to(spec.artifacts.join("qemu.stderr"))
            .deadline("launch", spec.deadlines.launch)
            .spawn()
            .map_err(End::launch_failed)?;
        let mut clock = Clock::default();
        let (channel, qmp, test_port) =
            connect(sockets, spec, &mut child, &mut clock, begin, cancel)?;
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
            channel_log,
            artifacts: spec.artifacts.clone(),
            cancel: cancel.clone(),
            begin,
            clock,
            phase: Phase::Launch,
            phase_begin: begin,
            phase_withheld: Duration::ZERO,
            phase_limit: spec.deadlines.launch,
            program_timeout: None,
            program_timed_out: false,
            keep_dump: spec.keep_dump,
            hang: None,
        })
    }
}

/// Waits until QEMU has connected, while it runs and its limit allows.
fn connect(
    sockets: Sockets,
    spec: &VmSpec,
    child: &mut Child,
    clock: &mut Clock,
    begin: Instant,
    cancel: &Cancel,
) -> Result<(UnixStream, Qmp, Qtest), End> {
    let mut state = LimitState::Running;
    let connected = sockets
        .accept(|| {
            clock.update_if_due(begin.elapsed(), || threads::sample(child.id()));
            state = clock::check_limit(spec.deadlines.launch, begin.elapsed(), clock.withheld());
            child.try_wait().is_none() && !cancel.is_cancelled() && state == LimitState::Running
        })
        .map_err(End::launch_failed)?;
    let Some(Connected {
        channel,
        qmp,
        test_port,
    }) = connected
    else {
        return Err(launch_failure(spec, child, cancel, clock, state));
    };
    let test_port = Qtest::connect(test_port).map_err(End::launch_failed)?;
    channel.set_nonblocking(true).map_err(End::launch_failed)?;
    let qmp = Qmp::connect(qmp).map_err(|error| {
        // QEMU closes the socket shortly before it exits.
        match child.wait_until(Instant::now() + CLOSE_LIMIT) {
            Some(_) => launch_failure(spec, child, cancel, clock, state),
            None => End::launch_failed(error),
        }
    })?;
    Ok((channel, qmp, test_port))
}

/// Returns why QEMU did not connect. `state` is the state of the limit that ended the wait.
fn launch_failure(
    spec: &VmSpec,
    child: &mut Child,
    cancel: &Cancel,
    clock: &Clock,
    state: LimitState,
) -> End {
    if cancel.is_cancelled() {
        return End::Cancelled;
    }
    match child.try_wait() {
        Some(status) => End::QemuDied {
            during: Phase::Launch,
            status: status.to_string(),
            stderr_tail: stderr_tail(&spec.artifacts),
        },
        None if state == LimitState::Withheld => {
            let time = clock.totals();
            End::HostTooSlow {
                phase: Phase::Launch,
                wall_ms: time.wall_ms,
                given_ms: time.given_ms(),
            }
        }
        None => End::expired(Phase::Launch, spec.deadlines.launch),
    }
}

/// Returns the end of QEMU's standard error.
pub(super) fn stderr_tail(artifacts: &Utf8Path) -> String {
    let bytes = fs::read(artifacts.join("qemu.stderr")).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}
