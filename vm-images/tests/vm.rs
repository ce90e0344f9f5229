// SPDX-License-Identifier: GPL-2.0-only
//! Real runs of real kernels, in whatever way they end.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

mod environment;

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Event, Observer, Silent};
use rustix::process::{Pid, Signal, kill_process};
use vm_images::ExitStatus;
use vm_images::probe::Probe;
use vm_images::transcript::{End, Phase};
use vm_images::vm::{GuestFile, VmRun, run};

use environment::{Environment, exited, required};

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn two_boots_with_a_keeper_over_kexec() {
    let environment = Environment::new("two boots");
    let job = environment.job(&[&["keeper"], &["say", "again"]]);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    println!("{transcript:#?}");
    assert_eq!(transcript.end, End::PoweredOff);
    let [first, second] = transcript.boots.as_slice() else {
        panic!("not two boots");
    };
    assert_eq!(first.output, b"left a keeper\n");
    assert_eq!(first.exit, exited(0));
    assert_eq!(second.output, b"out again\nerr hello\n");
    assert_eq!(second.exit, exited(0));
    assert_ne!(first.boot_id, second.boot_id);
    let serial = environment.serial();
    for marker in [
        "patchbed: boot 1 begins",
        "patchbed: boot 1 ends",
        "patchbed: boot 2 begins",
        "patchbed: boot 2 ends",
    ] {
        assert_eq!(serial.matches(marker).count(), 1, "{marker}");
    }
    let mut left: Vec<_> = std::fs::read_dir(&environment.spec.artifacts)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "channel.jsonl",
            "qemu.cmdline",
            "qemu.stderr",
            "serial.log",
            "boot-1.output",
            "boot-2.output",
            "transcript.json",
        ]
    );
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_program_starts_in_its_folder_and_the_guest_stays_where_it_is() {
    let environment = Environment::new("folder");
    let mut job = environment.job(&[&["where"], &["where"]]);
    job.boots[1].dir = "/none".into();
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.boots[0].output, b"/tests\n");
    let End::Trouble { error, .. } = &transcript.end else {
        panic!("{:?}", transcript.end);
    };
    assert!(error.starts_with("going to `/none`: "), "{error}");
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_failing_boot_is_the_last() {
    let environment = Environment::new("failing boot");
    let job = environment.job(&[&["exit", "4"], &["say"]]);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.boots.len(), 1);
    assert_eq!(transcript.boots[0].exit, exited(4));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_program_that_hangs_is_looked_at_and_killed() {
    let environment = Environment::new("hang");
    for how in ["sleep", "spin"] {
        let mut job = environment.job(&[&[how]]);
        job.boots[0].timeout = Duration::from_secs(1);
        let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
        assert_eq!(transcript.end, End::PoweredOff);
        let exit = transcript.boots[0].exit.unwrap();
        assert_eq!(exit.status, ExitStatus::Signal(9));
        assert!(exit.timed_out);
        let hang = transcript.hang.unwrap();
        assert_eq!(hang.during, Phase::Program(1));
        assert!(
            hang.answers && hang.missing.is_empty(),
            "{:?}",
            hang.missing
        );
        assert!(hang.divide_error.unwrap() > 1 << 63);
        assert_eq!(hang.samples.len(), 5);
        // A sample may meet an interrupt, but not each of them does.
        let mut samples = hang.samples.iter();
        let is_busy = samples.any(|sample| sample.processors.iter().any(|one| one.in_program));
        assert!(how == "sleep" || is_busy, "{:?}", hang.samples);
        let serial = environment.serial();
        let (before, after) = serial.split_at(usize::try_from(hang.console_bytes).unwrap());
        assert!(before.contains("patchbed: boot 1 begins") && !before.contains("sysrq"));
        assert!(after.contains("sysrq: Show backtrace of all active CPUs"));
        assert!(after.contains("task:program"));
        assert!(after.contains("Power down"));
        assert!(!environment.spec.artifacts.join("console.keys").exists());
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_guest_that_says_nothing_meets_the_deadline() {
    let mut environment = Environment::new("silent guest");
    environment.spec.deadlines.program_margin = Duration::ZERO;
    environment.spec.keep_dump = true;
    let mut job = environment.job(&[&["sleep"]]);
    job.boots[0].timeout = Duration::from_millis(300);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            transcript.end,
            End::DeadlineExpired {
                phase: Phase::Program(1),
                ..
            }
        ),
        "{:?}",
        transcript.end
    );
    let hang = transcript.hang.unwrap();
    assert_eq!(hang.missing, Vec::<String>::new());
    let dump = std::fs::File::open(environment.spec.artifacts.join(hang.dump.unwrap())).unwrap();
    assert!(dump.metadata().unwrap().len() > 1024 * 1024 * 1024);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_qemu_that_the_host_stopped_is_no_guest_that_hangs() {
    let mut environment = Environment::new("stopped QEMU");
    environment.spec.deadlines.program_margin = Duration::ZERO;
    let observer = When(|| kill_process(qemu_of(&environment), Signal::STOP).unwrap());
    let mut job = environment.job(&[&["sleep"]]);
    job.boots[0].timeout = Duration::from_secs(1);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &observer);
    let End::HostTooSlow {
        phase,
        wall_ms,
        given_ms,
    } = transcript.end
    else {
        panic!("{:?}", transcript.end);
    };
    assert_eq!(phase, Phase::Program(1));
    assert!(
        wall_ms >= 8000 && given_ms < 1000,
        "{given_ms} of {wall_ms}"
    );
    assert!(transcript.host_time.is_known);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL` and its fault.ko in `PATCHBED_TEST_FAULT`"]
fn a_kernel_that_hangs_is_looked_at_from_outside() {
    let mut environment = Environment::new("dead kernel");
    let module = required("PATCHBED_TEST_FAULT");
    environment.spec.deadlines.program_margin = Duration::from_secs(1);
    let mut job = environment.job(&[&["fault", "/tests/fault.ko", "hang"]]);
    job.boots[0].timeout = Duration::from_secs(4);
    job.boots[0].files.push(GuestFile {
        source: module.into(),
        path: "/tests/fault.ko".into(),
        mode: 0o644,
    });
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    let during = Phase::Program(1);
    assert!(
        matches!(transcript.end, End::DeadlineExpired { phase, .. } if phase == during),
        "{:?}",
        transcript.end
    );
    let hang = transcript.hang.unwrap();
    assert!(!hang.answers);
    assert_eq!(hang.missing.len(), 1, "{:?}", hang.missing);
    for sample in &hang.samples {
        let mut processors = sample.processors.iter();
        assert!(processors.any(|one| !one.takes_interrupts && one.frames.len() > 3));
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_panic_is_a_guest_that_went_away() {
    let environment = Environment::new("panic");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["crash"]]),
        &Cancel::new(),
        &Silent,
    );
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Program(1),
            reason: "guest-reset".into()
        }
    );
    assert!(transcript.boots[0].started);
    assert!(environment.serial().contains("Kernel panic - not syncing"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn output_is_cut_and_said_to_be() {
    let environment = Environment::new("flood");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["flood"]]),
        &Cancel::new(),
        &Silent,
    );
    assert_eq!(transcript.end, End::PoweredOff);
    assert!(transcript.boots[0].output_cut);
    assert_eq!(transcript.boots[0].output.len(), 4 * 1024 * 1024);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_missing_program_is_trouble_and_the_guest_powers_off() {
    let environment = Environment::new("missing program");
    let mut job = environment.job(&[&["say"]]);
    job.boots[0].program = "/tests/none".into();
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::Trouble { doing, .. } if doing == "start `/tests/none`"),
        "{:?}",
        transcript.end
    );
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_refused_kexec_is_trouble_and_the_guest_powers_off() {
    let environment = Environment::new("refused kexec");
    // The program takes the next kernel away.
    let job = environment.job(&[&["unlink", "/kexec/bzImage"], &["say"]]);
    let transcript = run(&environment.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            &transcript.end,
            End::Trouble { during: Phase::Kexec(2), error, .. } if error.contains("No such file")
        ),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.boots.len(), 1);
    assert!(environment.serial().contains("Power down"));
}

/// Acts once the first boot runs.
struct When<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Observer for When<F> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Advanced { detail, .. } if detail == "boot 1") {
            (self.0)();
        }
    }
}

/// Returns the process id of the QEMU that has this environment's folder among its
/// arguments.
fn qemu_of(environment: &Environment) -> Pid {
    let mark = environment.dir.path().to_str().unwrap().to_owned();
    let found = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let cmdline = std::fs::read(entry.path().join("cmdline")).ok()?;
            let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
            (cmdline.starts_with("qemu") && cmdline.contains(&mark))
                .then(|| entry.file_name().to_str()?.parse().ok())?
        });
    Pid::from_raw(found.expect("QEMU runs")).unwrap()
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_killed_qemu_is_seen_at_once() {
    let environment = Environment::new("killed QEMU");
    for (signal, word) in [(Signal::KILL, "signal"), (Signal::TERM, "host-signal")] {
        let killed = std::sync::Mutex::new(None);
        let observer = When(|| {
            kill_process(qemu_of(&environment), signal).unwrap();
            *killed.lock().unwrap() = Some(Instant::now());
        });
        let transcript = run(
            &environment.spec,
            &environment.job(&[&["sleep"]]),
            &Cancel::new(),
            &observer,
        );
        let since = killed.lock().unwrap().unwrap().elapsed();
        assert!(since < Duration::from_secs(5), "caught after {since:?}");
        assert!(
            matches!(&transcript.end, End::QemuDied { status, .. } if status.contains(word)),
            "{:?}",
            transcript.end
        );
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_wish_to_stop_ends_the_run() {
    let environment = Environment::new("cancelled");
    let cancel = Cancel::new();
    let observer = When(|| cancel.cancel());
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["sleep"]]),
        &cancel,
        &observer,
    );
    assert_eq!(transcript.end, End::Cancelled);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_kernel_that_is_none_ends_the_run_with_qemu_s_words() {
    let mut environment = Environment::new("no kernel");
    environment.spec.kernel = environment.spec.kernel.with_file_name("no such kernel");
    let transcript = run(
        &environment.spec,
        &VmRun::default(),
        &Cancel::new(),
        &Silent,
    );
    assert!(
        matches!(&transcript.end, End::QemuDied { stderr_tail, .. } if stderr_tail.contains("no such kernel")),
        "{:?}",
        transcript.end
    );
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn the_probe_finds_an_accelerator_and_remembers_it() {
    let environment = Environment::new("probe");
    let cache = Utf8PathBuf::try_from(environment.dir.path().join("cache")).unwrap();
    let probe = Probe {
        memory_mib: environment
            .spec
            .memory_mib
            .unwrap_or(environment.spec.machine.memory_mib),
        cmdline: &environment.spec.cmdline,
        slowness: 1,
        qemu: &environment.spec.qemu,
        machine: &environment.spec.machine,
        kernel: &environment.spec.kernel,
        initramfs: &environment.spec.initramfs,
        cache: &cache,
    };
    let first = probe.choose(&Cancel::new(), &Silent);
    println!("{first:?}");
    let begin = Instant::now();
    let again = probe.choose(&Cancel::new(), &Silent);
    assert_eq!(again.accelerator, first.accelerator);
    assert_eq!(again.reason.is_some(), first.reason.is_some());
    assert!(begin.elapsed() < Duration::from_secs(1));
}
