// SPDX-License-Identifier: GPL-2.0-only
//! Every way in which a run can end badly before its guest does anything, with
//! a stand-in for QEMU: no kernel and no QEMU needed.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use testbed_host::cancel::Cancel;
use testbed_host::events::Silent;
use testbed_host::process::Tool;
use vm_images::accel::Accelerator;
use vm_images::deadlines::Deadlines;
use vm_images::machine::Machine;
use vm_images::qemu::{Qemu, Version};
use vm_images::transcript::{End, Phase};
use vm_images::vm::{Job, VmSpec, run};

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

/// Runs a machine whose QEMU has this fault; returns the end and the names of
/// the files left behind.
fn end_of(fault: &str) -> (End, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Utf8PathBuf::try_from(dir.path().join("cell")).unwrap();
    let machine = concat!(env!("CARGO_MANIFEST_DIR"), "/machines/edu-pair.yaml");
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
        template: None,
        artifacts: artifacts.clone(),
        deadlines: Deadlines {
            launch: Duration::from_millis(if fault == "never-connects" {
                50
            } else {
                30_000
            }),
            boot: Duration::from_millis(if fault == "silent" { 50 } else { 30_000 }),
            ..Deadlines::new(Accelerator::Tcg, 1)
        },
    };
    let transcript = run(&spec, &Job::default(), &Cancel::new(), &Silent);
    let mut left: Vec<String> = artifacts
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    left.sort();
    (transcript.end, left)
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
        ("other-stage", "stage 7"),
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
