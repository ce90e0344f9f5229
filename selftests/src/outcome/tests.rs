// SPDX-License-Identifier: GPL-2.0-only
//! Each rule of judging, on evidence made by hand.

use super::*;

const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    splats: [{class: WARN, text: Destroying, count: 1}]\nstages: [{steps: [{rescan: pci}]}]\n";
const PASSED: &str = "TAP version 13\n1..1\n#  RUN           small.stage_1 ...\n\
    #            OK  small.stage_1\nok 1 small.stage_1\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
const WARNING: &str = "------------[ cut here ]------------\npci 1: Destroying it\n\
    WARNING: a.c:1 at cleanup+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n";

fn serial(inside: &str, after: &str) -> String {
    format!("Linux version 7.3.4\ntestbed: stage 1 begins\n{inside}testbed: stage 1 ends\n{after}")
}

fn evidence<'a>(output: &'a str, exit: ExitKind, ending: Ending, serial: &'a str) -> Evidence<'a> {
    let stage = StageEvidence {
        started: true,
        output: output.as_bytes(),
        output_cut: false,
        exit: Some(exit),
    };
    Evidence {
        stages: vec![stage],
        ending,
        serial: serial.as_bytes(),
    }
}

fn judged(evidence: &Evidence<'_>) -> Judgement {
    let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
    judge(&scenario, evidence, &Log::parse(evidence.serial))
}

fn outcome(output: &str, exit: ExitKind, ending: Ending, serial: &str) -> (Outcome, bool, String) {
    let judgement = judged(&evidence(output, exit, ending, serial));
    (judgement.outcome, judgement.in_time, judgement.reason)
}

#[test]
fn a_pass_is_whole() {
    let (outcome, ..) = outcome(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!(outcome, Outcome::Pass);
}

#[test]
fn an_expected_splat_that_is_missing_or_doubled_is_a_failure() {
    for (inside, seen) in [(String::new(), 0), (WARNING.repeat(2), 2)] {
        let (outcome, _, reason) = outcome(
            PASSED,
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(&inside, ""),
        );
        assert_eq!(outcome, Outcome::Fail);
        assert!(reason.ends_with(&format!("seen {seen} times")), "{reason}");
    }
}

#[test]
fn an_unexpected_splat_is_a_crash_wherever_it_comes() {
    let kasan =
        "BUG: KASAN: slab-use-after-free in use+0x1/0x2\nRead of size 4\n=======================\n";
    let (inside, in_time, reason) = outcome(
        PASSED,
        ExitKind::Code(1),
        Ending::Orderly,
        &serial(&format!("{WARNING}{kasan}"), ""),
    );
    assert_eq!((inside, in_time), (Outcome::Crash, true));
    assert_eq!(
        reason,
        "KASAN during stage 1: KASAN: slab-use-after-free Read in use"
    );
    let (after, in_time, _) = outcome(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, kasan),
    );
    assert_eq!((after, in_time), (Outcome::Crash, false));
    // The expected one, too late.
    let (late, ..) = outcome(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, WARNING),
    );
    assert_eq!(late, Outcome::Crash);
}

#[test]
fn a_failed_check_says_what_it_wanted() {
    let output = PASSED.replace(
        "#            OK  small.stage_1\nok 1",
        "# small.c:7:stage_1:Expected 0 (0) == ret (-5)\n# small.c:8:stage_1:step 1: must succeed\nnot ok 1",
    );
    let (outcome, in_time, reason) = outcome(
        &output,
        ExitKind::Code(1),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!((outcome, in_time), (Outcome::Fail, true));
    assert_eq!(
        reason,
        "stage 1: step 1: must succeed (Expected 0 (0) == ret (-5))"
    );
}

#[test]
fn half_an_output_is_no_pass() {
    for cut in 0..PASSED.len() - 1 {
        let (outcome, ..) = outcome(
            &PASSED[..cut],
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(WARNING, ""),
        );
        // Behind the result, only the totals are missing.
        let whole_result = cut >= PASSED.find("# Totals").unwrap();
        assert!(outcome != Outcome::Pass || whole_result, "cut at {cut}");
    }
}

#[test]
fn a_skip_keeps_its_reason_and_never_passes() {
    let output = PASSED
        .replace("ok 1 small.stage_1", "ok 1 small.stage_1 # SKIP needs root")
        .replace("pass:1", "pass:0")
        .replace("skip:0", "skip:1");
    let (outcome, _, reason) = outcome(
        &output,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!(
        (outcome, reason.as_str()),
        (Outcome::Skip, "stage 1: needs root")
    );
}

#[test]
fn faults_of_the_host_and_deadlines_come_first() {
    let log = serial(WARNING, "");
    let ours = Ending::Ours {
        what: "QEMU died".to_owned(),
    };
    assert_eq!(
        outcome(PASSED, ExitKind::Code(0), ours, &log).0,
        Outcome::Error
    );
    let hang = Ending::Hang {
        what: "power-off took too long".to_owned(),
    };
    assert_eq!(
        outcome(PASSED, ExitKind::Code(0), hang, &log).0,
        Outcome::Hang
    );
    assert_eq!(
        outcome(PASSED, ExitKind::TimedOut, Ending::Orderly, &log).0,
        Outcome::Hang
    );
    let gone = Ending::GuestGone {
        what: "the guest went away".to_owned(),
        stage: Some(1),
    };
    assert_eq!(
        outcome(PASSED, ExitKind::Code(0), gone, &log).0,
        Outcome::Crash
    );
    assert_eq!(
        outcome(PASSED, ExitKind::Code(0), Ending::Orderly, "").0,
        Outcome::Error
    );
    assert_eq!(
        outcome("", ExitKind::Code(0), Ending::Orderly, &log).0,
        Outcome::Fail
    );
    assert_eq!(
        outcome(
            "TAP version 13\n1..0\n",
            ExitKind::Code(0),
            Ending::Orderly,
            &log
        )
        .0,
        Outcome::Error
    );
}

#[test]
fn a_stray_warning_is_a_failure() {
    let log = serial(
        &format!("{WARNING}<4>[    1.000000][   T1] pci 1: odd\n<6>[    1.000000][   T1] fine\n"),
        "",
    );
    let (outcome, _, reason) = outcome(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(
        (outcome, reason.as_str()),
        (Outcome::Fail, "stage 1: the kernel warned \"pci 1: odd\"")
    );
}
