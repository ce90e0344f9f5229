// SPDX-License-Identifier: GPL-2.0-only
use super::*;
use crate::comparison::compare;
use crate::evidence::{CellEvidence, SplatEvidence, SplatLine, Story};
use crate::result::tests::{cell, mutant, one_of_each};
use crate::result::{CellResult, Kept, StackResult, Turn};

/// What a guest or a patch may say to become part of the page.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)><!-- \"' onload=\u{202e}\u{1b}[31m";

fn run(cells: Vec<CellResult>) -> RunResult {
    RunResult::new("the tree".into(), "s".into(), vec!["a".into()], cells)
}

fn result() -> RunResult {
    run(vec![
        cell("one", "base", "crash", "fail"),
        cell("one", "series", "pass", "pass"),
        cell("two", "base", "pass", "pass"),
        cell("two", "series", "hang", "pass"),
    ])
}

/// A result and evidence in which every text is `HOSTILE`.
fn hostile() -> (RunResult, Evidence) {
    let text = || HOSTILE.to_owned();
    let mut result = run(vec![CellResult {
        scenario: text(),
        stack: text(),
        profile: text(),
        machine: text(),
        outcome: text(),
        expected: text(),
        reason: text(),
        start: text(),
        accel: text(),
        artifacts: text(),
        snapshot_difference: Some(text()),
        splats: vec![text()],
        kept: Some(Kept {
            run: text(),
            at: text(),
        }),
        ..cell("s", "base", "fail", "pass")
    }]);
    result.tree = text();
    result.series = text();
    result.prerequisites = vec![text()];
    result.stacks = vec![StackResult {
        name: text(),
        patches: vec![text()],
        contains: vec![text()],
    }];
    result.patches = vec![PatchResult {
        first: 1,
        last: 2,
        subject: text(),
        sentence: text(),
        turns: vec![Turn {
            scenario: text(),
            profile: text(),
            from: text(),
            to: text(),
            reason: text(),
            is_expected: false,
        }],
    }];
    result.detectors = vec![DetectorResult {
        name: text(),
        stack: text(),
        profile: text(),
        sight: Sight::Blind,
        detail: text(),
    }];
    result.mutants = vec![MutantResult {
        name: "m".to_owned(),
        profile: text(),
        title: text(),
        patch: Some(1),
        file: text(),
        line: 1,
        diff: text(),
        fate: Fate::Unnoticed,
        noticed_by: vec![text()],
        reason: text(),
        duration_ms: 1,
    }];
    let left = CellEvidence {
        timeline: Excerpt::of(HOSTILE, 1000),
        splats: vec![SplatEvidence {
            class: text(),
            kernel: 1,
            title: text(),
            lines: vec![SplatLine {
                text: text(),
                places: vec![text()],
            }],
            lines_left_out: 1,
        }],
        splats_left_out: 1,
    };
    let story = Story {
        title: text(),
        why: text(),
    };
    let evidence = Evidence {
        run: text(),
        again: text(),
        stories: [(text(), story)].into(),
        cells: [(text(), left)].into(),
    };
    (result, evidence)
}

#[test]
fn nothing_that_a_guest_says_becomes_part_of_the_page() {
    let (result, evidence) = hostile();
    let before = run(vec![cell("s", "base", "pass", "pass")]);
    let comparison = compare(&before, &result);
    let page = page(&result, Some((&comparison, HOSTILE)), &evidence);
    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    let quoted = page.matches("&#60;/script&#62;&#60;img").count();
    assert!(quoted > 30, "it is shown {quoted} times");
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
    // Between the quotes of an attribute, there is no quote of theirs.
    for attribute in page.split("=\"").skip(1) {
        let value = attribute.split('"').next().unwrap();
        assert!(!value.contains('<') && !value.contains('>'), "{value}");
    }
    assert!(!page.contains("\" onload"), "{page}");
}

#[test]
fn the_page_forbids_all_scripts_but_its_own() {
    let page = page(&result(), None, &Evidence::default());
    let script = page.split("<script>").nth(1).unwrap();
    let script = script.split("</script>").next().unwrap();
    let allowed = format!("script-src 'sha256-{}'", hash(script));
    assert!(page.contains(&allowed), "{allowed}");
    let style = page.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    assert!(page.contains(&format!("style-src 'sha256-{}'", hash(style))));
    assert!(page.contains("default-src 'none'") && !page.contains("http://"));
}

#[test]
fn the_verdict_comes_first() {
    let page = page(&result(), None, &Evidence::default());
    let verdict = page.find("1 of 4 verdicts is not as expected").unwrap();
    assert!(verdict < page.find("<table").unwrap());
    let again = page.find("cargo xtask test two --stacks series</code>");
    assert!(again.unwrap() < page.find("<table").unwrap());
}

#[test]
fn every_place_of_the_table_leads_to_its_cell() {
    let page = page(&result(), None, &Evidence::default());
    for (name, stack) in [("one", "base"), ("one", "series"), ("two", "series")] {
        let id = format!("c/fast/{name}/{stack}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn mutants_are_counted_by_what_is_wrong_with_them() {
    let result = RunResult {
        mutants: one_of_each(),
        ..run(vec![cell("one", "series", "pass", "pass")])
    };
    let result = result.clone().with_mutants(result.mutants);
    let headline = Headline::of(&result, &Evidence::default());
    assert_eq!(
        headline.sentence,
        "1 of 2 mutants is noticed by no scenario, \
         1 of 2 equivalent mutants is noticed all the same"
    );
    let facts = &headline.facts;
    let told = "1 of 2 mutants noticed".to_owned();
    assert!(facts.contains(&told), "{facts:?}");
    let page = page(&result, None, &Evidence::default());
    assert!(page.contains("NOTICED, though equivalent"), "{page}");
    let unproven = RunResult {
        mutants: vec![mutant("a", Fate::Noticed), mutant("b", Fate::Unproven)],
        ..result
    };
    assert_eq!(
        Headline::of(&unproven, &Evidence::default()).sentence,
        "1 of 2 mutants is not proven"
    );
}

#[test]
fn what_a_profile_cannot_show_is_said_at_the_top() {
    let absent = |name: &str, stack: &str| DetectorResult {
        name: name.to_owned(),
        stack: stack.to_owned(),
        profile: "fast".to_owned(),
        sight: Sight::Absent,
        detail: "CONFIG_X is not set".to_owned(),
    };
    let result = RunResult {
        detectors: vec![
            absent("KASAN", "base"),
            absent("KASAN", "series"),
            absent("lockdep", "base"),
        ],
        ..result()
    };
    let headline = Headline::of(&result, &Evidence::default());
    assert_eq!(
        headline.facts.last().unwrap(),
        "fast cannot show KASAN, lockdep"
    );
    let page = page(&result, None, &Evidence::default());
    assert!(page.contains("<td>base, series</td>"), "alike, in one row");
}

#[test]
fn a_large_run_with_long_texts_is_a_page_of_some_megabytes() {
    let mut cells = Vec::new();
    let mut evidence = Evidence::default();
    let lines =
        |count: usize| (0..count).map(|number| format!("  step {number}: something -> ok\n"));
    for profile in ["fast", "kasan"] {
        for stack in ["base", "patch-1", "patch-2", "series"] {
            for number in 0..145 {
                let name = format!("scenario-{number}");
                let cell = CellResult {
                    profile: profile.to_owned(),
                    artifacts: format!("{profile}/{stack}/{name}"),
                    ..cell(&name, stack, "pass", "pass")
                };
                let line = |text: String| SplatLine {
                    text,
                    places: vec!["kernel/liveupdate/luo_flb.c:123".to_owned()],
                };
                let splat = SplatEvidence {
                    title: "a title".to_owned(),
                    lines: lines(100).map(line).collect(),
                    ..SplatEvidence::default()
                };
                let left = CellEvidence {
                    timeline: Excerpt::of(&lines(40).collect::<String>(), 10_000),
                    splats: vec![splat],
                    splats_left_out: 0,
                };
                evidence.cells.insert(cell.artifacts.clone(), left);
                cells.push(cell);
            }
        }
    }
    let page = page(&run(cells), None, &evidence);
    assert!(page.len() < 7_000_000, "{} bytes", page.len());
    assert!(page.contains("lines more are in splats.txt"));
}

#[test]
fn the_verdict_in_words() {
    let of = |cells: Vec<CellResult>| Headline::of(&run(cells), &Evidence::default()).sentence;
    let good = || cell("s", "series", "pass", "pass");
    let said = [
        of(vec![good()]),
        of(vec![good(), good()]),
        of(vec![good(), cell("t:a", "series", "skip", "pass")]),
        of(vec![cell("t:a", "series", "skip", "pass")]),
        of(vec![]),
        of(vec![good(), cell("s", "series", "error", "pass")]),
        of(vec![
            cell("s", "series", "fail", "pass"),
            cell("t", "series", "fail", "pass"),
            cell("u", "series", "error", "pass"),
        ]),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    The one verdict is as expected
    All 2 verdicts are as expected
    1 of 2 verdicts is as expected, the others were skipped
    Nothing is proven: every test was skipped
    Nothing is proven: nothing ran
    1 of 2 cells is without a verdict
    2 of 3 verdicts are not as expected, 1 of 3 cells is without a verdict
    ");
}
