// SPDX-License-Identifier: GPL-2.0-only
//! Guests that go over to another kernel more than once, to one that they did not
//! come with, or without being told to. The other kernel is that of
//! `PATCHBED_TEST_OTHER_KERNEL`, or else the same, sent as if it were another.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may, and so may what they share"
)]

mod rig;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::guest;
use vm_images::initramfs::Initramfs;
use vm_images::template::Templates;
use vm_images::transcript::{End, Phase, Transcript};
use vm_images::vm::{Job, NextKernel, VmSpec, run};

use rig::{Rig, exited};

/// Returns a kernel to go over to, with an initramfs that holds no further one.
fn other_kernel(rig: &Rig) -> NextKernel {
    let image = std::env::var("PATCHBED_TEST_OTHER_KERNEL");
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let init = guest::build(root, &Cancel::new(), &Silent).unwrap();
    let initramfs = Utf8Path::from_path(rig.dir.path()).unwrap().join("other");
    let archive = Initramfs::for_guest(&init).unwrap();
    archive.write_to(&initramfs).unwrap();
    NextKernel {
        image: image.map_or_else(|_| rig.spec.kernel.clone(), Utf8PathBuf::from),
        initramfs,
    }
}

/// Checks that all stages of a job went well, each in a kernel of its own.
fn all_well(rig: &Rig, transcript: &Transcript, stages: usize) {
    println!("{transcript:#?}");
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.stages.len(), stages);
    for (index, stage) in transcript.stages.iter().enumerate() {
        assert_eq!(stage.exit, exited(0));
        assert_eq!(stage.output, format!("out {index}\nerr hello\n").as_bytes());
        let before = &transcript.stages[..index];
        assert!(before.iter().all(|other| other.boot_id != stage.boot_id));
        let serial = rig.serial();
        for word in ["begins", "ends"] {
            let marker = format!("patchbed: stage {} {word}", stage.number);
            assert_eq!(serial.matches(&marker).count(), 1, "{marker}");
        }
    }
    assert_eq!(rig.serial().matches("Linux version").count(), stages);
}

#[test]
fn one_live_update_follows_another() {
    let Some(rig) = Rig::new("four stages") else {
        return;
    };
    let job = rig.job(&[&["say", "0"], &["say", "1"], &["say", "2"], &["say", "3"]]);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    all_well(&rig, &transcript, 4);
}

#[test]
fn a_guest_goes_over_to_another_kernel_and_stays_with_it_and_comes_back() {
    let Some(rig) = Rig::new("another kernel") else {
        return;
    };
    let mut job = rig.job(&[&["say", "0"], &["say", "1"], &["say", "2"], &["say", "3"]]);
    let other = other_kernel(&rig);
    job.stages[3].kernel = Some(NextKernel {
        image: rig.spec.kernel.clone(),
        ..other.clone()
    });
    job.stages[1].kernel = Some(other);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    all_well(&rig, &transcript, 4);
    let releases: Vec<_> = transcript.stages.iter().map(|one| &one.release).collect();
    assert_eq!(releases[1], releases[2]);
    assert_eq!(releases[0], releases[3]);
}

#[test]
fn a_guest_of_a_template_goes_over_to_another_kernel() {
    let Some(rig) = Rig::new("another kernel from a template") else {
        return;
    };
    let dir = Utf8PathBuf::try_from(rig.dir.path().join("templates")).unwrap();
    let templates = Templates::at(&dir).unwrap();
    let template = templates.get(&rig.spec, &Cancel::new(), &Silent).unwrap();
    let spec = VmSpec {
        template: Some(template),
        ..rig.spec.clone()
    };
    let mut job = rig.job(&[&["say", "0"], &["say", "1"]]);
    job.stages[1].kernel = Some(other_kernel(&rig));
    let transcript = run(&spec, &job, &Cancel::new(), &Silent);
    all_well(&rig, &transcript, 2);
}

#[test]
fn a_kernel_that_cannot_be_sent_ends_the_run() {
    let Some(rig) = Rig::new("no other kernel") else {
        return;
    };
    let mut job: Job = rig.job(&[&["say", "0"], &["say", "1"]]);
    job.stages[1].kernel = Some(NextKernel {
        image: "/none/bzImage".into(),
        initramfs: rig.spec.initramfs.clone(),
    });
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::LaunchFailed { error } if error.contains("/none/bzImage")),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.stages.len(), 1);
}

#[test]
fn a_kexec_that_nobody_ordered_is_a_guest_that_is_gone() {
    let Some(rig) = Rig::new("unasked kexec") else {
        return;
    };
    let transcript = run(&rig.spec, &rig.job(&[&["kexec"]]), &Cancel::new(), &Silent);
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Stage(1),
            reason: "kexec".into()
        }
    );
    assert_eq!(transcript.stages[0].output, b"going\n");
    assert_eq!(transcript.stages[0].exit, None);
}
