// SPDX-License-Identifier: GPL-2.0-only
//! Runs one virtual machine through its boots and gives an account of it.
//! Whatever goes wrong is part of the account, never an error: the caller gets
//! what was seen up to then in any case.

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
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::read_plain;
use patchbed_protocol::{
    BOOT_PARAMETER, Content, FILE_BYTES_MAX, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH, ToGuest,
};

use crate::accel::Accelerator;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::devices::Devices;
use crate::deadlines::Deadlines;
use crate::machine::Machine;
use crate::qemu::{Launch, Memory, Qemu, Wiring};
use crate::transcript::{BootMode, End, Phase, Transcript, millis};
pub use batch::{Sharer, run_shared};
use run::Run;
use session::Session;

/// What every kernel is told: where its console is, that live update is to be
/// on (a kernel without it ignores that), not to linger after a panic, and not
/// to take a busy host's lost timer ticks for broken hardware.
const CMDLINE: &str =
    "console=ttyS0 console_msg_format=syslog liveupdate=on kho=on panic=-1 no_timer_check";

/// The guest kills a program by itself only after so many times its time, for a host
/// that says nothing, such as a person. Its clock may be several times too fast: a kernel
/// that the host kept waiting while it measured its time stamp counter is wrong about it.
const GUEST_PATIENCE: u32 = 100;

/// A virtual machine to run.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// Name of the run, for progress.
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
    /// Memory in MiB, when the machine's own is not enough.
    pub memory_mib: Option<u32>,
    /// Added to every kernel's command line, like `kho_scratch=16M,64M,64M`.
    pub cmdline: String,
    /// A saved guest to go on from, which must have been made for these very
    /// things; without one, or when that fails, the guest boots.
    pub checkpoint: Option<Checkpoint>,
    /// Folder for what the run leaves behind; made when it is not there.
    pub artifacts: Utf8PathBuf,
    /// Limits for the parts of the run, in the guest's time.
    pub deadlines: Deadlines,
    /// Whether the guest's memory is left there should it hang.
    pub keep_dump: bool,
}

impl VmSpec {
    /// Returns the command line of a boot's kernel.
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

    /// Returns all that QEMU's call depends on.
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

    /// Returns the order to go over to a boot's kernel.
    fn kexec_order(&self, job: &VmRun, boot: u32) -> ToGuest {
        ToGuest::Kexec {
            cmdline: self.boot_cmdline(boot),
            again: job.stays_with_kernel(boot + 1),
        }
    }
}

/// What is to be done in the machine: one program a boot, a kexec between
/// two. Without any boot the machine is booted and switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmRun {
    /// The boots in their order.
    pub boots: Vec<BootRun>,
}

impl VmRun {
    fn boot(&self, number: u32) -> Option<&BootRun> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.boots.get(index)
    }

    /// Returns the kernel of a boot, if it is another than that of the boot before.
    fn next_kernel(&self, number: u32) -> Option<&NextKernel> {
        self.boot(number)?.kernel.as_ref()
    }

    /// Returns whether there is such a boot, with the kernel of the boot before.
    fn stays_with_kernel(&self, number: u32) -> bool {
        self.boot(number).is_some_and(|boot| boot.kernel.is_none())
    }
}

/// A kernel to go over to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKernel {
    /// The bzImage on the host, of at most [`FILE_BYTES_MAX`] bytes.
    pub image: Utf8PathBuf,
    /// Its initramfs, of at most [`FILE_BYTES_MAX`] bytes. It needs to hold no further
    /// kernel: if the boot after is of the same kernel, the guest sees to that.
    pub initramfs: Utf8PathBuf,
}

impl NextKernel {
    /// Returns what the guest must have to go over to it.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRun {
    /// The kernel that is gone over to for this boot, if it is not that of the boot
    /// before. The first boot's is the machine's.
    pub kernel: Option<NextKernel>,
    /// Files that the guest gets first.
    pub files: Vec<GuestFile>,
    /// Path in the guest.
    pub program: String,
    /// Arguments, without the program's own name.
    pub args: Vec<String>,
    /// Additions to the environment.
    pub env: Vec<(String, String)>,
    /// Folder in the guest that it starts in.
    pub dir: String,
    /// Time after which it is killed, in the guest's time: what the host withheld from
    /// the guest does not count.
    pub timeout: Duration,
}

/// A file for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            timeout_ms: millis(self.timeout.saturating_mul(GUEST_PATIENCE)),
        }
    }
}

/// Runs a machine through a job. Boots go on only after a program that ended
/// with code 0. QEMU is gone when this returns, and the transcript is in the
/// folder for artifacts as well.
pub fn run(spec: &VmSpec, job: &VmRun, cancel: &Cancel, observer: &dyn Observer) -> Transcript {
    let begin = Instant::now();
    let activity = Activity::start(
        observer,
        format!("run {}", spec.name),
        u64::try_from(2 * job.boots.len().max(1)).ok(),
    );
    let mut run = Run::new(spec, cancel, activity);
    let end = match run.start(job) {
        Ok(mut session) => {
            let end = run.drive(&mut session, job).err();
            (run.host_time, run.hang) = session.into_account();
            end.unwrap_or(End::PoweredOff)
        }
        Err(end) => end,
    };
    let end = match touched(spec, &run.start) {
        true => End::launch_failed("the checkpoint was touched while the guest ran"),
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

/// Returns whether the checkpoint that a guest went on from changed under it.
fn touched(spec: &VmSpec, start: &BootMode) -> bool {
    let checkpoint = spec.checkpoint.as_ref();
    *start == BootMode::Restore && checkpoint.is_some_and(Checkpoint::is_touched)
}

/// Tries whether guests can go on from a checkpoint at all: one does, and is gone.
pub(crate) fn try_out(
    spec: &VmSpec,
    checkpoint: &Checkpoint,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<(), End> {
    let activity = Activity::start(observer, format!("try out {}", spec.name), None);
    Run::new(spec, cancel, activity)
        .restore(checkpoint)
        .map(drop)
}

/// Boots a machine up to where its guest waits to be told to begin, and saves it:
/// its memory into `memory`, the rest into `state`. Returns its devices. QEMU is
/// gone when this returns.
pub(crate) fn save(
    spec: &VmSpec,
    memory: &camino::Utf8Path,
    state: &camino::Utf8Path,
    cancel: &Cancel,
) -> Result<Devices, End> {
    fs::create_dir_all(&spec.artifacts).map_err(End::launch_failed)?;
    let mut session = Session::launch(spec, Memory::Cached(memory.to_owned()), cancel)?;
    session.enter(Phase::Boot, spec.deadlines.boot);
    run::meet(&mut session)?;
    session.enter(Phase::Save, spec.deadlines.save);
    session.save(state)
}
