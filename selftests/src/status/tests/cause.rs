// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the cause of a result.

use vm_images::transcript::{End, Hang, HostTime, Phase, Processor, Sample};

use super::*;

/// Returns the times of a host that let the guest run for `secs` of the worst 20 seconds.
fn host_that_gave(secs: u64) -> HostTime {
    HostTime {
        is_known: true,
        wall_ms: 240_000,
        withheld_ms: 237_000,
        window_ms: 20_000,
        worst_ms: 20_000 - secs * 1000,
    }
}

/// Returns a hang; `in_program` has one entry for each sample of CPU 0.
fn hang(in_program: &[bool]) -> Hang {
    let sample = |in_program: &bool| Sample {
        at_ms: 0,
        processors: vec![Processor {
            number: 0,
            is_halted: false,
            takes_interrupts: true,
            in_program: *in_program,
            frames: Vec::new(),
        }],
    };
    Hang {
        during: Phase::Program(1),
        console_bytes: 0,
        divide_error: None,
        samples: in_program.iter().map(sample).collect(),
        answers: true,
        missing: Vec::new(),
        dump: None,
    }
}

fn caused(evidence: &Evidence<'_>) -> (Status, Option<Cause>) {
    let judgement = judged(evidence);
    (judgement.status, judgement.cause)
}

fn end(end: &End) -> (Status, Option<Cause>) {
    let log = serial(WARNING, "");
    caused(&evidence(PASSED, ExitKind::Code(0), Ending::of(end), &log))
}

#[test]
fn judge_derives_the_cause_from_the_end_of_the_run() {
    let during = Phase::Program(1);
    let died = End::QemuDied {
        during,
        status: "signal: 6".into(),
        stderr_tail: "Assertion `ret' failed".into(),
    };
    let host = (Status::Error, Some(Cause::Infrastructure));
    assert_eq!(end(&died), host);
    assert_eq!(end(&End::launch_failed("no disk")), host);
    let slow = End::HostTooSlow {
        phase: during,
        wall_ms: 240_000,
        given_ms: 3_000,
    };
    assert_eq!(end(&slow), host);
    let silent = End::MonitorBroken {
        during,
        error: "no answer".into(),
    };
    assert_eq!(end(&silent), host);
    let expired = |phase| End::DeadlineExpired { phase, limit_ms: 1 };
    assert_eq!(end(&expired(Phase::Launch)), host);
    assert_eq!(
        end(&expired(Phase::Kexec(2))),
        (Status::Hang, Some(Cause::Kernel))
    );
    let broken = End::ChannelBroken {
        during,
        error: "invalid message".into(),
    };
    assert_eq!(end(&broken), (Status::Error, Some(Cause::Tool)));
    let trouble = |during, doing: &str| End::Trouble {
        during,
        doing: doing.into(),
        error: "no".into(),
    };
    let write = trouble(during, "write `/tests/a`");
    assert_eq!(end(&write), (Status::Error, Some(Cause::Tool)));
    let start = trouble(during, "start `/tests/a`");
    assert_eq!(end(&start), (Status::Error, Some(Cause::Test)));
    let kexec = trouble(Phase::Kexec(2), "load the next kernel");
    assert_eq!(end(&kexec), (Status::Fail, Some(Cause::Kernel)));
    let gone = End::GuestGone {
        during,
        reason: "guest-reset".into(),
    };
    assert_eq!(end(&gone), (Status::Crash, Some(Cause::Kernel)));
    assert_eq!(end(&End::PoweredOff), (Status::Pass, None));
}

#[test]
fn judge_has_cause_test_for_a_hang_with_all_samples_in_user_space() {
    let log = serial(WARNING, "");
    let mut run = evidence(PASSED, ExitKind::TimedOut, Ending::Orderly, &log);
    assert_eq!(caused(&run), (Status::Hang, Some(Cause::Kernel)));
    assert!(judged(&run).reason.contains("; measured in wall time"));
    run.host_time = host_that_gave(20);
    assert!(!judged(&run).reason.contains("; measured in wall time"));
    for (samples, cause) in [
        (vec![true, true], Cause::Test),
        (vec![true, false], Cause::Kernel),
        (vec![], Cause::Kernel),
    ] {
        let hang = hang(&samples);
        let run = Evidence {
            hang: Some(&hang),
            ..run.clone()
        };
        assert_eq!(caused(&run), (Status::Hang, Some(cause)));
    }
}

#[test]
fn judge_has_cause_test_for_contradictory_output_and_cause_kernel_for_failed_checks() {
    let log = serial(WARNING, "");
    let cut = PASSED.replace("# Totals", "# T");
    let of = |output: &str, exit| caused(&evidence(output, exit, Ending::Orderly, &log));
    let test = (Status::Fail, Some(Cause::Test));
    assert_eq!(of(&cut, ExitKind::Code(0)), test);
    assert_eq!(of(PASSED, ExitKind::Code(1)), test);
    assert_eq!(of(PASSED, ExitKind::Signal(11)), test);
    assert_eq!(of("", ExitKind::Code(0)).1, Some(Cause::Test));
    let failed = PASSED.replace("ok 1", "not ok 1");
    assert_eq!(
        of(&failed, ExitKind::Code(1)),
        (Status::Fail, Some(Cause::Kernel))
    );
}

#[test]
fn judge_has_cause_test_or_infrastructure_for_a_missed_interleaving() {
    let log = serial(WARNING, "");
    let output = PASSED.replace(
        "#            OK  liveupdate_pci.small\nok 1",
        "# at step 1\n# small.c:8:small:interleaving: kt_hold() returned -ETIME\nnot ok 1",
    );
    let mut run = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
    assert_eq!(caused(&run), (Status::Error, Some(Cause::Test)));
    run.host_time = host_that_gave(3);
    assert_eq!(caused(&run), (Status::Error, Some(Cause::Infrastructure)));
    // The program skips the test if no check failed before.
    let missed = "interleaving: kt_hold() returned -ETIME";
    let output = PASSED.replace(
        "#            OK  liveupdate_pci.small\nok 1 liveupdate_pci.small",
        &format!(
            "# at step 1\n# small.c:8:small:{missed}\nok 1 liveupdate_pci.small # SKIP {missed}"
        ),
    );
    let output = output
        .replace("pass:1", "pass:0")
        .replace("skip:0", "skip:1");
    let run = evidence(&output, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(caused(&run), (Status::Error, Some(Cause::Test)));
    let reason = judged(&run).reason;
    assert!(reason.contains("step 1: rescan the PCI bus"), "{reason}");
}

const HELD: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    boots: [{steps: [{expect_device: endpoint0, state: bound}, {race: {rescan: pci}, sync_point: f, \
    meanwhile: [{remove_device: endpoint0}]}]}]\n";

/// Returns the output of a test with these failed checks, each after its step.
fn failed_output(checks: &[(usize, &str)]) -> String {
    let labels = [
        "1: wait until endpoint0 is bound -> ok",
        "2: rescan the PCI bus, held at f -> ok",
        "3: remove endpoint0 -> ok",
        "4: release: rescan the PCI bus -> ok",
    ];
    let mut lines =
        String::from("TAP version 13\n1..1\n#  RUN           liveupdate_pci.small ...\n");
    for (index, label) in labels.iter().enumerate() {
        lines += &format!("# step {label}\n");
        for (_, text) in checks.iter().filter(|(step, _)| *step == index + 1) {
            lines += &format!("{text}\n");
        }
    }
    lines
        + "not ok 1 liveupdate_pci.small\n# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n"
}

#[test]
fn judge_is_inconclusive_when_the_time_limit_released_a_held_task() {
    let scenario = Scenario::parse(HELD, "small.yaml").unwrap();
    let expired = (
        3,
        "# small.c:9:small:interleaving: kt_teardown() returned -ETIME",
    );
    let after_release = (
        4,
        "# at step 4\n# small.c:8:small:interleaving: kt_expired() returned -ETIME",
    );
    let real = |step| {
        (
            step,
            "# at step 3\n# small.c:8:small:Expected 1 (1) == kt_calls(f) (0)",
        )
    };
    let of = |checks: &[(usize, &str)], inside: &str| {
        let output = failed_output(checks);
        let log = serial(inside, "");
        let run = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
        let judgement = judge(&scenario, &run, &Log::parse(run.serial));
        (judgement.status, judgement.cause)
    };
    let inconclusive = (Status::Error, Some(Cause::Test));
    assert_eq!(of(&[expired], ""), inconclusive);
    // The step in between waited for the time limit: its result is no evidence.
    assert_eq!(of(&[real(3), expired], ""), inconclusive);
    assert_eq!(of(&[real(3), after_release], ""), inconclusive);
    // The held task causes the stall report.
    assert_eq!(of(&[real(3), expired], STALL), inconclusive);
    // The hung task watchdog waits longer than a task can be held.
    let hung = "<3>[    1.500000][    C1] INFO: task a:40 blocked for more than 30 seconds.\n";
    let crash = (Status::Crash, Some(Cause::Kernel));
    assert_eq!(of(&[real(3), expired], hung), crash);
    // A check before the task was held is evidence, and so is any other kernel report.
    let kernel = (Status::Fail, Some(Cause::Kernel));
    assert_eq!(of(&[real(1), expired], ""), kernel);
    assert_eq!(of(&[real(1), after_release], ""), kernel);
    assert_eq!(of(&[real(3)], ""), kernel);
    let crash = (Status::Crash, Some(Cause::Kernel));
    assert_eq!(of(&[real(3), expired], WARNING), crash);
}

const STALL: &str = "<3>[    1.500000][    C1] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\n\
    <3>[    1.500000][    C1] rcu: \t0-...!: (1 GPs behind) idle=1/1/0x1\n";

#[test]
fn judge_has_cause_infrastructure_for_a_stall_in_a_starved_guest() {
    let log = serial(&format!("{WARNING}{STALL}"), "");
    let mut run = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(caused(&run), (Status::Crash, Some(Cause::Kernel)));
    run.host_time = host_that_gave(6);
    assert_eq!(caused(&run), (Status::Crash, Some(Cause::Kernel)));
    run.host_time = host_that_gave(4);
    assert_eq!(caused(&run), (Status::Error, Some(Cause::Infrastructure)));
    let reason = judged(&run).reason;
    assert!(
        reason.ends_with(&format!(
            "; but {}, and withheld up to 16 s of 20 s",
            run.host_time
        )),
        "{reason}"
    );
    // Without a measurement, the guest does not count as starved.
    run.host_time.is_known = false;
    assert_eq!(caused(&run), (Status::Crash, Some(Cause::Kernel)));
}

#[test]
fn judge_treats_all_stall_reports_of_a_starved_guest_alike() {
    for report in [
        "INFO: task pull:40 blocked for more than 30 seconds.",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [pull:41]",
        "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    ] {
        let line = format!("<3>[    1.500000][    C1] {report}\n");
        let log = serial(&format!("{WARNING}{line}"), "");
        let mut run = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
        let kernel = (Status::Crash, Some(Cause::Kernel));
        assert_eq!(caused(&run), kernel, "{report}");
        run.host_time = host_that_gave(1);
        let host = (Status::Error, Some(Cause::Infrastructure));
        assert_eq!(caused(&run), host, "{report}");
    }
}

#[test]
fn judge_keeps_cause_kernel_for_other_failures_of_a_starved_guest() {
    let oops = "BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:f+0x1/0x2\n";
    let log = serial(&format!("{WARNING}{STALL}{oops}"), "");
    let mut run = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    run.host_time = host_that_gave(1);
    assert_eq!(caused(&run), (Status::Crash, Some(Cause::Kernel)));
    let log = serial(WARNING, "");
    let failed = PASSED.replace("ok 1", "not ok 1");
    let mut run = evidence(&failed, ExitKind::Code(1), Ending::Orderly, &log);
    run.host_time = host_that_gave(1);
    assert_eq!(caused(&run), (Status::Fail, Some(Cause::Kernel)));
    let reason = judged(&run).reason;
    assert!(
        reason.contains(&format!("; note: {}", run.host_time)),
        "{reason}"
    );
    let mut run = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    run.host_time = host_that_gave(1);
    assert_eq!(caused(&run), (Status::Pass, None));
}

#[test]
fn judge_has_cause_infrastructure_for_a_time_limit_of_a_starved_guest() {
    let log = serial(WARNING, "");
    let mut run = evidence(PASSED, ExitKind::TimedOut, Ending::Orderly, &log);
    run.host_time = host_that_gave(1);
    assert_eq!(caused(&run), (Status::Error, Some(Cause::Infrastructure)));
    // The time limit of the host counts only the time in which the guest ran.
    let hang = hang(&[false]);
    let run = Evidence {
        hang: Some(&hang),
        ..run.clone()
    };
    assert_eq!(caused(&run), (Status::Hang, Some(Cause::Kernel)));
}

#[test]
fn evidence_omits_console_output_of_the_hang_diagnosis() {
    let before = serial(WARNING, "");
    let whole = format!("{before}{STALL}");
    let transcript = vm_images::transcript::Transcript {
        boots: Vec::new(),
        end: End::PoweredOff,
        boot_mode: vm_images::transcript::BootMode::Cold,
        restore_error: None,
        shared: false,
        host_time: HostTime::default(),
        hang: Some(Hang {
            console_bytes: before.len() as u64,
            ..hang(&[])
        }),
        wall_ms: 0,
        accelerator: vm_images::accel::Accelerator::Tcg,
        qemu_version: String::new(),
    };
    let run = Evidence::of(&transcript, whole.as_bytes());
    assert_eq!(run.serial, before.as_bytes());
}
