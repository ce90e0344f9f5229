// SPDX-License-Identifier: MIT OR Apache-2.0
//! The QEMU program: its version check, and its arguments for a machine, which are a pure
//! function of the inputs.

pub(crate) mod devices;

use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool, quote};
use patchbed_protocol::PORT_NAME;

use crate::accel::Accelerator;
use crate::arch::Arch;
use crate::machine::Machine;

/// Oldest supported release.
const OLDEST: Version = Version { major: 7, minor: 2 };

/// Limit for `--version`.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Why QEMU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// QEMU is not installed, or does not start.
    #[error("{0}")]
    Process(#[from] ProcessError),
    /// The output of `--version` holds no version.
    #[error("cannot parse the version of QEMU: `{program} --version` printed `{output}`")]
    NoVersion {
        /// The program.
        program: &'static str,
        /// The first line of the output.
        output: String,
    },
    /// The version is too old.
    #[error("cannot use QEMU {found}: version {OLDEST} or newer is required")]
    TooOld {
        /// Its version.
        found: Version,
    },
}

/// A release of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An installed QEMU of a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: String,
    /// Its release.
    pub version: Version,
    /// Its version as printed, with the distribution's suffix.
    pub full_version: String,
}

impl Qemu {
    /// Returns the host's QEMU for guests of an architecture.
    pub fn find(arch: Arch, cancel: &Cancel) -> Result<Self, QemuError> {
        let output = Tool::new(arch.qemu())
            .arg("--version")
            .deadline("QEMU version", VERSION_LIMIT)
            .run(cancel)?;
        Self::from_banner(arch.qemu(), &output.stdout_text())
    }

    fn from_banner(program: &'static str, banner: &str) -> Result<Self, QemuError> {
        let first = banner.lines().next().unwrap_or_default();
        let full_version = first.split_once("version ").map_or("", |(_, rest)| rest);
        let Some(version) = parse_version(full_version) else {
            return Err(QemuError::NoVersion {
                program,
                output: first.to_owned(),
            });
        };
        if version < OLDEST {
            return Err(QemuError::TooOld { found: version });
        }
        Ok(Self {
            program: program.to_owned(),
            version,
            full_version: full_version.trim().to_owned(),
        })
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some(Version {
        major: numbers.next()?.parse().ok()?,
        minor: numbers.next()?.parse().ok()?,
    })
}

/// The connections between the host and a running QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wiring {
    /// QEMU connects to sockets of this process and writes the console to a file.
    Sockets {
        /// File for the raw serial console.
        serial: Utf8PathBuf,
        /// Socket of the guest channel.
        channel: Utf8PathBuf,
        /// Socket of the monitor.
        qmp: Utf8PathBuf,
        /// Socket of the test port, which reads devices and switches slot power while the
        /// guest is stopped.
        test_port: Utf8PathBuf,
    },
    /// The console is on the user's terminal, and QEMU listens on a socket for the guest
    /// channel.
    Terminal,
}

/// The guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Allocated by QEMU; the guest boots.
    Fresh,
    /// This file, mapped shared: it holds the guest's memory after QEMU ended.
    Shared(Utf8PathBuf),
    /// This file, mapped privately: pages are copied on write. QEMU waits for the rest of
    /// the machine's state.
    Private(Utf8PathBuf),
}

/// The inputs of QEMU's arguments besides the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Size of the memory in MiB.
    pub memory_mib: u32,
    /// The memory.
    pub memory: Memory,
    /// The kernel image.
    pub kernel: Utf8PathBuf,
    /// The initramfs.
    pub initramfs: Utf8PathBuf,
    /// The kernel's command line.
    pub cmdline: String,
    /// Console and channels.
    pub wiring: Wiring,
}

/// Returns QEMU's arguments for a machine.
pub fn arguments(machine: &Machine, launch: &Launch) -> Vec<String> {
    let mut args = Args::default();
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.flag(flag);
    }
    args.pair("-display", "none");
    add_machine(&mut args, machine, launch);
    add_memory(&mut args, launch);
    add_connections(&mut args, launch);
    add_devices(&mut args, machine);
    args.pair("-kernel", launch.kernel.as_str());
    args.pair("-initrd", launch.initramfs.as_str());
    args.pair("-append", &launch.cmdline);
    args.0
}

/// Adds the machine's `type`, `cpus` and memory, which a run may increase.
fn add_machine(args: &mut Args, machine: &Machine, launch: &Launch) {
    let backend = match launch.memory {
        Memory::Fresh => "",
        Memory::Shared(_) | Memory::Private(_) => ",memory-backend=memory",
    };
    let (kind, arch) = (machine.kind.qemu_name(), machine.kind.arch());
    let options = arch.machine_options();
    args.pair("-machine", &format!("{kind},{options}{backend}"));
    args.pair("-global", arch.native_hotplug());
    args.pair("-accel", launch.accelerator.qemu_name());
    args.pair("-cpu", arch.cpu(launch.accelerator));
    args.pair("-smp", &machine.cpus.to_string());
    args.pair("-m", &launch.memory_mib.to_string());
}

/// Adds the file with the memory, if there is one.
fn add_memory(args: &mut Args, launch: &Launch) {
    let (file, share) = match &launch.memory {
        Memory::Fresh => return,
        Memory::Shared(file) => (file, "on"),
        Memory::Private(file) => (file, "off"),
    };
    args.pair(
        "-object",
        &format!(
            "memory-backend-file,id=memory,size={}M,mem-path={},share={share}",
            launch.memory_mib,
            value(file)
        ),
    );
    if share == "off" {
        args.pair("-incoming", "defer");
    }
}

fn add_connections(args: &mut Args, launch: &Launch) {
    match &launch.wiring {
        Wiring::Sockets {
            serial,
            channel,
            qmp,
            test_port,
        } => {
            // The log of a restored guest begins with the log of its checkpoint.
            let append = match launch.memory {
                Memory::Private(_) => ",append=on",
                Memory::Fresh | Memory::Shared(_) => "",
            };
            args.chardev(&format!("file,id=serial,path={}{append}", value(serial)));
            args.chardev(&format!("socket,id=channel,path={}", value(channel)));
            args.chardev(&format!("socket,id=qmp,path={}", value(qmp)));
            args.pair("-mon", "chardev=qmp,mode=control");
            args.chardev(&format!("socket,id=qtest,path={}", value(test_port)));
            args.pair("-qtest", "chardev:qtest");
            args.pair("-qtest-log", "none");
        }
        Wiring::Terminal => {
            args.chardev("stdio,id=serial,signal=on");
            args.chardev("socket,id=channel,path=channel.sock,server=on,wait=off");
        }
    }
    args.pair("-serial", "chardev:serial");
}

/// Adds the machine's `iommu`, `switches` and `slots`, and the channel.
fn add_devices(args: &mut Args, machine: &Machine) {
    // The IOMMU translates only devices that follow it on the command line.
    if let Some(iommu) = machine.iommu {
        args.pair("-device", iommu.qemu_name());
    }
    args.pair(
        "-device",
        "virtio-serial-pci,id=ports,bus=pcie.0,addr=0x2,disable-legacy=on",
    );
    args.pair(
        "-device",
        &format!("virtserialport,bus=ports.0,chardev=channel,name={PORT_NAME}"),
    );
    for device in devices::all(machine) {
        args.pair("-device", &device.to_string());
    }
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.to_owned());
    }

    fn pair(&mut self, option: &str, value: &str) {
        self.flag(option);
        self.flag(value);
    }

    fn chardev(&mut self, value: &str) {
        self.pair("-chardev", value);
    }
}

/// Returns a path as the value of a QEMU option, in which commas are doubled.
fn value(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

/// Returns a command for a shell, with one option on each line.
pub fn shell_command(program: &str, args: &[String]) -> String {
    let mut command = quote(program);
    for arg in args {
        // A value stays on the line of its option.
        command.push_str(if arg.starts_with('-') { " \\\n  " } else { " " });
        command.push_str(&quote(arg));
    }
    command.push('\n');
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_file::parse;

    fn machine() -> Machine {
        parse(
            Utf8Path::new("edu-pair.yaml"),
            include_str!("../machines/edu-pair.yaml"),
        )
        .unwrap()
    }

    fn launch(wiring: Wiring) -> Launch {
        Launch {
            accelerator: Accelerator::Tcg,
            memory_mib: 1024,
            memory: Memory::Fresh,
            kernel: "/k/bzImage".into(),
            initramfs: "/k/initrd".into(),
            cmdline: "console=ttyS0 patchbed.boot=1".into(),
            wiring,
        }
    }

    #[test]
    fn arguments_match_the_snapshot_for_edu_pair_with_sockets() {
        let wiring = Wiring::Sockets {
            serial: "/out,1/serial.log".into(),
            channel: "/tmp/t/c".into(),
            qmp: "/tmp/t/q".into(),
            test_port: "/tmp/t/p".into(),
        };
        let args = arguments(&machine(), &launch(wiring));
        insta::assert_snapshot!(shell_command("qemu", &args), @r"
        qemu \
          -nodefaults \
          -no-user-config \
          -no-reboot \
          -display none \
          -machine q35,i8042=off \
          -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off \
          -accel tcg \
          -cpu max,la57=off \
          -smp 2 \
          -m 1024 \
          -chardev file,id=serial,path=/out,,1/serial.log \
          -chardev socket,id=channel,path=/tmp/t/c \
          -chardev socket,id=qmp,path=/tmp/t/q \
          -mon chardev=qmp,mode=control \
          -chardev socket,id=qtest,path=/tmp/t/p \
          -qtest chardev:qtest \
          -qtest-log none \
          -serial chardev:serial \
          -device virtio-serial-pci,id=ports,bus=pcie.0,addr=0x2,disable-legacy=on \
          -device virtserialport,bus=ports.0,chardev=channel,name=patchbed \
          -device pcie-root-port,id=port-endpoint0,bus=pcie.0,addr=0x4,chassis=1,slot=1 \
          -device edu,id=endpoint0,bus=port-endpoint0 \
          -device pcie-root-port,id=port-endpoint1,bus=pcie.0,addr=0x5,chassis=2,slot=2 \
          -device edu,id=endpoint1,bus=port-endpoint1 \
          -kernel /k/bzImage \
          -initrd /k/initrd \
          -append 'console=ttyS0 patchbed.boot=1'
        ");
    }

    #[test]
    fn arguments_with_private_memory_add_the_memory_file_and_incoming() {
        let fresh = launch(Wiring::Terminal);
        let private = Launch {
            memory: Memory::Private("/t,1/memory".into()),
            ..fresh.clone()
        };
        let plain = arguments(&machine(), &fresh);
        let added: Vec<_> = arguments(&machine(), &private)
            .into_iter()
            .filter(|arg| !plain.contains(arg))
            .collect();
        assert_eq!(
            added,
            [
                "q35,i8042=off,memory-backend=memory",
                "-object",
                "memory-backend-file,id=memory,size=1024M,mem-path=/t,,1/memory,share=off",
                "-incoming",
                "defer",
            ]
        );
    }

    #[test]
    fn arguments_for_a_terminal_name_one_accelerator_and_no_monitor() {
        let args = arguments(&machine(), &launch(Wiring::Terminal));
        assert_eq!(args.iter().filter(|arg| *arg == "-accel").count(), 1);
        assert!(!args.iter().any(|arg| arg.contains("qmp")));
    }

    #[test]
    fn from_banner_parses_versions_and_rejects_old_ones() {
        let qemu = Qemu::from_banner(
            "qemu",
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c)\n",
        )
        .unwrap();
        assert_eq!(qemu.version, Version { major: 7, minor: 2 });
        assert_eq!(qemu.full_version, "7.2.22 (Debian 1:7.2+dfsg-7)");
        assert!(Qemu::from_banner("qemu", "QEMU emulator version 10.0.2\n").is_ok());
        assert!(matches!(
            Qemu::from_banner("qemu", "QEMU emulator version 6.2.0"),
            Err(QemuError::TooOld { .. })
        ));
        assert!(matches!(
            Qemu::from_banner("qemu", "no such thing"),
            Err(QemuError::NoVersion { .. })
        ));
    }
}
