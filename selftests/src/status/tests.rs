// SPDX-License-Identifier: GPL-2.0-only
//! Each rule of judging, on evidence made by hand.

use super::*;
use crate::evidence::BootEvidence;
use crate::expectation::{Expected, is_expected};
use crate::scenario::Scenario;

const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    splats: [{class: WARN, text: Destroying, count: 1}]\nboots: [{steps: [{rescan: pci}]}]\n";
const PASSED: &str = "TAP version 13\n1..1\n#  RUN           small.boot_1 ...\n\
    # step 1: rescan the PCI bus -> ok\n#            OK  small.boot_1\nok 1 small.boot_1\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
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
        "<5>[    0.000000][    T0] Linux version 7.3.4\n<13>[    1.000000][    T1] patchbed: boot 1 begins\n\
         {inside}<13>[    2.000000][    T1] patchbed: boot 1 ends\n{after}"
    )
}

fn evidence<'a>(output: &'a str, exit: ExitKind, ending: Ending, serial: &'a str) -> Evidence<'a> {
    let boot = BootEvidence {
        boot_id: "a",
        started: true,
        output: output.as_bytes(),
        output_cut: false,
        exit: Some(exit),
    };
    Evidence {
        boots: vec![boot],
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

fn status(output: &str, exit: ExitKind, ending: Ending, serial: &str) -> (Status, bool, String) {
    let judgement = judged(&evidence(output, exit, ending, serial));
    (judgement.status, judgement.in_time, judgement.reason)
}

#[test]
fn a_pass_is_whole() {
    let (status, ..) = status(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!(status, Status::Pass);
}

#[test]
fn an_expected_splat_that_is_missing_or_doubled_is_a_failure() {
    for (inside, seen) in [(String::new(), 0), (WARNING.repeat(2), 2)] {
        let (status, _, reason) = status(
            PASSED,
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(&inside, ""),
        );
        assert_eq!(status, Status::Fail);
        assert!(reason.ends_with(&format!("seen {seen} times")), "{reason}");
    }
}

#[test]
fn an_unexpected_splat_is_a_crash_wherever_it_comes() {
    let kasan =
        "BUG: KASAN: slab-use-after-free in use+0x1/0x2\nRead of size 4\n=======================\n";
    let (inside, in_time, reason) = status(
        PASSED,
        ExitKind::Code(1),
        Ending::Orderly,
        &serial(&format!("{WARNING}{kasan}"), ""),
    );
    assert_eq!((inside, in_time), (Status::Crash, true));
    assert_eq!(
        reason,
        "KASAN during boot 1: KASAN: slab-use-after-free Read in use"
    );
    let (after, in_time, _) = status(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, kasan),
    );
    assert_eq!((after, in_time), (Status::Crash, false));
    // The expected one, too late.
    let (late, ..) = status(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, WARNING),
    );
    assert_eq!(late, Status::Crash);
}

#[test]
fn a_failed_check_says_what_it_wanted() {
    let output = PASSED.replace(
        "#            OK  small.boot_1\nok 1",
        "# small.c:7:boot_1:Expected 0 (0) == ret (-5)\n# small.c:8:boot_1:step 1: must succeed\nnot ok 1",
    );
    let (status, in_time, reason) = status(
        &output,
        ExitKind::Code(1),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!((status, in_time), (Status::Fail, true));
    assert_eq!(
        reason,
        "boot 1: step 1: rescan the PCI bus (small.yaml:6): must succeed (Expected 0 (0) == ret (-5))"
    );
}

#[test]
fn half_an_output_is_no_pass() {
    for cut in 0..PASSED.len() {
        let (status, ..) = status(
            &PASSED[..cut],
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(WARNING, ""),
        );
        assert_ne!(status, Status::Pass, "cut at {cut}");
    }
}

/// The status and reason of what otherwise is a pass.
fn passed_but(output: &str, log: &str) -> (Status, String) {
    let (status, _, reason) = status(output, ExitKind::Code(0), Ending::Orderly, log);
    (status, reason)
}

#[test]
fn another_test_than_the_boot_s_own_is_no_pass() {
    let log = serial(WARNING, "");
    let other = PASSED.replace("small.boot_1", "something_else");
    let (status, reason) = passed_but(&other, &log);
    assert_eq!(status, Status::Fail);
    assert_eq!(
        reason,
        "boot 1: the program ran `something_else`, not `small.boot_1`"
    );
    let twice = PASSED
        .replace("1..1", "1..2")
        .replace("pass:1", "pass:2")
        .replace("# Totals", "ok 2 small.boot_1\n# Totals");
    let (_, reason) = passed_but(&twice, &log);
    assert_eq!(
        reason,
        "boot 1: the program ran 2 tests, not `small.boot_1`"
    );
    let (status, reason) = passed_but(&PASSED.replace("# step 1: ", "# "), &log);
    assert_eq!(status, Status::Fail);
    assert_eq!(
        reason,
        "boot 1: `small.boot_1` passed without step 1: rescan the PCI bus (small.yaml:6)"
    );
    let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
    assert_eq!(
        crate::generate::arguments(&scenario, 1),
        ["-r", &scenario.test_name(1)],
    );
}

#[test]
fn a_group_that_fails_is_no_pass() {
    let output = "TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# #  RUN           small.boot_1 ...\n\
        # # step 1: rescan -> ok\n# ok 1 small.boot_1\n# # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n\
        not ok 1 all\n# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n";
    let (status, reason) = passed_but(output, &serial(WARNING, ""));
    assert_eq!(
        (status, reason.as_str()),
        (Status::Fail, "boot 1: `all` failed")
    );
}

#[test]
fn a_test_that_the_harness_ended_hangs() {
    let output = PASSED.replace(
        "#            OK  small.boot_1\nok 1",
        "# boot_1: Test terminated by timeout\n#          FAIL  small.boot_1\nnot ok 1",
    );
    let log = serial(WARNING, "");
    let (hangs, ..) = status(&output, ExitKind::Code(1), Ending::Orderly, &log);
    assert_eq!(hangs, Status::Hang);
}

#[test]
fn a_console_that_does_not_show_all_is_no_pass() {
    let without_levels = serial(WARNING, "")
        .replace("<5>[    0.000000][    T0] ", "")
        .replace("<4>[    1.500000][    T7] ", "")
        .replace("<13>[    1.000000][    T1] ", "")
        .replace("<13>[    2.000000][    T1] ", "");
    let (status, reason) = passed_but(PASSED, &without_levels);
    assert_eq!(status, Status::Error);
    assert_eq!(
        reason,
        "boot 1: the console does not show the levels of the kernel's lines"
    );
    let torn = serial(WARNING, "").replace("boot 1 ends", "boot 1 en");
    let (status, reason) = passed_but(PASSED, &torn);
    assert_eq!(status, Status::Error);
    assert_eq!(
        reason,
        "boot 1: the console does not show where the program began and ended"
    );
}

#[test]
fn a_torn_splat_is_not_the_expected_one() {
    let torn = WARNING.replace("---[ end trace 0 ]---\n", "");
    let (status, _) = passed_but(PASSED, &serial(&torn, ""));
    assert_eq!(status, Status::Fail);
    // Nor where none need come: what it hides is not known.
    for count in ["min: 0", "min: 1"] {
        let both = serial(&format!("{WARNING}{torn}"), "");
        let judgement = judged_with(&SCENARIO.replace("count: 1", count), &both);
        assert_eq!(judgement.status, Status::Fail, "{count}");
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
    assert_eq!(judged(1).status, Status::Fail);
    assert_eq!(
        judged(1).reason,
        "boot 1: WARN \"Destroying\" was expected 1 times and seen 0 times"
    );
    let other = WARNING.replace("Destroying it", "Destroying all");
    let both = judged_with(&two, &serial(&format!("{WARNING}{other}"), ""));
    assert_eq!(both.status, Status::Pass, "{}", both.reason);
}

#[test]
fn between_minimum_and_maximum_each_count_is_good() {
    let scenario = SCENARIO.replace("count: 1", "min: 1, max: 2");
    for (times, expected) in [
        (0, Status::Fail),
        (1, Status::Pass),
        (2, Status::Pass),
        (3, Status::Fail),
    ] {
        let log = serial(&WARNING.repeat(times), "");
        let judgement = judged_with(&scenario, &log);
        assert_eq!(judgement.status, expected, "{}", judgement.reason);
    }
}

/// How a run that passes is judged with these splats, by this scenario.
fn judged_with(scenario: &str, serial: &str) -> Judgement {
    let scenario = Scenario::parse(scenario, "small.yaml").unwrap();
    let evidence = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, serial);
    judge(&scenario, &evidence, &Log::parse(evidence.serial))
}

#[test]
fn a_second_boot_needs_a_second_kernel() {
    let log = serial(WARNING, "") + &serial("", "").replace("boot 1", "boot 2");
    let second = PASSED.replace("boot_1", "boot_2");
    let text = SCENARIO.replace("}]}]\n", "}]}, {steps: [{rescan: pci}]}]\n");
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let judged = |id| {
        let mut evidence = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
        let mut next = evidence.boots[0].clone();
        (next.boot_id, next.output) = (id, second.as_bytes());
        evidence.boots.push(next);
        judge(&scenario, &evidence, &Log::parse(log.as_bytes()))
    };
    let pass = judged("b");
    assert_eq!(pass.status, Status::Pass, "{}", pass.reason);
    let same = judged("a");
    assert_eq!(same.status, Status::Fail);
    assert_eq!(
        same.reason,
        "boot 2 ran in the kernel of boot 1, which is no new one"
    );
}

/// The verdict where the scenario must fail, with this key and these splats.
fn where_it_must_fail(keys: &str, check: &str, splats: &str) -> (Status, bool) {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\nfails_without: [x]\n{keys}\
         boots: [{{steps: [{{rescan: pci}}, {{rescan: pci, fails_first: true}}]}}]\n"
    );
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let output = PASSED.replace(
        "#            OK  small.boot_1\nok 1",
        &format!(
            "# small.c:7:boot_1:Expected 0 (0) == ret (-5)\n# small.c:8:boot_1:{check}\nnot ok 1"
        ),
    );
    let output = output.replace("pass:1 fail:0", "pass:0 fail:1");
    let log = serial(splats, "");
    let evidence = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
    let judgement = judge(&scenario, &evidence, &Log::parse(evidence.serial));
    (judgement.status, is_expected(Expected::Fail, &judgement))
}

#[test]
fn only_first_failure_and_named_reports_are_the_expected_failure() {
    let kasan = "BUG: KASAN: bad in g+0x1/0x2\n=======================\n";
    let lockdep = "WARNING: suspicious RCU usage\n </TASK>\n";
    let fails_first = "step 2: must succeed";
    let may = "fails_with: [KASAN]\n";
    let failed = (Status::Fail, true);
    assert_eq!(where_it_must_fail("", fails_first, ""), failed);
    for check in ["step 1: must succeed", "calls cannot be counted"] {
        let found = where_it_must_fail("", check, "");
        assert_eq!(found, (Status::Fail, false), "{check}");
    }
    let crashed = |keys, splats| where_it_must_fail(keys, fails_first, splats);
    assert_eq!(crashed(may, kasan), (Status::Crash, true));
    let unexpected = (Status::Crash, false);
    assert_eq!(crashed("", kasan), unexpected);
    assert_eq!(crashed(may, lockdep), unexpected);
    let both = format!("{kasan}{lockdep}");
    assert_eq!(crashed(may, &both), unexpected);
}

#[test]
fn a_skip_keeps_its_reason_and_never_passes() {
    let output = PASSED
        .replace("ok 1 small.boot_1", "ok 1 small.boot_1 # SKIP needs root")
        .replace("pass:1", "pass:0")
        .replace("skip:0", "skip:1");
    let (status, _, reason) = status(
        &output,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!(
        (status, reason.as_str()),
        (Status::Skip, "boot 1: needs root")
    );
}

#[test]
fn faults_of_the_host_and_deadlines_come_first() {
    let log = serial(WARNING, "");
    let ours = Ending::Ours {
        what: "QEMU died".to_owned(),
        cause: Cause::Infrastructure,
    };
    assert_eq!(
        status(PASSED, ExitKind::Code(0), ours, &log).0,
        Status::Error
    );
    let hang = Ending::Hang {
        what: "power-off took too long".to_owned(),
    };
    assert_eq!(
        status(PASSED, ExitKind::Code(0), hang, &log).0,
        Status::Hang
    );
    assert_eq!(
        status(PASSED, ExitKind::TimedOut, Ending::Orderly, &log).0,
        Status::Hang
    );
    let gone = Ending::GuestGone {
        what: "the guest went away".to_owned(),
        boot: Some(1),
    };
    assert_eq!(
        status(PASSED, ExitKind::Code(0), gone, &log).0,
        Status::Crash
    );
    assert_eq!(
        status(PASSED, ExitKind::Code(0), Ending::Orderly, "").0,
        Status::Error
    );
    assert_eq!(
        status("", ExitKind::Code(0), Ending::Orderly, &log).0,
        Status::Fail
    );
    assert_eq!(
        status(
            "TAP version 13\n1..0\n",
            ExitKind::Code(0),
            Ending::Orderly,
            &log
        )
        .0,
        Status::Error
    );
}

#[test]
fn a_stray_warning_is_a_failure() {
    let log = serial(
        &format!("{WARNING}<4>[    1.000000][   T1] pci 1: odd\n<6>[    1.000000][   T1] fine\n"),
        "",
    );
    let (status, _, reason) = status(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(
        (status, reason.as_str()),
        (Status::Fail, "boot 1: the kernel warned \"pci 1: odd\"")
    );
}

#[test]
fn a_busy_host_warns_nobody() {
    let line = "<4>[    1.000000][    C0] hrtimer: interrupt took 7381923 ns\n";
    let log = serial(&format!("{WARNING}{line}"), "");
    assert_eq!(passed_but(PASSED, &log).0, Status::Pass);
}

#[test]
fn an_error_outside_the_program_s_time_is_a_failure() {
    let error = "<3>[    3.000000][    T1] luo: cannot freeze\n";
    let quiet = "<0>[    3.000000][    T1] reboot: Power down\n<4>[    3.1][    T1] tsc: odd\n";
    assert_eq!(passed_but(PASSED, &serial(WARNING, quiet)).0, Status::Pass);
    let (status, reason) = passed_but(PASSED, &serial(WARNING, error));
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "after boot 1: the kernel said \"luo: cannot freeze\""
        )
    );
    let early = serial(WARNING, "").replacen("<13>", &format!("{error}<13>"), 1);
    let (status, reason) = passed_but(PASSED, &early);
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "before boot 1: the kernel said \"luo: cannot freeze\""
        )
    );
}

mod cause;
