// SPDX-License-Identifier: GPL-2.0-only
//! What a run of a job left behind, as far as judging needs it: a view on a
//! transcript and on the console's bytes, or on those of yesterday's run folder.

use vm_images::ExitStatus;
use vm_images::transcript::{End, Hang, HostTime, Phase, Transcript};

use crate::status::Cause;

/// Everything that is known of one run.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The boots that were begun, in order.
    pub boots: Vec<BootEvidence<'a>>,
    /// How the run ended.
    pub ending: Ending,
    /// The serial console of all kernels, up to where something took too long and was
    /// looked at: what the kernel says then, it was asked for.
    pub serial: &'a [u8],
    /// What was seen of a machine in which something took too long.
    pub hang: Option<&'a Hang>,
    /// What the host gave the guest of its time.
    pub host_time: HostTime,
}

/// What is known of one boot.
#[derive(Debug, Clone)]
pub struct BootEvidence<'a> {
    /// The kernel's random name for this boot.
    pub boot_id: &'a str,
    /// Whether the program was started.
    pub started: bool,
    /// What the program wrote.
    pub output: &'a [u8],
    /// Whether it wrote more than was kept.
    pub output_cut: bool,
    /// How the program ended, if it did.
    pub exit: Option<ExitKind>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long and was killed, or cannot be killed.
    TimedOut,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest switched itself off when it was told to.
    Orderly,
    /// The guest went away by itself.
    GuestGone {
        /// A sentence that says so.
        what: String,
        /// The boot whose program was running, if one was.
        boot: Option<usize>,
    },
    /// A deadline for the guest expired.
    Hang {
        /// A sentence that says which.
        what: String,
    },
    /// The guest's kernel refused what it was told, such as a kexec.
    Refused {
        /// A sentence that says what.
        what: String,
    },
    /// The kernel under test had no part in it.
    Ours {
        /// A sentence that says what it was.
        what: String,
        /// Whose fault it is.
        cause: Cause,
    },
}

impl<'a> Evidence<'a> {
    /// Returns the view on a transcript and the whole console that belongs to it.
    #[must_use]
    pub fn of(transcript: &'a Transcript, serial: &'a [u8]) -> Self {
        let boots = transcript.boots.iter().map(|boot| BootEvidence {
            boot_id: &boot.boot_id,
            started: boot.started,
            output: &boot.output,
            output_cut: boot.output_cut,
            exit: boot
                .exit
                .as_ref()
                .map(|exit| exit_kind(exit.status, exit.timed_out)),
        });
        Self {
            boots: boots.collect(),
            ending: Ending::of(&transcript.end),
            serial: unasked(serial, transcript.hang.as_ref()),
            hang: transcript.hang.as_ref(),
            host_time: transcript.host_time,
        }
    }
}

/// Returns what the kernel said before it was asked.
fn unasked<'a>(serial: &'a [u8], hang: Option<&Hang>) -> &'a [u8] {
    let end = hang.and_then(|hang| usize::try_from(hang.console_bytes).ok());
    end.and_then(|end| serial.get(..end)).unwrap_or(serial)
}

const fn exit_kind(status: ExitStatus, timed_out: bool) -> ExitKind {
    match status {
        _ if timed_out => ExitKind::TimedOut,
        ExitStatus::Code(code) => ExitKind::Code(code),
        ExitStatus::Signal(signal) => ExitKind::Signal(signal),
        ExitStatus::Stuck => ExitKind::TimedOut,
    }
}

impl Ending {
    /// Returns whose fault an end is.
    #[must_use]
    pub fn of(end: &End) -> Self {
        let what = end.to_string();
        match end {
            End::PoweredOff => Self::Orderly,
            End::GuestGone { during, .. } | End::ConsoleFlood { during, .. } => Self::GuestGone {
                what,
                boot: boot_of(*during),
            },
            End::DeadlineExpired {
                phase: Phase::Launch,
                ..
            } => Self::Ours {
                what,
                cause: Cause::Infrastructure,
            },
            End::DeadlineExpired { .. } => Self::Hang { what },
            End::Trouble {
                during: Phase::Kexec(_) | Phase::PowerOff,
                ..
            } => Self::Refused { what },
            other => Self::Ours {
                what,
                cause: cause(other),
            },
        }
    }
}

/// Returns whose fault an end is that says nothing of the kernel.
fn cause(end: &End) -> Cause {
    match end {
        // What cannot be started is the test's own program.
        End::Trouble { doing, .. } if doing.starts_with("start ") => Cause::Test,
        End::ChannelBroken { .. } | End::Trouble { .. } => Cause::Tool,
        _ => Cause::Infrastructure,
    }
}

fn boot_of(phase: Phase) -> Option<usize> {
    match phase {
        Phase::Program(number) => usize::try_from(number).ok(),
        _ => None,
    }
}
