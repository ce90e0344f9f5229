// SPDX-License-Identifier: GPL-2.0-only
//! Every way in which a run can end badly before its guest does anything, with
//! a stand-in for QEMU: no kernel and no QEMU needed.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use patchbed_host::process::Tool;
use vm_images::ExitStatus;
use vm_images::accel::Accelerator;
use vm_images::deadlines::Deadlines;
use vm_images::machine::Machine;
use vm_images::qemu::{Qemu, Version};
use vm_images::transcript::{End, Phase, Transcript};
use vm_images::vm::{BootRun, VmRun, VmSpec, run};

/// Returns the stand-in, built once.
fn fake_qemu() -> &'static Utf8Path {
    static FAKE: OnceLock<Utf8PathBuf> = OnceLock::new();
    FAKE.get_or_init(|| {
        let program = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-qemu");
        Tool::new("rustc")
            .args(["--edition", "2024", "-o", program.as_str()])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/qemu.rs"))
            .deadline("stand-in for QEMU", Duration::from_secs(120))
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
        let limit = |hits: bool| Duration::from_millis(if hits { 50 } else { 30_000 });
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
                // Nobody is there to switch it off.
                power_off: limit(fault == "asks" || fault == "pulls-out"),
                ..Deadlines::new(Accelerator::Tcg, 1)
            },
            keep_dump: false,
        };
        Self { dir, spec }
    }

    fn run(&self, job: &VmRun) -> Transcript {
        run(&self.spec, job, &Cancel::new(), &Silent)
    }

    /// Returns the answers that the guest got.
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

/// Runs a machine whose QEMU has this fault; returns the end and the names of
/// the files left behind.
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

/// Returns a job with one program, whatever that is.
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
fn qemu_that_exits_is_quoted() {
    let (end, left) = end_of("exits");
    assert_eq!(
        end,
        End::QemuDied {
            during: Phase::Launch,
            status: "exit status: 1".into(),
            stderr_tail: "no luck today".into(),
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
fn deadlines_say_which_one_expired() {
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
fn nonsense_on_the_channel_breaks_it() {
    for (fault, word) in [
        ("garbage", "is not a message"),
        ("endless-line", "longer than"),
        ("other-protocol", "protocol 99"),
        ("other-boot", "boot 7"),
    ] {
        let (end, _) = end_of(fault);
        assert!(
            matches!(&end, End::ChannelBroken { error, .. } if error.contains(word)),
            "{fault}: {end:?}"
        );
    }
}

#[test]
fn a_flooded_console_ends_the_run() {
    assert!(matches!(
        end_of("console-flood").0,
        End::ConsoleFlood {
            during: Phase::Boot,
            ..
        }
    ));
}

#[test]
fn a_machine_that_qemu_stopped_is_not_waited_for() {
    assert_eq!(
        end_of("stops").0,
        End::Stopped {
            during: Phase::Boot,
            status: "internal-error".into()
        }
    );
}

#[test]
fn a_reset_after_goodbye_is_no_power_off() {
    assert_eq!(
        end_of("resets-at-goodbye").0,
        End::GuestGone {
            during: Phase::PowerOff,
            reason: "guest-reset".into()
        }
    );
}

#[test]
fn a_hello_while_a_program_runs_is_a_guest_that_is_gone() {
    for fault in ["goes-over", "goes-over-in-mid-line"] {
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
fn what_cannot_be_done_is_answered_and_ends_nothing() {
    let fault = Fault::new("asks");
    let transcript = fault.run(&one_boot());
    let exit = transcript.boots[0].exit.unwrap();
    assert_eq!(exit.status, ExitStatus::Code(3));
    insta::assert_snapshot!(fault.answers().join("\n"), @r"
    error there is no PCIe port at 0000:00:04.0
    error QEMU refused `device_del`: not today
    error the request before has no answer yet
    error there is no PCIe port at 0000:00:04.0
    ");
}

#[test]
fn a_slot_that_is_never_given_up_meets_its_deadline() {
    let fault = Fault::new("pulls-out");
    let transcript = fault.run(&one_boot());
    assert!(transcript.boots[0].exit.is_some());
    insta::assert_snapshot!(fault.answers().join("\n"), @r"
    ok
    error QEMU refused `device_del`: not today
    error the request before has no answer yet
    error slot `endpoint0` was not given up within 50ms (deadline `unplug`; not empty, power On)
    ");
}
