// SPDX-License-Identifier: GPL-2.0-only
//! A test of the tree's own is judged by its exit code and by what it printed; what
//! does not agree is no pass. Kselftest's codes: tools/testing/selftests/kselftest.h.

use std::collections::BTreeSet;

use crate::evidence::{Ending, Evidence, ExitKind, StageEvidence};
use crate::intree::{InTreeTest, TargetNotes};
use crate::klog::Log;
use crate::outcome::{Judgement, Outcome, judge};
use crate::verdict::{Expected, Has, Verdict, expected, surprise, verdict};

const NOTES: &str = "tests:\n  two:\n    stages: [{args: [-s, '1']}, {args: [-s, '2']}]\n\
    tolerates: [{text: bad token, because: it is asked for one}]\n";
const TAP: &str = "TAP version 13\n1..2\nok 1 a\nok 2 b\n\
    # Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n";

fn test(name: &str) -> InTreeTest {
    TargetNotes::parse(NOTES, "t.yaml")
        .unwrap()
        .test("t", name, None)
}

fn console(stages: usize, inside: &str) -> String {
    let stage = |number| {
        format!(
            "<5>[    0.000000][    T0] Linux version 7.3.4\n\
             <13>[    1.000000][    T1] patchbed: stage {number} begins\n{inside}\
             <13>[    2.000000][    T1] patchbed: stage {number} ends\n"
        )
    };
    (1..=stages).map(stage).collect()
}

fn run(name: &str, stages: &[(&str, i32)], inside: &str) -> Judgement {
    let serial = console(stages.len(), inside);
    let stage = |(index, (output, code)): (usize, &(&'static str, i32))| StageEvidence {
        boot_id: ["first", "second"][index],
        started: true,
        output: output.as_bytes(),
        output_cut: false,
        exit: Some(ExitKind::Code(*code)),
    };
    // The outputs outlive the evidence.
    let stages: Vec<(&'static str, i32)> = stages
        .iter()
        .map(|(output, code)| (&*output.to_string().leak(), *code))
        .collect();
    let evidence = Evidence {
        stages: stages.iter().enumerate().map(stage).collect(),
        ending: Ending::Orderly,
        serial: serial.as_bytes(),
        hang: None,
        host_time: Default::default(),
    };
    judge(&test(name), &evidence, &Log::parse(serial.as_bytes()))
}

fn one(output: &str, code: i32) -> (Outcome, String) {
    let judgement = run("one", &[(output, code)], "");
    (judgement.outcome, judgement.reason)
}

#[test]
fn the_exit_code_is_the_result() {
    assert_eq!(one("all fine\n", 0).0, Outcome::Pass);
    assert_eq!(
        one("no such thing\n\n", 1),
        (
            Outcome::Fail,
            "stage 1: the program exited with code 1, saying \"no such thing\"".to_owned()
        )
    );
    assert_eq!(
        one("1..0 # SKIP no device\n", 4),
        (Outcome::Skip, "stage 1: no device".to_owned())
    );
    assert_eq!(
        one("cannot do it here\n", 4),
        (Outcome::Skip, "stage 1: cannot do it here".to_owned())
    );
    assert_eq!(one("", 2).0, Outcome::Skip);
    assert_eq!(one("", 3).0, Outcome::Fail);
    assert_eq!(one("", 127).0, Outcome::Fail);
}

#[test]
fn results_that_contradict_the_exit_code_are_no_pass() {
    assert_eq!(
        one(TAP, 0),
        (Outcome::Pass, "2 results, all good".to_owned())
    );
    assert_eq!(one(TAP, 1).0, Outcome::Fail);
    for cut in 15..TAP.find("# Totals").unwrap() {
        let (outcome, reason) = one(&TAP[..cut], 0);
        assert_ne!(outcome, Outcome::Pass, "cut at {cut}: {reason}");
    }
    assert_eq!(one(&TAP.replace("ok 2", "not ok 2"), 0).0, Outcome::Fail);
    assert_eq!(one("not ok 1 without a header\n", 0).0, Outcome::Fail);
    assert_eq!(one("TAP version 13\n1..0\n", 0).0, Outcome::Fail);
    let gave_up = "TAP version 13\n1..2\nok 1 a\nBail out! no clone\n";
    assert_eq!(
        one(gave_up, 1),
        (Outcome::Fail, "stage 1: bailed out: no clone".to_owned())
    );
    assert_eq!(one(&TAP.replace("pass:2", "pass:3"), 0).0, Outcome::Fail);
}

#[test]
fn some_skips_are_told_and_nothing_but_skips_is_one() {
    let some = "TAP version 13\n1..2\nok 1 a\nok 2 b # SKIP no fuse\n";
    assert_eq!(
        one(some, 0),
        (
            Outcome::Pass,
            "1 results good, 1 skipped: no fuse".to_owned()
        )
    );
    let all = some.replace("ok 1 a", "ok 1 a # SKIP no root");
    assert_eq!(one(&all, 0), (Outcome::Skip, "stage 1: no root".to_owned()));
}

#[test]
fn each_stage_must_be_right() {
    assert_eq!(run("two", &[("", 0), ("", 0)], "").outcome, Outcome::Pass);
    let half = run("two", &[("", 0)], "");
    assert_eq!(
        (half.outcome, half.reason.as_str()),
        (Outcome::Fail, "1 of 2 stages ran")
    );
    assert_eq!(run("two", &[("", 4)], "").outcome, Outcome::Skip);
    assert_eq!(run("two", &[("", 0), ("", 1)], "").outcome, Outcome::Fail);
}

#[test]
fn the_console_is_watched_for_splats_and_errors_nobody_knows_of() {
    let said = |line: &str| run("one", &[("", 0)], &format!("{line}\n")).outcome;
    assert_eq!(
        said("<4>[    1.000000][    T1] memfd: deprecated"),
        Outcome::Pass
    );
    assert_eq!(
        said("<3>[    1.000000][    T1] luo: cannot freeze"),
        Outcome::Fail
    );
    assert_eq!(
        said("<3>[    1.000000][    T1] luo: bad token 7"),
        Outcome::Pass
    );
    assert_eq!(
        said("<4>[    1.000000][    T1] WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1"),
        Outcome::Crash
    );
}

#[test]
fn it_should_pass_on_every_stack() {
    let test = test("one");
    let none = BTreeSet::new();
    let has = Has {
        whole: &none,
        partly: &none,
    };
    assert_eq!(expected(&test, has), Expected::Pass);
    let skip = run("one", &[("not here\n", 4)], "");
    assert_eq!(verdict(Expected::Pass, &skip), Verdict::Unexpected);
    assert_eq!(
        surprise(&test, Expected::Pass, &skip).as_deref(),
        Some("stage 1: not here")
    );
}
