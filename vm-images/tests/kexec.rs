// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guests with several kexecs, with a kernel that is not in their initramfs, and with a
//! kexec without an order. The other kernel is `PATCHBED_TEST_OTHER_KERNEL`, or by default
//! the same kernel, sent like another.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may, and so may their helpers"
)]

mod environment;

use camino::{Utf8Path, Utf8PathBuf};
use vm_images::checkpoints::Checkpoints;
use vm_images::guest;
use vm_images::initramfs::Initramfs;
use vm_images::transcript::{End, Phase, Transcript};
use vm_images::vm::{NextKernel, VmRun, VmSpec, run};

use environment::{Environment, exited};

/// Returns a kernel for a kexec, with an initramfs that contains no further kernel.
fn other_kernel(environment: &Environment) -> NextKernel {
    let image = std::env::var("PATCHBED_TEST_OTHER_KERNEL");
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let init = guest::build(root, &environment.context).unwrap();
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

/// Checks that all boots of a job succeeded, each in a new kernel.
fn assert_success(environment: &Environment, transcript: &Transcript, boots: usize) {
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
fn four_boots_with_the_same_kernel() {
    let environment = Environment::new("four boots");
    let job = environment.job(&[
        &["print", "0"],
        &["print", "1"],
        &["print", "2"],
        &["print", "3"],
    ]);
    let transcript = run(&environment.spec, &job, &environment.context);
    assert_success(&environment, &transcript, 4);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn kexec_to_another_kernel_twice_and_back() {
    let environment = Environment::new("another kernel");
    let mut job = environment.job(&[
        &["print", "0"],
        &["print", "1"],
        &["print", "2"],
        &["print", "3"],
    ]);
    let other = other_kernel(&environment);
    job.boots[3].kernel = Some(NextKernel {
        image: environment.spec.kernel.clone(),
        ..other.clone()
    });
    job.boots[1].kernel = Some(other);
    let transcript = run(&environment.spec, &job, &environment.context);
    assert_success(&environment, &transcript, 4);
    let releases: Vec<_> = transcript.boots.iter().map(|boot| &boot.release).collect();
    assert_eq!(releases[1], releases[2]);
    assert_eq!(releases[0], releases[3]);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_restored_guest_can_kexec_to_another_kernel() {
    let environment = Environment::new("another kernel from a checkpoint");
    let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
    let checkpoints = Checkpoints::at(&dir).unwrap();
    let checkpoint = checkpoints
        .get(&environment.spec, &environment.context)
        .unwrap();
    let spec = VmSpec {
        checkpoint: Some(checkpoint),
        ..environment.spec.clone()
    };
    let mut job = environment.job(&[&["print", "0"], &["print", "1"]]);
    job.boots[1].kernel = Some(other_kernel(&environment));
    let transcript = run(&spec, &job, &environment.context);
    assert_success(&environment, &transcript, 2);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_missing_kernel_file_ends_the_run() {
    let environment = Environment::new("no other kernel");
    let mut job: VmRun = environment.job(&[&["print", "0"], &["print", "1"]]);
    job.boots[1].kernel = Some(NextKernel {
        image: "/none/bzImage".into(),
        initramfs: environment.spec.initramfs.clone(),
    });
    let transcript = run(&environment.spec, &job, &environment.context);
    assert!(
        matches!(&transcript.end, End::LaunchFailed { error } if error.contains("/none/bzImage")),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.boots.len(), 1);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_kexec_without_an_order_ends_the_run() {
    let environment = Environment::new("kexec without an order");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["kexec"]]),
        &environment.context,
    );
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Program(1),
            reason: "kexec".into()
        }
    );
    assert_eq!(transcript.boots[0].output, b"starting the kexec\n");
    assert_eq!(transcript.boots[0].exit, None);
}
