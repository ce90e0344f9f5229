// SPDX-License-Identifier: GPL-2.0-only
//! Whose fault it is, rule by rule, as a person would say it.

use vm_images::transcript::{End, Hang, HostTime, Phase, Processor, Sample};

use super::*;

/// A host that let the guest run for so many of the worst 20 seconds.
fn host_that_gave(secs: u64) -> HostTime {
    HostTime {
        is_known: true,
        wall_ms: 240_000,
        withheld_ms: 237_000,
        window_ms: 20_000,
        worst_ms: 20_000 - secs * 1000,
    }
}

/// A hang in which processor 0 is in the program or not, sample by sample.
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
fn ends_are_the_fault_of_who_brought_them_about() {
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
    let nonsense = End::ChannelBroken {
        during,
        error: "what?".into(),
    };
    assert_eq!(end(&nonsense), (Status::Error, Some(Cause::Tool)));
    let trouble = |during, doing: &str| End::Trouble {
        during,
        doing: doing.into(),
        error: "no".into(),
    };
    let put = trouble(during, "write `/tests/a`");
    assert_eq!(end(&put), (Status::Error, Some(Cause::Tool)));
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
fn a_program_that_spins_in_itself_is_to_blame_and_no_other_that_hangs() {
    let log = serial(WARNING, "");
    let mut seen = evidence(PASSED, ExitKind::TimedOut, Ending::Orderly, &log);
    assert_eq!(caused(&seen), (Status::Hang, Some(Cause::Kernel)));
    assert!(judged(&seen).reason.contains("; by the wall's clock"));
    seen.host_time = host_that_gave(20);
    assert!(!judged(&seen).reason.contains("; by the wall's clock"));
    for (samples, cause) in [
        (vec![true, true], Cause::Test),
        (vec![true, false], Cause::Kernel),
        (vec![], Cause::Kernel),
    ] {
        let hang = hang(&samples);
        let seen = Evidence {
            hang: Some(&hang),
            ..seen.clone()
        };
        assert_eq!(caused(&seen), (Status::Hang, Some(cause)));
    }
}

#[test]
fn a_program_that_contradicts_itself_is_to_blame_but_not_for_what_it_finds() {
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
fn tasks_that_do_not_meet_are_the_test_s_fault_or_that_of_a_host_without_time() {
    let log = serial(WARNING, "");
    let output = PASSED.replace(
        "#            OK  small.boot_1\nok 1",
        "# small.c:8:boot_1:interleaving: step 1 did not come to f\nnot ok 1",
    );
    let mut seen = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
    assert_eq!(caused(&seen), (Status::Error, Some(Cause::Test)));
    seen.host_time = host_that_gave(3);
    assert_eq!(caused(&seen), (Status::Error, Some(Cause::Infrastructure)));
}

const HELD: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    boots: [{steps: [{expect_device: endpoint0, state: bound}, {race: {rescan: pci}, sync_point: f, \
    meanwhile: [{remove_device: endpoint0}]}]}]\n";

/// Output of a test that failed with these checks after each of its steps.
fn failed_output(checks: &[(usize, &str)]) -> String {
    let labels = [
        "1: wait until endpoint0 is bound -> ok",
        "2: rescan the PCI bus, held at f -> ok",
        "3: remove endpoint0 -> ok",
        "4: release: rescan the PCI bus -> ok",
    ];
    let mut lines = String::from("TAP version 13\n1..1\n#  RUN           small.boot_1 ...\n");
    for (index, label) in labels.iter().enumerate() {
        lines += &format!("# step {label}\n");
        for (_, text) in checks.iter().filter(|(step, _)| *step == index + 1) {
            lines +=
                &format!("# small.c:8:boot_1:Expected 1 (1) == 0 (0)\n# small.c:9:boot_1:{text}\n");
        }
    }
    lines + "not ok 1 small.boot_1\n# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n"
}

#[test]
fn judge_is_inconclusive_when_the_time_limit_released_a_held_task() {
    let scenario = Scenario::parse(HELD, "small.yaml").unwrap();
    let expired = (
        3,
        "interleaving: a held task was released by the time limit",
    );
    let real = |step| (step, "step 3: must have been called once in all");
    let of = |checks: &[(usize, &str)], inside: &str| {
        let output = failed_output(checks);
        let log = serial(inside, "");
        let seen = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
        let judgement = judge(&scenario, &seen, &Log::parse(seen.serial));
        (judgement.status, judgement.cause)
    };
    let inconclusive = (Status::Error, Some(Cause::Test));
    assert_eq!(of(&[expired], ""), inconclusive);
    // The step in between waited for the time limit: its result is no evidence.
    assert_eq!(of(&[real(3), expired], ""), inconclusive);
    // A stall report is an effect of the held task.
    assert_eq!(of(&[real(3), expired], STALL), inconclusive);
    // A check before the task was held is evidence, and so is any other kernel report.
    let kernel = (Status::Fail, Some(Cause::Kernel));
    assert_eq!(of(&[real(1), expired], ""), kernel);
    assert_eq!(of(&[real(3)], ""), kernel);
    let crash = (Status::Crash, Some(Cause::Kernel));
    assert_eq!(of(&[real(3), expired], WARNING), crash);
}

const STALL: &str = "<3>[    1.500000][    C1] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:\n\
    <3>[    1.500000][    C1] rcu: \t0-...!: (1 GPs behind) idle=1/1/0x1\n";

#[test]
fn a_kernel_that_is_late_on_a_host_that_gave_it_no_time_is_not_to_blame() {
    let log = serial(&format!("{WARNING}{STALL}"), "");
    let mut seen = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(caused(&seen), (Status::Crash, Some(Cause::Kernel)));
    seen.host_time = host_that_gave(6);
    assert_eq!(caused(&seen), (Status::Crash, Some(Cause::Kernel)));
    seen.host_time = host_that_gave(4);
    assert_eq!(caused(&seen), (Status::Error, Some(Cause::Infrastructure)));
    let reason = judged(&seen).reason;
    assert!(
        reason.ends_with(
            "; but the host gave the guest 3 s of 240 s, and at worst withheld 16 s of 20 s"
        ),
        "{reason}"
    );
    // Who does not measure cannot excuse.
    seen.host_time.is_known = false;
    assert_eq!(caused(&seen), (Status::Crash, Some(Cause::Kernel)));
}

#[test]
fn whatever_watches_the_time_is_excused_by_a_host_without_it() {
    for report in [
        "INFO: task pull:40 blocked for more than 30 seconds.",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [pull:41]",
        "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    ] {
        let line = format!("<3>[    1.500000][    C1] {report}\n");
        let log = serial(&format!("{WARNING}{line}"), "");
        let mut seen = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
        let kernel = (Status::Crash, Some(Cause::Kernel));
        assert_eq!(caused(&seen), kernel, "{report}");
        seen.host_time = host_that_gave(1);
        let host = (Status::Error, Some(Cause::Infrastructure));
        assert_eq!(caused(&seen), host, "{report}");
    }
}

#[test]
fn a_host_without_time_excuses_nothing_else() {
    let oops = "BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:f+0x1/0x2\n";
    let log = serial(&format!("{WARNING}{STALL}{oops}"), "");
    let mut seen = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    seen.host_time = host_that_gave(1);
    assert_eq!(caused(&seen), (Status::Crash, Some(Cause::Kernel)));
    let log = serial(WARNING, "");
    let failed = PASSED.replace("ok 1", "not ok 1");
    let mut seen = evidence(&failed, ExitKind::Code(1), Ending::Orderly, &log);
    seen.host_time = host_that_gave(1);
    assert_eq!(caused(&seen), (Status::Fail, Some(Cause::Kernel)));
    assert!(judged(&seen).reason.contains("; mind that the host gave"));
    let mut seen = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    seen.host_time = host_that_gave(1);
    assert_eq!(caused(&seen), (Status::Pass, None));
}

#[test]
fn a_guest_that_ended_its_program_by_the_wall_s_clock_may_be_excused() {
    let log = serial(WARNING, "");
    let mut seen = evidence(PASSED, ExitKind::TimedOut, Ending::Orderly, &log);
    seen.host_time = host_that_gave(1);
    assert_eq!(caused(&seen), (Status::Error, Some(Cause::Infrastructure)));
    // The host's own clock counts what the guest had.
    let hang = hang(&[false]);
    let seen = Evidence {
        hang: Some(&hang),
        ..seen.clone()
    };
    assert_eq!(caused(&seen), (Status::Hang, Some(Cause::Kernel)));
}

#[test]
fn what_the_kernel_says_when_it_is_asked_is_no_report() {
    let before = serial(WARNING, "");
    let whole = format!("{before}{STALL}");
    let transcript = vm_images::transcript::Transcript {
        boots: Vec::new(),
        end: End::PoweredOff,
        start: vm_images::transcript::BootMode::Cold,
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
    let seen = Evidence::of(&transcript, whole.as_bytes());
    assert_eq!(seen.serial, before.as_bytes());
}
