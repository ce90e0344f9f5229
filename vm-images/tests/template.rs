// SPDX-License-Identifier: GPL-2.0-only
//! Guests that go on from a template, with a real kernel.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

mod rig;

use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::template::{NoTemplate, Template, Templates};
use vm_images::transcript::{End, Start, Transcript};
use vm_images::vm::{Job, Sharer, VmSpec, run, run_shared};

use rig::{Rig, exited};

/// How far a guest's time may be from its host's, in milliseconds.
const CLOCK_SLACK_MS: u128 = 500;

fn templates(rig: &Rig) -> Templates {
    let dir = rig.dir.path().join("templates");
    Templates::at(&Utf8PathBuf::try_from(dir).unwrap()).unwrap()
}

fn get(rig: &Rig) -> Template {
    templates(rig)
        .get(&rig.spec, &Cancel::new(), &Silent)
        .unwrap()
}

fn run_from(rig: &Rig, template: Template, job: &Job) -> Transcript {
    let spec = VmSpec {
        template: Some(template),
        ..rig.spec.clone()
    };
    run(&spec, job, &Cancel::new(), &Silent)
}

#[test]
fn guests_of_one_template_have_lives_of_their_own() {
    let Some(rig) = Rig::new("lives") else {
        return;
    };
    let template = get(&rig);
    let mut lives = Vec::new();
    for _ in 0..3 {
        let before = now_ms();
        let transcript = run_from(&rig, template.clone(), &rig.job(&[&["self"]]));
        let after = now_ms();
        assert_eq!(transcript.end, End::PoweredOff);
        assert_eq!(transcript.start, Start::Template);
        let stage = &transcript.stages[0];
        assert_eq!(stage.exit, exited(0));
        let said = String::from_utf8(stage.output.clone()).unwrap();
        let (time, random) = said.split_once(' ').unwrap();
        let time: u128 = time.parse().unwrap();
        assert!(before <= time + CLOCK_SLACK_MS && time <= after + CLOCK_SLACK_MS);
        lives.push((stage.boot_id.clone(), random.to_owned()));
    }
    for (index, (boot_id, random)) in lives.iter().enumerate() {
        assert_eq!(boot_id.len(), 36);
        for (other_id, other_random) in &lives[..index] {
            assert_ne!(boot_id, other_id);
            assert_ne!(random, other_random);
        }
    }
    // The boot of the kernel is in the log of each of its guests.
    assert_eq!(rig.serial().matches("Linux version").count(), 1);
    assert!(rig.serial().contains("Power down"));
}

#[test]
fn a_guest_of_a_template_goes_over_to_the_next_kernel() {
    let Some(rig) = Rig::new("kexec from a template") else {
        return;
    };
    let job = rig.job(&[&["keeper"], &["say", "again"]]);
    let transcript = run_from(&rig, get(&rig), &job);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.start, Start::Template);
    let [first, second] = transcript.stages.as_slice() else {
        panic!("not two stages");
    };
    assert_eq!(first.output, b"left a keeper\n");
    assert_eq!(second.output, b"out again\nerr hello\n");
    assert_ne!(first.boot_id, second.boot_id);
    assert_eq!(rig.serial().matches("Linux version").count(), 2);
}

#[test]
fn programs_that_share_a_guest_have_transcripts_of_their_own() {
    let Some(rig) = Rig::new("shared") else {
        return;
    };
    let spec = VmSpec {
        template: Some(get(&rig)),
        ..rig.spec.clone()
    };
    let share = |words: &[&[&str]]| {
        let folder = |index: usize| rig.spec.artifacts.join(format!("sharer-{index}"));
        let stages = words.iter().flat_map(|args| rig.job(&[args]).stages);
        let sharers: Vec<Sharer> = stages
            .enumerate()
            .map(|(index, stage)| Sharer {
                stage,
                artifacts: folder(index),
            })
            .collect();
        run_shared(&spec, &sharers, &Cancel::new(), &Silent)
    };
    let transcripts = share(&[&["say", "one"], &["say", "two"]]).unwrap();
    assert_eq!(transcripts.len(), 2);
    for (index, (transcript, word)) in transcripts.iter().zip(["one", "two"]).enumerate() {
        let said = format!("out {word}\nerr hello\n");
        assert_eq!(transcript.stages[0].output, said.as_bytes());
        let folder = rig.spec.artifacts.join(format!("sharer-{index}"));
        assert_eq!(&Transcript::load(&folder).unwrap(), transcript);
        let console = std::fs::read_to_string(folder.join("serial.log")).unwrap();
        for line in [
            "Linux version",
            "stage 1 begins",
            "stage 1 ends",
            "Power down",
        ] {
            assert_eq!(console.matches(line).count(), 1, "{line}");
        }
    }
    assert_eq!(share(&[&["say"], &["exit", "1"], &["say"]]), None);
    assert_eq!(share(&[&["say"], &["crash"]]), None);
}

#[test]
fn a_template_is_made_once_and_for_one_guest() {
    let Some(mut rig) = Rig::new("once") else {
        return;
    };
    let first = get(&rig);
    assert_eq!(get(&rig), first);
    rig.spec.cmdline.push_str(" quiet");
    assert_ne!(get(&rig), first);
}

#[test]
fn a_guest_boots_when_its_template_cannot_be_gone_on_from() {
    let Some(rig) = Rig::new("damaged") else {
        return;
    };
    for (part, content) in [
        ("state", &b"rubbish"[..]),
        ("memory", b""),
        ("console", b""),
    ] {
        let template = get(&rig);
        match part {
            "state" => std::fs::write(template.state(), content).unwrap(),
            "memory" => std::fs::write(template.memory(), content).unwrap(),
            _ => std::fs::remove_file(template.console()).unwrap(),
        }
        let transcript = run_from(&rig, template.clone(), &rig.job(&[&["exit", "0"]]));
        assert_eq!(transcript.end, End::PoweredOff, "{part}");
        let Start::BootInstead { trouble } = transcript.start else {
            panic!("went on from a template without {part}");
        };
        assert!(!trouble.is_empty());
        assert_eq!(rig.serial().matches("Linux version").count(), 1, "{part}");
        // Who asks for it again gets a new one.
        let again = run_from(&rig, get(&rig), &rig.job(&[&["exit", "0"]]));
        assert_eq!(again.start, Start::Template, "{part}");
    }
}

#[test]
fn a_kernel_that_does_not_boot_has_no_template() {
    let Some(mut rig) = Rig::new("no boot") else {
        return;
    };
    rig.spec.cmdline.push_str(" rdinit=/none init=/none");
    let made = templates(&rig).get(&rig.spec, &Cancel::new(), &Silent);
    assert!(matches!(made, Err(NoTemplate::NotBooted(_))), "{made:?}");
    let dirs = std::fs::read_dir(rig.dir.path().join("templates")).unwrap();
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
