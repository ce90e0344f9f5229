// SPDX-License-Identifier: MIT OR Apache-2.0
//! Failures of runs before the guest runs a program, with a fake QEMU: these tests need
//! neither a kernel nor QEMU.

#![expect(clippy::unwrap_used, reason = "tests may, and so may their helpers")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use patchbed_host::events::Silent;
use patchbed_host::process::Tool;
use vm_images::ExitStatus;
use vm_images::accel::Accelerator;
use vm_images::machine::Machine;
use vm_images::qemu::{Qemu, Version};
use vm_images::spec::Deadlines;
use vm_images::transcript::{End, Phase, Transcript};
use vm_images::vm::{BootRun, GuestFile, VmRun, VmSpec, run};

/// Returns the path of the fake QEMU, built once.
fn fake_qemu() -> &'static Utf8Path {
    static FAKE: OnceLock<Utf8PathBuf> = OnceLock::new();
    FAKE.get_or_init(|| {
        let program = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-qemu");
        Tool::new("rustc")
            .args(["--edition", "2024", "-o", program.as_str()])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/qemu.rs"))
            .deadline("fake QEMU", Duration::from_secs(120))
            .run(&Cancel::new())
            .unwrap();
        program
    })
}

/// A run of a machine whose QEMU has a fault.
struct Fault {
    dir: tempfile::TempDir,
    spec: VmSpec,
}

impl Fault {
    fn new(fault: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = concat!(env!("CARGO_MANIFEST_DIR"), "/machines/edu-pair.yaml");
        let limit = |expires: bool| Duration::from_millis(if expires { 50 } else { 30_000 });
        let spec = VmSpec {
            name: fault.to_owned(),
            qemu: Qemu {
                program: fake_qemu().to_string(),
                version: Version { major: 7, minor: 2 },
                full_version: "7.2".into(),
            },
            kernel: "bzImage".into(),
            initramfs: "initrd".into(),
            machine: Machine::load(machine.into()).unwrap(),
            accelerator: Accelerator::Tcg,
            memory_mib: None,
            cmdline: format!("fake={fault}"),
            checkpoint: None,
            artifacts: Utf8PathBuf::try_from(dir.path().join("job")).unwrap(),
            deadlines: Deadlines {
                launch: limit(fault == "never-connects"),
                boot: limit(fault == "silent"),
                unplug: limit(true),
                // The fake QEMU does not power off after these.
                power_off: limit(["requests", "surprise-removal", "slow-reader"].contains(&fault)),
                ..Deadlines::new(Accelerator::Tcg, 1)
            },
            keep_dump: false,
        };
        Self { dir, spec }
    }

    fn run(&self, job: &VmRun) -> Transcript {
        let context = Context {
            cancel: Cancel::new(),
            observer: Arc::new(Silent),
            cache: Cache::at(Utf8PathBuf::try_from(self.dir.path().join("cache")).unwrap())
                .unwrap(),
        };
        run(&self.spec, job, &context)
    }

    /// Returns the answers that the guest received.
    fn answers(&self) -> Vec<String> {
        let channel_log =
            std::fs::read_to_string(self.spec.artifacts.join("channel.jsonl")).unwrap();
        let mark = "\"type\":\"answer\",\"text\":\"";
        let lines = channel_log.lines().filter_map(|line| line.split_once(mark));
        lines
            .map(|(_, rest)| rest.trim_end_matches(['"', '}']).to_owned())
            .collect()
    }
}

/// Runs a machine whose QEMU has this fault; returns the end and the names of the files in
/// the artifacts folder.
fn end_of(fault: &str) -> (End, Vec<String>) {
    let fault = Fault::new(fault);
    let transcript = fault.run(&VmRun::default());
    let mut left: Vec<String> = fault
        .spec
        .artifacts
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    left.sort();
    assert!(fault.dir.path().exists());
    (transcript.end, left)
}

/// Returns a job with one program, which the fake QEMU does not run.
fn one_boot() -> VmRun {
    VmRun {
        boots: vec![BootRun {
            kernel: None,
            files: Vec::new(),
            program: "p".into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: "/".into(),
            timeout: Duration::from_secs(30),
        }],
    }
}

#[test]
fn an_exit_of_qemu_at_launch_is_reported_with_its_stderr() {
    let (end, left) = end_of("exits");
    assert_eq!(
        end,
        End::QemuDied {
            during: Phase::Launch,
            status: "exit status: 1".into(),
            stderr_tail: "fake failure".into(),
        }
    );
    assert_eq!(
        left,
        [
            "channel.jsonl",
            "qemu.cmdline",
            "qemu.stderr",
            "transcript.json"
        ]
    );
}

#[test]
fn expired_limits_are_reported_with_their_phase() {
    let expired = |phase| End::DeadlineExpired {
        phase,
        limit_ms: 50,
    };
    assert_eq!(end_of("never-connects").0, expired(Phase::Launch));
    let (end, left) = end_of("silent");
    assert_eq!(end, expired(Phase::Boot));
    assert!(left.contains(&"hang.registers".to_owned()));
}

#[test]
fn invalid_channel_data_ends_the_run() {
    for (fault, text) in [
        ("garbage", "is not a message"),
        ("endless-line", "longer than"),
        ("other-protocol", "protocol 99"),
        ("other-boot", "boot 7"),
    ] {
        let (end, _) = end_of(fault);
        assert!(
            matches!(&end, End::ChannelBroken { error, .. } if error.contains(text)),
            "{fault}: {end:?}"
        );
    }
}

#[test]
fn a_console_flood_ends_the_run() {
    assert!(matches!(
        end_of("console-flood").0,
        End::ConsoleFlood {
            during: Phase::Boot,
            ..
        }
    ));
}

#[test]
fn a_machine_stopped_by_qemu_ends_the_run() {
    assert_eq!(
        end_of("stops").0,
        End::Stopped {
            during: Phase::Boot,
            status: "internal-error".into()
        }
    );
}

#[test]
fn a_reset_after_goodbye_is_not_a_power_off() {
    assert_eq!(
        end_of("resets-at-goodbye").0,
        End::GuestGone {
            during: Phase::PowerOff,
            reason: "guest-reset".into()
        }
    );
}

#[test]
fn a_hello_while_a_program_runs_is_reported_as_kexec() {
    for fault in ["kexec", "kexec-in-mid-line"] {
        let transcript = Fault::new(fault).run(&one_boot());
        assert_eq!(
            transcript.end,
            End::GuestGone {
                during: Phase::Program(1),
                reason: "kexec".into()
            },
            "{fault}"
        );
    }
}

#[test]
fn the_timeout_of_a_program_starts_after_its_files_and_cuts_no_order() {
    let fault = Fault::new("slow-reader");
    let mut state = 1_u32;
    // Content that does not compress, and is larger than the buffer of a socket.
    let content = (0..1 << 20).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let source = Utf8PathBuf::try_from(fault.dir.path().join("file")).unwrap();
    std::fs::write(&source, content.collect::<Vec<u8>>()).unwrap();
    let mut job = one_boot();
    job.boots[0].timeout = Duration::from_millis(200);
    job.boots[0].files = vec![GuestFile {
        source,
        path: "/tests/file".into(),
        mode: 0o644,
    }];
    let transcript = fault.run(&job);
    let exit = transcript.boots.first().and_then(|boot| boot.exit);
    assert!(exit.is_some_and(|exit| exit.timed_out), "{transcript:?}");
}

#[test]
fn failing_requests_are_answered_and_do_not_end_the_run() {
    let fault = Fault::new("requests");
    let transcript = fault.run(&one_boot());
    let exit = transcript.boots[0].exit.unwrap();
    assert_eq!(exit.status, ExitStatus::Code(3));
    insta::assert_snapshot!(fault.answers().join("\n"), @r"
    error no PCIe port at 0000:00:04.0
    error QEMU refused `device_del`: fake failure
    error the previous request is not finished
    error no PCIe port at 0000:00:04.0
    ");
}

#[test]
fn a_plug_request_fails_when_the_slot_is_not_released() {
    let fault = Fault::new("surprise-removal");
    let transcript = fault.run(&one_boot());
    assert!(transcript.boots[0].exit.is_some());
    insta::assert_snapshot!(fault.answers().join("\n"), @r"
    ok
    error QEMU refused `device_del`: fake failure
    error the previous request is not finished
    error slot `endpoint0` was not released within 50ms (deadline `unplug`; not empty, power On)
    ");
}
