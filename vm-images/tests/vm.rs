// SPDX-License-Identifier: GPL-2.0-only
//! Real runs of real kernels, in whatever way they end.

#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

mod rig;

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Event, Observer, Silent};
use rustix::process::{Pid, Signal, kill_process};
use vm_images::ExitStatus;
use vm_images::probe::Probe;
use vm_images::transcript::{End, Phase};
use vm_images::vm::{GuestFile, Job, run};

use rig::{Rig, exited};

#[test]
fn two_stages_with_a_keeper_over_kexec() {
    let Some(rig) = Rig::new("two stages") else {
        return;
    };
    let job = rig.job(&[&["keeper"], &["say", "again"]]);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    println!("{transcript:#?}");
    assert_eq!(transcript.end, End::PoweredOff);
    let [first, second] = transcript.stages.as_slice() else {
        panic!("not two stages");
    };
    assert_eq!(first.output, b"left a keeper\n");
    assert_eq!(first.exit, exited(0));
    assert_eq!(second.output, b"out again\nerr hello\n");
    assert_eq!(second.exit, exited(0));
    assert_ne!(first.boot_id, second.boot_id);
    let serial = rig.serial();
    for marker in [
        "patchbed: stage 1 begins",
        "patchbed: stage 1 ends",
        "patchbed: stage 2 begins",
        "patchbed: stage 2 ends",
    ] {
        assert_eq!(serial.matches(marker).count(), 1, "{marker}");
    }
    let mut left: Vec<_> = std::fs::read_dir(&rig.spec.artifacts)
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
            "stage-1.output",
            "stage-2.output",
            "transcript.json",
        ]
    );
}

#[test]
fn a_program_starts_in_its_folder_and_the_guest_stays_where_it_is() {
    let Some(rig) = Rig::new("folder") else {
        return;
    };
    let mut job = rig.job(&[&["where"], &["where"]]);
    job.stages[1].dir = "/none".into();
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.stages[0].output, b"/tests\n");
    let End::Trouble { error, .. } = &transcript.end else {
        panic!("{:?}", transcript.end);
    };
    assert!(error.starts_with("going to `/none`: "), "{error}");
    assert!(rig.serial().contains("Power down"));
}

#[test]
fn a_failing_stage_is_the_last() {
    let Some(rig) = Rig::new("failing stage") else {
        return;
    };
    let job = rig.job(&[&["exit", "4"], &["say"]]);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.stages.len(), 1);
    assert_eq!(transcript.stages[0].exit, exited(4));
}

#[test]
fn a_program_that_hangs_is_looked_at_and_killed() {
    let Some(rig) = Rig::new("hang") else {
        return;
    };
    for how in ["sleep", "spin"] {
        let mut job = rig.job(&[&[how]]);
        job.stages[0].timeout = Duration::from_secs(1);
        let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
        assert_eq!(transcript.end, End::PoweredOff);
        let exit = transcript.stages[0].exit.unwrap();
        assert_eq!(exit.status, ExitStatus::Signal(9));
        assert!(exit.timed_out);
        let hang = transcript.hang.unwrap();
        assert_eq!(hang.during, Phase::Stage(1));
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
        let serial = rig.serial();
        let (before, after) = serial.split_at(usize::try_from(hang.console_bytes).unwrap());
        assert!(before.contains("patchbed: stage 1 begins") && !before.contains("sysrq"));
        assert!(after.contains("sysrq: Show backtrace of all active CPUs"));
        assert!(after.contains("task:program"));
        assert!(after.contains("Power down"));
        assert!(!rig.spec.artifacts.join("console.keys").exists());
    }
}

#[test]
fn a_guest_that_says_nothing_meets_the_deadline() {
    let Some(mut rig) = Rig::new("silent guest") else {
        return;
    };
    rig.spec.deadlines.stage_margin = Duration::ZERO;
    rig.spec.keep_dump = true;
    let mut job = rig.job(&[&["sleep"]]);
    job.stages[0].timeout = Duration::from_millis(300);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            transcript.end,
            End::DeadlineExpired {
                phase: Phase::Stage(1),
                ..
            }
        ),
        "{:?}",
        transcript.end
    );
    let hang = transcript.hang.unwrap();
    assert_eq!(hang.missing, Vec::<String>::new());
    let dump = std::fs::File::open(rig.spec.artifacts.join(hang.dump.unwrap())).unwrap();
    assert!(dump.metadata().unwrap().len() > 1024 * 1024 * 1024);
}

#[test]
fn a_qemu_that_the_host_stopped_is_no_guest_that_hangs() {
    let Some(mut rig) = Rig::new("stopped QEMU") else {
        return;
    };
    rig.spec.deadlines.stage_margin = Duration::ZERO;
    let observer = When(|| kill_process(qemu_of(&rig), Signal::STOP).unwrap());
    let mut job = rig.job(&[&["sleep"]]);
    job.stages[0].timeout = Duration::from_secs(1);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &observer);
    let End::HostTooSlow {
        phase,
        wall_ms,
        given_ms,
    } = transcript.end
    else {
        panic!("{:?}", transcript.end);
    };
    assert_eq!(phase, Phase::Stage(1));
    assert!(
        wall_ms >= 8000 && given_ms < 1000,
        "{given_ms} of {wall_ms}"
    );
    assert!(transcript.host_time.is_known);
}

#[test]
#[ignore = "needs canary.ko for the kernel of these tests in `PATCHBED_TEST_CANARY`"]
fn a_kernel_that_hangs_is_looked_at_from_outside() {
    let Some(mut rig) = Rig::new("dead kernel") else {
        return;
    };
    let module = std::env::var("PATCHBED_TEST_CANARY").expect("the path of canary.ko");
    rig.spec.deadlines.stage_margin = Duration::from_secs(1);
    let mut job = rig.job(&[&["canary", "/tests/canary.ko", "hang"]]);
    job.stages[0].timeout = Duration::from_secs(4);
    job.stages[0].files.push(GuestFile {
        source: module.into(),
        path: "/tests/canary.ko".into(),
        mode: 0o644,
    });
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    let during = Phase::Stage(1);
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
fn a_panic_is_a_guest_that_went_away() {
    let Some(rig) = Rig::new("panic") else {
        return;
    };
    let transcript = run(&rig.spec, &rig.job(&[&["crash"]]), &Cancel::new(), &Silent);
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Stage(1),
            reason: "guest-reset".into()
        }
    );
    assert!(transcript.stages[0].started);
    assert!(rig.serial().contains("Kernel panic - not syncing"));
}

#[test]
fn output_is_cut_and_said_to_be() {
    let Some(rig) = Rig::new("flood") else {
        return;
    };
    let transcript = run(&rig.spec, &rig.job(&[&["flood"]]), &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    assert!(transcript.stages[0].output_cut);
    assert_eq!(transcript.stages[0].output.len(), 4 * 1024 * 1024);
}

#[test]
fn a_missing_program_is_trouble_and_the_guest_powers_off() {
    let Some(rig) = Rig::new("missing program") else {
        return;
    };
    let mut job = rig.job(&[&["say"]]);
    job.stages[0].program = "/tests/none".into();
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::Trouble { doing, .. } if doing == "start `/tests/none`"),
        "{:?}",
        transcript.end
    );
    assert!(rig.serial().contains("Power down"));
}

#[test]
fn a_refused_kexec_is_trouble_and_the_guest_powers_off() {
    let Some(rig) = Rig::new("refused kexec") else {
        return;
    };
    // The program takes the next kernel away.
    let job = rig.job(&[&["unlink", "/kexec/bzImage"], &["say"]]);
    let transcript = run(&rig.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            &transcript.end,
            End::Trouble { during: Phase::Kexec(2), error, .. } if error.contains("No such file")
        ),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.stages.len(), 1);
    assert!(rig.serial().contains("Power down"));
}

/// Acts once the first stage runs.
struct When<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Observer for When<F> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Advanced { detail, .. } if detail == "stage 1") {
            (self.0)();
        }
    }
}

/// Returns the process id of the QEMU that has this rig's folder among its
/// arguments.
fn qemu_of(rig: &Rig) -> Pid {
    let mark = rig.dir.path().to_str().unwrap().to_owned();
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
fn a_killed_qemu_is_seen_at_once() {
    let Some(rig) = Rig::new("killed QEMU") else {
        return;
    };
    for (signal, word) in [(Signal::KILL, "signal"), (Signal::TERM, "host-signal")] {
        let killed = std::sync::Mutex::new(None);
        let observer = When(|| {
            kill_process(qemu_of(&rig), signal).unwrap();
            *killed.lock().unwrap() = Some(Instant::now());
        });
        let transcript = run(
            &rig.spec,
            &rig.job(&[&["sleep"]]),
            &Cancel::new(),
            &observer,
        );
        let since = killed.lock().unwrap().unwrap().elapsed();
        assert!(since < Duration::from_secs(5), "noticed after {since:?}");
        assert!(
            matches!(&transcript.end, End::QemuDied { status, .. } if status.contains(word)),
            "{:?}",
            transcript.end
        );
    }
}

#[test]
fn a_wish_to_stop_ends_the_run() {
    let Some(rig) = Rig::new("cancelled") else {
        return;
    };
    let cancel = Cancel::new();
    let observer = When(|| cancel.cancel());
    let transcript = run(&rig.spec, &rig.job(&[&["sleep"]]), &cancel, &observer);
    assert_eq!(transcript.end, End::Cancelled);
}

#[test]
fn a_kernel_that_is_none_ends_the_run_with_qemu_s_words() {
    let Some(mut rig) = Rig::new("no kernel") else {
        return;
    };
    rig.spec.kernel = rig.spec.kernel.with_file_name("no such kernel");
    let transcript = run(&rig.spec, &Job::default(), &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::QemuDied { stderr_tail, .. } if stderr_tail.contains("no such kernel")),
        "{:?}",
        transcript.end
    );
}

#[test]
fn the_probe_finds_an_accelerator_and_remembers_it() {
    let Some(rig) = Rig::new("probe") else {
        return;
    };
    let cache = Utf8PathBuf::try_from(rig.dir.path().join("cache")).unwrap();
    let probe = Probe {
        memory_mib: rig.spec.memory_mib.unwrap_or(rig.spec.machine.memory_mib),
        cmdline: &rig.spec.cmdline,
        slowness: 1,
        qemu: &rig.spec.qemu,
        machine: &rig.spec.machine,
        kernel: &rig.spec.kernel,
        initramfs: &rig.spec.initramfs,
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
