// SPDX-License-Identifier: GPL-2.0-only
use super::*;
use crate::render::comparison::text;
use crate::result::tests::{cell, mutant};
use crate::result::{DetectorResult, Fate, MutantResult, Sight};

fn run(cells: Vec<CellResult>) -> RunResult {
    RunResult::new("the tree".into(), "s".into(), vec!["a".into()], cells)
}

fn said(before: &RunResult, after: &RunResult) -> (String, Exit) {
    let comparison = compare(before, after);
    (text(&comparison, "yesterday"), comparison.exit())
}

fn with_splat(cell: CellResult, title: &str) -> CellResult {
    CellResult {
        splats: vec![title.to_owned()],
        ..cell
    }
}

fn taking(times: &[u64]) -> Vec<CellResult> {
    let cells = (1..)
        .zip(times)
        .map(|(repetition, duration_ms)| CellResult {
            repetition,
            duration_ms: *duration_ms,
            ..cell("slow", "series", "pass", "pass")
        });
    cells.collect()
}

fn detector(name: &str, sight: Sight) -> DetectorResult {
    DetectorResult {
        name: name.to_owned(),
        stack: "series".to_owned(),
        profile: "kasan".to_owned(),
        sight,
        detail: String::new(),
    }
}

#[test]
fn a_run_against_itself_is_nothing() {
    let one = run(vec![
        cell("s", "base", "crash", "fail"),
        cell("s", "series", "pass", "pass"),
    ]);
    let (text, exit) = said(&one, &one);
    assert_eq!(
        text,
        "nothing is worse than before\ncells that are in yesterday as well: 2\n"
    );
    assert_eq!(exit, Exit::Ok);
}

#[test]
fn what_broke_comes_first() {
    let before = run(vec![
        cell("breaks", "series", "pass", "pass"),
        cell("errs", "series", "pass", "pass"),
        cell("mended", "series", "fail", "pass"),
        cell("stays", "series", "fail", "pass"),
        cell("turns", "base", "crash", "fail"),
        cell("gone", "series", "pass", "pass"),
    ]);
    let mut after = run(vec![
        with_splat(cell("breaks", "series", "crash", "pass"), "WARNING in f"),
        cell("errs", "series", "error", "pass"),
        cell("mended", "series", "pass", "pass"),
        cell("stays", "series", "fail", "pass"),
        cell("turns", "base", "fail", "fail"),
        cell("new", "series", "fail", "pass"),
    ]);
    after.series = "t".to_owned();
    let (text, exit) = said(&before, &after);
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 broken, 1 no longer proven, 1 new in what the kernel complains of, 1 new and not as expected, 1 fixed
    cells that are in yesterday as well: 5
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

    new complaints of the kernel: 1
      WARNING in f on series (fast)
        in breaks

    fixed: 1
      mended on series (fast): fail -> pass
        fail for a reason

    as expected by another outcome: 1
      turns on base (fast): crash as expected -> fail as expected
        crash for a reason

    new cells: 1
      new on series (fast)

    cells that are gone: 1
      gone on series (fast)
    ");
}

#[test]
fn a_new_complaint_where_all_is_as_expected_is_told_and_not_worse() {
    let before = run(vec![with_splat(cell("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![with_splat(cell("s", "base", "crash", "fail"), "two")]);
    let (text, exit) = said(&before, &after);
    assert_eq!(exit, Exit::Ok);
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    cells that are in yesterday as well: 1

    new complaints of the kernel: 1
      two on base (fast)
        in s

    complaints that are gone: 1
      one on base (fast)
        in s
    ");
}

#[test]
fn of_a_cell_without_a_verdict_no_complaint_is_gone() {
    let before = run(vec![with_splat(cell("s", "base", "crash", "fail"), "one")]);
    let after = run(vec![cell("s", "base", "error", "fail")]);
    let comparison = compare(&before, &after);
    assert!(comparison.gone_splats.is_empty(), "{comparison:?}");
    assert!(comparison.worse, "{comparison:?}");
}

#[test]
fn a_test_that_passed_and_is_skipped_is_no_longer_proven() {
    let before = run(vec![cell("t:a", "series", "pass", "pass")]);
    let after = run(vec![cell("t:a", "series", "skip", "pass")]);
    assert_eq!(compare(&before, &after).exit(), Exit::Finding);
    assert_eq!(compare(&after, &before).exit(), Exit::Ok);
    assert_eq!(compare(&after, &before).fixed.len(), 1);
}

#[test]
fn a_change_of_what_is_recorded_is_a_change() {
    let good = cell("s", "series", "pass", "pass");
    let changed = CellResult {
        snapshot_difference: Some("-a +b".to_owned()),
        ..good.clone()
    };
    let comparison = compare(&run(vec![good]), &run(vec![changed]));
    assert_eq!(comparison.broken.len(), 1, "{comparison:?}");
    assert_eq!(comparison.broken[0].now, "pass (not as recorded)");
}

#[test]
fn what_was_not_as_recorded_may_break_all_the_same() {
    let unrecorded = |outcome: &str| CellResult {
        snapshot_difference: Some("nothing is recorded".to_owned()),
        ..cell("s", "series", outcome, "pass")
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
        let cells = (1..=10).map(|repetition| CellResult {
            repetition,
            ..cell(
                "s",
                "series",
                if repetition <= wrong { "fail" } else { "pass" },
                "pass",
            )
        });
        run(cells.collect())
    };
    let comparison = compare(&rate(3), &rate(5));
    assert_eq!(comparison.still_wrong[0].now, "fail 5/10, pass 5/10");
    assert!(!comparison.worse);
    assert!(compare(&rate(1), &rate(9)).worse);
    assert!(compare(&rate(0), &rate(1)).worse, "a finding is a finding");
    assert!(!compare(&rate(9), &rate(0)).worse);
}

#[test]
fn a_cell_is_slower_beyond_noise() {
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
fn a_busy_host_makes_no_cell_slower() {
    let host = |others: u64, slow: u64| {
        let names: Vec<String> = (0..10).map(|number| format!("other-{number}")).collect();
        let mut cells: Vec<CellResult> = names
            .iter()
            .map(|name| CellResult {
                duration_ms: others,
                ..cell(name, "series", "pass", "pass")
            })
            .collect();
        cells.extend(taking(&[slow]));
        run(cells)
    };
    let comparison = compare(&host(1000, 2000), &host(3000, 6000));
    assert!(comparison.slower.is_empty(), "{comparison:?}");
    assert!((comparison.drift - 3.0).abs() < 1e-9);
    let comparison = compare(&host(1000, 2000), &host(3000, 15_000));
    assert_eq!(comparison.slower.len(), 1, "{comparison:?}");
    insta::assert_snapshot!(text(&comparison, "yesterday"), @"
    nothing is worse than before
    cells that are in yesterday as well: 11

    slower, beyond the 3.0 times that all cells together are: 1
      slow on series (fast): 2.0 s -> 15.0 s, 2.5 times
    ");
}

#[test]
fn a_detector_that_went_blind_and_a_mutant_that_slips_through_are_worse() {
    let with = |sight, fate| RunResult {
        detectors: vec![detector("KASAN", sight)],
        mutants: vec![mutant("m1", fate)],
        ..kasan()
    };
    let good = with(Sight::Seen, Fate::Noticed);
    let (text, exit) = said(&good, &with(Sight::Blind, Fate::Unnoticed));
    assert_eq!(exit, Exit::Finding);
    insta::assert_snapshot!(text, @"
    worse than before: 1 of the detectors not shown to see, 1 of the mutants newly a finding
    cells that are in yesterday as well: 1

    detectors that see otherwise: 1
      KASAN on series (kasan): seen -> blind

    mutants with another fate: 1
      m1 (fast): noticed -> unnoticed
    ");
    assert_eq!(
        said(&good, &with(Sight::Absent, Fate::Noticed)).1,
        Exit::Finding
    );
    assert_eq!(
        said(&with(Sight::Blind, Fate::Unnoticed), &good).1,
        Exit::Ok
    );
    let unproven = with(Sight::Seen, Fate::Unproven);
    assert_eq!(said(&good, &unproven).1, Exit::Finding);
    let absent = with(Sight::Absent, Fate::Noticed);
    let blind = with(Sight::Blind, Fate::Noticed);
    assert_eq!(said(&absent, &blind).1, Exit::Finding);
}

/// A run under KASAN in which all is well.
fn kasan() -> RunResult {
    run(vec![CellResult {
        profile: "kasan".to_owned(),
        ..cell("s", "series", "pass", "pass")
    }])
}

#[test]
fn what_proved_the_verdicts_and_is_not_there_any_more_is_told() {
    let with = |detectors: &[&str], mutants: &[&str]| RunResult {
        detectors: detectors
            .iter()
            .map(|name| detector(name, Sight::Seen))
            .collect(),
        mutants: mutants
            .iter()
            .map(|name| mutant(name, Fate::Noticed))
            .collect(),
        ..kasan()
    };
    let before = with(&["KASAN", "WARN"], &["m1", "m2"]);
    let (text, exit) = said(&before, &with(&["WARN", "BUG"], &["m2", "m3", "m4"]));
    insta::assert_snapshot!(text, @"
    worse than before: 1 of the detectors not shown to see
    cells that are in yesterday as well: 1
    note: another number of mutants: 2 before, 3 now

    detectors that see otherwise: 2
      KASAN on series (kasan): seen -> not there
      BUG on series (kasan): not there -> seen

    mutants with another fate: 3
      m1 (fast): noticed -> not there
      m3 (fast): not there -> noticed
      m4 (fast): not there -> noticed
    ");
    assert_eq!(exit, Exit::Finding);
    // A run that was not to prove so much is another run, not a worse one.
    let (text, exit) = said(&before, &kasan());
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    cells that are in yesterday as well: 1
    note: no detectors are shown now on series (kasan)
    note: another number of mutants: 2 before, none now
    ");
    assert_eq!(exit, Exit::Ok);
    let (text, _) = said(&kasan(), &before);
    insta::assert_snapshot!(text, @"
    nothing is worse than before
    cells that are in yesterday as well: 1
    note: no detectors were shown before on series (kasan)
    note: another number of mutants: none before, 2 now
    ");
}

#[test]
fn an_equivalent_that_is_noticed_now_is_worse() {
    let with = |noticed_by: &[&str]| RunResult {
        mutants: vec![MutantResult {
            noticed_by: noticed_by.iter().map(|&name| name.to_owned()).collect(),
            ..mutant("m1", Fate::Equivalent)
        }],
        ..kasan()
    };
    let (text, exit) = said(&with(&[]), &with(&["s"]));
    assert_eq!(exit, Exit::Finding);
    assert!(
        text.contains("m1 (fast): equivalent -> noticed, though equivalent"),
        "{text}"
    );
    // One finding for another is no worse.
    let unnoticed = RunResult {
        mutants: vec![mutant("m1", Fate::Unnoticed)],
        ..kasan()
    };
    let comparison = compare(&with(&["s"]), &unnoticed);
    assert_eq!((comparison.mutants.len(), comparison.worse), (1, false));
}

#[test]
fn a_new_cell_without_a_verdict_is_told_and_a_skip_is_not() {
    let before = run(vec![cell("s", "series", "pass", "pass")]);
    let mut cells = before.cells.clone();
    cells.push(cell("new", "series", "error", "pass"));
    cells.push(cell("t:a", "series", "skip", "pass"));
    let comparison = compare(&before, &run(cells));
    assert_eq!(comparison.new_cells.len(), 2);
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
    let before = run(vec![cell("kexec", "series", "pass", "pass")]);
    let after = crate::render::tests::not_tested();
    let (text, _) = said(&before, &after);
    let line = format!(
        "{}; nothing is worse than before",
        crate::render::tests::NOT_TESTED
    );
    assert!(text.starts_with(&line), "{text}");
}
