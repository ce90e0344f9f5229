// SPDX-License-Identifier: GPL-2.0-only
//! The PCI devices that real guests find in their slots, and the requests to remove,
//! unplug and plug them. The tests of virtual functions need a kernel with the driver
//! `liveupdate-test`, which all kernels of the matrix have.

#![expect(clippy::print_stdout, reason = "tests may, and so may what they share")]

mod environment;

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::checkpoint::{Checkpoints, NoCheckpoint};
use vm_images::transcript::{BootMode, End, Transcript};
use vm_images::vm::{VmRun, VmSpec, run};

use environment::{Environment, exited};

/// Runs a job that must go through, and returns what each boot printed.
fn outputs(environment: &Environment, job: &VmRun) -> Vec<String> {
    let transcript = run(&environment.spec, job, &Cancel::new(), &Silent);
    all_well(&transcript);
    texts(&transcript)
}

fn all_well(transcript: &Transcript) {
    println!("{:#?}", texts(transcript));
    assert_eq!(transcript.end, End::PoweredOff);
    for boot in &transcript.boots {
        assert_eq!(boot.exit, exited(0));
    }
}

fn texts(transcript: &Transcript) -> Vec<String> {
    let boots = transcript.boots.iter();
    boots
        .map(|boot| String::from_utf8_lossy(&boot.output).into_owned())
        .collect()
}

/// Returns the lines that answer requests.
fn answers(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.contains(": ")).collect()
}

/// Devices and ports are where the machine says, before and after a kexec.
#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn every_address_is_the_one_that_the_machine_tells() {
    for name in ["edu-pair", "switch", "sriov", "iommu"] {
        let environment = Environment::on(name, "addresses");
        let said = outputs(
            &environment,
            &environment.job(&[&["devices"], &["devices"]]),
        );
        let machine = &environment.spec.machine;
        let devices = machine.slots.iter().map(|slot| &slot.name);
        let mut expected: Vec<String> = devices
            .filter_map(|name| machine.pci_address(name))
            .chain(
                machine
                    .bridge_names()
                    .iter()
                    .filter_map(|name| machine.bridge_address(name)),
            )
            .collect();
        expected.sort();
        for boot in &said {
            let ours = |address: &&str| {
                // The chipset's own, and the root port above a switch.
                let of_chipset = address.starts_with("0000:00:");
                !of_chipset || expected.iter().any(|one| one == address)
            };
            let found: Vec<&str> = boot.split_whitespace().filter(ours).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_device_goes_in_order_and_comes_back() {
    let environment = Environment::new("unplug");
    let job = environment.job(&[&[
        "ask",
        "unplug 0000:01:00.0",
        "unplug 0000:01:00.0",
        "gone 0000:01:00.0",
        "plug 0000:01:00.0",
        "there 0000:01:00.0",
        "unplug 0000:02:00.0",
        // It waits until the device before is gone.
        "plug 0000:02:00.0",
        "there 0000:02:00.0",
    ]]);
    let said = outputs(&environment, &job);
    let answers = answers(&said[0]);
    assert_eq!(answers[0], "unplug 0000:01:00.0: ok");
    assert!(answers[1].contains("error QEMU refused"), "{answers:?}");
    assert_eq!(
        answers[2..],
        [
            "plug 0000:01:00.0: ok",
            "unplug 0000:02:00.0: ok",
            "plug 0000:02:00.0: ok"
        ]
    );
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_device_that_is_pulled_out_is_gone_at_once_and_comes_back() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:04:00.0"),
        ("iommu", "0000:02:00.0"),
        ("sriov", "0000:01:00.0"),
    ] {
        let environment = Environment::on(machine, "surprise");
        let steps = ["surprise", "gone", "plug", "there"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["ask"];
        args.extend(steps.iter().map(String::as_str));
        if machine == "sriov" && environment.spec.qemu.version.major >= 10 {
            let said = outputs(&environment, &environment.job(&[&args[..2]]));
            assert!(said[0].contains("dies when"), "{said:?}");
            continue;
        }
        // Once more: a slot that lost its power works as before.
        args.extend(steps[..2].iter().map(String::as_str));
        let said = outputs(&environment, &environment.job(&[&args]));
        let answers = answers(&said[0]);
        assert_eq!(answers[0], format!("surprise {address}: ok"), "{machine}");
        assert_eq!(
            answers[1..],
            [
                format!("plug {address}: ok"),
                format!("surprise {address}: ok")
            ],
            "{machine}"
        );
        assert!(!said[0].contains("never"), "{machine}");
        // What the guest says of a device that nobody announced to go.
        assert!(
            environment.serial().contains("Card not present"),
            "{machine}"
        );
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_slot_that_is_empty_in_one_kernel_is_filled_in_the_next() {
    let environment = Environment::new("over kexec");
    let said = outputs(
        &environment,
        &environment.job(&[
            &["ask", "surprise 0000:01:00.0", "gone 0000:01:00.0"],
            &[
                "ask",
                "gone 0000:01:00.0",
                "plug 0000:01:00.0",
                "there 0000:01:00.0",
            ],
        ]),
    );
    assert_eq!(answers(&said[1]), ["plug 0000:01:00.0: ok"]);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_that_goes_on_from_a_checkpoint_has_slots_that_work() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:03:00.0"),
        ("iommu", "0000:02:00.0"),
    ] {
        let environment = Environment::on(machine, "checkpoint");
        let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
        let checkpoints = Checkpoints::at(&dir).unwrap();
        let checkpoint = checkpoints
            .get(&environment.spec, &Cancel::new(), &Silent)
            .unwrap();
        let spec = VmSpec {
            checkpoint: Some(checkpoint),
            ..environment.spec.clone()
        };
        let steps = ["unplug", "gone", "plug", "there", "surprise", "gone"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["ask"];
        args.extend(steps.iter().map(String::as_str));
        let transcript = run(&spec, &environment.job(&[&args]), &Cancel::new(), &Silent);
        all_well(&transcript);
        assert_eq!(transcript.start, BootMode::Restore, "{machine}");
        let said = texts(&transcript);
        assert!(answers(&said[0]).iter().all(|line| line.ends_with(": ok")));
        assert_eq!(answers(&said[0]).len(), 3, "{machine}: {said:?}");
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_machine_that_qemu_cannot_save_is_known_for_it() {
    let environment = Environment::on("sriov", "no checkpoint");
    let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
    let made = Checkpoints::at(&dir)
        .unwrap()
        .get(&environment.spec, &Cancel::new(), &Silent);
    assert_eq!(made, Err(NoCheckpoint::Unsaved("nvme")));
    let said = outputs(&environment, &environment.job(&[&["devices"]]));
    assert!(said[0].contains("0000:01:00.0"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn nonsense_is_answered_and_does_no_harm() {
    let environment = Environment::new("nonsense");
    let long = format!("unplug {}", "9".repeat(5000));
    let job = environment.job(&[
        &["ask", "unplug", "pull 0000:01:00.0", &long, "devices"],
        &["devices"],
    ]);
    let said = outputs(&environment, &job);
    let answers = answers(&said[0]);
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|line| line.contains(": error ")));
    assert!(said[1].contains("0000:01:00.0"));
}

/// Virtual functions appear at the addresses that the machine file gives. They go when
/// their number is set to 0, and when their device is removed.
#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn sriov_functions_come_by_sriov_numvfs_and_go_by_it_and_with_their_device() {
    let mut environment = Environment::on("sriov", "virtual functions");
    environment.spec.deadlines.unplug *= 2;
    let machine = &environment.spec.machine;
    let last = machine.pci_address("endpoint0.vf3").unwrap();
    let device = machine.pci_address("endpoint0").unwrap();
    let folder = format!("/sys/bus/pci/devices/{device}");
    let (there, gone) = (format!("there {last}"), format!("gone {last}"));
    let bind = [
        "ask".to_owned(),
        format!("write {folder}/driver_override=liveupdate-test"),
        format!("write /sys/bus/pci/drivers_probe={device}"),
        format!("write {folder}/sriov_numvfs=4"),
        there.clone(),
    ];
    // Runs these steps once the functions are there; returns the answers to requests.
    let after_bind = |steps: &[String]| {
        let args: Vec<&str> = bind.iter().chain(steps).map(String::as_str).collect();
        let said = outputs(&environment, &environment.job(&[&args])).remove(0);
        assert!(
            !said.contains("write "),
            "the kernel must have the driver `liveupdate-test`, and it must accept each write: {said}"
        );
        assert!(said.contains(&format!("{there} after")), "{said}");
        assert!(!said.contains("never"), "{said}");
        answers(&said).join("\n")
    };

    let off = [format!("write {folder}/sriov_numvfs=0"), gone.clone()];
    assert_eq!(after_bind(&off), "");

    for verb in ["surprise", "unplug"] {
        let revert = format!("{verb} {device}");
        if environment.spec.qemu.version.major >= 10 {
            // This QEMU would fail an assertion, so the request is refused and the functions stay.
            let refused = format!(
                "{revert}: error QEMU {} dies when a device with virtual functions is taken out",
                environment.spec.qemu.version
            );
            assert_eq!(after_bind(&[revert, there.clone()]), refused);
            continue;
        }
        let steps = [
            revert.clone(),
            gone.clone(),
            format!("gone {device}"),
            format!("plug {device}"),
            format!("there {device}"),
        ];
        assert_eq!(
            after_bind(&steps),
            format!("{revert}: ok\nplug {device}: ok")
        );
    }
}
