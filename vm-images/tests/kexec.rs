// SPDX-License-Identifier: GPL-2.0-only
//! Guests that go over to another kernel more than once, to one that they did not
//! come with, or without being told to. The other kernel is that of
//! `PATCHBED_TEST_OTHER_KERNEL`, or else the same, sent as if it were another.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may, and so may what they share"
)]

mod environment;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::checkpoint::Checkpoints;
use vm_images::guest;
use vm_images::initramfs::Initramfs;
use vm_images::transcript::{End, Phase, Transcript};
use vm_images::vm::{NextKernel, VmRun, VmSpec, run};

use environment::{Environment, exited};

/// Returns a kernel to go over to, with an initramfs that holds no further one.
fn other_kernel(environment: &Environment) -> NextKernel {
    let image = std::env::var("PATCHBED_TEST_OTHER_KERNEL");
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let init = guest::build(root, &Cancel::new(), &Silent).unwrap();
    let initramfs = Utf8Path::from_path(environment.dir.path())
        .unwrap()
        .join("other");
    let archive = Initramfs::for_guest(&init).unwrap();
    archive.write_to(&initramfs).unwrap();
    NextKernel {
        image: image.map_or_else(|_| environment.spec.kernel.clone(), Utf8PathBuf::from),
        initramfs,
    }
}

/// Checks that all boots of a job went well, each in a kernel of its own.
fn all_well(environment: &Environment, transcript: &Transcript, boots: usize) {
    println!("{transcript:#?}");
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.boots.len(), boots);
    for (index, boot) in transcript.boots.iter().enumerate() {
        assert_eq!(boot.exit, exited(0));
        assert_eq!(boot.output, format!("out {index}\nerr hello\n").as_bytes());
        let before = &transcript.boots[..index];
        assert!(before.iter().all(|other| other.boot_id != boot.boot_id));
        let serial = environment.serial();
        for word in ["begins", "ends"] {
            let marker = format!("patchbed: boot {} {word}", boot.number);
            assert_eq!(serial.matches(&marker).count(), 1, "{marker}");
        }
    }
    assert_eq!(environment.serial().matches("Linux version").count(), boots);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn one_live_update_follows_another() {
    let environment = Environment::new("four boots");
    let job = environment.job(&[&["say", "0"], &["say", "1"], &["say", "2"], &["say", "3"]]);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    all_well(&environment, &transcript, 4);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_goes_over_to_another_kernel_and_stays_with_it_and_comes_back() {
    let environment = Environment::new("another kernel");
    let mut job = environment.job(&[&["say", "0"], &["say", "1"], &["say", "2"], &["say", "3"]]);
    let other = other_kernel(&environment);
    job.boots[3].kernel = Some(NextKernel {
        image: environment.spec.kernel.clone(),
        ..other.clone()
    });
    job.boots[1].kernel = Some(other);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    all_well(&environment, &transcript, 4);
    let releases: Vec<_> = transcript.boots.iter().map(|one| &one.release).collect();
    assert_eq!(releases[1], releases[2]);
    assert_eq!(releases[0], releases[3]);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_of_a_checkpoint_goes_over_to_another_kernel() {
    let environment = Environment::new("another kernel from a checkpoint");
    let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
    let checkpoints = Checkpoints::at(&dir).unwrap();
    let checkpoint = checkpoints
        .get(&environment.spec, &Cancel::new(), &Silent)
        .unwrap();
    let spec = VmSpec {
        checkpoint: Some(checkpoint),
        ..environment.spec.clone()
    };
    let mut job = environment.job(&[&["say", "0"], &["say", "1"]]);
    job.boots[1].kernel = Some(other_kernel(&environment));
    let transcript = run(&spec, &job, &Cancel::new(), &Silent);
    all_well(&environment, &transcript, 2);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_kernel_that_cannot_be_sent_ends_the_run() {
    let environment = Environment::new("no other kernel");
    let mut job: VmRun = environment.job(&[&["say", "0"], &["say", "1"]]);
    job.boots[1].kernel = Some(NextKernel {
        image: "/none/bzImage".into(),
        initramfs: environment.spec.initramfs.clone(),
    });
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::LaunchFailed { error } if error.contains("/none/bzImage")),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.boots.len(), 1);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_kexec_that_nobody_ordered_is_a_guest_that_is_gone() {
    let environment = Environment::new("unasked kexec");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["kexec"]]),
        &Cancel::new(),
        &Silent,
    );
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Program(1),
            reason: "kexec".into()
        }
    );
    assert_eq!(transcript.boots[0].output, b"going\n");
    assert_eq!(transcript.boots[0].exit, None);
}
