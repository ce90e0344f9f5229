// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of a run, as plain values that can be stored. Other crates evaluate it.

use std::fmt;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;
use patchbed_protocol::Exit;
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;

/// Name of the file with the transcript, without the output of the programs.
const FILE_NAME: &str = "transcript.json";

/// Maximum size of a file of a transcript, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Maximum size of a console log that is read, in bytes.
const CONSOLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Returns the console log of a run, with the messages of all its kernels. Fails when the
/// file cannot be read, or is too large.
pub fn read_console(dir: &Utf8Path) -> io::Result<Vec<u8>> {
    read_plain(&dir.join("serial.log"), CONSOLE_BYTES_MAX)
}

/// The record of one run of one virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The boots that started, in order.
    pub boots: Vec<BootRecord>,
    /// How the run ended.
    pub end: End,
    /// How the first kernel was started.
    #[serde(default)]
    pub boot_mode: BootMode,
    /// Why the restore failed, if the guest booted instead.
    #[serde(default)]
    pub restore_error: Option<String>,
    /// Whether other programs ran in the same guest.
    #[serde(default)]
    pub shared: bool,
    /// The processor time that the host gave to the guest.
    #[serde(default)]
    pub host_time: HostTime,
    /// The hang diagnosis, if a phase exceeded its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang: Option<Hang>,
    /// Host time of the run, in milliseconds.
    pub wall_ms: u64,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// QEMU's version as printed.
    pub qemu_version: String,
}

/// How a guest's first kernel was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    /// It booted.
    #[default]
    Cold,
    /// It was restored from a checkpoint. The console log starts with the boot of the
    /// checkpoint.
    Restore,
    /// It booted because the restore failed.
    ColdInstead,
}

impl BootMode {
    /// Returns its name, as in `result.json`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Restore => "restore",
            Self::ColdInstead => "cold-instead",
        }
    }
}

/// The record of one boot, which starts when its kernel is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootRecord {
    /// Its number, from 1.
    pub number: u32,
    /// Host time from the start of QEMU (or from the kexec order) until the kernel is
    /// ready, in milliseconds.
    pub boot_ms: u64,
    /// The kernel's release.
    pub release: String,
    /// The kernel's random boot id, which differs between boots.
    pub boot_id: String,
    /// Mount points of file systems that the kernel does not support.
    pub missing_mounts: Vec<String>,
    /// Whether the program was started.
    pub started: bool,
    /// Output of the program: standard output and standard error in the order of writing.
    #[serde(with = "patchbed_protocol::bytes")]
    pub output: Vec<u8>,
    /// Whether the output exceeded the limit and was truncated.
    pub output_cut: bool,
    /// Exit of the program, if it ended.
    pub exit: Option<Exit>,
    /// Host time from the order to run the program until it or the run ended, in
    /// milliseconds.
    pub duration_ms: u64,
}

impl Transcript {
    /// Writes the transcript to a run's folder: `transcript.json`, and the output of each
    /// boot's program as `boot-1.output` and so on.
    pub fn save(&self, dir: &Utf8Path) -> io::Result<()> {
        for boot in &self.boots {
            fs::write(output_path(dir, boot.number), &boot.output)?;
        }
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        fs::write(dir.join(FILE_NAME), json)
    }

    /// Reads the transcript from a run's folder.
    pub fn load(dir: &Utf8Path) -> io::Result<Self> {
        let mut transcript: Self =
            serde_json::from_slice(&read_plain(&dir.join(FILE_NAME), FILE_BYTES_MAX)?)?;
        for boot in &mut transcript.boots {
            boot.output = read_plain(&output_path(dir, boot.number), FILE_BYTES_MAX)?;
        }
        Ok(transcript)
    }
}

fn output_path(dir: &Utf8Path, boot: u32) -> Utf8PathBuf {
    dir.join(format!("boot-{boot}.output"))
}

/// A phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Start of QEMU.
    Launch,
    /// Boot of the first kernel.
    Boot,
    /// Saving of a booted machine.
    Save,
    /// Restore of a saved machine.
    Restore,
    /// The program of a boot.
    Program(u32),
    /// Load of the next kernel and its boot, up to the hello of this boot.
    Kexec(u32),
    /// Power-off.
    PowerOff,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch => f.write_str("launch"),
            Self::Boot => f.write_str("boot"),
            Self::Save => f.write_str("saving"),
            Self::Restore => f.write_str("restore"),
            Self::Program(number) => write!(f, "boot {number}"),
            Self::Kexec(to) => write!(f, "kexec to boot {to}"),
            Self::PowerOff => f.write_str("power-off"),
        }
    }
}

/// How a run ended. Except in a cancelled or failed launch, the phase at the end is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "how", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "fields without a comment have the name of their type or unit"
)]
pub enum End {
    /// The guest powered off as ordered.
    #[error("powered off")]
    PoweredOff,
    /// The guest ended without an order: a reset, as after a panic, or a power-off.
    #[error("the guest ended by itself during {during} (`{reason}`)")]
    GuestGone {
        during: Phase,
        /// QEMU's reason: `guest-reset`, `guest-shutdown`, `guest-panic`.
        reason: String,
    },
    /// QEMU ended without a shutdown of the guest.
    #[error("QEMU ended during {during} ({status}){}", last_line(.stderr_tail))]
    QemuDied {
        during: Phase,
        status: String,
        /// Last lines of its standard error.
        stderr_tail: String,
    },
    /// QEMU stopped the machine because of an internal error.
    #[error("QEMU stopped the machine during {during} (`{status}`)")]
    Stopped {
        during: Phase,
        /// QEMU's run state, such as `internal-error`.
        status: String,
    },
    /// A phase exceeded its limit, in the guest's time.
    #[error("{phase} did not end within {} s", .limit_ms / 1000)]
    DeadlineExpired { phase: Phase, limit_ms: u64 },
    /// A phase exceeded its limit on the host's clock, but the host gave the guest too
    /// little processor time.
    #[error("{phase} did not end: the host gave the guest {} s of {} s", .given_ms / 1000, .wall_ms / 1000)]
    HostTooSlow {
        phase: Phase,
        /// Host time of the phase, in milliseconds.
        wall_ms: u64,
        /// Time that the guest could run, in milliseconds.
        given_ms: u64,
    },
    /// The guest reported that it could not execute an order.
    #[error("the guest failed to {doing} during {during}: {error}")]
    Trouble {
        during: Phase,
        /// The failed action, to be read after "failed to".
        doing: String,
        error: String,
    },
    /// The guest wrote more to the serial console than the limit.
    #[error("the console exceeded {limit_bytes} bytes during {during}")]
    ConsoleFlood { during: Phase, limit_bytes: u64 },
    /// The guest sent invalid data over the channel.
    #[error("invalid data on the control channel during {during}: {error}")]
    ChannelBroken { during: Phase, error: String },
    /// A command of QEMU's monitor failed.
    #[error("QEMU's monitor failed during {during}: {error}")]
    MonitorBroken { during: Phase, error: String },
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
    /// QEMU could not be started, or the host failed.
    #[error("cannot run the virtual machine: {error}")]
    LaunchFailed { error: String },
}

/// Returns the last line of QEMU's standard error, to follow a message.
fn last_line(stderr_tail: &str) -> String {
    let line = stderr_tail.lines().next_back();
    line.map_or_else(String::new, |line| format!(": {line}"))
}

impl End {
    pub(crate) fn expired(phase: Phase, limit: Duration) -> Self {
        Self::DeadlineExpired {
            phase,
            limit_ms: millis(limit),
        }
    }

    /// Returns the end of a run that failed because of the host.
    pub fn launch_failed(error: impl fmt::Display) -> Self {
        Self::LaunchFailed {
            error: error.to_string(),
        }
    }
}

/// The diagnosis of a hang, recorded before the machine is ended. Addresses are the
/// guest's; other crates resolve symbols.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hang {
    /// The phase that exceeded its limit.
    pub during: Phase,
    /// Size of the console log when the diagnosis started. Later messages are answers to
    /// its requests and not reports of the kernel.
    pub console_bytes: u64,
    /// Address of the kernel's divide-error handler, the first entry of its interrupt
    /// descriptor table. It reveals the offset of the kernel (KASLR).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_error: Option<u64>,
    /// Several samples of the processors.
    pub samples: Vec<Sample>,
    /// Whether the kernel answers on its console.
    pub answers: bool,
    /// Parts of the diagnosis that failed, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Name of the memory dump in the run's folder, if one was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
}

/// A sample of all processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Time since the first sample.
    pub at_ms: u64,
    /// The processors, in order.
    pub processors: Vec<Processor>,
}

/// The state of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Its number, from 0.
    pub number: u32,
    /// Whether it was halted until the next interrupt.
    pub is_halted: bool,
    /// Whether interrupts were enabled.
    pub takes_interrupts: bool,
    /// Whether it executed a program, not the kernel.
    pub in_program: bool,
    /// Instruction address and return addresses, innermost first.
    pub frames: Vec<u64>,
}

/// The processor time that the host gave to the guest, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostTime {
    /// Whether the host reports how long QEMU waited for a processor. If not, `withheld_ms`
    /// is 0.
    pub is_known: bool,
    /// Time since the start of QEMU.
    pub wall_ms: u64,
    /// Part of it in which the guest was runnable, but the host did not run it.
    pub withheld_ms: u64,
    /// Length of the windows that `worst_ms` refers to.
    pub window_ms: u64,
    /// Maximum time withheld in one window.
    pub worst_ms: u64,
}

impl HostTime {
    /// Returns the time in which the guest could run.
    #[must_use]
    pub const fn given_ms(&self) -> u64 {
        self.wall_ms.saturating_sub(self.withheld_ms)
    }
}

impl fmt::Display for HostTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| (ms + 500) / 1000;
        let (given, wall) = (seconds(self.given_ms()), seconds(self.wall_ms));
        write!(f, "the host gave the guest {given} s of {wall} s")
    }
}

/// Returns a duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use patchbed_protocol::ExitStatus;

    use super::*;

    #[test]
    fn load_returns_the_saved_transcript() {
        let transcript = Transcript {
            boots: vec![BootRecord {
                number: 1,
                boot_ms: 900,
                started: true,
                output: b"not \xff UTF-8\n".to_vec(),
                exit: Some(Exit {
                    status: ExitStatus::Code(1),
                    timed_out: false,
                }),
                ..BootRecord::default()
            }],
            end: End::GuestGone {
                during: Phase::Kexec(2),
                reason: "guest-reset".into(),
            },
            boot_mode: BootMode::ColdInstead,
            restore_error: Some("no".into()),
            shared: false,
            host_time: HostTime {
                is_known: true,
                wall_ms: 1000,
                withheld_ms: 10,
                ..HostTime::default()
            },
            hang: Some(Hang {
                during: Phase::Program(1),
                console_bytes: 5,
                divide_error: Some(u64::MAX),
                samples: Vec::new(),
                answers: true,
                missing: Vec::new(),
                dump: None,
            }),
            wall_ms: 1000,
            accelerator: Accelerator::Tcg,
            qemu_version: "7.2".into(),
        };
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        transcript.save(dir).unwrap();
        assert_eq!(Transcript::load(dir).unwrap(), transcript);
    }
}
