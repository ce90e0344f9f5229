// SPDX-License-Identifier: GPL-2.0-only
//! What tests need for a real run of a real kernel: QEMU, and a kernel with
//! kexec, named by `PATCHBED_TEST_KERNEL`. Without one they are skipped with a
//! word of why. A kernel that needs more than usual (KASAN's does) gets it by
//! `PATCHBED_TEST_MEMORY_MIB` and `PATCHBED_TEST_CMDLINE`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may, and so may what they share"
)]

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use patchbed_host::process::Tool;
use vm_images::accel::Accelerator;
use vm_images::deadlines::Deadlines;
use vm_images::initramfs::Initramfs;
use vm_images::machine::Machine;
use vm_images::qemu::Qemu;
use vm_images::vm::{GuestFile, Job, StageJob, VmSpec};
use vm_images::{Exit, ExitStatus, guest};

/// All that a test needs for a run, in a folder of its own.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) spec: VmSpec,
    program: Utf8PathBuf,
}

impl Rig {
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::on("edu-pair", name)
    }

    /// Returns a rig with this machine.
    pub(crate) fn on(machine: &str, name: &str) -> Option<Self> {
        let Some(kernel) = std::env::var_os("PATCHBED_TEST_KERNEL") else {
            println!("skipped: no kernel in `PATCHBED_TEST_KERNEL`");
            return None;
        };
        let kernel = Utf8PathBuf::try_from(std::path::PathBuf::from(kernel)).unwrap();
        let cancel = Cancel::new();
        let room = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let init = guest::build(room.parent().unwrap(), &cancel, &Silent).unwrap();
        let program = path.join("program");
        Tool::new("rustc")
            .args(["-C", "target-feature=+crt-static", "-O", "-o"])
            .arg(&program)
            .arg(room.join("tests/guest/program.rs"))
            .deadline("test program", Duration::from_secs(120))
            .run(&cancel)
            .unwrap();
        let mut archive = Initramfs::for_guest(&init).unwrap();
        archive.add_next_kernel(&kernel).unwrap();
        let initramfs = path.join("initrd");
        archive.write_to(&initramfs).unwrap();
        let spec = VmSpec {
            name: name.to_owned(),
            qemu: Qemu::find(&cancel).unwrap(),
            kernel,
            initramfs,
            machine: Machine::load(&room.join(format!("machines/{machine}.yaml"))).unwrap(),
            accelerator: Accelerator::Tcg,
            memory_mib: std::env::var("PATCHBED_TEST_MEMORY_MIB")
                .ok()
                .map(|value| value.parse().unwrap()),
            cmdline: std::env::var("PATCHBED_TEST_CMDLINE")
                .unwrap_or("kho_scratch=16M,64M,64M".into()),
            template: None,
            artifacts: path.join("artifacts"),
            deadlines: Deadlines::new(Accelerator::Tcg, 4),
            keep_dump: false,
        };
        Some(Self { dir, spec, program })
    }

    pub(crate) fn serial(&self) -> String {
        let bytes = std::fs::read(self.spec.artifacts.join("serial.log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns a job that runs the test program with these arguments, a list a stage.
    pub(crate) fn job(&self, stages: &[&[&str]]) -> Job {
        let stage = |args: &&[&str]| StageJob {
            kernel: None,
            files: vec![GuestFile {
                source: self.program.clone(),
                path: "/tests/program".into(),
                mode: 0o755,
            }],
            program: "/tests/program".into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("GREETING".into(), "hello".into())],
            dir: "/tests".into(),
            timeout: Duration::from_secs(60),
        };
        Job {
            stages: stages.iter().map(stage).collect(),
        }
    }
}

/// Returns the exit of a program that ended with this code.
pub(crate) fn exited(code: i32) -> Option<Exit> {
    Some(Exit {
        status: ExitStatus::Code(code),
        timed_out: false,
    })
}
