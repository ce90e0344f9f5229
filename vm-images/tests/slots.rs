// SPDX-License-Identifier: GPL-2.0-only
//! What real guests find in their slots, and what comes of it when they ask for
//! something else there.

#![expect(clippy::print_stdout, reason = "tests may, and so may what they share")]

mod rig;

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Silent;
use vm_images::template::{NoTemplate, Templates};
use vm_images::transcript::{End, Start, Transcript};
use vm_images::vm::{Job, VmSpec, run};

use rig::{Rig, exited};

/// Runs a job that must go through, and returns what each stage printed.
fn outputs(rig: &Rig, job: &Job) -> Vec<String> {
    let transcript = run(&rig.spec, job, &Cancel::new(), &Silent);
    all_well(&transcript);
    texts(&transcript)
}

fn all_well(transcript: &Transcript) {
    println!("{:#?}", texts(transcript));
    assert_eq!(transcript.end, End::PoweredOff);
    for stage in &transcript.stages {
        assert_eq!(stage.exit, exited(0));
    }
}

fn texts(transcript: &Transcript) -> Vec<String> {
    let stages = transcript.stages.iter();
    stages
        .map(|stage| String::from_utf8_lossy(&stage.output).into_owned())
        .collect()
}

/// Returns the lines that answer requests.
fn answers(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.contains(": ")).collect()
}

/// Devices and ports are where the machine says, before and after a kexec.
#[test]
fn every_address_is_the_one_that_the_machine_tells() {
    for name in ["edu-pair", "switch", "sriov", "iommu"] {
        let Some(rig) = Rig::on(name, "addresses") else {
            return;
        };
        let said = outputs(&rig, &rig.job(&[&["devices"], &["devices"]]));
        let machine = &rig.spec.machine;
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
        for stage in &said {
            let ours = |address: &&str| {
                // The chipset's own, and the root port above a switch.
                let of_chipset = address.starts_with("0000:00:");
                !of_chipset || expected.iter().any(|one| one == address)
            };
            let found: Vec<&str> = stage.split_whitespace().filter(ours).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn a_device_goes_in_order_and_comes_back() {
    let Some(rig) = Rig::new("unplug") else {
        return;
    };
    let job = rig.job(&[&[
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
    let said = outputs(&rig, &job);
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
fn a_device_that_is_pulled_out_is_gone_at_once_and_comes_back() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:04:00.0"),
        ("iommu", "0000:02:00.0"),
        ("sriov", "0000:01:00.0"),
    ] {
        let Some(rig) = Rig::on(machine, "surprise") else {
            return;
        };
        let steps = ["surprise", "gone", "plug", "there"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["ask"];
        args.extend(steps.iter().map(String::as_str));
        if machine == "sriov" && rig.spec.qemu.version.major >= 10 {
            let said = outputs(&rig, &rig.job(&[&args[..2]]));
            assert!(said[0].contains("dies when"), "{said:?}");
            continue;
        }
        // Once more: a slot that lost its power works as before.
        args.extend(steps[..2].iter().map(String::as_str));
        let said = outputs(&rig, &rig.job(&[&args]));
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
        assert!(rig.serial().contains("Card not present"), "{machine}");
    }
}

#[test]
fn a_slot_that_is_empty_in_one_kernel_is_filled_in_the_next() {
    let Some(rig) = Rig::new("over kexec") else {
        return;
    };
    let said = outputs(
        &rig,
        &rig.job(&[
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
fn a_guest_that_goes_on_from_a_template_has_slots_that_work() {
    for (machine, address) in [
        ("edu-pair", "0000:01:00.0"),
        ("switch", "0000:03:00.0"),
        ("iommu", "0000:02:00.0"),
    ] {
        let Some(rig) = Rig::on(machine, "template") else {
            return;
        };
        let dir = Utf8PathBuf::try_from(rig.dir.path().join("templates")).unwrap();
        let templates = Templates::at(&dir).unwrap();
        let template = templates.get(&rig.spec, &Cancel::new(), &Silent).unwrap();
        let spec = VmSpec {
            template: Some(template),
            ..rig.spec.clone()
        };
        let steps = ["unplug", "gone", "plug", "there", "surprise", "gone"];
        let steps = steps.map(|verb| format!("{verb} {address}"));
        let mut args = vec!["ask"];
        args.extend(steps.iter().map(String::as_str));
        let transcript = run(&spec, &rig.job(&[&args]), &Cancel::new(), &Silent);
        all_well(&transcript);
        assert_eq!(transcript.start, Start::Template, "{machine}");
        let said = texts(&transcript);
        assert!(answers(&said[0]).iter().all(|line| line.ends_with(": ok")));
        assert_eq!(answers(&said[0]).len(), 3, "{machine}: {said:?}");
    }
}

#[test]
fn a_machine_that_qemu_cannot_save_is_known_for_it() {
    let Some(rig) = Rig::on("sriov", "no template") else {
        return;
    };
    let dir = Utf8PathBuf::try_from(rig.dir.path().join("templates")).unwrap();
    let made = Templates::at(&dir)
        .unwrap()
        .get(&rig.spec, &Cancel::new(), &Silent);
    assert_eq!(made, Err(NoTemplate::Unsaved("nvme")));
    let said = outputs(&rig, &rig.job(&[&["devices"]]));
    assert!(said[0].contains("0000:01:00.0"));
}

#[test]
fn nonsense_is_answered_and_does_no_harm() {
    let Some(rig) = Rig::new("nonsense") else {
        return;
    };
    let long = format!("unplug {}", "9".repeat(5000));
    let job = rig.job(&[
        &["ask", "unplug", "pull 0000:01:00.0", &long, "devices"],
        &["devices"],
    ]);
    let said = outputs(&rig, &job);
    let answers = answers(&said[0]);
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|line| line.contains(": error ")));
    assert!(said[1].contains("0000:01:00.0"));
}

/// Virtual functions are where the machine says, and go with their device.
#[test]
fn virtual_functions_come_and_go() {
    let Some(mut rig) = Rig::on("sriov", "virtual functions") else {
        return;
    };
    rig.spec.deadlines.unplug *= 2;
    let machine = &rig.spec.machine;
    let last = machine.pci_address("endpoint0.vf3").unwrap();
    let device = machine.pci_address("endpoint0").unwrap();
    let folder = format!("/sys/bus/pci/devices/{device}");
    let bind = [
        format!("write {folder}/driver_override=liveupdate-test"),
        format!("write /sys/bus/pci/drivers_probe={device}"),
        format!("write {folder}/sriov_numvfs=4"),
    ];
    let there = format!("there {last}");
    let bound: Vec<&str> = std::iter::once("ask")
        .chain(bind.iter().map(String::as_str))
        .chain([there.as_str()])
        .collect();
    let said = outputs(&rig, &rig.job(&[&bound]));
    if said[0].contains("sriov_numvfs") {
        println!("skipped: this kernel has no driver that switches virtual functions on");
        return;
    }
    assert!(said[0].contains(&format!("{there} after")), "{said:?}");
    if rig.spec.qemu.version.major >= 10 {
        println!("skipped: QEMU {} dies of the rest", rig.spec.qemu.version);
        return;
    }
    for verb in ["surprise", "unplug"] {
        let steps = [
            format!("{verb} {device}"),
            format!("gone {last}"),
            format!("gone {device}"),
            format!("plug {device}"),
            format!("there {device}"),
        ];
        let steps = bound
            .iter()
            .copied()
            .chain(steps.iter().map(String::as_str));
        let steps: Vec<&str> = steps.collect();
        let said = outputs(&rig, &rig.job(&[&steps]));
        assert!(!said[0].contains("never"), "{said:?}");
        let answers = answers(&said[0]);
        assert_eq!(
            answers,
            [format!("{verb} {device}: ok"), format!("plug {device}: ok")]
        );
    }
}
