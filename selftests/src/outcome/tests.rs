// SPDX-License-Identifier: GPL-2.0-only
//! Each rule of judging, on evidence made by hand.

use super::*;
use crate::evidence::StageEvidence;
use crate::scenario::Scenario;
use crate::verdict::{Expected, Verdict, verdict};

const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    splats: [{class: WARN, text: Destroying, count: 1}]\nstages: [{steps: [{rescan: pci}]}]\n";
const PASSED: &str = "TAP version 13\n1..1\n#  RUN           small.stage_1 ...\n\
    # step 1: rescan the PCI bus -> ok\n#            OK  small.stage_1\nok 1 small.stage_1\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
const WARNING: &str = "------------[ cut here ]------------\npci 1: Destroying it\n\
    WARNING: a.c:1 at cleanup+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n";

/// Lines as the kernel puts them out, those that have no prefix yet with one.
fn by_kernel(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let line = |line: &str| match line.starts_with('<') {
        true => line.to_owned(),
        false => format!("<4>[    1.500000][    T7] {line}"),
    };
    lines.map(line).collect()
}

fn serial(inside: &str, after: &str) -> String {
    let (inside, after) = (by_kernel(inside), by_kernel(after));
    format!(
        "<5>[    0.000000][    T0] Linux version 7.3.4\n<13>[    1.000000][    T1] patchbed: stage 1 begins\n\
         {inside}<13>[    2.000000][    T1] patchbed: stage 1 ends\n{after}"
    )
}

fn evidence<'a>(output: &'a str, exit: ExitKind, ending: Ending, serial: &'a str) -> Evidence<'a> {
    let stage = StageEvidence {
        boot_id: "a",
        started: true,
        output: output.as_bytes(),
        output_cut: false,
        exit: Some(exit),
    };
    Evidence {
        stages: vec![stage],
        ending,
        serial: serial.as_bytes(),
        hang: None,
        host_time: Default::default(),
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
        "stage 1: step 1: rescan the PCI bus (small.yaml:6): must succeed (Expected 0 (0) == ret (-5))"
    );
}

#[test]
fn half_an_output_is_no_pass() {
    for cut in 0..PASSED.len() {
        let (outcome, ..) = outcome(
            &PASSED[..cut],
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(WARNING, ""),
        );
        assert_ne!(outcome, Outcome::Pass, "cut at {cut}");
    }
}

/// The outcome and reason of what otherwise is a pass.
fn passed_but(output: &str, log: &str) -> (Outcome, String) {
    let (outcome, _, reason) = outcome(output, ExitKind::Code(0), Ending::Orderly, log);
    (outcome, reason)
}

#[test]
fn another_test_than_the_stage_s_own_is_no_pass() {
    let log = serial(WARNING, "");
    let other = PASSED.replace("small.stage_1", "something_else");
    let (outcome, reason) = passed_but(&other, &log);
    assert_eq!(outcome, Outcome::Fail);
    assert_eq!(
        reason,
        "stage 1: the program ran `something_else`, not `small.stage_1`"
    );
    let twice = PASSED
        .replace("1..1", "1..2")
        .replace("pass:1", "pass:2")
        .replace("# Totals", "ok 2 small.stage_1\n# Totals");
    let (_, reason) = passed_but(&twice, &log);
    assert_eq!(
        reason,
        "stage 1: the program ran 2 tests, not `small.stage_1`"
    );
    let (outcome, reason) = passed_but(&PASSED.replace("# step 1: ", "# "), &log);
    assert_eq!(outcome, Outcome::Fail);
    assert_eq!(
        reason,
        "stage 1: `small.stage_1` passed without step 1: rescan the PCI bus (small.yaml:6)"
    );
    let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
    assert_eq!(
        crate::generate::arguments(&scenario, 1),
        ["-r", &scenario.test_name(1)],
    );
}

#[test]
fn a_group_that_fails_is_no_pass() {
    let output = "TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# #  RUN           small.stage_1 ...\n\
        # # step 1: rescan -> ok\n# ok 1 small.stage_1\n# # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n\
        not ok 1 all\n# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n";
    let (outcome, reason) = passed_but(output, &serial(WARNING, ""));
    assert_eq!(
        (outcome, reason.as_str()),
        (Outcome::Fail, "stage 1: `all` failed")
    );
}

#[test]
fn a_test_that_the_harness_ended_hangs() {
    let output = PASSED.replace(
        "#            OK  small.stage_1\nok 1",
        "# stage_1: Test terminated by timeout\n#          FAIL  small.stage_1\nnot ok 1",
    );
    let log = serial(WARNING, "");
    let (hangs, ..) = outcome(&output, ExitKind::Code(1), Ending::Orderly, &log);
    assert_eq!(hangs, Outcome::Hang);
}

#[test]
fn a_console_that_does_not_show_all_is_no_pass() {
    let without_levels = serial(WARNING, "")
        .replace("<5>[    0.000000][    T0] ", "")
        .replace("<4>[    1.500000][    T7] ", "")
        .replace("<13>[    1.000000][    T1] ", "")
        .replace("<13>[    2.000000][    T1] ", "");
    let (outcome, reason) = passed_but(PASSED, &without_levels);
    assert_eq!(outcome, Outcome::Error);
    assert_eq!(
        reason,
        "stage 1: the console does not show the levels of the kernel's lines"
    );
    let torn = serial(WARNING, "").replace("stage 1 ends", "stage 1 en");
    let (outcome, reason) = passed_but(PASSED, &torn);
    assert_eq!(outcome, Outcome::Error);
    assert_eq!(
        reason,
        "stage 1: the console does not show where the program began and ended"
    );
}

#[test]
fn a_torn_splat_is_not_the_expected_one() {
    let torn = WARNING.replace("---[ end trace 0 ]---\n", "");
    let (outcome, _) = passed_but(PASSED, &serial(&torn, ""));
    assert_eq!(outcome, Outcome::Fail);
    // Nor where none need come: what it hides is not known.
    for count in ["min: 0", "min: 1"] {
        let both = serial(&format!("{WARNING}{torn}"), "");
        let judgement = judged_with(&SCENARIO.replace("count: 1", count), &both);
        assert_eq!(judgement.outcome, Outcome::Fail, "{count}");
        assert!(
            judgement.reason.ends_with("and 1 times torn"),
            "{}",
            judgement.reason
        );
    }
}

#[test]
fn a_splat_stands_for_one_that_is_expected() {
    let two = SCENARIO.replace(
        "splats: [",
        "splats: [{class: WARN, text: Destroying it, count: 1}, ",
    );
    let judged = |times| judged_with(&two, &serial(&WARNING.repeat(times), ""));
    assert_eq!(judged(1).outcome, Outcome::Fail);
    assert_eq!(
        judged(1).reason,
        "stage 1: WARN \"Destroying\" was expected 1 times and seen 0 times"
    );
    let other = WARNING.replace("Destroying it", "Destroying all");
    let both = judged_with(&two, &serial(&format!("{WARNING}{other}"), ""));
    assert_eq!(both.outcome, Outcome::Pass, "{}", both.reason);
}

#[test]
fn between_minimum_and_maximum_each_count_is_good() {
    let scenario = SCENARIO.replace("count: 1", "min: 1, max: 2");
    for (times, expected) in [
        (0, Outcome::Fail),
        (1, Outcome::Pass),
        (2, Outcome::Pass),
        (3, Outcome::Fail),
    ] {
        let log = serial(&WARNING.repeat(times), "");
        let judgement = judged_with(&scenario, &log);
        assert_eq!(judgement.outcome, expected, "{}", judgement.reason);
    }
}

/// How a run that passes is judged with these splats, by this scenario.
fn judged_with(scenario: &str, serial: &str) -> Judgement {
    let scenario = Scenario::parse(scenario, "small.yaml").unwrap();
    let evidence = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, serial);
    judge(&scenario, &evidence, &Log::parse(evidence.serial))
}

#[test]
fn a_second_stage_needs_a_second_kernel() {
    let log = serial(WARNING, "") + &serial("", "").replace("stage 1", "stage 2");
    let second = PASSED.replace("stage_1", "stage_2");
    let text = SCENARIO.replace("}]}]\n", "}]}, {steps: [{rescan: pci}]}]\n");
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let judged = |id| {
        let mut evidence = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
        let mut next = evidence.stages[0].clone();
        (next.boot_id, next.output) = (id, second.as_bytes());
        evidence.stages.push(next);
        judge(&scenario, &evidence, &Log::parse(log.as_bytes()))
    };
    let pass = judged("b");
    assert_eq!(pass.outcome, Outcome::Pass, "{}", pass.reason);
    let same = judged("a");
    assert_eq!(same.outcome, Outcome::Fail);
    assert_eq!(
        same.reason,
        "stage 2 ran in the kernel of stage 1, which is no new one"
    );
}

/// The verdict where the scenario must fail, with this key and these splats.
fn where_it_must_fail(keys: &str, check: &str, splats: &str) -> (Outcome, Verdict) {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\nfails_without: [x]\n{keys}\
         stages: [{{steps: [{{rescan: pci}}, {{rescan: pci, teeth: true}}]}}]\n"
    );
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let output = PASSED.replace(
        "#            OK  small.stage_1\nok 1",
        &format!(
            "# small.c:7:stage_1:Expected 0 (0) == ret (-5)\n# small.c:8:stage_1:{check}\nnot ok 1"
        ),
    );
    let output = output.replace("pass:1 fail:0", "pass:0 fail:1");
    let log = serial(splats, "");
    let evidence = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
    let judgement = judge(&scenario, &evidence, &Log::parse(evidence.serial));
    (judgement.outcome, verdict(Expected::Fail, &judgement))
}

#[test]
fn only_teeth_and_named_complaints_are_the_expected_failure() {
    let kasan = "BUG: KASAN: bad in g+0x1/0x2\n=======================\n";
    let lockdep = "WARNING: suspicious RCU usage\n </TASK>\n";
    let teeth = "step 2: must succeed";
    let may = "fails_with: [KASAN]\n";
    let failed = (Outcome::Fail, Verdict::Ok);
    assert_eq!(where_it_must_fail("", teeth, ""), failed);
    for check in ["step 1: must succeed", "calls cannot be counted"] {
        let found = where_it_must_fail("", check, "");
        assert_eq!(found, (Outcome::Fail, Verdict::Unexpected), "{check}");
    }
    let crashed = |keys, splats| where_it_must_fail(keys, teeth, splats);
    assert_eq!(crashed(may, kasan), (Outcome::Crash, Verdict::Ok));
    let unexpected = (Outcome::Crash, Verdict::Unexpected);
    assert_eq!(crashed("", kasan), unexpected);
    assert_eq!(crashed(may, lockdep), unexpected);
    let both = format!("{kasan}{lockdep}");
    assert_eq!(crashed(may, &both), unexpected);
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
        blame: Blame::Host,
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

#[test]
fn a_busy_host_warns_nobody() {
    let line = "<4>[    1.000000][    C0] hrtimer: interrupt took 7381923 ns\n";
    let log = serial(&format!("{WARNING}{line}"), "");
    assert_eq!(passed_but(PASSED, &log).0, Outcome::Pass);
}

#[test]
fn an_error_outside_the_program_s_time_is_a_failure() {
    let error = "<3>[    3.000000][    T1] luo: cannot freeze\n";
    let quiet = "<0>[    3.000000][    T1] reboot: Power down\n<4>[    3.1][    T1] tsc: odd\n";
    assert_eq!(passed_but(PASSED, &serial(WARNING, quiet)).0, Outcome::Pass);
    let (outcome, reason) = passed_but(PASSED, &serial(WARNING, error));
    assert_eq!(
        (outcome, reason.as_str()),
        (
            Outcome::Fail,
            "after stage 1: the kernel said \"luo: cannot freeze\""
        )
    );
    let early = serial(WARNING, "").replacen("<13>", &format!("{error}<13>"), 1);
    let (outcome, reason) = passed_but(PASSED, &early);
    assert_eq!(
        (outcome, reason.as_str()),
        (
            Outcome::Fail,
            "before stage 1: the kernel said \"luo: cannot freeze\""
        )
    );
}

mod blame;
