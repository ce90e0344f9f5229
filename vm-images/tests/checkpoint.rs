// SPDX-License-Identifier: GPL-2.0-only
//! Guests that go on from a checkpoint, with a real kernel.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

mod environment;

use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::checkpoint::{Checkpoint, Checkpoints, NoCheckpoint};
use vm_images::transcript::{BootMode, End, Transcript};
use vm_images::vm::{Sharer, VmRun, VmSpec, run, run_shared};

use environment::{Environment, exited};

/// How far a guest's time may be from its host's, in milliseconds.
const CLOCK_SLACK_MS: u128 = 500;

fn checkpoints(environment: &Environment) -> Checkpoints {
    let dir = environment.dir.path().join("checkpoints");
    Checkpoints::at(&Utf8PathBuf::try_from(dir).unwrap()).unwrap()
}

fn get(environment: &Environment) -> Checkpoint {
    checkpoints(environment)
        .get(&environment.spec, &Cancel::new(), &Silent)
        .unwrap()
}

fn run_from(environment: &Environment, checkpoint: Checkpoint, job: &VmRun) -> Transcript {
    let spec = VmSpec {
        checkpoint: Some(checkpoint),
        ..environment.spec.clone()
    };
    run(&spec, job, &Cancel::new(), &Silent)
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn guests_of_one_checkpoint_have_lives_of_their_own() {
    let environment = Environment::new("lives");
    let checkpoint = get(&environment);
    let mut lives = Vec::new();
    for _ in 0..3 {
        let before = now_ms();
        let transcript = run_from(
            &environment,
            checkpoint.clone(),
            &environment.job(&[&["self"]]),
        );
        let after = now_ms();
        assert_eq!(transcript.end, End::PoweredOff);
        assert_eq!(transcript.start, BootMode::Restore);
        let boot = &transcript.boots[0];
        assert_eq!(boot.exit, exited(0));
        let said = String::from_utf8(boot.output.clone()).unwrap();
        let (time, random) = said.split_once(' ').unwrap();
        let time: u128 = time.parse().unwrap();
        assert!(before <= time + CLOCK_SLACK_MS && time <= after + CLOCK_SLACK_MS);
        lives.push((boot.boot_id.clone(), random.to_owned()));
    }
    for (index, (boot_id, random)) in lives.iter().enumerate() {
        assert_eq!(boot_id.len(), 36);
        for (other_id, other_random) in &lives[..index] {
            assert_ne!(boot_id, other_id);
            assert_ne!(random, other_random);
        }
    }
    // The boot of the kernel is in the log of each of its guests.
    assert_eq!(environment.serial().matches("Linux version").count(), 1);
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_of_a_checkpoint_goes_over_to_the_next_kernel() {
    let environment = Environment::new("kexec from a checkpoint");
    let job = environment.job(&[&["keeper"], &["say", "again"]]);
    let transcript = run_from(&environment, get(&environment), &job);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.start, BootMode::Restore);
    let [first, second] = transcript.boots.as_slice() else {
        panic!("not two boots");
    };
    assert_eq!(first.output, b"left a keeper\n");
    assert_eq!(second.output, b"out again\nerr hello\n");
    assert_ne!(first.boot_id, second.boot_id);
    assert_eq!(environment.serial().matches("Linux version").count(), 2);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn programs_that_share_a_guest_have_transcripts_of_their_own() {
    let environment = Environment::new("shared");
    let spec = VmSpec {
        checkpoint: Some(get(&environment)),
        ..environment.spec.clone()
    };
    let share = |words: &[&[&str]]| {
        let folder = |index: usize| environment.spec.artifacts.join(format!("sharer-{index}"));
        let boots = words.iter().flat_map(|args| environment.job(&[args]).boots);
        let sharers: Vec<Sharer> = boots
            .enumerate()
            .map(|(index, boot)| Sharer {
                boot,
                artifacts: folder(index),
            })
            .collect();
        run_shared(&spec, &sharers, &Cancel::new(), &Silent)
    };
    let transcripts = share(&[&["say", "one"], &["say", "two"]]).unwrap();
    assert_eq!(transcripts.len(), 2);
    for (index, (transcript, word)) in transcripts.iter().zip(["one", "two"]).enumerate() {
        let said = format!("out {word}\nerr hello\n");
        assert_eq!(transcript.boots[0].output, said.as_bytes());
        let folder = environment.spec.artifacts.join(format!("sharer-{index}"));
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
    assert_eq!(share(&[&["say"], &["exit", "1"], &["say"]]), None);
    assert_eq!(share(&[&["say"], &["crash"]]), None);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_checkpoint_is_made_once_and_for_one_guest() {
    let mut environment = Environment::new("once");
    let first = get(&environment);
    assert_eq!(get(&environment), first);
    environment.spec.cmdline.push_str(" quiet");
    assert_ne!(get(&environment), first);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_boots_when_its_checkpoint_cannot_be_gone_on_from() {
    let environment = Environment::new("damaged");
    for (part, content) in [
        ("state", &b"rubbish"[..]),
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
        let BootMode::ColdInstead { trouble } = transcript.start else {
            panic!("went on from a checkpoint without {part}");
        };
        assert!(!trouble.is_empty());
        assert_eq!(
            environment.serial().matches("Linux version").count(),
            1,
            "{part}"
        );
        // Who asks for it again gets a new one.
        let again = run_from(
            &environment,
            get(&environment),
            &environment.job(&[&["exit", "0"]]),
        );
        assert_eq!(again.start, BootMode::Restore, "{part}");
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_kernel_that_does_not_boot_has_no_checkpoint() {
    let mut environment = Environment::new("no boot");
    environment
        .spec
        .cmdline
        .push_str(" rdinit=/none init=/none");
    let made = checkpoints(&environment).get(&environment.spec, &Cancel::new(), &Silent);
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
