// SPDX-License-Identifier: GPL-2.0-only
//! The QEMU program: whether it is there and new enough, and what it is called
//! with for a machine. The argument list is a pure function of its inputs.

pub(crate) mod devices;

use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool, quote};
use patchbed_protocol::PORT_NAME;

use crate::accel::Accelerator;
use crate::machine::Machine;

/// QEMU's program for guests of this architecture.
const PROGRAM: &str = "qemu-system-x86_64";

/// Oldest release that serves.
const OLDEST: Version = Version { major: 7, minor: 2 };

/// Limit for the program to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Slots are PCIe's own, with a port that tells of what comes and goes, and not
/// ACPI's, which would have the firmware's tables in between.
const NATIVE_HOTPLUG: &str = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";

/// Why QEMU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not there, or does not start.
    #[error("{0}")]
    Process(#[from] ProcessError),
    /// It says something else than its version.
    #[error("`{PROGRAM} --version` says `{said}`, which names no version")]
    NoVersion {
        /// What it said.
        said: String,
    },
    /// It is too old.
    #[error("QEMU {found} is too old, it must be {OLDEST} or newer")]
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

/// A QEMU that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: String,
    /// Its release.
    pub version: Version,
    /// Its version as it says it, with the distribution's part.
    pub full_version: String,
}

impl Qemu {
    /// Returns the host's QEMU.
    pub fn find(cancel: &Cancel) -> Result<Self, QemuError> {
        let output = Tool::new(PROGRAM)
            .arg("--version")
            .deadline("QEMU version", VERSION_LIMIT)
            .run(cancel)?;
        Self::from_banner(&output.stdout_text())
    }

    fn from_banner(banner: &str) -> Result<Self, QemuError> {
        let first = banner.lines().next().unwrap_or_default();
        let full_version = first.split_once("version ").map_or("", |(_, rest)| rest);
        let Some(version) = parse_version(full_version) else {
            return Err(QemuError::NoVersion {
                said: first.to_owned(),
            });
        };
        if version < OLDEST {
            return Err(QemuError::TooOld { found: version });
        }
        Ok(Self {
            program: PROGRAM.to_owned(),
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

/// How the host is connected to a running QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wiring {
    /// By us: QEMU connects to our sockets and writes the console to a file.
    Sockets {
        /// File for the raw serial console.
        serial: Utf8PathBuf,
        /// Socket of the guest channel.
        channel: Utf8PathBuf,
        /// Socket of the monitor.
        qmp: Utf8PathBuf,
        /// Socket of the test port, by which devices are looked at while the guest
        /// stands still, and slots lose their power.
        test_port: Utf8PathBuf,
    },
    /// By a person at a terminal, who sees the console; whoever wants may
    /// connect to the guest channel.
    Terminal,
}

/// What the guest's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// QEMU's own; the guest boots.
    Fresh,
    /// This file, shared: what the guest writes is in it when QEMU is gone.
    Cached(Utf8PathBuf),
    /// A copy of this file, page by page as the guest writes; the rest of the
    /// machine waits to be loaded.
    Copied(Utf8PathBuf),
}

/// All that a call of QEMU depends on besides the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The one accelerator to use.
    pub accelerator: Accelerator,
    /// Size of the memory in MiB.
    pub memory_mib: u32,
    /// What the memory is.
    pub memory: Memory,
    /// The bzImage.
    pub kernel: Utf8PathBuf,
    /// The initramfs.
    pub initramfs: Utf8PathBuf,
    /// The kernel's command line.
    pub cmdline: String,
    /// Consoles and channels.
    pub wiring: Wiring,
}

/// Returns QEMU's arguments for a machine.
pub fn arguments(machine: &Machine, launch: &Launch) -> Vec<String> {
    let mut args = Args::default();
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.flag(flag);
    }
    args.pair("-display", "none");
    build(&mut args, machine, launch);
    remember(&mut args, launch);
    wire(&mut args, launch);
    plug(&mut args, machine);
    args.pair("-kernel", launch.kernel.as_str());
    args.pair("-initrd", launch.initramfs.as_str());
    args.pair("-append", &launch.cmdline);
    args.0
}

/// From the machine's `type`, `cpus` and `memory_mib`, of which a run may want more.
fn build(args: &mut Args, machine: &Machine, launch: &Launch) {
    // Looking for a keyboard and a mouse is a fifth of a boot.
    let backend = match launch.memory {
        Memory::Fresh => "",
        Memory::Cached(_) | Memory::Copied(_) => ",memory-backend=memory",
    };
    args.pair(
        "-machine",
        &format!("{},i8042=off{backend}", machine.kind.qemu_name()),
    );
    args.pair("-global", NATIVE_HOTPLUG);
    args.pair("-accel", launch.accelerator.qemu_name());
    args.pair("-cpu", launch.accelerator.cpu());
    args.pair("-smp", &machine.cpus.to_string());
    args.pair("-m", &launch.memory_mib.to_string());
}

/// Names the file that the memory is, when it is one.
fn remember(args: &mut Args, launch: &Launch) {
    let (file, share) = match &launch.memory {
        Memory::Fresh => return,
        Memory::Cached(file) => (file, "on"),
        Memory::Copied(file) => (file, "off"),
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

fn wire(args: &mut Args, launch: &Launch) {
    match &launch.wiring {
        Wiring::Sockets {
            serial,
            channel,
            qmp,
            test_port,
        } => {
            // The log of a guest that goes on goes on.
            let append = match launch.memory {
                Memory::Copied(_) => ",append=on",
                Memory::Fresh | Memory::Cached(_) => "",
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

/// From the machine's `iommu`, `switches` and `slots`, and the channel.
fn plug(args: &mut Args, machine: &Machine) {
    // Devices that QEMU is told of before it would not be behind it.
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

/// Returns a path as the value of a QEMU option, where a comma ends a value.
fn value(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

/// Returns a command that a person can paste into a shell, an option a line.
pub fn shell_command(program: &str, args: &[String]) -> String {
    let mut command = quote(program);
    for arg in args {
        // Values stay on the line of their option.
        command.push_str(if arg.starts_with('-') { " \\\n  " } else { " " });
        command.push_str(&quote(arg));
    }
    command.push('\n');
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::parse;

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
    fn the_pair_of_edu_devices_is_called_so() {
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
    fn a_copy_of_a_saved_guest_is_the_same_machine_but_for_where_its_memory_is() {
        let fresh = launch(Wiring::Terminal);
        let copied = Launch {
            memory: Memory::Copied("/t,1/memory".into()),
            ..fresh.clone()
        };
        let plain = arguments(&machine(), &fresh);
        let added: Vec<_> = arguments(&machine(), &copied)
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
    fn one_accelerator_is_named_and_no_socket_is_left_for_a_person() {
        let args = arguments(&machine(), &launch(Wiring::Terminal));
        assert_eq!(args.iter().filter(|arg| *arg == "-accel").count(), 1);
        assert!(!args.iter().any(|arg| arg.contains("qmp")));
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let qemu = Qemu::from_banner(
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c)\n",
        )
        .unwrap();
        assert_eq!(qemu.version, Version { major: 7, minor: 2 });
        assert_eq!(qemu.full_version, "7.2.22 (Debian 1:7.2+dfsg-7)");
        assert!(Qemu::from_banner("QEMU emulator version 10.0.2\n").is_ok());
        assert!(matches!(
            Qemu::from_banner("QEMU emulator version 6.2.0"),
            Err(QemuError::TooOld { .. })
        ));
        assert!(matches!(
            Qemu::from_banner("no such thing"),
            Err(QemuError::NoVersion { .. })
        ));
    }
}
