// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of judging kselftests of the tree: the exit code and the printed results must
//! agree.

use std::collections::BTreeSet;

use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::expectation::{Expected, Has, expected, is_expected, surprise};
use crate::klog::Log;
use crate::kselftest::{KselftestBoots, TargetNotes};
use crate::status::{Judgement, Status, judge};

const NOTES: &str = "tests:\n  two:\n    boots: [{args: [-s, '1']}, {args: [-s, '2']}]\n\
    tolerates: [{text: bad token, because: the test passes a bad token}]\n";
const TAP: &str = "TAP version 13\n1..2\nok 1 a\nok 2 b\n\
    # Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n";

fn test(name: &str) -> KselftestBoots {
    TargetNotes::parse(NOTES, "t.yaml")
        .unwrap()
        .test("t", name, None)
}

fn console(boots: usize, inside: &str) -> String {
    let boot = |number| {
        format!(
            "<5>[    0.000000][    T0] Linux version 7.3.4\n\
             <13>[    1.000000][    T1] patchbed: boot {number} begins\n{inside}\
             <13>[    2.000000][    T1] patchbed: boot {number} ends\n"
        )
    };
    (1..=boots).map(boot).collect()
}

fn run(name: &str, boots: &[(&str, i32)], inside: &str) -> Judgement {
    let serial = console(boots.len(), inside);
    let boot = |(index, (output, code)): (usize, &(&'static str, i32))| BootEvidence {
        boot_id: ["first", "second"][index],
        started: true,
        output: output.as_bytes(),
        output_cut: false,
        exit: Some(ExitKind::Code(*code)),
    };
    // Leaked, so that the outputs outlive the evidence.
    let boots: Vec<(&'static str, i32)> = boots
        .iter()
        .map(|(output, code)| (&*output.to_string().leak(), *code))
        .collect();
    let evidence = Evidence {
        boots: boots.iter().enumerate().map(boot).collect(),
        ending: Ending::Orderly,
        serial: serial.as_bytes(),
        hang: None,
        host_time: Default::default(),
    };
    judge(&test(name), &evidence, &Log::parse(serial.as_bytes()))
}

fn judged(output: &str, code: i32) -> (Status, String) {
    let judgement = run("one", &[(output, code)], "");
    (judgement.status, judgement.reason)
}

#[test]
fn judge_maps_the_exit_code_to_a_status() {
    assert_eq!(judged("all fine\n", 0).0, Status::Pass);
    assert_eq!(
        judged("no such thing\n\n", 1),
        (
            Status::Fail,
            "boot 1: the program exited with code 1; last line: \"no such thing\"".to_owned()
        )
    );
    assert_eq!(
        judged("1..0 # SKIP no device\n", 4),
        (Status::Skip, "boot 1: no device".to_owned())
    );
    assert_eq!(
        judged("cannot do it here\n", 4),
        (Status::Skip, "boot 1: cannot do it here".to_owned())
    );
    assert_eq!(judged("", 2).0, Status::Skip);
    assert_eq!(judged("", 3).0, Status::Fail);
    assert_eq!(judged("", 127).0, Status::Fail);
}

#[test]
fn judge_fails_results_that_contradict_the_exit_code() {
    assert_eq!(
        judged(TAP, 0),
        (Status::Pass, "2 of 2 tests passed".to_owned())
    );
    assert_eq!(judged(TAP, 1).0, Status::Fail);
    for cut in 15..TAP.find("# Totals").unwrap() {
        let (status, reason) = judged(&TAP[..cut], 0);
        assert_ne!(status, Status::Pass, "cut at {cut}: {reason}");
    }
    assert_eq!(judged(&TAP.replace("ok 2", "not ok 2"), 0).0, Status::Fail);
    assert_eq!(judged("not ok 1 without a header\n", 0).0, Status::Fail);
    assert_eq!(judged("TAP version 13\n1..0\n", 0).0, Status::Fail);
    let bail_out = "TAP version 13\n1..2\nok 1 a\nBail out! no clone\n";
    assert_eq!(
        judged(bail_out, 1),
        (Status::Fail, "boot 1: bailed out: no clone".to_owned())
    );
    assert_eq!(judged(&TAP.replace("pass:2", "pass:3"), 0).0, Status::Fail);
}

#[test]
fn judge_skips_only_if_all_tests_are_skipped() {
    let some = "TAP version 13\n1..2\nok 1 a\nok 2 b # SKIP no fuse\n";
    assert_eq!(
        judged(some, 0),
        (
            Status::Pass,
            "1 of 2 tests passed, 1 skipped: no fuse".to_owned()
        )
    );
    let all = some.replace("ok 1 a", "ok 1 a # SKIP no root");
    assert_eq!(
        judged(&all, 0),
        (Status::Skip, "boot 1: no root".to_owned())
    );
}

#[test]
fn judge_requires_all_boots_to_pass() {
    assert_eq!(run("two", &[("", 0), ("", 0)], "").status, Status::Pass);
    let first_only = run("two", &[("", 0)], "");
    assert_eq!(
        (first_only.status, first_only.reason.as_str()),
        (Status::Fail, "1 of 2 boots ran")
    );
    assert_eq!(run("two", &[("", 4)], "").status, Status::Skip);
    assert_eq!(run("two", &[("", 0), ("", 1)], "").status, Status::Fail);
}

#[test]
fn judge_fails_on_splats_and_on_errors_that_are_not_tolerated() {
    let with_line = |line: &str| run("one", &[("", 0)], &format!("{line}\n")).status;
    assert_eq!(
        with_line("<4>[    1.000000][    T1] memfd: deprecated"),
        Status::Pass
    );
    assert_eq!(
        with_line("<3>[    1.000000][    T1] luo: cannot freeze"),
        Status::Fail
    );
    assert_eq!(
        with_line("<3>[    1.000000][    T1] luo: bad token 7"),
        Status::Pass
    );
    assert_eq!(
        with_line("<4>[    1.000000][    T1] WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1"),
        Status::Crash
    );
}

#[test]
fn expected_is_pass_on_every_checkout() {
    let test = test("one");
    let none = BTreeSet::new();
    let has = Has {
        whole: &none,
        partly: &none,
    };
    assert_eq!(expected(&test, has), Expected::Pass);
    let skip = run("one", &[("not here\n", 4)], "");
    assert!(!is_expected(Expected::Pass, &skip));
    assert_eq!(
        surprise(&test, Expected::Pass, &skip).as_deref(),
        Some("boot 1: not here")
    );
}
