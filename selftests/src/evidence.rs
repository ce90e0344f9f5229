// SPDX-License-Identifier: MIT OR Apache-2.0
//! The recorded facts of a job that its result is judged by: a view of the transcript
//! and of the console log. Both may come from the run folder of an earlier run.

use vm_images::ExitStatus;
use vm_images::transcript::{End, Hang, HostTime, Phase, Transcript};

use crate::judgement::Cause;
use crate::ktap::Report;

/// All recorded facts of one run.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The boots that were started, in order.
    pub boots: Vec<BootEvidence<'a>>,
    /// How the run ended.
    pub ending: Ending,
    /// The serial console of all kernels. After a hang it ends where the hang diagnosis
    /// began, because the diagnosis itself makes the kernel print reports.
    pub serial: &'a [u8],
    /// The hang diagnosis, if a time limit expired.
    pub hang: Option<&'a Hang>,
    /// How much CPU time the host gave the guest.
    pub host_time: HostTime,
}

/// The recorded facts of one boot.
#[derive(Debug, Clone)]
pub struct BootEvidence<'a> {
    /// The kernel's random boot ID.
    pub boot_id: &'a str,
    /// Whether the program was started.
    pub started: bool,
    /// The program's output.
    pub output: &'a [u8],
    /// Whether the output exceeded the size limit and was cut.
    pub output_cut: bool,
    /// How the program ended, if it did.
    pub exit: Option<ExitKind>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It exceeded its time limit and was killed, or could not be killed.
    TimedOut,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off on request.
    Orderly,
    /// The guest reset, powered off or flooded the console without a request.
    GuestGone {
        /// The end in one sentence.
        message: String,
        /// The boot whose program was running, if one was.
        boot: Option<usize>,
    },
    /// A deadline for the guest expired.
    Hang {
        /// The deadline in one sentence.
        message: String,
    },
    /// The guest's kernel refused an operation, such as a kexec.
    Refused {
        /// The operation in one sentence.
        message: String,
    },
    /// The run ended because of an error outside of the kernel under test.
    Error {
        /// The error in one sentence.
        message: String,
        /// The cause of the error.
        cause: Cause,
    },
}

impl<'a> Evidence<'a> {
    /// Returns the view of a transcript and of the complete console log of its run.
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
            serial: before_diagnosis(serial, transcript.hang.as_ref()),
            hang: transcript.hang.as_ref(),
            host_time: transcript.host_time,
        }
    }

    /// Parses the output of each boot's program.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let outputs = self.boots.iter().map(|boot| boot.output);
        outputs.map(Report::parse).collect()
    }
}

/// Returns the part of the console log before the hang diagnosis.
fn before_diagnosis<'a>(serial: &'a [u8], hang: Option<&Hang>) -> &'a [u8] {
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
    /// Converts the end of a transcript.
    #[must_use]
    pub fn of(end: &End) -> Self {
        let message = end.to_string();
        match end {
            End::PoweredOff => Self::Orderly,
            End::GuestGone { during, .. } | End::ConsoleFlood { during, .. } => Self::GuestGone {
                message,
                boot: boot_of(*during),
            },
            End::DeadlineExpired {
                phase: Phase::Launch,
                ..
            } => Self::Error {
                message,
                cause: Cause::Infrastructure,
            },
            End::DeadlineExpired { .. } => Self::Hang { message },
            End::Trouble {
                during: Phase::Kexec(_) | Phase::PowerOff,
                ..
            } => Self::Refused { message },
            other => Self::Error {
                message,
                cause: cause(other),
            },
        }
    }
}

/// Returns the cause of an end that the kernel under test is not responsible for.
fn cause(end: &End) -> Cause {
    match end {
        // `start ` is only used for the test program.
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
