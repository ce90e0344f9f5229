// SPDX-License-Identifier: GPL-2.0-only
//! What happened in a run, as plain values that can be written down and read
//! again. What to think of it is for others to decide.

mod hang;
mod host_time;

use std::fmt;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::read_plain;
use patchbed_protocol::Exit;
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
pub use hang::{Hang, Processor, Sample};
pub use host_time::HostTime;

/// Name of the file that holds a transcript but for what the programs wrote.
const FILE_NAME: &str = "transcript.json";

/// Larger files than this are none of ours, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// More than a machine may write to its console, in bytes.
const CONSOLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Returns what all kernels of a run wrote to the console, from the run's folder.
///
/// # Errors
/// When there is none, or it is larger than any of ours.
pub fn read_console(dir: &Utf8Path) -> io::Result<Vec<u8>> {
    read_plain(&dir.join("serial.log"), CONSOLE_BYTES_MAX)
}

/// The account of one run of one virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The boots that were begun, in order.
    pub boots: Vec<BootRecord>,
    /// How it all ended.
    pub end: End,
    /// How the first kernel came to run.
    #[serde(default)]
    pub start: BootMode,
    /// Whether other programs ran in the guest before or after.
    #[serde(default)]
    pub shared: bool,
    /// What the host gave the guest of its time.
    #[serde(default)]
    pub host_time: HostTime,
    /// What was seen when something took too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang: Option<Hang>,
    /// Host time of the whole run, in milliseconds.
    pub wall_ms: u64,
    /// The accelerator that was used.
    pub accelerator: Accelerator,
    /// QEMU's version as it says it.
    pub qemu_version: String,
}

/// How a guest's first kernel came to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum BootMode {
    /// It booted.
    #[default]
    Cold,
    /// It went on from a checkpoint, where it had booted before; the console
    /// has that boot too.
    Restore,
    /// It booted because going on from a checkpoint failed.
    ColdInstead {
        /// How that failed.
        trouble: String,
    },
}

/// What is known of one boot. A boot begins when its kernel is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootRecord {
    /// Its number, from 1.
    pub number: u32,
    /// Host time from starting QEMU (or from the order to kexec) until the
    /// kernel is ready for work, in milliseconds.
    pub boot_ms: u64,
    /// The kernel's release.
    pub release: String,
    /// The kernel's random name for this boot; differs between boots.
    pub boot_id: String,
    /// Mount points whose file system the kernel does not offer.
    pub missing_mounts: Vec<String>,
    /// Whether the program was started.
    pub started: bool,
    /// What the program wrote, standard output and standard error in the order
    /// of writing.
    #[serde(with = "patchbed_protocol::bytes")]
    pub output: Vec<u8>,
    /// The program wrote more than is kept.
    pub output_cut: bool,
    /// How the program ended, if it did.
    pub exit: Option<Exit>,
    /// Host time from the order to run to the program's end or the run's, in
    /// milliseconds.
    pub duration_ms: u64,
}

impl Transcript {
    /// Writes the transcript into a run's folder, what each boot's program
    /// wrote as a file of its own: `transcript.json`, `boot-1.output`, and so on.
    pub fn save(&self, dir: &Utf8Path) -> io::Result<()> {
        for boot in &self.boots {
            fs::write(output_path(dir, boot.number), &boot.output)?;
        }
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        fs::write(dir.join(FILE_NAME), json)
    }

    /// Returns the transcript that a run left in its folder.
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

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Starting QEMU.
    Launch,
    /// The first kernel's boot.
    Boot,
    /// Saving a booted machine.
    Save,
    /// Going on from a saved machine.
    Restore,
    /// A boot's program.
    Program(u32),
    /// Loading the next kernel and its boot, up to the hello of this boot.
    Kexec(u32),
    /// Switching off.
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

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// The guest switched itself off, as it was told to.
    PoweredOff,
    /// The guest went away by itself: a reset (which is what a panic comes to)
    /// or a power-off that nobody ordered.
    GuestGone {
        /// What was going on.
        during: Phase,
        /// QEMU's word for it: `guest-reset`, `guest-shutdown`, `guest-panic`.
        reason: String,
    },
    /// QEMU ended, and the guest had no part in it.
    QemuDied {
        /// What was going on.
        during: Phase,
        /// How it ended.
        status: String,
        /// The last it wrote to standard error.
        stderr_tail: String,
    },
    /// QEMU stopped the machine, which it does on an error of its own.
    Stopped {
        /// What was going on.
        during: Phase,
        /// QEMU's word for it, like `internal-error`.
        status: String,
    },
    /// A part of the run took too long, though the guest had all that time.
    DeadlineExpired {
        /// Which part.
        phase: Phase,
        /// How long it was allowed to take, in milliseconds.
        limit_ms: u64,
    },
    /// A part of the run took too long, and the guest had not nearly all that time.
    HostTooSlow {
        /// Which part.
        phase: Phase,
        /// How long it has taken, in milliseconds.
        wall_ms: u64,
        /// How much of that the guest had, in milliseconds.
        given_ms: u64,
    },
    /// The guest could not do what it was told, and said so.
    Trouble {
        /// What was going on.
        during: Phase,
        /// What the guest failed to do.
        doing: String,
        /// Its error.
        error: String,
    },
    /// The guest wrote more to the serial console than is kept.
    ConsoleFlood {
        /// What was going on.
        during: Phase,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// What came over the channel made no sense.
    ChannelBroken {
        /// What was going on.
        during: Phase,
        /// What is wrong with it.
        error: String,
    },
    /// QEMU's monitor failed us.
    MonitorBroken {
        /// What was going on.
        during: Phase,
        /// How.
        error: String,
    },
    /// The user asked to stop.
    Cancelled,
    /// QEMU could not be started, or something on the host failed.
    LaunchFailed {
        /// What and why.
        error: String,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => f.write_str("powered off in order"),
            Self::GuestGone { during, reason } => {
                write!(f, "the guest went away during {during} (`{reason}`)")
            }
            Self::QemuDied {
                during,
                status,
                stderr_tail,
            } => {
                write!(f, "QEMU died during {during} ({status})")?;
                match stderr_tail.lines().next_back() {
                    Some(line) => write!(f, ": {line}"),
                    None => Ok(()),
                }
            }
            Self::Stopped { during, status } => {
                write!(f, "QEMU stopped the machine during {during} (`{status}`)")
            }
            Self::DeadlineExpired { phase, limit_ms } => {
                write!(f, "{phase} did not end within {} s", limit_ms / 1000)
            }
            Self::HostTooSlow {
                phase,
                wall_ms,
                given_ms,
            } => {
                let (wall, given) = (wall_ms / 1000, given_ms / 1000);
                write!(
                    f,
                    "{phase} did not end: the host gave the guest {given} s of {wall} s"
                )
            }
            Self::Trouble {
                during,
                doing,
                error,
            } => write!(f, "the guest failed to {doing} during {during}: {error}"),
            Self::ConsoleFlood {
                during,
                limit_bytes,
            } => write!(
                f,
                "more than {limit_bytes} bytes of console during {during}"
            ),
            Self::ChannelBroken { during, error } => {
                write!(f, "the channel broke during {during}: {error}")
            }
            Self::MonitorBroken { during, error } => write!(f, "{error} during {during}"),
            Self::Cancelled => f.write_str("interrupted"),
            Self::LaunchFailed { error } => write!(f, "cannot run a machine: {error}"),
        }
    }
}

impl End {
    pub(crate) fn expired(phase: Phase, limit: Duration) -> Self {
        Self::DeadlineExpired {
            phase,
            limit_ms: millis(limit),
        }
    }

    /// Returns the end of a run that something on the host made impossible.
    pub fn launch_failed(error: impl fmt::Display) -> Self {
        Self::LaunchFailed {
            error: error.to_string(),
        }
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
    fn what_is_saved_is_loaded() {
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
            start: BootMode::ColdInstead {
                trouble: "no".into(),
            },
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
