// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one virtual machine through its boots and records a transcript. Failures of any
//! kind are recorded in the transcript, so the caller always gets the record up to the
//! failure.

mod batch;
mod channel_log;
mod clock;
mod ending;
mod recipe;
mod registers;
mod requests;
mod run;
mod session;
mod sockets;
mod threads;

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::context::Context;
use patchbed_host::files::read_plain;
use patchbed_protocol::{
    BOOT_PARAMETER, Content, FILE_BYTES_MAX, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH, ToGuest,
};
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::devices::Devices;
use crate::deadlines::Deadlines;
use crate::machine::Machine;
use crate::qemu::{Launch, Memory, Qemu, Wiring};
use crate::transcript::{BootMode, End, Phase, Transcript, millis};
pub use batch::{BatchProgram, run_batch};
use run::Run;
use session::Session;

/// Arguments of every kernel. They select the console, enable live update (ignored by
/// kernels without it), reboot at once after a panic, and disable the timer check, which
/// can fail when a busy host loses timer ticks.
const CMDLINE: &str =
    "console=ttyS0 console_msg_format=syslog liveupdate=on kho=on panic=-1 no_timer_check";

/// The guest enforces the timeout of a program only after this many times its length, for
/// orders that are sent by hand. The clock of a guest may be several times too fast,
/// because the kernel calibrates its TSC wrong when the host does not run it meanwhile.
const GUEST_TIMEOUT_MULTIPLIER: u32 = 100;

/// A virtual machine to run.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// Name of the run, for progress messages.
    pub name: String,
    /// The QEMU to use.
    pub qemu: Qemu,
    /// The kernel of the first boot.
    pub kernel: Utf8PathBuf,
    /// Its initramfs.
    pub initramfs: Utf8PathBuf,
    /// The machine.
    pub machine: Machine,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Memory in MiB, if the machine's is not enough.
    pub memory_mib: Option<u32>,
    /// Added to every kernel's command line, for example `kho_scratch=16M,64M,64M`.
    pub cmdline: String,
    /// A checkpoint of this exact configuration. Without it, or if the restore fails, the
    /// guest boots.
    pub checkpoint: Option<Checkpoint>,
    /// Folder for the files of the run, created if it does not exist.
    pub artifacts: Utf8PathBuf,
    /// Time limits, in the guest's time.
    pub deadlines: Deadlines,
    /// Whether a dump of the guest's memory is stored after a hang.
    pub keep_dump: bool,
}

impl VmSpec {
    /// Returns the command line of the kernel of a boot.
    pub fn boot_cmdline(&self, boot: u32) -> String {
        let boot = format!("{BOOT_PARAMETER}{boot}");
        let machine = &self.machine.kernel_arguments;
        let ours = [CMDLINE, self.accelerator.cmdline(), &boot];
        ours.iter()
            .chain(&[machine.as_str(), &self.cmdline])
            .flat_map(|words| words.split_ascii_whitespace())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Returns the inputs of QEMU's arguments.
    pub(crate) fn launch(&self, memory: Memory, wiring: Wiring) -> Launch {
        Launch {
            accelerator: self.accelerator,
            memory_mib: self.memory_mib.unwrap_or(self.machine.memory_mib),
            memory,
            kernel: self.kernel.clone(),
            initramfs: self.initramfs.clone(),
            cmdline: self.boot_cmdline(1),
            wiring,
        }
    }

    /// Returns the order to switch to the kernel of a boot.
    fn kexec_order(&self, job: &VmRun, boot: u32) -> ToGuest {
        ToGuest::Kexec {
            cmdline: self.boot_cmdline(boot),
            again: job.stays_with_kernel(boot + 1),
        }
    }
}

/// The programs to run in a machine, one for each boot, with a kexec between boots. Without
/// boots, the machine boots and powers off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRun {
    /// The boots in order.
    pub boots: Vec<BootRun>,
}

impl VmRun {
    fn boot(&self, number: u32) -> Option<&BootRun> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.boots.get(index)
    }

    /// Returns the kernel of a boot, if it differs from the kernel of the boot before.
    fn next_kernel(&self, number: u32) -> Option<&NextKernel> {
        self.boot(number)?.kernel.as_ref()
    }

    /// Returns whether the boot exists and uses the kernel of the boot before.
    fn stays_with_kernel(&self, number: u32) -> bool {
        self.boot(number).is_some_and(|boot| boot.kernel.is_none())
    }
}

/// A kernel for kexec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextKernel {
    /// The bzImage on the host, of at most [`FILE_BYTES_MAX`] bytes.
    pub image: Utf8PathBuf,
    /// Its initramfs, of at most [`FILE_BYTES_MAX`] bytes. It needs no further kernel: if
    /// the next boot uses this kernel again, the guest adds it.
    pub initramfs: Utf8PathBuf,
}

impl NextKernel {
    /// Returns the files that the guest needs for the kexec.
    fn files(&self) -> [GuestFile; 2] {
        let file = |source: &Utf8PathBuf, path: &str| GuestFile {
            source: source.clone(),
            path: path.to_owned(),
            mode: 0o644,
        };
        [
            file(&self.image, KEXEC_KERNEL_PATH),
            file(&self.initramfs, KEXEC_INITRD_PATH),
        ]
    }
}

/// The program of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRun {
    /// The kernel of this boot, if it differs from the kernel of the boot before. The first
    /// boot uses the kernel of the [`VmSpec`].
    pub kernel: Option<NextKernel>,
    /// Files that the guest receives before the program starts.
    pub files: Vec<GuestFile>,
    /// Path of the program in the guest.
    pub program: String,
    /// Arguments, without the program's name.
    pub args: Vec<String>,
    /// Additional environment variables.
    pub env: Vec<(String, String)>,
    /// Working directory in the guest.
    pub dir: String,
    /// Time limit of the program, in the guest's time: time withheld by the host does not
    /// count.
    pub timeout: Duration,
}

/// A file for a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFile {
    /// The file on the host, of at most [`FILE_BYTES_MAX`] bytes.
    pub source: Utf8PathBuf,
    /// Path in the guest.
    pub path: String,
    /// Permissions in the guest.
    pub mode: u32,
}

impl GuestFile {
    fn order(&self) -> std::io::Result<ToGuest> {
        Ok(ToGuest::Put {
            path: self.path.clone(),
            mode: self.mode,
            content: Content::pack(&read_plain(&self.source, FILE_BYTES_MAX as u64)?),
        })
    }
}

impl BootRun {
    fn order(&self) -> ToGuest {
        ToGuest::Run {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            dir: self.dir.clone(),
            timeout_ms: millis(self.timeout.saturating_mul(GUEST_TIMEOUT_MULTIPLIER)),
        }
    }
}

/// Runs the boots of a job. The next boot follows only after a program that ended with code
/// 0. QEMU has ended when this returns, and the transcript is stored in the artifacts
/// folder.
pub fn run(spec: &VmSpec, job: &VmRun, context: &Context) -> Transcript {
    let begin = Instant::now();
    let steps = u64::try_from(2 * job.boots.len().max(1)).ok();
    let activity = context.activity(format!("run {}", spec.name), steps);
    let mut run = Run::new(spec, &context.cancel, activity);
    let end = match run.start(job) {
        Ok(mut session) => {
            let end = run.run_job(&mut session, job).err();
            (run.host_time, run.hang) = session.into_records();
            end.unwrap_or(End::PoweredOff)
        }
        Err(end) => end,
    };
    let end = match checkpoint_was_modified(spec, &run.start) {
        true => End::launch_failed("the checkpoint was modified while the guest ran"),
        false => end,
    };
    let mut transcript = Transcript {
        boots: run.boots,
        end,
        start: run.start,
        shared: false,
        host_time: run.host_time,
        hang: run.hang,
        wall_ms: millis(begin.elapsed()),
        accelerator: spec.accelerator,
        qemu_version: spec.qemu.full_version.clone(),
    };
    if let Err(error) = transcript.save(&spec.artifacts)
        && transcript.end == End::PoweredOff
    {
        transcript.end = End::launch_failed(error);
    }
    transcript
}

/// Returns whether the checkpoint of a restored guest was modified.
fn checkpoint_was_modified(spec: &VmSpec, start: &BootMode) -> bool {
    let checkpoint = spec.checkpoint.as_ref();
    *start == BootMode::Restore && checkpoint.is_some_and(Checkpoint::is_modified)
}

/// Checks that a checkpoint can be restored: restores one guest and kills it.
pub(crate) fn test_restore(
    spec: &VmSpec,
    checkpoint: &Checkpoint,
    context: &Context,
) -> Result<(), End> {
    let activity = context.activity(format!("restore {}", spec.name), None);
    Run::new(spec, &context.cancel, activity)
        .restore(checkpoint)
        .map(drop)
}

/// Boots a machine until its guest waits for the order to begin, and saves it: the memory
/// in `memory`, the rest in `state`. Returns its devices. QEMU has ended when this returns.
pub(crate) fn save(
    spec: &VmSpec,
    memory: &camino::Utf8Path,
    state: &camino::Utf8Path,
    context: &Context,
) -> Result<Devices, End> {
    fs::create_dir_all(&spec.artifacts).map_err(End::launch_failed)?;
    let mut session = Session::launch(spec, Memory::Shared(memory.to_owned()), &context.cancel)?;
    session.enter(Phase::Boot, spec.deadlines.boot);
    run::wait_for_hello(&mut session)?;
    session.enter(Phase::Save, spec.deadlines.save);
    session.save(state)
}
