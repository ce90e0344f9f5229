// SPDX-License-Identifier: GPL-2.0-only
use super::*;
use crate::render::comparison::text;
use crate::result::tests::{job, mutant};
use crate::result::{Detection, MutantResult, MutantStatus, SelfCheckResult};

fn run(jobs: Vec<JobResult>) -> RunResult {
    RunResult::new("the tree".into(), "s".into(), vec!["a".into()], jobs)
}

fn said(before: &RunResult, after: &RunResult) -> (String, Exit) {
    let comparison = compare(before, after);
    (text(&comparison, "yesterday"), comparison.exit())
}

fn with_splat(job: JobResult, title: &str) -> JobResult {
    JobResult {
        splats: vec![title.to_owned()],
        ..job
    }
}

fn taking(times: &[u64]) -> Vec<JobResult> {
    let jobs = (1..).zip(times).map(|(repetition, duration_ms)| JobResult {
        repetition,
        duration_ms: *duration_ms,
        ..job("slow", "series", "pass", "pass")
    });
    jobs.collect()
}

fn self_check(name: &str, detection: Detection) -> SelfCheckResult {
    SelfCheckResult {
        name: name.to_owned(),
        checkout: "series".to_owned(),
        config: "kasan".to_owned(),
        detection,
        detail: String::new(),
    }
}

#[test]
fn a_run_against_itself_is_nothing() {
    let one = run(vec![
        job("s", "base", "crash", "fail"),
        job("s", "series", "pass", "pass"),
    ]);
    let (text, exit) = said(&one, &one);
    assert_eq!(
        text,
        "nothing is worse than before\njobs that are in yesterday as well: 2\n"
    );
    assert_eq!(exit, Exit::Ok);
}

#[test]
fn what_broke_comes_first() {
    let before = run(vec![
        job("breaks", "series", "pass", "pass"),
        job("errs", "series", "pass", "pass"),
        job("fixed", "series", "fail", "pass"),
        job("stays", "series", "fail", "pass"),
        job("changes", "base", "crash", "fail"),
        job("gone", "series", "pass", "pass"),
    ]);
    let mut after = run(vec![
        with_splat(job("breaks", "series", "crash", "pass"), "WARNING in f"),
        job("errs", "series", "error", "pass"),
        job("fixed", "series", "pass", "pass"),
        job("stays", "series", "fail", "pass"),
        job("changes", "base", "fail", "fail"),
        job("new", "series", "fail", "pass"),
    ]);
    after.series = "t".to_owned();
    let (text, exit) = said(&before, &after);
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 broken, 1 no longer proven, 1 new in what the kernel complains of, 1 new and not as expected, 1 fixed
    jobs that are in yesterday as well: 5
    note: another series: s before, t now

    broken: 1
      breaks on series (fast): pass -> crash
        crash for a reason

    no longer proven: 1
      errs on series (fast): pass -> error
        error for a reason

    still not as expected: 1
      stays on series (fast): fail -> fail
        fail for a reason

    new and not as expected: 1
      new on series (fast): not there -> fail
        fail for a reason

    new reports of the kernel: 1
      WARNING in f on series (fast)
        in breaks

    fixed: 1
      fixed on series (fast): fail -> pass
        fail for a reason

    as expected by another status: 1
      changes on base (fast): crash as expected -> fail as expected
        crash for a reason

    new jobs: 1
      new on series (fast)

    jobs that are gone: 1
      gone on series (fast)
    ");
}

#[test]
fn a_new_report_where_all_is_as_expected_is_told_and_not_worse() {
    let before = run(vec![with_splat(job("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![with_splat(job("s", "base", "crash", "fail"), "two")]);
    let (text, exit) = said(&before, &after);
    assert_eq!(exit, Exit::Ok);
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    jobs that are in yesterday as well: 1

    new reports of the kernel: 1
      two on base (fast)
        in s

    reports that are gone: 1
      one on base (fast)
        in s
    ");
}

#[test]
fn of_a_job_without_a_result_no_report_is_gone() {
    let before = run(vec![with_splat(job("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![job("s", "base", "error", "fail")]);
    let comparison = compare(&before, &after);
    assert!(comparison.gone_splats.is_empty(), "{comparison:?}");
    assert!(comparison.worse, "{comparison:?}");
}

#[test]
fn a_test_that_passed_and_is_skipped_is_no_longer_proven() {
    let before = run(vec![job("t:a", "series", "pass", "pass")]);
    let after = run(vec![job("t:a", "series", "skip", "pass")]);
    assert_eq!(compare(&before, &after).exit(), Exit::Finding);
    assert_eq!(compare(&after, &before).exit(), Exit::Ok);
    assert_eq!(compare(&after, &before).fixed.len(), 1);
}

#[test]
fn a_change_of_what_is_recorded_is_a_change() {
    let good = job("s", "series", "pass", "pass");
    let changed = JobResult {
        snapshot_difference: Some("-a +b".to_owned()),
        ..good.clone()
    };
    let comparison = compare(&run(vec![good]), &run(vec![changed]));
    assert_eq!(comparison.broken.len(), 1, "{comparison:?}");
    assert_eq!(comparison.broken[0].now, "pass (not as recorded)");
}

#[test]
fn what_was_not_as_recorded_may_break_all_the_same() {
    let unrecorded = |status: &str| JobResult {
        snapshot_difference: Some("nothing is recorded".to_owned()),
        ..job("s", "series", status, "pass")
    };
    let comparison = compare(
        &run(vec![unrecorded("pass")]),
        &run(vec![unrecorded("fail")]),
    );
    assert_eq!(comparison.broken.len(), 1, "{comparison:?}");
    assert!(comparison.worse && comparison.broken[0].worse);
    let same = compare(
        &run(vec![unrecorded("fail")]),
        &run(vec![unrecorded("fail")]),
    );
    assert!(!same.worse && same.broken.is_empty(), "{same:?}");
}

#[test]
fn rates_are_compared_and_chance_is_no_change() {
    let rate = |wrong: u32| {
        let jobs = (1..=10).map(|repetition| JobResult {
            repetition,
            ..job(
                "s",
                "series",
                if repetition <= wrong { "fail" } else { "pass" },
                "pass",
            )
        });
        run(jobs.collect())
    };
    let comparison = compare(&rate(3), &rate(5));
    assert_eq!(comparison.still_wrong[0].now, "fail 5/10, pass 5/10");
    assert!(!comparison.worse);
    assert!(compare(&rate(1), &rate(9)).worse);
    assert!(compare(&rate(0), &rate(1)).worse, "a finding is a finding");
    assert!(!compare(&rate(9), &rate(0)).worse);
}

#[test]
fn a_job_is_slower_beyond_noise() {
    let slower = |before: &[u64], now: &[u64]| {
        compare(&run(taking(before)), &run(taking(now)))
            .slower
            .len()
    };
    assert_eq!(slower(&[2000], &[4000]), 1);
    assert_eq!(slower(&[2000], &[2900]), 0, "less than 1.5 times");
    assert_eq!(slower(&[300], &[1200]), 0, "less than a second");
    assert_eq!(
        slower(&[2000, 2100, 9000], &[4000, 4100, 4200]),
        0,
        "as slow as one before"
    );
    assert_eq!(slower(&[2000, 2100, 2200], &[4000, 4100, 4200]), 1);
    assert_eq!(slower(&[0], &[4000]), 0, "never timed");
    let comparison = compare(&run(taking(&[2000])), &run(taking(&[4000])));
    assert!(!comparison.worse, "hosts differ");
}

#[test]
fn a_busy_host_makes_no_job_slower() {
    let host = |others: u64, slow: u64| {
        let names: Vec<String> = (0..10).map(|number| format!("other-{number}")).collect();
        let mut jobs: Vec<JobResult> = names
            .iter()
            .map(|name| JobResult {
                duration_ms: others,
                ..job(name, "series", "pass", "pass")
            })
            .collect();
        jobs.extend(taking(&[slow]));
        run(jobs)
    };
    let comparison = compare(&host(1000, 2000), &host(3000, 6000));
    assert!(comparison.slower.is_empty(), "{comparison:?}");
    assert!((comparison.drift - 3.0).abs() < 1e-9);
    let comparison = compare(&host(1000, 2000), &host(3000, 15_000));
    assert_eq!(comparison.slower.len(), 1, "{comparison:?}");
    insta::assert_snapshot!(text(&comparison, "yesterday"), @"
    nothing is worse than before
    jobs that are in yesterday as well: 11

    slower, beyond the 3.0 times that all jobs together are: 1
      slow on series (fast): 2.0 s -> 15.0 s, 2.5 times
    ");
}

#[test]
fn a_detector_that_went_blind_and_a_mutant_that_slips_through_are_worse() {
    let with = |detection, status| RunResult {
        self_checks: vec![self_check("KASAN", detection)],
        mutants: vec![mutant("m1", status)],
        ..kasan()
    };
    let good = with(Detection::Seen, MutantStatus::Caught);
    let (text, exit) = said(&good, &with(Detection::Missed, MutantStatus::Missed));
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 of the self_checks not shown to see, 1 of the mutants newly a finding
    jobs that are in yesterday as well: 1

    self_checks that see otherwise: 1
      KASAN on series (kasan): seen -> blind

    mutants with another status: 1
      m1 (fast): caught -> missed
    ");
    assert_eq!(
        said(&good, &with(Detection::NotConfigured, MutantStatus::Caught)).1,
        Exit::Finding
    );
    assert_eq!(
        said(&with(Detection::Missed, MutantStatus::Missed), &good).1,
        Exit::Ok
    );
    let inconclusive = with(Detection::Seen, MutantStatus::Inconclusive);
    assert_eq!(said(&good, &inconclusive).1, Exit::Finding);
    let absent = with(Detection::NotConfigured, MutantStatus::Caught);
    let blind = with(Detection::Missed, MutantStatus::Caught);
    assert_eq!(said(&absent, &blind).1, Exit::Finding);
}

/// A run under KASAN in which all is well.
fn kasan() -> RunResult {
    run(vec![JobResult {
        config: "kasan".to_owned(),
        ..job("s", "series", "pass", "pass")
    }])
}

#[test]
fn what_proved_the_results_and_is_not_there_any_more_is_told() {
    let with = |self_checks: &[&str], mutants: &[&str]| RunResult {
        self_checks: self_checks
            .iter()
            .map(|name| self_check(name, Detection::Seen))
            .collect(),
        mutants: mutants
            .iter()
            .map(|name| mutant(name, MutantStatus::Caught))
            .collect(),
        ..kasan()
    };
    let before = with(&["KASAN", "WARN"], &["m1", "m2"]);
    let (text, exit) = said(&before, &with(&["WARN", "BUG"], &["m2", "m3", "m4"]));
    insta::assert_snapshot!(text, @"
    worse than before: 1 of the self_checks not shown to see
    jobs that are in yesterday as well: 1
    note: another number of mutants: 2 before, 3 now

    self_checks that see otherwise: 2
      KASAN on series (kasan): seen -> not there
      BUG on series (kasan): not there -> seen

    mutants with another status: 3
      m1 (fast): caught -> not there
      m3 (fast): not there -> caught
      m4 (fast): not there -> caught
    ");
    assert_eq!(exit, Exit::Finding);
    // A run that was not to prove so much is another run, not a worse one.
    let (text, exit) = said(&before, &kasan());
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    jobs that are in yesterday as well: 1
    note: no self_checks are shown now on series (kasan)
    note: another number of mutants: 2 before, none now
    ");
    assert_eq!(exit, Exit::Ok);
    let (text, _) = said(&kasan(), &before);
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    jobs that are in yesterday as well: 1
    note: no self_checks were shown before on series (kasan)
    note: another number of mutants: none before, 2 now
    ");
}

#[test]
fn an_equivalent_that_is_noticed_now_is_worse() {
    let with = |caught_by: &[&str]| RunResult {
        mutants: vec![MutantResult {
            caught_by: caught_by.iter().map(|&name| name.to_owned()).collect(),
            ..mutant("m1", MutantStatus::Equivalent)
        }],
        ..kasan()
    };
    let (text, exit) = said(&with(&[]), &with(&["s"]));
    assert_eq!(exit, Exit::Finding);
    assert!(
        text.contains("m1 (fast): equivalent -> caught, though equivalent"),
        "{text}"
    );
    // One finding for another is no worse.
    let missed = RunResult {
        mutants: vec![mutant("m1", MutantStatus::Missed)],
        ..kasan()
    };
    let comparison = compare(&with(&["s"]), &missed);
    assert_eq!((comparison.mutants.len(), comparison.worse), (1, false));
}

#[test]
fn a_new_job_without_a_result_is_told_and_a_skip_is_not() {
    let before = run(vec![job("s", "series", "pass", "pass")]);
    let mut jobs = before.jobs.clone();
    jobs.push(job("new", "series", "error", "pass"));
    jobs.push(job("t:a", "series", "skip", "pass"));
    let comparison = compare(&before, &run(jobs));
    assert_eq!(comparison.new_jobs.len(), 2);
    let told: Vec<&str> = comparison
        .new_wrong
        .iter()
        .map(|change| change.now.as_str())
        .collect();
    assert_eq!(told, ["error"]);
}

#[test]
fn the_schema_that_is_checked_in_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/comparison.schema.json");
    let there = fs_err::read_to_string(path).unwrap_or_default();
    assert!(
        there == json_schema(),
        "run `cargo xtask generate` and commit the result"
    );
}

#[test]
fn compare_says_that_the_later_run_does_not_test_its_series() {
    let before = run(vec![job("kexec", "series", "pass", "pass")]);
    let after = crate::render::tests::not_tested();
    let (text, _) = said(&before, &after);
    let line = format!(
        "{}; nothing is worse than before",
        crate::render::tests::NOT_TESTED
    );
    assert!(text.starts_with(&line), "{text}");
}
