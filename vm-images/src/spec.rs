// SPDX-License-Identifier: MIT OR Apache-2.0
//! The specification of a run: the virtual machine, the program of each boot, time limits,
//! and the commands that repeat the run by hand.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::files::read_plain;
use patchbed_host::process::quote;
use patchbed_protocol::{
    BOOT_PARAMETER, Call, Content, ENTROPY_BYTES, FILE_BYTES_MAX, KEXEC_INITRD_PATH,
    KEXEC_KERNEL_PATH, Message, ToGuest, encode,
};
use serde::{Deserialize, Serialize};

use crate::accel::Accelerator;
use crate::checkpoint::Checkpoint;
use crate::machine::Machine;
use crate::qemu::{Launch, Memory, Qemu, Wiring, arguments, shell_command};
use crate::transcript::millis;

/// Arguments of every kernel. They select the log format, and reboot at once after a panic.
const CMDLINE: &str = "console_msg_format=syslog panic=-1";

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
        let arch = self.machine.kind.arch().cmdline(self.accelerator);
        let all = [arch, CMDLINE, &boot, machine, &self.cmdline];
        let words = all.iter().flat_map(|words| words.split_ascii_whitespace());
        words.collect::<Vec<_>>().join(" ")
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
    pub(crate) fn kexec_order(&self, job: &VmRun, boot: u32) -> ToGuest {
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
    pub(crate) fn next_kernel(&self, number: u32) -> Option<&NextKernel> {
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
    /// The kernel image on the host, of at most [`FILE_BYTES_MAX`] bytes.
    pub image: Utf8PathBuf,
    /// Its initramfs, of at most [`FILE_BYTES_MAX`] bytes. It needs no further kernel: if
    /// the next boot uses this kernel again, the guest adds it.
    pub initramfs: Utf8PathBuf,
}

impl NextKernel {
    /// Returns the files that the guest needs for the kexec.
    pub(crate) fn files(&self) -> [GuestFile; 2] {
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
    pub(crate) fn order(&self) -> std::io::Result<ToGuest> {
        Ok(ToGuest::Put {
            path: self.path.clone(),
            mode: self.mode,
            content: Content::pack(&read_plain(&self.source, FILE_BYTES_MAX as u64)?),
        })
    }
}

impl BootRun {
    pub(crate) fn order(&self) -> ToGuest {
        ToGuest::Run(Call {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            dir: self.dir.clone(),
            timeout_ms: millis(self.timeout.saturating_mul(GUEST_TIMEOUT_MULTIPLIER)),
        })
    }
}

/// Time limits for the phases of a run. They are long: they end a hang and do not measure
/// speed, and the host may be busy with builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of QEMU until it has connected.
    pub launch: Duration,
    /// From the start of QEMU to the first kernel's hello.
    pub boot: Duration,
    /// For saving a booted machine.
    pub save: Duration,
    /// From the start of QEMU until a saved machine runs again.
    pub restore: Duration,
    /// From the kexec order to the next kernel's hello.
    pub kexec: Duration,
    /// Time that a boot may take beyond its program's timeout.
    pub program_margin: Duration,
    /// From a program's request for a device until its slot has released the device before.
    /// The guest needs six seconds for that.
    pub unplug: Duration,
    /// From the power-off order to the end of QEMU.
    pub power_off: Duration,
}

impl Deadlines {
    /// Returns the limits for an accelerator, multiplied for a slow kernel: 1 for a plain
    /// kernel. KASAN makes a kernel about ten times slower, but the limits have enough
    /// slack that 4 suffices.
    pub fn new(accelerator: Accelerator, multiplier: u32) -> Self {
        let (boot, power_off) = match accelerator {
            Accelerator::Kvm => (30, 15),
            Accelerator::Tcg => (60, 30),
        };
        let scaled = |secs| Duration::from_secs(secs) * multiplier.max(1);
        Self {
            launch: Duration::from_secs(30),
            boot: scaled(boot),
            save: scaled(power_off),
            restore: scaled(power_off),
            kexec: scaled(boot),
            program_margin: scaled(power_off),
            unplug: scaled(30),
            power_off: scaled(power_off),
        }
    }
}

/// Writes a command that starts the same machine, and the orders for its guest, which waits
/// for orders.
pub(crate) fn write_commands(spec: &VmSpec, job: &VmRun) -> io::Result<()> {
    let mut text = String::from(
        "# Boots the same machine with its console on this terminal. The guest reads orders,\n\
         # one on each line, from `socat - UNIX-CONNECT:channel.sock`. The following commands\n\
         # print the orders of this run:\n",
    );
    text += &order_command(&ToGuest::Begin {
        unix_ns: 0,
        entropy: vec![0; ENTROPY_BYTES],
    })?;
    for (number, boot) in (1..).zip(&job.boots) {
        if number > 1 {
            let kernel = boot.kernel.iter().flat_map(NextKernel::files);
            text += &put_commands(kernel);
            text += &order_command(&spec.kexec_order(job, number))?;
        }
        text += &put_commands(boot.files.iter().cloned());
        text += &order_command(&boot.order())?;
    }
    text += &order_command(&ToGuest::PowerOff)?;
    let launch = spec.launch(Memory::Fresh, Wiring::Terminal);
    text += &shell_command(&spec.qemu.program, &arguments(&spec.machine, &launch));
    fs::write(spec.artifacts.join("qemu.cmdline"), text)
}

/// Returns a command that prints an order.
fn order_command<M: Message + serde::Serialize>(order: &M) -> io::Result<String> {
    let line = encode(order).map_err(io::Error::other)?;
    let line = String::from_utf8_lossy(&line);
    Ok(format!("#   echo {}\n", quote(line.trim_end())))
}

/// Returns commands that print the orders for files.
fn put_commands(files: impl IntoIterator<Item = GuestFile>) -> String {
    let mut text = String::new();
    for file in files {
        let order = format!(
            r#"{{"type":"put","path":"{}","mode":{},"data":"%s"}}\n"#,
            file.path, file.mode
        );
        let content = format!("\"$(base64 -w0 {})\"", quote(file.source.as_str()));
        text += &format!("#   printf {} {content}\n", quote(&order));
    }
    text
}
