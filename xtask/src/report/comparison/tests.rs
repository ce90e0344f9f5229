// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::exit::Exit;
use crate::report::changes::text;
use crate::result::tests::{job, mutant};
use crate::result::{Detection, MutantResult, MutantStatus, SelfCheckResult};

fn run(jobs: Vec<JobResult>) -> RunResult {
    RunResult::new("the tree".into(), "s".into(), vec!["a".into()], jobs)
}

fn compared(before: &RunResult, after: &RunResult) -> (String, Exit) {
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
fn compare_of_equal_runs_reports_no_change() {
    let one = run(vec![
        job("s", "base", "crash", "fail"),
        job("s", "series", "pass", "pass"),
    ]);
    let (text, exit) = compared(&one, &one);
    assert_eq!(
        text,
        "no result is worse than before\njobs also in yesterday: 2\n"
    );
    assert_eq!(exit, Exit::Ok);
}

#[test]
fn compare_lists_each_kind_of_change_worse_first() {
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
    let (text, exit) = compared(&before, &after);
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 broken, 1 now inconclusive or skipped, 1 with a new kernel report, 1 new and unexpected, 1 fixed
    jobs also in yesterday: 5
    note: different series: s before, t now

    broken: 1
      breaks on series (fast): pass -> crash
        crash for a reason

    now inconclusive or skipped: 1
      errs on series (fast): pass -> error
        error for a reason

    still unexpected: 1
      stays on series (fast): fail -> fail
        fail for a reason

    new and unexpected: 1
      new on series (fast): absent -> fail
        fail for a reason

    new kernel reports: 1
      WARNING in f on series (fast)
        in breaks

    fixed: 1
      fixed on series (fast): fail -> pass
        fail for a reason

    expected, with another status: 1
      changes on base (fast): crash xfail -> fail xfail
        crash for a reason

    new jobs: 1
      new on series (fast)

    gone jobs: 1
      gone on series (fast)
    ");
}

#[test]
fn compare_lists_a_new_kernel_report_of_an_expected_job_as_not_worse() {
    let before = run(vec![with_splat(job("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![with_splat(job("s", "base", "crash", "fail"), "two")]);
    let (text, exit) = compared(&before, &after);
    assert_eq!(exit, Exit::Ok);
    insta::assert_snapshot!(text, @"
    no result is worse than before
    jobs also in yesterday: 1

    new kernel reports: 1
      two on base (fast)
        in s

    gone kernel reports: 1
      one on base (fast)
        in s
    ");
}

#[test]
fn compare_of_an_inconclusive_job_lists_no_gone_report() {
    let before = run(vec![with_splat(job("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![job("s", "base", "error", "fail")]);
    let comparison = compare(&before, &after);
    assert!(comparison.gone_splats.is_empty(), "{comparison:?}");
    assert!(comparison.worse, "{comparison:?}");
}

#[test]
fn compare_of_a_pass_with_a_skip_is_worse() {
    let before = run(vec![job("t:a", "series", "pass", "pass")]);
    let after = run(vec![job("t:a", "series", "skip", "pass")]);
    assert_eq!(compare(&before, &after).exit(), Exit::Finding);
    assert_eq!(compare(&after, &before).exit(), Exit::Ok);
    assert_eq!(compare(&after, &before).fixed.len(), 1);
}

#[test]
fn compare_lists_a_new_difference_from_the_snapshot_as_broken() {
    let good = job("s", "series", "pass", "pass");
    let changed = JobResult {
        snapshot_difference: Some("-a +b".to_owned()),
        ..good.clone()
    };
    let comparison = compare(&run(vec![good]), &run(vec![changed]));
    assert_eq!(comparison.broken.len(), 1, "{comparison:?}");
    assert_eq!(comparison.broken[0].now, "pass (differs from its snapshot)");
}

#[test]
fn compare_lists_an_unexpected_status_without_a_snapshot_as_broken() {
    let unrecorded = |status: &str| JobResult {
        snapshot_difference: Some("no snapshot".to_owned()),
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
fn compare_of_rates_needs_a_significant_difference() {
    let rate = |failures: u32| {
        let jobs = (1..=10).map(|repetition| JobResult {
            repetition,
            ..job(
                "s",
                "series",
                if repetition <= failures {
                    "fail"
                } else {
                    "pass"
                },
                "pass",
            )
        });
        run(jobs.collect())
    };
    let comparison = compare(&rate(3), &rate(5));
    assert_eq!(comparison.still_wrong[0].now, "fail 5/10, pass 5/10");
    assert!(!comparison.worse);
    assert!(compare(&rate(1), &rate(9)).worse);
    assert!(
        compare(&rate(0), &rate(1)).worse,
        "the first finding is always worse"
    );
    assert!(!compare(&rate(9), &rate(0)).worse);
}

#[test]
fn compare_lists_a_job_as_slower_only_beyond_noise() {
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
        "not slower than the slowest before"
    );
    assert_eq!(slower(&[2000, 2100, 2200], &[4000, 4100, 4200]), 1);
    assert_eq!(slower(&[0], &[4000]), 0, "no duration before");
    let comparison = compare(&run(taking(&[2000])), &run(taking(&[4000])));
    assert!(!comparison.worse, "hosts differ");
}

#[test]
fn compare_divides_durations_by_the_drift_of_all_jobs() {
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
    no result is worse than before
    jobs also in yesterday: 11

    slower, after division by 3.0, the ratio of all jobs: 1
      slow on series (fast): 2.0 s -> 15.0 s, 2.5 times
    ");
}

#[test]
fn compare_of_a_newly_missed_fault_and_mutant_is_worse() {
    let with = |detection, status| RunResult {
        self_checks: vec![self_check("KASAN", detection)],
        mutants: vec![mutant("m1", status)],
        ..kasan()
    };
    let good = with(Detection::Detected, MutantStatus::Caught);
    let (text, exit) = compared(&good, &with(Detection::Missed, MutantStatus::Missed));
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 in the self-checks, 1 in the mutants
    jobs also in yesterday: 1

    changed self-checks: 1
      KASAN on series (kasan): detected -> MISSED

    changed mutants: 1
      m1 (fast): caught -> MISSED
    ");
    assert_eq!(
        compared(&good, &with(Detection::NotConfigured, MutantStatus::Caught)).1,
        Exit::Finding
    );
    assert_eq!(
        compared(&with(Detection::Missed, MutantStatus::Missed), &good).1,
        Exit::Ok
    );
    let inconclusive = with(Detection::Detected, MutantStatus::Inconclusive);
    assert_eq!(compared(&good, &inconclusive).1, Exit::Finding);
    let absent = with(Detection::NotConfigured, MutantStatus::Caught);
    let missed = with(Detection::Missed, MutantStatus::Caught);
    assert_eq!(compared(&absent, &missed).1, Exit::Finding);
}

/// A run with the config `kasan` without findings.
fn kasan() -> RunResult {
    run(vec![JobResult {
        config: "kasan".to_owned(),
        ..job("s", "series", "pass", "pass")
    }])
}

#[test]
fn compare_lists_absent_self_checks_and_mutants() {
    let with = |self_checks: &[&str], mutants: &[&str]| RunResult {
        self_checks: self_checks
            .iter()
            .map(|name| self_check(name, Detection::Detected))
            .collect(),
        mutants: mutants
            .iter()
            .map(|name| mutant(name, MutantStatus::Caught))
            .collect(),
        ..kasan()
    };
    let before = with(&["KASAN", "WARN"], &["m1", "m2"]);
    let (text, exit) = compared(&before, &with(&["WARN", "BUG"], &["m2", "m3", "m4"]));
    insta::assert_snapshot!(text, @"
    worse than before: 1 in the self-checks
    jobs also in yesterday: 1
    note: different number of mutants: 2 before, 3 now

    changed self-checks: 2
      KASAN on series (kasan): detected -> absent
      BUG on series (kasan): absent -> detected

    changed mutants: 3
      m1 (fast): caught -> absent
      m3 (fast): absent -> caught
      m4 (fast): absent -> caught
    ");
    assert_eq!(exit, Exit::Finding);
    // A run without self-checks and mutants has another input and is not worse.
    let (text, exit) = compared(&before, &kasan());
    insta::assert_snapshot!(text, @"
    no result is worse than before
    jobs also in yesterday: 1
    note: no self-check now on series (kasan)
    note: different number of mutants: 2 before, none now
    ");
    assert_eq!(exit, Exit::Ok);
    let (text, _) = compared(&kasan(), &before);
    insta::assert_snapshot!(text, @"
    no result is worse than before
    jobs also in yesterday: 1
    note: no self-check before on series (kasan)
    note: different number of mutants: none before, 2 now
    ");
}

#[test]
fn compare_of_an_equivalent_mutant_that_is_caught_now_is_worse() {
    let with = |caught_by: &[&str]| RunResult {
        mutants: vec![MutantResult {
            caught_by: caught_by.iter().map(|&name| name.to_owned()).collect(),
            ..mutant("m1", MutantStatus::Equivalent)
        }],
        ..kasan()
    };
    let (text, exit) = compared(&with(&[]), &with(&["s"]));
    assert_eq!(exit, Exit::Finding);
    assert!(
        text.contains("m1 (fast): equivalent -> CAUGHT although equivalent"),
        "{text}"
    );
    // Both results are findings.
    let missed = RunResult {
        mutants: vec![mutant("m1", MutantStatus::Missed)],
        ..kasan()
    };
    let comparison = compare(&with(&["s"]), &missed);
    assert_eq!((comparison.mutants.len(), comparison.worse), (1, false));
}

#[test]
fn compare_lists_a_new_inconclusive_job_but_not_a_new_skip() {
    let before = run(vec![job("s", "series", "pass", "pass")]);
    let mut jobs = before.jobs.clone();
    jobs.push(job("new", "series", "error", "pass"));
    jobs.push(job("t:a", "series", "skip", "pass"));
    let comparison = compare(&before, &run(jobs));
    assert_eq!(comparison.new_jobs.len(), 2);
    let listed: Vec<&str> = comparison
        .new_wrong
        .iter()
        .map(|change| change.now.as_str())
        .collect();
    assert_eq!(listed, ["error"]);
}

#[test]
fn json_schema_equals_the_checked_in_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/comparison.schema.json");
    let there = fs_err::read_to_string(path).unwrap_or_default();
    assert!(
        there == json_schema(),
        "run `cargo xtask generate` and commit the result"
    );
}

#[test]
fn compare_reports_that_the_later_run_does_not_test_its_series() {
    let before = run(vec![job("kexec", "series", "pass", "pass")]);
    let after = crate::report::tests::not_tested();
    let (text, _) = compared(&before, &after);
    let line = format!(
        "{}; no result is worse than before",
        crate::report::tests::NOT_TESTED
    );
    assert!(text.starts_with(&line), "{text}");
}
