// SPDX-License-Identifier: MIT OR Apache-2.0
//! Setup of tests that run a real kernel in QEMU. They are `#[ignore]`d, so that `cargo
//! test` counts them as ignored. With `PATCHBED_TEST_KERNEL` set to the bzImage of a kernel
//! with kexec, `cargo test -p vm-images -- --include-ignored` runs them.
//! `PATCHBED_TEST_FAULT` is the path of that kernel's `fault.ko`. A kernel with KASAN also
//! needs `PATCHBED_TEST_MEMORY_MIB` and `PATCHBED_TEST_CMDLINE`.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its setup")]

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use patchbed_host::events::Silent;
use patchbed_host::process::Tool;
use vm_images::accel::Accelerator;
use vm_images::arch::Arch;
use vm_images::initramfs::Initramfs;
use vm_images::machine::Machine;
use vm_images::qemu::Qemu;
use vm_images::spec::Deadlines;
use vm_images::vm::{BootRun, GuestFile, VmRun, VmSpec};
use vm_images::{Exit, ExitStatus, guest};

/// The inputs of a test run, in a temporary folder.
pub(crate) struct Environment {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) spec: VmSpec,
    /// A context without progress, with a cache in the folder.
    pub(crate) context: Context,
    program: Utf8PathBuf,
}

impl Environment {
    pub(crate) fn new(name: &str) -> Self {
        Self::on("edu-pair", name)
    }

    /// Returns an environment with this machine.
    pub(crate) fn on(machine: &str, name: &str) -> Self {
        let kernel = Utf8PathBuf::from(required("PATCHBED_TEST_KERNEL"));
        let crate_dir = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let context = Context {
            cancel: Cancel::new(),
            observer: Arc::new(Silent),
            cache: Cache::at(path.join("cache")).unwrap(),
        };
        let init = guest::build(crate_dir.parent().unwrap(), &context).unwrap();
        let program = path.join("program");
        Tool::new("rustc")
            .args(["-C", "target-feature=+crt-static", "-O", "-o"])
            .arg(&program)
            .arg(crate_dir.join("tests/guest/program.rs"))
            .deadline("test program", Duration::from_secs(120))
            .run(&context.cancel)
            .unwrap();
        let mut archive = Initramfs::for_guest(&init).unwrap();
        archive.add_next_kernel(&kernel).unwrap();
        let initramfs = path.join("initrd");
        archive.write_to(&initramfs).unwrap();
        let spec = VmSpec {
            name: name.to_owned(),
            qemu: Qemu::find(Arch::default(), &context.cancel).unwrap(),
            kernel,
            initramfs,
            machine: Machine::load(&crate_dir.join(format!("machines/{machine}.yaml"))).unwrap(),
            accelerator: Accelerator::Tcg,
            memory_mib: std::env::var("PATCHBED_TEST_MEMORY_MIB")
                .ok()
                .map(|value| value.parse().unwrap()),
            cmdline: std::env::var("PATCHBED_TEST_CMDLINE")
                .unwrap_or("liveupdate=on kho=on kho_scratch=16M,64M,64M".into()),
            checkpoint: None,
            artifacts: path.join("artifacts"),
            deadlines: Deadlines::new(Accelerator::Tcg, 4),
            keep_dump: false,
        };
        Self {
            dir,
            spec,
            context,
            program,
        }
    }

    pub(crate) fn serial(&self) -> String {
        let bytes = std::fs::read(self.spec.artifacts.join("serial.log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns a job that runs the test program once in each boot, with these arguments.
    pub(crate) fn job(&self, boots: &[&[&str]]) -> VmRun {
        let boot = |args: &&[&str]| BootRun {
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
        VmRun {
            boots: boots.iter().map(boot).collect(),
        }
    }
}

/// Returns an environment variable that an ignored test requires.
pub(crate) fn required(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("`{variable}` is not set; this test needs it"))
}

/// Returns the exit of a program that ended with this code.
pub(crate) fn exited(code: i32) -> Option<Exit> {
    Some(Exit {
        status: ExitStatus::Code(code),
        timed_out: false,
    })
}
