// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of 80 columns.

use super::*;
use crate::result::tests::{job, mutant, one_of_each};
use crate::result::{
    Cached, Detection, JobResult, MutantResult, MutantStatus, RunResult, SelfCheckResult,
};

const LOOK: Look = Look {
    columns: 80,
    colour: false,
    all: false,
};

fn result(jobs: Vec<JobResult>) -> RunResult {
    let below = vec!["a".into(), "b".into()];
    RunResult::new("the tree".into(), "s".into(), below, jobs)
}

fn table_of(jobs: Vec<JobResult>, options: &str) -> String {
    text(&Report::new(&result(jobs), "RUN", options), LOOK)
}

#[test]
fn text_marks_expected_and_unexpected_results() {
    let jobs = vec![
        job("held-object", "base", "crash", "fail"),
        job("held-object", "series", "pass", "pass"),
        job("kexec", "base", "pass", "pass"),
        job("kexec", "series", "hang", "pass"),
        job("surprise", "base", "pass", "fail"),
    ];
    insta::assert_snapshot!(table_of(jobs, " --tree K"));
}

#[test]
fn text_ends_with_ok_without_findings() {
    let jobs = vec![job("kexec", "base", "pass", "pass")];
    let text = table_of(jobs, "");
    assert!(
        text.ends_with("every checkout has a, b\nOK: every result is as expected\n"),
        "{text}"
    );
}

#[test]
fn text_marks_cached_results() {
    let mut old = job("s", "base", "fail", "fail");
    let at = "2026-11-22T18:40:02+00:00".to_owned();
    old.cached = Some(Cached {
        run: "20261122-184000-1".to_owned(),
        at,
    });
    let text = table_of(vec![old, job("s", "series", "pass", "pass")], "");
    assert!(text.contains("fail= xfail  pass\n"), "{text}");
    let legend = "=: cached, ran at 18:40:02; build, test, machine and snapshot are unchanged\n";
    assert!(text.contains(legend), "{text}");
}

#[test]
fn text_has_one_entry_for_all_repetitions() {
    let mut second = job("s", "series", "fail", "pass");
    second.repetition = 2;
    let text = table_of(vec![job("s", "series", "pass", "pass"), second], "");
    assert!(text.contains("1/2 fail UNEXPECTED"), "{text}");
}

#[test]
fn text_lists_skipped_kselftests_with_their_reason() {
    let jobs = vec![
        job("kexec", "base", "pass", "pass"),
        job("kexec", "series", "pass", "pass"),
        job("t:a", "base", "skip", "pass"),
        job("t:a", "series", "skip", "pass"),
        job("t:b", "base", "fail", "pass"),
        job("t:b", "series", "pass", "pass"),
    ];
    insta::assert_snapshot!(table_of(jobs, ""));
}

/// A whole run of a series of two patches: long names, many rows, four checkouts.
fn many() -> Vec<JobResult> {
    let mut jobs = Vec::new();
    let mut row = |name: &str, statuses: [&str; 4], expected: [&str; 4]| {
        for (at, checkout) in ["base", "patch-1", "patch-2", "series"].iter().enumerate() {
            jobs.push(job(name, checkout, statuses[at], expected[at]));
        }
    };
    let passes = ["pass"; 4];
    for number in 0..90 {
        row(&format!("dull-{number}"), passes, passes);
    }
    for variant in ["first-holds-second-while-third", "second", "third"] {
        let expected = ["fail", "fail", "pass", "pass"];
        row(
            &format!("removal-races-with-the-last-unpreserve.{variant}"),
            ["crash", "fail", "pass", "pass"],
            expected,
        );
    }
    let name = "outgoing-object-is-held-while-the-last-file-of-two-sessions-goes";
    row(name, ["pass", "pass", "hang", "pass"], passes);
    jobs
}

#[test]
fn text_of_a_long_table_fits_into_80_columns_with_the_result_first_and_last() {
    let text = table_of(many(), "");
    let table = text
        .split("\n\n")
        .find(|part| part.starts_with("config"))
        .unwrap();
    assert_eq!(table.lines().find(|line| line.len() > 80), None);
    insta::assert_snapshot!(text);
}

#[test]
fn text_wraps_the_legend_of_short_marks() {
    let name = "outgoing-object-is-held-while-the-last-file-of-two-sessions-goes";
    let mut not_asserted = job(name, "patch-1", "fail", "not-asserted");
    not_asserted.expected = true;
    let mut changed = job(name, "patch-2", "pass", "pass");
    changed.snapshot_difference = Some("-a +b".to_owned());
    let text = table_of(
        vec![
            job(name, "base", "crash", "fail"),
            not_asserted,
            changed,
            job(name, "series", "pass", "fail"),
            job("kexec", "series", "hang", "pass"),
        ],
        "",
    );
    let legend = "\
-: not asserted: a later patch changes this result; xfail: expected failure;
DIFF: differs from its snapshot; XPASS: unexpected pass; BAD: not as expected
";
    assert!(text.contains(legend), "{text}");
}

#[test]
fn text_with_all_has_every_row() {
    let look = Look { all: true, ..LOOK };
    let result = result(many());
    let text = text(&Report::new(&result, "RUN", ""), look);
    assert!(text.contains("\ndull-89 "), "{text}");
    assert!(text.starts_with("FINDING: outgoing-object"), "{text}");
    assert!(text.lines().count() > 94, "{text}");
}

#[test]
fn colours_contains_every_sequence_of_a_table() {
    let mut result = crate::report::tests::result();
    let look = Look {
        colour: true,
        ..LOOK
    };
    for exit_code in 0..3 {
        result.exit_code = exit_code;
        let text = text(&Report::new(&result, "RUN", ""), look);
        assert_eq!(crate::text::harmless(&text, &colours()), text);
    }
}

#[test]
fn text_quotes_the_name_of_the_run_folder() {
    let result = result(
        (0..30)
            .map(|n| job(&format!("s{n}"), "base", "pass", "pass"))
            .collect(),
    );
    let text = text(&Report::new(&result, "run $(x)", ""), LOOK);
    assert!(
        text.ends_with("cargo xtask report 'run $(x)' --all-rows\n"),
        "{text}"
    );
}

#[test]
fn text_without_colours_is_the_same() {
    let result = result(many());
    let report = Report::new(&result, "RUN", "");
    let colours = text(
        &report,
        Look {
            colour: true,
            ..LOOK
        },
    );
    assert!(colours.contains("\u{1b}["), "{colours}");
    let plain = anstream::adapter::strip_str(&colours).to_string();
    assert_eq!(plain, text(&report, LOOK));
}

#[test]
fn text_of_15_findings_has_10_and_a_count() {
    let jobs = (0..15).map(|at| job(&format!("s{at:02}"), "series", "fail", "pass"));
    let text = table_of(jobs.collect(), "");
    assert!(text.contains("... and 5 more findings\n"), "{text}");
    assert!(
        text.ends_with("cargo xtask report RUN --all-rows\n"),
        "{text}"
    );
}

#[test]
fn last_line_names_the_finding_when_other_jobs_are_inconclusive() {
    let jobs = vec![
        job("starved", "base", "error", "pass"),
        job("broken", "series", "fail", "pass"),
    ];
    let result = result(jobs);
    assert_eq!(result.exit_code, 1);
    let text = text(&Report::new(&result, "RUN", ""), LOOK);
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    let [command, line] = last[..] else {
        panic!("{text}")
    };
    assert!(
        line.starts_with("FINDING: broken on series (fast): fail"),
        "{line}"
    );
    assert!(command.contains("broken"), "{command}");
    // A missed fault is a finding as well, so the inconclusive job is not named.
    let result = with_self_check("error", Detection::Missed);
    assert_eq!(result.exit_code, 1);
    let text = super::text(&Report::new(&result, "RUN", ""), LOOK);
    let line = text.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("FINDING: self-check: injected fault KASAN MISSED on base (fast)"),
        "{text}"
    );
}

/// Returns a run with one job and the self-check for KASAN.
fn with_self_check(status: &str, detection: Detection) -> RunResult {
    let self_check = SelfCheckResult {
        name: "KASAN".to_owned(),
        checkout: "base".to_owned(),
        config: "fast".to_owned(),
        detection,
        detail: "no kernel report".to_owned(),
    };
    let jobs = vec![job("some", "base", status, "pass")];
    super::tests::result(jobs).with_self_checks(vec![self_check])
}

#[test]
fn an_inconclusive_self_check_is_no_pass() {
    let result = with_self_check("pass", Detection::Inconclusive);
    assert_eq!(result.exit_code, 3);
    let text = super::text(&Report::new(&result, "RUN", ""), LOOK);
    assert!(
        text.contains("KASAN on base (fast): self-check inconclusive\n  no kernel report\n"),
        "{text}"
    );
    let line = text.lines().last().unwrap_or_default();
    assert_eq!(
        line,
        "INCONCLUSIVE: self-check: injected fault KASAN inconclusive on base (fast)"
    );
}

#[test]
fn text_names_a_missed_or_inconclusive_mutant_in_the_last_line() {
    let judged = |mutants: Vec<MutantResult>| {
        let result = result(vec![job("s", "series", "pass", "pass")]).with_mutants(mutants);
        text(&Report::new(&result, "RUN", ""), LOOK)
    };
    let text = judged(one_of_each());
    assert!(
        text.ends_with("FINDING: mutant `b` is MISSED (the first of 2)\n"),
        "{text}"
    );
    let disproved = one_of_each().pop().unwrap();
    let text = judged(vec![disproved]);
    assert!(
        text.ends_with("FINDING: mutant `f` is CAUGHT although equivalent\n"),
        "{text}"
    );
    let text = judged(vec![mutant("g", MutantStatus::Inconclusive)]);
    assert!(
        text.ends_with("INCONCLUSIVE: mutant `g` is inconclusive\n"),
        "{text}"
    );
}

#[test]
fn text_ends_with_not_tested_if_the_series_is_not_in_the_kernels() {
    let result = crate::report::tests::not_tested();
    let shown = text(&Report::new(&result, "RUN", ""), LOOK);
    insta::assert_snapshot!(shown, @"
    config fast  base         series
    kexec        pass         pass

    patch 1 is not tested: not in any kernel that was run: drivers/w/a.c

    2 of 2 results as expected
    s on the tree
    every checkout has a
    not tested: the series is not in any kernel that was run: drivers/w/a.c; the kernels with and without the series have the same code
    ");
    let mut result = result;
    result.jobs[1] = job("kexec", "series", "hang", "pass");
    let result = result.clone().with_coverage(result.coverage);
    let shown = text(&Report::new(&result, "RUN", ""), LOOK);
    let (before, last) = shown.split_once("FINDING: kexec on series").unwrap();
    assert!(
        before.contains("\nnot tested: the series is not in any kernel that was run"),
        "{shown}"
    );
    assert!(!last.contains("not tested"), "{shown}");
}
