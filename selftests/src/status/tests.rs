// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of each rule with constructed evidence.

use super::*;
use crate::evidence::{BootEvidence, ExitKind};
use crate::expectation::{Expected, is_expected};
use crate::scenario::Scenario;

const SCENARIO: &str = "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\n\
    splats: [{class: WARN, text: Destroying, count: 1}]\nboots: [{steps: [{rescan: pci}]}]\n";
const PASSED: &str = "TAP version 13\n1..1\n#  RUN           liveupdate_pci.small ...\n\
    # step 1: rescan the PCI bus -> ok\n#            OK  liveupdate_pci.small\nok 1 liveupdate_pci.small\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
const WARNING: &str = "------------[ cut here ]------------\npci 1: Destroying it\n\
    WARNING: a.c:1 at cleanup+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n";

/// Adds the prefix of printk to lines that have none.
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
fn judge_passes_a_complete_run() {
    let (status, ..) = status(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, ""),
    );
    assert_eq!(status, Status::Pass);
}

#[test]
fn judge_fails_when_an_expected_splat_is_missing_or_repeated() {
    for (inside, found) in [(String::new(), 0), (WARNING.repeat(2), 2)] {
        let (status, _, reason) = status(
            PASSED,
            ExitKind::Code(0),
            Ending::Orderly,
            &serial(&inside, ""),
        );
        assert_eq!(status, Status::Fail);
        assert!(
            reason.ends_with(&format!("found {found} times")),
            "{reason}"
        );
    }
}

#[test]
fn judge_reports_an_unexpected_splat_as_crash_in_every_phase() {
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
    // The expected splat, after the program ended.
    let (late, ..) = status(
        PASSED,
        ExitKind::Code(0),
        Ending::Orderly,
        &serial(WARNING, WARNING),
    );
    assert_eq!(late, Status::Crash);
}

#[test]
fn judge_reports_the_step_and_expectation_of_a_failed_check() {
    let output = PASSED.replace(
        "#            OK  liveupdate_pci.small\nok 1",
        "# at step 1\n# small.c:7:small:Expected 0 (0) == kt_rescan() (-5)\nnot ok 1",
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
        "boot 1: step 1: rescan the PCI bus (small.yaml:6): Expected 0 (0) == kt_rescan() (-EIO)"
    );
}

#[test]
fn judge_does_not_pass_cut_output() {
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

/// Returns status and reason of a run with this output and log that otherwise passes.
fn status_and_reason(output: &str, log: &str) -> (Status, String) {
    let (status, _, reason) = status(output, ExitKind::Code(0), Ending::Orderly, log);
    (status, reason)
}

#[test]
fn judge_fails_when_another_test_or_not_all_steps_ran() {
    let log = serial(WARNING, "");
    let other = PASSED.replace("liveupdate_pci.small", "something_else");
    let (status, reason) = status_and_reason(&other, &log);
    assert_eq!(status, Status::Fail);
    assert_eq!(
        reason,
        "boot 1: the program ran `something_else`, not `liveupdate_pci.small`"
    );
    let twice = PASSED
        .replace("1..1", "1..2")
        .replace("pass:1", "pass:2")
        .replace("# Totals", "ok 2 liveupdate_pci.small\n# Totals");
    let (_, reason) = status_and_reason(&twice, &log);
    assert_eq!(
        reason,
        "boot 1: the program ran 2 tests, not `liveupdate_pci.small`"
    );
    let (status, reason) = status_and_reason(&PASSED.replace("# step 1: ", "# "), &log);
    assert_eq!(status, Status::Fail);
    assert_eq!(
        reason,
        "boot 1: `liveupdate_pci.small` passed, but did not run step 1: rescan the PCI bus (small.yaml:6)"
    );
    let scenario = Scenario::parse(SCENARIO, "small.yaml").unwrap();
    assert_eq!(
        crate::generate::arguments(&scenario, 1),
        ["-r", &scenario.test_name(1)],
    );
}

#[test]
fn judge_fails_when_a_group_fails_and_its_tests_pass() {
    let output = "TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# #  RUN           liveupdate_pci.small ...\n\
        # # step 1: rescan -> ok\n# ok 1 liveupdate_pci.small\n# # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n\
        not ok 1 all\n# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n";
    let (status, reason) = status_and_reason(output, &serial(WARNING, ""));
    assert_eq!(
        (status, reason.as_str()),
        (Status::Fail, "boot 1: `all` failed")
    );
}

#[test]
fn judge_reports_a_test_killed_by_the_harness_as_hang() {
    let output = PASSED.replace(
        "#            OK  liveupdate_pci.small\nok 1",
        "# small: Test terminated by timeout\n#          FAIL  liveupdate_pci.small\nnot ok 1",
    );
    let log = serial(WARNING, "");
    let (hangs, ..) = status(&output, ExitKind::Code(1), Ending::Orderly, &log);
    assert_eq!(hangs, Status::Hang);
}

#[test]
fn judge_reports_a_console_without_levels_or_markers_as_error() {
    let without_levels = serial(WARNING, "")
        .replace("<5>[    0.000000][    T0] ", "")
        .replace("<4>[    1.500000][    T7] ", "")
        .replace("<13>[    1.000000][    T1] ", "")
        .replace("<13>[    2.000000][    T1] ", "");
    let (status, reason) = status_and_reason(PASSED, &without_levels);
    assert_eq!(status, Status::Error);
    assert_eq!(reason, "boot 1: the console log has no levels");
    let incomplete = serial(WARNING, "").replace("boot 1 ends", "boot 1 en");
    let (status, reason) = status_and_reason(PASSED, &incomplete);
    assert_eq!(status, Status::Error);
    assert_eq!(
        reason,
        "boot 1: the console log has no marker of the program's start or end"
    );
}

#[test]
fn judge_fails_when_an_expected_splat_is_incomplete() {
    let incomplete = WARNING.replace("---[ end trace 0 ]---\n", "");
    let (status, _) = status_and_reason(PASSED, &serial(&incomplete, ""));
    assert_eq!(status, Status::Fail);
    // Also where the splat is optional: the rest of the incomplete splat is unknown.
    for count in ["min: 0", "min: 1"] {
        let both = serial(&format!("{WARNING}{incomplete}"), "");
        let judgement = judged_with(&SCENARIO.replace("count: 1", count), &both);
        assert_eq!(judgement.status, Status::Fail, "{count}");
        assert!(
            judgement.reason.ends_with("and 1 incomplete"),
            "{}",
            judgement.reason
        );
    }
}

#[test]
fn judge_counts_a_splat_for_one_expectation_only() {
    let two = SCENARIO.replace(
        "splats: [",
        "splats: [{class: WARN, text: Destroying it, count: 1}, ",
    );
    let judged = |times| judged_with(&two, &serial(&WARNING.repeat(times), ""));
    assert_eq!(judged(1).status, Status::Fail);
    assert_eq!(
        judged(1).reason,
        "boot 1: WARN \"Destroying\": expected 1 times, found 0 times"
    );
    let other = WARNING.replace("Destroying it", "Destroying all");
    let both = judged_with(&two, &serial(&format!("{WARNING}{other}"), ""));
    assert_eq!(both.status, Status::Pass, "{}", both.reason);
}

#[test]
fn judge_passes_counts_between_minimum_and_maximum() {
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

/// Judges a run with this console log that otherwise passes, by this scenario.
fn judged_with(scenario: &str, serial: &str) -> Judgement {
    let scenario = Scenario::parse(scenario, "small.yaml").unwrap();
    let evidence = evidence(PASSED, ExitKind::Code(0), Ending::Orderly, serial);
    judge(&scenario, &evidence, &Log::parse(evidence.serial))
}

#[test]
fn judge_fails_when_two_boots_have_the_same_boot_id() {
    let log = serial(WARNING, "") + &serial("", "").replace("boot 1", "boot 2");
    let of_boot = |number: u32| {
        let name = format!("liveupdate_pci_kexec.small_boot_{number}");
        PASSED.replace("liveupdate_pci.small", &name)
    };
    let (first, second) = (of_boot(1), of_boot(2));
    let text = SCENARIO.replace("}]}]\n", "}]}, {steps: [{rescan: pci}]}]\n");
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let judged = |id| {
        let mut evidence = evidence(&first, ExitKind::Code(0), Ending::Orderly, &log);
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
        "boot 2 ran in the same kernel as boot 1 (same boot ID)"
    );
}

/// Judges a failure of a scenario with these keys, this failed check and these splats.
/// Returns the status and whether it is an expected failure.
fn judged_where_failure_is_expected(keys: &str, check: &str, splats: &str) -> (Status, bool) {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\nfails_without: [x]\n{keys}\
         boots: [{{steps: [{{rescan: pci}}, {{rescan: pci, fails_first: true}}]}}]\n"
    );
    let scenario = Scenario::parse(&text, "small.yaml").unwrap();
    let output = PASSED.replace(
        "#            OK  liveupdate_pci.small\nok 1",
        &format!("{check}\nnot ok 1"),
    );
    let output = output.replace("pass:1 fail:0", "pass:0 fail:1");
    let log = serial(splats, "");
    let evidence = evidence(&output, ExitKind::Code(1), Ending::Orderly, &log);
    let judgement = judge(&scenario, &evidence, &Log::parse(evidence.serial));
    (judgement.status, is_expected(Expected::Fail, &judgement))
}

#[test]
fn is_expected_requires_the_marked_step_and_listed_reports() {
    let kasan = "BUG: KASAN: bad in g+0x1/0x2\n=======================\n";
    let lockdep = "WARNING: suspicious RCU usage\n </TASK>\n";
    let fails_first = "# at step 2\n# small.c:7:small:Expected 0 (0) == f() (-5)";
    let lists_kasan = "fails_with: [KASAN]\n";
    let failed = (Status::Fail, true);
    assert_eq!(
        judged_where_failure_is_expected("", fails_first, ""),
        failed
    );
    let uncounted = "# at step 2\n# small.c:7:small:Expected 0 (0) == kt_cannot_count() (-5)";
    for check in [&fails_first.replace("step 2", "step 1"), uncounted] {
        let found = judged_where_failure_is_expected("", check, "");
        assert_eq!(found, (Status::Fail, false), "{check}");
    }
    let crashed = |keys, splats| judged_where_failure_is_expected(keys, fails_first, splats);
    assert_eq!(crashed(lists_kasan, kasan), (Status::Crash, true));
    let unexpected = (Status::Crash, false);
    assert_eq!(crashed("", kasan), unexpected);
    assert_eq!(crashed(lists_kasan, lockdep), unexpected);
    let both = format!("{kasan}{lockdep}");
    assert_eq!(crashed(lists_kasan, &both), unexpected);
}

#[test]
fn judge_reports_a_skip_with_its_reason() {
    let output = PASSED
        .replace(
            "ok 1 liveupdate_pci.small",
            "ok 1 liveupdate_pci.small # SKIP needs root",
        )
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
fn judge_reports_errors_and_expired_limits_before_failures() {
    let log = serial(WARNING, "");
    let error = Ending::Error {
        message: "QEMU died".to_owned(),
        cause: Cause::Infrastructure,
    };
    assert_eq!(
        status(PASSED, ExitKind::Code(0), error, &log).0,
        Status::Error
    );
    let hang = Ending::Hang {
        message: "power-off took too long".to_owned(),
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
        message: "the guest went away".to_owned(),
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
fn judge_fails_on_a_stray_warning() {
    let log = serial(
        &format!("{WARNING}<4>[    1.000000][   T1] pci 1: odd\n<6>[    1.000000][   T1] fine\n"),
        "",
    );
    let (status, _, reason) = status(PASSED, ExitKind::Code(0), Ending::Orderly, &log);
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "boot 1: unexpected kernel warning: \"pci 1: odd\""
        )
    );
}

#[test]
fn judge_ignores_warnings_caused_by_a_busy_host() {
    let line = "<4>[    1.000000][    C0] hrtimer: interrupt took 7381923 ns\n";
    let log = serial(&format!("{WARNING}{line}"), "");
    assert_eq!(status_and_reason(PASSED, &log).0, Status::Pass);
}

#[test]
fn judge_fails_on_a_kernel_error_before_or_after_the_program() {
    let error = "<3>[    3.000000][    T1] luo: cannot freeze\n";
    let quiet = "<0>[    3.000000][    T1] reboot: Power down\n<4>[    3.1][    T1] tsc: odd\n";
    assert_eq!(
        status_and_reason(PASSED, &serial(WARNING, quiet)).0,
        Status::Pass
    );
    let (status, reason) = status_and_reason(PASSED, &serial(WARNING, error));
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "after the program of boot 1: unexpected kernel error: \"luo: cannot freeze\""
        )
    );
    let early = serial(WARNING, "").replacen("<13>", &format!("{error}<13>"), 1);
    let (status, reason) = status_and_reason(PASSED, &early);
    assert_eq!(
        (status, reason.as_str()),
        (
            Status::Fail,
            "before the program of boot 1: unexpected kernel error: \"luo: cannot freeze\""
        )
    );
}

mod cause;
mod kselftest;
