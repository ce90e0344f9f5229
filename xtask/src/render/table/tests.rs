// SPDX-License-Identifier: GPL-2.0-only
//! What a person sees, in 80 columns.

use super::*;
use crate::result::tests::{job, mutant, one_of_each};
use crate::result::{Cached, Detection, JobResult, MutantResult, SelfCheckResult};

const LOOK: Look = Look {
    columns: 80,
    colour: false,
    all: false,
};

fn result(jobs: Vec<JobResult>) -> RunResult {
    let below = vec!["a".into(), "b".into()];
    RunResult::new("the tree".into(), "s".into(), below, jobs)
}

fn shown(jobs: Vec<JobResult>, again: &str) -> String {
    text(&Report::new(&result(jobs), "RUN", again), LOOK)
}

#[test]
fn the_table_says_what_is_as_expected_and_what_is_not() {
    let jobs = vec![
        job("held-object", "base", "crash", "fail"),
        job("held-object", "series", "pass", "pass"),
        job("kexec", "base", "pass", "pass"),
        job("kexec", "series", "hang", "pass"),
        job("surprise", "base", "pass", "fail"),
    ];
    insta::assert_snapshot!(shown(jobs, " --tree K"));
}

#[test]
fn all_well_is_said_in_the_last_line() {
    let jobs = vec![job("kexec", "base", "pass", "pass")];
    let text = shown(jobs, "");
    assert!(
        text.ends_with("every checkout has a, b\nOK: every verdict as expected\n"),
        "{text}"
    );
}

#[test]
fn what_did_not_run_now_is_marked() {
    let mut old = job("s", "base", "fail", "fail");
    let at = "2026-11-22T18:40:02+00:00".to_owned();
    old.cached = Some(Cached {
        run: "20261122-184000-1".to_owned(),
        at,
    });
    let text = shown(vec![old, job("s", "series", "pass", "pass")], "");
    assert!(text.contains("fail= as expected   pass\n"), "{text}");
    let why = "= ran at 18:40:02; nothing that it rests on has changed since\n";
    assert!(text.contains(why), "{text}");
}

#[test]
fn repetitions_share_a_place() {
    let mut second = job("s", "series", "fail", "pass");
    second.repetition = 2;
    let text = shown(vec![job("s", "series", "pass", "pass"), second], "");
    assert!(text.contains("1/2 fail UNEXPECTED"), "{text}");
}

#[test]
fn tests_of_the_tree_s_own_have_no_first_failure_and_may_be_skipped() {
    let jobs = vec![
        job("kexec", "base", "pass", "pass"),
        job("kexec", "series", "pass", "pass"),
        job("t:a", "base", "skip", "pass"),
        job("t:a", "series", "skip", "pass"),
        job("t:b", "base", "fail", "pass"),
        job("t:b", "series", "pass", "pass"),
    ];
    insta::assert_snapshot!(shown(jobs, ""));
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
        let due = ["fail", "fail", "pass", "pass"];
        row(
            &format!("removal-races-with-the-last-unpreserve.{variant}"),
            ["crash", "fail", "pass", "pass"],
            due,
        );
    }
    let name = "outgoing-object-is-held-while-the-last-file-of-two-sessions-goes";
    row(name, ["pass", "pass", "hang", "pass"], passes);
    jobs
}

#[test]
fn a_long_table_fits_into_80_columns_and_tells_the_result_first_and_last() {
    let text = shown(many(), "");
    let table = text
        .split("\n\n")
        .find(|part| part.starts_with("config"))
        .unwrap();
    assert_eq!(table.lines().find(|line| line.len() > 80), None);
    insta::assert_snapshot!(text);
}

#[test]
fn all_rows_are_shown_when_asked_for() {
    let look = Look { all: true, ..LOOK };
    let result = result(many());
    let text = text(&Report::new(&result, "RUN", ""), look);
    assert!(text.contains("\ndull-89 "), "{text}");
    assert!(text.starts_with("FINDING: outgoing-object"), "{text}");
    assert!(text.lines().count() > 94, "{text}");
}

#[test]
fn all_colours_of_a_table_are_known_as_ours() {
    let mut result = crate::render::tests::result();
    let look = Look {
        colour: true,
        ..LOOK
    };
    for exit_code in 0..3 {
        result.exit_code = exit_code;
        let text = text(&Report::new(&result, "RUN", ""), look);
        assert_eq!(crate::render::escape::harmless(&text, &colours()), text);
    }
}

#[test]
fn a_run_folder_with_an_odd_name_is_one_word() {
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
fn colours_only_repeat_what_words_say() {
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
fn of_very_many_findings_the_first_are_shown() {
    let jobs = (0..15).map(|at| job(&format!("s{at:02}"), "series", "fail", "pass"));
    let text = shown(jobs.collect(), "");
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
    // A blind self_check decides as well: the inconclusive job is not named in its place.
    let blind = SelfCheckResult {
        name: "KASAN".to_owned(),
        checkout: "base".to_owned(),
        config: "fast".to_owned(),
        detection: Detection::Missed,
        detail: "nothing was seen".to_owned(),
    };
    let jobs = vec![job("starved", "base", "error", "pass")];
    let result = super::tests::result(jobs).with_self_checks(vec![blind]);
    assert_eq!(result.exit_code, 1);
    let text = super::text(&Report::new(&result, "RUN", ""), LOOK);
    let line = text.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("FINDING: the self_check of KASAN is blind"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_mutants_is_said_last() {
    let judged = |mutants: Vec<MutantResult>| {
        let result = result(vec![job("s", "series", "pass", "pass")]).with_mutants(mutants);
        text(&Report::new(&result, "RUN", ""), LOOK)
    };
    let said = judged(one_of_each());
    assert!(
        said.ends_with(
            "FINDING: the mutant `b` is caught by no scenario, the first of 2 to look at\n"
        ),
        "{said}"
    );
    let disproved = one_of_each().pop().unwrap();
    let said = judged(vec![disproved]);
    assert!(
        said.ends_with("FINDING: the mutant `f` is caught, though equivalent\n"),
        "{said}"
    );
    let said = judged(vec![mutant("g", MutantStatus::Inconclusive)]);
    assert!(
        said.ends_with("NOT PROVEN: the mutant `g` is not proven\n"),
        "{said}"
    );
}

#[test]
fn text_says_last_that_the_series_is_in_no_kernel() {
    let result = crate::render::tests::not_tested();
    let shown = text(&Report::new(&result, "RUN", ""), LOOK);
    insta::assert_snapshot!(shown, @"
    config fast     base                series
    kexec           pass                pass

    patch 1 is not tested: in no kernel that was run: drivers/w/a.c

    2 of 2 verdicts as expected
    s on the tree
    every checkout has a
    not tested: nothing of the series is in this kernel: drivers/w/a.c; the images with and without the series are equal
    ");
    let mut result = result;
    result.jobs[1] = job("kexec", "series", "hang", "pass");
    let result = result.clone().with_coverage(result.coverage);
    let shown = text(&Report::new(&result, "RUN", ""), LOOK);
    let (before, last) = shown.split_once("FINDING: kexec on series").unwrap();
    assert!(
        before.contains("\nnot tested: nothing of the series"),
        "{shown}"
    );
    assert!(!last.contains("not tested"), "{shown}");
}
