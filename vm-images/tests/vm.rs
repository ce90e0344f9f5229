// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of a real kernel, with all ends.

#![expect(clippy::unwrap_used, reason = "tests may, and so may their helpers")]

mod environment;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use patchbed_host::context::Context;
use patchbed_host::events::{Event, Observer};
use rustix::process::{Pid, Signal, kill_process};
use vm_images::ExitStatus;
use vm_images::probe::choose;
use vm_images::transcript::{End, Phase};
use vm_images::vm::{GuestFile, VmRun, run};

use environment::{Environment, exited, required};

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn two_boots_with_a_child_left_before_the_kexec() {
    let environment = Environment::new("two boots");
    let job = environment.job(&[&["leave-child"], &["print", "again"]]);
    let transcript = run(&environment.spec, &job, &environment.context);
    println!("{transcript:#?}");
    assert_eq!(transcript.end, End::PoweredOff);
    let [first, second] = transcript.boots.as_slice() else {
        panic!("not two boots");
    };
    assert_eq!(first.output, b"left a child\n");
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
            "boot-1.output",
            "boot-2.output",
            "channel.jsonl",
            "qemu.cmdline",
            "qemu.stderr",
            "serial.log",
            "transcript.json",
        ]
    );
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_program_starts_in_its_working_directory_or_fails() {
    let environment = Environment::new("folder");
    let mut job = environment.job(&[&["working-directory"], &["working-directory"]]);
    job.boots[1].dir = "/none".into();
    let transcript = run(&environment.spec, &job, &environment.context);
    assert_eq!(transcript.boots[0].output, b"/tests\n");
    let End::Trouble { error, .. } = &transcript.end else {
        panic!("{:?}", transcript.end);
    };
    assert!(error.starts_with("cannot change to `/none`: "), "{error}");
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn no_boot_follows_a_failing_program() {
    let environment = Environment::new("failing boot");
    let job = environment.job(&[&["exit", "4"], &["print"]]);
    let transcript = run(&environment.spec, &job, &environment.context);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.boots.len(), 1);
    assert_eq!(transcript.boots[0].exit, exited(4));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_hanging_program_is_diagnosed_and_killed() {
    let environment = Environment::new("hang");
    for action in ["sleep", "spin"] {
        let mut job = environment.job(&[&[action]]);
        job.boots[0].timeout = Duration::from_secs(1);
        let transcript = run(&environment.spec, &job, &environment.context);
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
        // A sample may fall into an interrupt, but not every sample does.
        let mut samples = hang.samples.iter();
        let is_busy = samples.any(|sample| {
            sample
                .processors
                .iter()
                .any(|processor| processor.in_program)
        });
        assert!(action == "sleep" || is_busy, "{:?}", hang.samples);
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
fn a_silent_guest_exceeds_the_limit_and_is_dumped() {
    let mut environment = Environment::new("silent guest");
    environment.spec.deadlines.program_margin = Duration::ZERO;
    environment.spec.keep_dump = true;
    let mut job = environment.job(&[&["sleep"]]);
    job.boots[0].timeout = Duration::from_millis(300);
    let transcript = run(&environment.spec, &job, &environment.context);
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
fn a_stopped_qemu_is_reported_as_a_slow_host() {
    let mut environment = Environment::new("stopped QEMU");
    environment.spec.deadlines.program_margin = Duration::ZERO;
    let folder = environment.dir.path().to_owned();
    let observer = OnFirstBoot(move || kill_process(qemu_of(&folder), Signal::STOP).unwrap());
    let mut job = environment.job(&[&["sleep"]]);
    job.boots[0].timeout = Duration::from_secs(1);
    let transcript = run(&environment.spec, &job, &observed(&environment, observer));
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
fn a_hanging_kernel_is_diagnosed_from_outside() {
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
    let transcript = run(&environment.spec, &job, &environment.context);
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
        assert!(
            processors.any(|processor| !processor.takes_interrupts && processor.frames.len() > 3)
        );
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_panic_is_reported_as_guest_reset() {
    let environment = Environment::new("panic");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["crash"]]),
        &environment.context,
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
fn output_beyond_the_limit_is_cut_and_marked() {
    let environment = Environment::new("flood");
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["flood"]]),
        &environment.context,
    );
    assert_eq!(transcript.end, End::PoweredOff);
    assert!(transcript.boots[0].output_cut);
    assert_eq!(transcript.boots[0].output.len(), 4 * 1024 * 1024);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_missing_program_is_reported_and_the_guest_powers_off() {
    let environment = Environment::new("missing program");
    let mut job = environment.job(&[&["print"]]);
    job.boots[0].program = "/tests/none".into();
    let transcript = run(&environment.spec, &job, &environment.context);
    assert!(
        matches!(&transcript.end, End::Trouble { doing, .. } if doing == "start `/tests/none`"),
        "{:?}",
        transcript.end
    );
    assert!(environment.serial().contains("Power down"));
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_failing_kexec_is_reported_and_the_guest_powers_off() {
    let environment = Environment::new("failing kexec");
    // The program deletes the next kernel.
    let job = environment.job(&[&["unlink", "/kexec/bzImage"], &["print"]]);
    let transcript = run(&environment.spec, &job, &environment.context);
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

/// Returns the environment's context with this observer.
fn observed(environment: &Environment, observer: impl Observer + 'static) -> Context {
    Context {
        observer: Arc::new(observer),
        ..environment.context.clone()
    }
}

/// Calls a function when the first boot starts.
struct OnFirstBoot<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Observer for OnFirstBoot<F> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Advanced { detail, .. } if detail == "boot 1") {
            (self.0)();
        }
    }
}

/// Returns the process id of the QEMU with this folder in its arguments.
fn qemu_of(folder: &Path) -> Pid {
    let found = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let cmdline = std::fs::read(entry.path().join("cmdline")).ok()?;
            let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
            (cmdline.starts_with("qemu") && cmdline.contains(folder.to_str().unwrap()))
                .then(|| entry.file_name().to_str()?.parse().ok())?
        });
    Pid::from_raw(found.expect("QEMU runs")).unwrap()
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_killed_qemu_ends_the_run_at_once() {
    let environment = Environment::new("killed QEMU");
    for (signal, text) in [(Signal::KILL, "signal"), (Signal::TERM, "host-signal")] {
        let killed = Arc::new(Mutex::new(None));
        let (at, folder) = (Arc::clone(&killed), environment.dir.path().to_owned());
        let observer = OnFirstBoot(move || {
            kill_process(qemu_of(&folder), signal).unwrap();
            *at.lock().unwrap() = Some(Instant::now());
        });
        let transcript = run(
            &environment.spec,
            &environment.job(&[&["sleep"]]),
            &observed(&environment, observer),
        );
        let since = killed.lock().unwrap().unwrap().elapsed();
        assert!(since < Duration::from_secs(5), "detected after {since:?}");
        assert!(
            matches!(&transcript.end, End::QemuDied { status, .. } if status.contains(text)),
            "{:?}",
            transcript.end
        );
    }
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn cancel_ends_the_run() {
    let environment = Environment::new("cancelled");
    let cancel = environment.context.cancel.clone();
    let observer = OnFirstBoot(move || cancel.cancel());
    let transcript = run(
        &environment.spec,
        &environment.job(&[&["sleep"]]),
        &observed(&environment, observer),
    );
    assert_eq!(transcript.end, End::Cancelled);
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn a_missing_kernel_image_ends_the_run_with_the_stderr_of_qemu() {
    let mut environment = Environment::new("no kernel");
    environment.spec.kernel = environment.spec.kernel.with_file_name("no such kernel");
    let transcript = run(&environment.spec, &VmRun::default(), &environment.context);
    assert!(
        matches!(&transcript.end, End::QemuDied { stderr_tail, .. } if stderr_tail.contains("no such kernel")),
        "{:?}",
        transcript.end
    );
}

#[test]
#[ignore = "needs a kernel in `PATCHBED_TEST_KERNEL`"]
fn choose_returns_an_accelerator_and_caches_it() {
    let environment = Environment::new("probe");
    let first = choose(&environment.spec, 1, &environment.context).unwrap();
    println!("{first:?}");
    let begin = Instant::now();
    let again = choose(&environment.spec, 1, &environment.context).unwrap();
    assert_eq!(again.accelerator, first.accelerator);
    assert_eq!(again.reason.is_some(), first.reason.is_some());
    assert!(begin.elapsed() < Duration::from_secs(1));
}
