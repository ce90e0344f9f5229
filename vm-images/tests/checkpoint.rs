// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guests restored from a checkpoint, with a real kernel.

#![expect(clippy::unwrap_used, reason = "tests may, and so may their helpers")]

mod environment;

use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use vm_images::checkpoint::Checkpoint;
use vm_images::checkpoints::{Checkpoints, NoCheckpoint};
use vm_images::transcript::{BootMode, End, Transcript};
use vm_images::vm::{BatchProgram, VmRun, VmSpec, run, run_batch};

use environment::{Environment, exited};

/// Maximum difference between the time of a guest and its host, in milliseconds.
const CLOCK_SLACK_MS: u128 = 500;

fn checkpoints(environment: &Environment) -> Checkpoints {
    let dir = environment.dir.path().join("checkpoints");
    Checkpoints::at(&Utf8PathBuf::try_from(dir).unwrap()).unwrap()
}

fn get(environment: &Environment) -> Checkpoint {
    checkpoints(environment)
        .get(&environment.spec, &environment.context)
        .unwrap()
}

fn run_from(environment: &Environment, checkpoint: Checkpoint, job: &VmRun) -> Transcript {
    let spec = VmSpec {
        checkpoint: Some(checkpoint),
        ..environment.spec.clone()
    };
    run(&spec, job, &environment.context)
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn restored_guests_differ_in_time_random_numbers_and_boot_id() {
    let environment = Environment::new("individual guests");
    let checkpoint = get(&environment);
    let mut guests = Vec::new();
    for _ in 0..3 {
        let before = now_ms();
        let transcript = run_from(
            &environment,
            checkpoint.clone(),
            &environment.job(&[&["identity"]]),
        );
        let after = now_ms();
        assert_eq!(transcript.end, End::PoweredOff);
        assert_eq!(transcript.boot_mode, BootMode::Restore);
        let boot = &transcript.boots[0];
        assert_eq!(boot.exit, exited(0));
        let output = String::from_utf8(boot.output.clone()).unwrap();
        let (time, random) = output.split_once(' ').unwrap();
        let time: u128 = time.parse().unwrap();
        assert!(before <= time + CLOCK_SLACK_MS && time <= after + CLOCK_SLACK_MS);
        guests.push((boot.boot_id.clone(), random.to_owned()));
    }
    for (index, (boot_id, random)) in guests.iter().enumerate() {
        assert_eq!(boot_id.len(), 36);
        for (other_id, other_random) in &guests[..index] {
            assert_ne!(boot_id, other_id);
            assert_ne!(random, other_random);
        }
    }
    // The log of each restored guest contains the kernel's boot once.
    assert_eq!(environment.serial().matches("Linux version").count(), 1);
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_restored_guest_can_kexec() {
    let environment = Environment::new("kexec from a checkpoint");
    let job = environment.job(&[&["leave-child"], &["print", "again"]]);
    let transcript = run_from(&environment, get(&environment), &job);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.boot_mode, BootMode::Restore);
    let [first, second] = transcript.boots.as_slice() else {
        panic!("not two boots");
    };
    assert_eq!(first.output, b"left a child\n");
    assert_eq!(second.output, b"out again\nerr hello\n");
    assert_ne!(first.boot_id, second.boot_id);
    assert_eq!(environment.serial().matches("Linux version").count(), 2);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn run_batch_returns_a_transcript_for_each_program_or_none() {
    let environment = Environment::new("shared");
    let spec = VmSpec {
        checkpoint: Some(get(&environment)),
        ..environment.spec.clone()
    };
    let share = |words: &[&[&str]]| {
        let folder = |index: usize| environment.spec.artifacts.join(format!("program-{index}"));
        let boots = words.iter().flat_map(|args| environment.job(&[args]).boots);
        let programs: Vec<BatchProgram> = boots
            .enumerate()
            .map(|(index, boot)| BatchProgram {
                boot,
                artifacts: folder(index),
            })
            .collect();
        run_batch(&spec, &programs, &environment.context)
    };
    let transcripts = share(&[&["print", "one"], &["print", "two"]]).unwrap();
    assert_eq!(transcripts.len(), 2);
    for (index, (transcript, word)) in transcripts.iter().zip(["one", "two"]).enumerate() {
        let output = format!("out {word}\nerr hello\n");
        assert_eq!(transcript.boots[0].output, output.as_bytes());
        let folder = environment.spec.artifacts.join(format!("program-{index}"));
        assert_eq!(&Transcript::load(&folder).unwrap(), transcript);
        let console = std::fs::read_to_string(folder.join("serial.log")).unwrap();
        for line in [
            "Linux version",
            "boot 1 begins",
            "boot 1 ends",
            "Power down",
        ] {
            assert_eq!(console.matches(line).count(), 1, "{line}");
        }
    }
    assert_eq!(share(&[&["print"], &["exit", "1"], &["print"]]), None);
    assert_eq!(share(&[&["print"], &["crash"]]), None);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn get_returns_one_checkpoint_for_equal_guests() {
    let mut environment = Environment::new("once");
    let first = get(&environment);
    assert_eq!(get(&environment), first);
    environment.spec.cmdline.push_str(" quiet");
    assert_ne!(get(&environment), first);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_boots_if_its_checkpoint_is_damaged() {
    let environment = Environment::new("damaged");
    for (part, content) in [
        ("state", &b"invalid"[..]),
        ("memory", b""),
        ("console", b""),
    ] {
        let checkpoint = get(&environment);
        match part {
            "state" => std::fs::write(checkpoint.state(), content).unwrap(),
            "memory" => std::fs::write(checkpoint.memory(), content).unwrap(),
            _ => std::fs::remove_file(checkpoint.console()).unwrap(),
        }
        let transcript = run_from(
            &environment,
            checkpoint.clone(),
            &environment.job(&[&["exit", "0"]]),
        );
        assert_eq!(transcript.end, End::PoweredOff, "{part}");
        let Some(trouble) = transcript.restore_error else {
            panic!("restored a checkpoint with a damaged {part}");
        };
        assert!(!trouble.is_empty());
        assert_eq!(
            environment.serial().matches("Linux version").count(),
            1,
            "{part}"
        );
        // The next request creates a new checkpoint.
        let again = run_from(
            &environment,
            get(&environment),
            &environment.job(&[&["exit", "0"]]),
        );
        assert_eq!(again.boot_mode, BootMode::Restore, "{part}");
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn get_leaves_no_checkpoint_of_a_kernel_that_does_not_boot() {
    let mut environment = Environment::new("no boot");
    environment
        .spec
        .cmdline
        .push_str(" rdinit=/none init=/none");
    let made = checkpoints(&environment).get(&environment.spec, &environment.context);
    assert!(matches!(made, Err(NoCheckpoint::NotBooted(_))), "{made:?}");
    let dirs = std::fs::read_dir(environment.dir.path().join("checkpoints")).unwrap();
    let names: Vec<_> = dirs
        .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.to_str().unwrap().ends_with(".lock")),
        "{names:?}"
    );
}

fn now_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
}
