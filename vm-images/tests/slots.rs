// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PCI devices in the slots of real guests, and the requests to remove, unplug and plug
//! them. The tests of virtual functions need a kernel with the driver `liveupdate-test`,
//! which all kernels of the matrix have.

#![expect(clippy::print_stdout, reason = "tests may, and so may their helpers")]

mod environment;

use camino::Utf8PathBuf;
use vm_images::checkpoints::{Checkpoints, NoCheckpoint};
use vm_images::transcript::{BootMode, End, Transcript};
use vm_images::vm::{VmRun, VmSpec, run};

use environment::{Environment, exited};

/// Runs a job that must succeed, and returns the output of each boot.
fn outputs(environment: &Environment, job: &VmRun) -> Vec<String> {
    let transcript = run(&environment.spec, job, &environment.context);
    assert_success(&transcript);
    texts(&transcript)
}

fn assert_success(transcript: &Transcript) {
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

/// Returns the lines with answers to requests.
fn answers(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.contains(": ")).collect()
}

/// Devices and ports have the addresses of the machine file, before and after a kexec.
#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn guests_find_every_device_at_the_address_of_the_machine() {
    for name in ["edu-pair", "switch", "sriov", "iommu"] {
        let environment = Environment::on(name, "addresses");
        let texts = outputs(
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
        for boot in &texts {
            let is_of_machine = |address: &&str| {
                // Bus 0 also has devices of the chipset and the root port above a switch.
                let is_on_bus_0 = address.starts_with("0000:00:");
                !is_on_bus_0 || expected.iter().any(|known| known == address)
            };
            let found: Vec<&str> = boot.split_whitespace().filter(is_of_machine).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn unplug_releases_a_device_and_plug_restores_it() {
    let environment = Environment::new("unplug");
    let job = environment.job(&[&[
        "request",
        "unplug 0000:01:00.0",
        "unplug 0000:01:00.0",
        "gone 0000:01:00.0",
        "plug 0000:01:00.0",
        "there 0000:01:00.0",
        "unplug 0000:02:00.0",
        // Waits until the previous device is removed.
        "plug 0000:02:00.0",
        "there 0000:02:00.0",
    ]]);
    let texts = outputs(&environment, &job);
    let answers = answers(&texts[0]);
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
fn surprise_removes_a_device_at_once_and_plug_restores_it() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:04:00.0"),
        ("iommu", "0000:02:00.0"),
        ("sriov", "0000:01:00.0"),
    ] {
        let environment = Environment::on(machine, "surprise");
        let steps = ["surprise", "gone", "plug", "there"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["request"];
        args.extend(steps.iter().map(String::as_str));
        if machine == "sriov" && environment.spec.qemu.version.major >= 10 {
            let texts = outputs(&environment, &environment.job(&[&args[..2]]));
            assert!(texts[0].contains("aborts when"), "{texts:?}");
            continue;
        }
        // The slot works again after its power was switched off.
        args.extend(steps[..2].iter().map(String::as_str));
        let texts = outputs(&environment, &environment.job(&[&args]));
        let answers = answers(&texts[0]);
        assert_eq!(answers[0], format!("surprise {address}: ok"), "{machine}");
        assert_eq!(
            answers[1..],
            [
                format!("plug {address}: ok"),
                format!("surprise {address}: ok")
            ],
            "{machine}"
        );
        assert!(!texts[0].contains("never"), "{machine}");
        // The kernel's message after a surprise removal.
        assert!(
            environment.serial().contains("Card not present"),
            "{machine}"
        );
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn plug_after_kexec_fills_a_slot_emptied_before() {
    let environment = Environment::new("over kexec");
    let texts = outputs(
        &environment,
        &environment.job(&[
            &["request", "surprise 0000:01:00.0", "gone 0000:01:00.0"],
            &[
                "request",
                "gone 0000:01:00.0",
                "plug 0000:01:00.0",
                "there 0000:01:00.0",
            ],
        ]),
    );
    assert_eq!(answers(&texts[1]), ["plug 0000:01:00.0: ok"]);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn slots_of_a_restored_guest_work() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:03:00.0"),
        ("iommu", "0000:02:00.0"),
    ] {
        let environment = Environment::on(machine, "checkpoint");
        let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
        let checkpoints = Checkpoints::at(&dir).unwrap();
        let checkpoint = checkpoints
            .get(&environment.spec, &environment.context)
            .unwrap();
        let spec = VmSpec {
            checkpoint: Some(checkpoint),
            ..environment.spec.clone()
        };
        let steps = ["unplug", "gone", "plug", "there", "surprise", "gone"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["request"];
        args.extend(steps.iter().map(String::as_str));
        let transcript = run(&spec, &environment.job(&[&args]), &environment.context);
        assert_success(&transcript);
        assert_eq!(transcript.boot_mode, BootMode::Restore, "{machine}");
        let texts = texts(&transcript);
        assert!(answers(&texts[0]).iter().all(|line| line.ends_with(": ok")));
        assert_eq!(answers(&texts[0]).len(), 3, "{machine}: {texts:?}");
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn get_rejects_a_machine_that_qemu_cannot_save() {
    let environment = Environment::on("sriov", "no checkpoint");
    let dir = Utf8PathBuf::try_from(environment.dir.path().join("checkpoints")).unwrap();
    let made = Checkpoints::at(&dir)
        .unwrap()
        .get(&environment.spec, &environment.context);
    assert_eq!(made, Err(NoCheckpoint::Unsaved("nvme")));
    let texts = outputs(&environment, &environment.job(&[&["devices"]]));
    assert!(texts[0].contains("0000:01:00.0"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn invalid_requests_are_answered_without_effect() {
    let environment = Environment::new("invalid requests");
    let long = format!("unplug {}", "9".repeat(5000));
    let job = environment.job(&[
        &["request", "unplug", "pull 0000:01:00.0", &long, "devices"],
        &["devices"],
    ]);
    let texts = outputs(&environment, &job);
    let answers = answers(&texts[0]);
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|line| line.contains(": error ")));
    assert!(texts[1].contains("0000:01:00.0"));
}

/// Virtual functions appear at the addresses of the machine file. They disappear when their
/// number is set to 0, and when their device is removed.
#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn virtual_functions_appear_by_sriov_numvfs_and_disappear_with_it_or_their_device() {
    let mut environment = Environment::on("sriov", "virtual functions");
    environment.spec.deadlines.unplug *= 2;
    let machine = &environment.spec.machine;
    let last = machine.pci_address("endpoint0.vf3").unwrap();
    let device = machine.pci_address("endpoint0").unwrap();
    let folder = format!("/sys/bus/pci/devices/{device}");
    let (there, gone) = (format!("there {last}"), format!("gone {last}"));
    let bind = [
        "request".to_owned(),
        format!("write {folder}/driver_override=liveupdate-test"),
        format!("write /sys/bus/pci/drivers_probe={device}"),
        format!("write {folder}/sriov_numvfs=4"),
        there.clone(),
    ];
    // Runs these steps after the functions appeared; returns the answers to requests.
    let after_bind = |steps: &[String]| {
        let args: Vec<&str> = bind.iter().chain(steps).map(String::as_str).collect();
        let output = outputs(&environment, &environment.job(&[&args])).remove(0);
        assert!(
            !output.contains("write "),
            "the kernel must have the driver `liveupdate-test`, and it must accept each write: {output}"
        );
        assert!(output.contains(&format!("{there} after")), "{output}");
        assert!(!output.contains("never"), "{output}");
        answers(&output).join("\n")
    };

    let off = [format!("write {folder}/sriov_numvfs=0"), gone.clone()];
    assert_eq!(after_bind(&off), "");

    for verb in ["surprise", "unplug"] {
        let request = format!("{verb} {device}");
        if environment.spec.qemu.version.major >= 10 {
            // With this QEMU the request is refused, and the functions stay.
            let refused = format!(
                "{request}: error refused: QEMU {} aborts when a device with virtual functions is removed",
                environment.spec.qemu.version
            );
            assert_eq!(after_bind(&[request, there.clone()]), refused);
            continue;
        }
        let steps = [
            request.clone(),
            gone.clone(),
            format!("gone {device}"),
            format!("plug {device}"),
            format!("there {device}"),
        ];
        assert_eq!(
            after_bind(&steps),
            format!("{request}: ok\nplug {device}: ok")
        );
    }
}
