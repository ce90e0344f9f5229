// SPDX-License-Identifier: GPL-2.0-only
//! Real runs of real kernels, in whatever way they end. They need QEMU and a
//! kernel with kexec, named by `TESTBED_TEST_KERNEL`, and are skipped with a
//! word of why otherwise. A kernel that needs more than usual (KASAN's does)
//! gets it by `TESTBED_TEST_MEMORY_MIB` and `TESTBED_TEST_CMDLINE`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may, and so may what they share"
)]

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use testbed_host::cancel::Cancel;
use testbed_host::events::{Event, Observer, Silent};
use testbed_host::process::Tool;
use vm_images::accel::Accelerator;
use vm_images::deadlines::Deadlines;
use vm_images::initramfs::Initramfs;
use vm_images::machine::Machine;
use vm_images::probe::Probe;
use vm_images::qemu::Qemu;
use vm_images::transcript::{End, Phase};
use vm_images::vm::{Job, StageJob, VmSpec, run};
use vm_images::{Exit, ExitStatus, guest};

/// All that a test needs for a run, in a folder of its own.
struct Bench {
    dir: tempfile::TempDir,
    spec: VmSpec,
}

impl Bench {
    fn new(name: &str) -> Option<Self> {
        let Some(kernel) = std::env::var_os("TESTBED_TEST_KERNEL") else {
            println!("skipped: no kernel in `TESTBED_TEST_KERNEL`");
            return None;
        };
        let kernel = Utf8PathBuf::try_from(std::path::PathBuf::from(kernel)).unwrap();
        let cancel = Cancel::new();
        let room = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let init = guest::build(room.parent().unwrap(), &cancel, &Silent).unwrap();
        let program = path.join("program");
        Tool::new("rustc")
            .args(["-C", "target-feature=+crt-static", "-O", "-o"])
            .arg(&program)
            .arg(room.join("tests/guest/program.rs"))
            .deadline("test program", Duration::from_secs(120))
            .run(&cancel)
            .unwrap();
        let mut archive = Initramfs::for_guest(&init).unwrap();
        archive.add_test("program", &program).unwrap();
        archive.add_next_kernel(&kernel).unwrap();
        let initramfs = path.join("initrd");
        archive.write_to(&initramfs).unwrap();
        let spec = VmSpec {
            name: name.to_owned(),
            qemu: Qemu::find(&cancel).unwrap(),
            kernel,
            initramfs,
            machine: Machine::load(&room.join("machines/edu-pair.yaml")).unwrap(),
            accelerator: Accelerator::Tcg,
            memory_mib: std::env::var("TESTBED_TEST_MEMORY_MIB")
                .ok()
                .map(|value| value.parse().unwrap()),
            cmdline: std::env::var("TESTBED_TEST_CMDLINE")
                .unwrap_or("kho_scratch=16M,64M,64M".into()),
            artifacts: path.join("artifacts"),
            deadlines: Deadlines::new(Accelerator::Tcg, 4),
        };
        Some(Self { dir, spec })
    }

    fn serial(&self) -> String {
        let bytes = std::fs::read(self.spec.artifacts.join("serial.log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn stage(args: &[&str]) -> StageJob {
    StageJob {
        program: "/tests/program".into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec![("GREETING".into(), "hello".into())],
        timeout: Duration::from_secs(60),
    }
}

fn job(stages: &[&[&str]]) -> Job {
    Job {
        stages: stages.iter().map(|args| stage(args)).collect(),
    }
}

fn exited(code: i32) -> Option<Exit> {
    Some(Exit {
        status: ExitStatus::Code(code),
        timed_out: false,
    })
}

#[test]
fn two_stages_with_a_keeper_over_kexec() {
    let Some(bench) = Bench::new("two stages") else {
        return;
    };
    let job = job(&[&["keeper"], &["say", "again"]]);
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
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
    let serial = bench.serial();
    for marker in [
        "testbed: stage 1 begins",
        "testbed: stage 1 ends",
        "testbed: stage 2 begins",
        "testbed: stage 2 ends",
    ] {
        assert_eq!(serial.matches(marker).count(), 1, "{marker}");
    }
    let mut left: Vec<_> = std::fs::read_dir(&bench.spec.artifacts)
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
fn a_failing_stage_is_the_last() {
    let Some(bench) = Bench::new("failing stage") else {
        return;
    };
    let job = job(&[&["exit", "4"], &["say"]]);
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    assert_eq!(transcript.stages.len(), 1);
    assert_eq!(transcript.stages[0].exit, exited(4));
}

#[test]
fn a_program_that_hangs_is_killed_by_the_guest() {
    let Some(bench) = Bench::new("hang") else {
        return;
    };
    let mut job = job(&[&["sleep"]]);
    job.stages[0].timeout = Duration::from_secs(1);
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    let exit = transcript.stages[0].exit.unwrap();
    assert_eq!(exit.status, ExitStatus::Signal(9));
    assert!(exit.timed_out);
}

#[test]
fn a_guest_that_says_nothing_meets_the_deadline() {
    let Some(mut bench) = Bench::new("silent guest") else {
        return;
    };
    bench.spec.deadlines.stage_margin = Duration::ZERO;
    let mut job = job(&[&["sleep"]]);
    job.stages[0].timeout = Duration::from_millis(300);
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            transcript.end,
            End::DeadlineExpired {
                phase: Phase::Stage(1),
                limit_ms: 300
            }
        ),
        "{:?}",
        transcript.end
    );
}

#[test]
fn a_panic_is_a_guest_that_went_away() {
    let Some(bench) = Bench::new("panic") else {
        return;
    };
    let transcript = run(&bench.spec, &job(&[&["crash"]]), &Cancel::new(), &Silent);
    assert_eq!(
        transcript.end,
        End::GuestGone {
            during: Phase::Stage(1),
            reason: "guest-reset".into()
        }
    );
    assert!(transcript.stages[0].started);
    assert!(bench.serial().contains("Kernel panic - not syncing"));
}

#[test]
fn output_is_cut_and_said_to_be() {
    let Some(bench) = Bench::new("flood") else {
        return;
    };
    let transcript = run(&bench.spec, &job(&[&["flood"]]), &Cancel::new(), &Silent);
    assert_eq!(transcript.end, End::PoweredOff);
    assert!(transcript.stages[0].output_cut);
    assert_eq!(transcript.stages[0].output.len(), 4 * 1024 * 1024);
}

#[test]
fn a_missing_program_is_trouble_and_the_guest_powers_off() {
    let Some(bench) = Bench::new("missing program") else {
        return;
    };
    let mut job = job(&[&["say"]]);
    job.stages[0].program = "/tests/none".into();
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::Trouble { doing, .. } if doing == "start `/tests/none`"),
        "{:?}",
        transcript.end
    );
    assert!(bench.serial().contains("Power down"));
}

#[test]
fn a_refused_kexec_is_trouble_and_the_guest_powers_off() {
    let Some(bench) = Bench::new("refused kexec") else {
        return;
    };
    // The program takes the next kernel away.
    let job = job(&[&["unlink", "/kexec/bzImage"], &["say"]]);
    let transcript = run(&bench.spec, &job, &Cancel::new(), &Silent);
    assert!(
        matches!(
            &transcript.end,
            End::Trouble { during: Phase::Kexec(2), error, .. } if error.contains("No such file")
        ),
        "{:?}",
        transcript.end
    );
    assert_eq!(transcript.stages.len(), 1);
    assert!(bench.serial().contains("Power down"));
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

/// Returns the process id of the QEMU that has this bench's folder among its
/// arguments.
fn qemu_of(bench: &Bench) -> Pid {
    let mark = bench.dir.path().to_str().unwrap().to_owned();
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
    let Some(bench) = Bench::new("killed QEMU") else {
        return;
    };
    for (signal, word) in [(Signal::KILL, "signal"), (Signal::TERM, "host-signal")] {
        let killed = std::sync::Mutex::new(None);
        let observer = When(|| {
            kill_process(qemu_of(&bench), signal).unwrap();
            *killed.lock().unwrap() = Some(Instant::now());
        });
        let transcript = run(&bench.spec, &job(&[&["sleep"]]), &Cancel::new(), &observer);
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
    let Some(bench) = Bench::new("cancelled") else {
        return;
    };
    let cancel = Cancel::new();
    let observer = When(|| cancel.cancel());
    let transcript = run(&bench.spec, &job(&[&["sleep"]]), &cancel, &observer);
    assert_eq!(transcript.end, End::Cancelled);
}

#[test]
fn a_kernel_that_is_none_ends_the_run_with_qemu_s_words() {
    let Some(mut bench) = Bench::new("no kernel") else {
        return;
    };
    bench.spec.kernel = bench.spec.kernel.with_file_name("no such kernel");
    let transcript = run(&bench.spec, &Job::default(), &Cancel::new(), &Silent);
    assert!(
        matches!(&transcript.end, End::QemuDied { stderr_tail, .. } if stderr_tail.contains("no such kernel")),
        "{:?}",
        transcript.end
    );
}

#[test]
fn the_probe_finds_an_accelerator_and_remembers_it() {
    let Some(bench) = Bench::new("probe") else {
        return;
    };
    let cache = Utf8PathBuf::try_from(bench.dir.path().join("cache")).unwrap();
    let probe = Probe {
        memory_mib: bench
            .spec
            .memory_mib
            .unwrap_or(bench.spec.machine.memory_mib),
        cmdline: &bench.spec.cmdline,
        slowness: 1,
        qemu: &bench.spec.qemu,
        machine: &bench.spec.machine,
        kernel: &bench.spec.kernel,
        initramfs: &bench.spec.initramfs,
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
