// SPDX-License-Identifier: GPL-2.0-only
use super::*;
use crate::comparison::compare;
use crate::evidence::{JobEvidence, SplatEvidence, SplatLine, Story};
use crate::result::tests::{job, mutant, one_of_each};
use crate::result::{Cached, CheckoutResult, JobResult, StatusChange};

/// What a guest or a patch may say to become part of the page.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)><!-- \"' onload=\u{202e}\u{1b}[31m";

fn run(jobs: Vec<JobResult>) -> RunResult {
    RunResult::new("the tree".into(), "s".into(), vec!["a".into()], jobs)
}

fn result() -> RunResult {
    run(vec![
        job("one", "base", "crash", "fail"),
        job("one", "series", "pass", "pass"),
        job("two", "base", "pass", "pass"),
        job("two", "series", "hang", "pass"),
    ])
}

/// A result and evidence in which every text is `HOSTILE`.
fn hostile() -> (RunResult, Evidence) {
    let text = || HOSTILE.to_owned();
    let mut result = run(vec![JobResult {
        test: text(),
        checkout: text(),
        config: text(),
        machine: text(),
        status: text(),
        expectation: text(),
        reason: text(),
        boot_mode: text(),
        accel: text(),
        artifacts: text(),
        snapshot_difference: Some(text()),
        splats: vec![text()],
        cached: Some(Cached {
            run: text(),
            at: text(),
        }),
        ..job("s", "base", "fail", "pass")
    }]);
    result.tree = text();
    result.series = text();
    result.prerequisites = vec![text()];
    result.checkouts = vec![CheckoutResult {
        name: text(),
        patches: vec![text()],
        contains: vec![text()],
    }];
    result.patches = vec![PatchResult {
        first: 1,
        last: 2,
        subject: text(),
        sentence: text(),
        changes: vec![StatusChange {
            test: text(),
            config: text(),
            from: text(),
            to: text(),
            reason: text(),
            is_expected: false,
        }],
    }];
    result.self_checks = vec![SelfCheckResult {
        name: text(),
        checkout: text(),
        config: text(),
        detection: Detection::Missed,
        detail: text(),
    }];
    result.mutants = vec![MutantResult {
        name: "m".to_owned(),
        config: text(),
        title: text(),
        patch: Some(1),
        file: text(),
        line: 1,
        diff: text(),
        status: MutantStatus::Missed,
        caught_by: vec![text()],
        reason: text(),
        duration_ms: 1,
    }];
    let left = JobEvidence {
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
        jobs: [(text(), left)].into(),
    };
    (result, evidence)
}

#[test]
fn nothing_that_a_guest_says_becomes_part_of_the_page() {
    let (result, evidence) = hostile();
    let before = run(vec![job("s", "base", "pass", "pass")]);
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
fn the_result_comes_first() {
    let page = page(&result(), None, &Evidence::default());
    let verdict = page.find("1 of 4 verdicts is not as expected").unwrap();
    assert!(verdict < page.find("<table").unwrap());
    let again = page.find("cargo xtask test two --checkouts series</code>");
    assert!(again.unwrap() < page.find("<table").unwrap());
}

#[test]
fn every_place_of_the_table_leads_to_its_job() {
    let page = page(&result(), None, &Evidence::default());
    for (name, checkout) in [("one", "base"), ("one", "series"), ("two", "series")] {
        let id = format!("c/fast/{name}/{checkout}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn mutants_are_counted_by_what_is_wrong_with_them() {
    let result = RunResult {
        mutants: one_of_each(),
        ..run(vec![job("one", "series", "pass", "pass")])
    };
    let result = result.clone().with_mutants(result.mutants);
    let headline = Headline::of(&result, &Evidence::default());
    assert_eq!(
        headline.sentence,
        "1 of 2 mutants is caught by no scenario, \
         1 of 2 equivalent mutants is caught all the same"
    );
    let facts = &headline.facts;
    let told = "1 of 2 mutants caught".to_owned();
    assert!(facts.contains(&told), "{facts:?}");
    let page = page(&result, None, &Evidence::default());
    assert!(page.contains("CAUGHT, though equivalent"), "{page}");
    let inconclusive = RunResult {
        mutants: vec![
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Inconclusive),
        ],
        ..result
    };
    assert_eq!(
        Headline::of(&inconclusive, &Evidence::default()).sentence,
        "1 of 2 mutants is not proven"
    );
}

#[test]
fn what_a_config_cannot_show_is_said_at_the_top() {
    let absent = |name: &str, checkout: &str| SelfCheckResult {
        name: name.to_owned(),
        checkout: checkout.to_owned(),
        config: "fast".to_owned(),
        detection: Detection::NotConfigured,
        detail: "CONFIG_X is not set".to_owned(),
    };
    let result = RunResult {
        self_checks: vec![
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
    let mut jobs = Vec::new();
    let mut evidence = Evidence::default();
    let lines =
        |count: usize| (0..count).map(|number| format!("  step {number}: something -> ok\n"));
    for config in ["fast", "kasan"] {
        for checkout in ["base", "patch-1", "patch-2", "series"] {
            for number in 0..145 {
                let name = format!("scenario-{number}");
                let job = JobResult {
                    config: config.to_owned(),
                    artifacts: format!("{config}/{checkout}/{name}"),
                    ..job(&name, checkout, "pass", "pass")
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
                let left = JobEvidence {
                    timeline: Excerpt::of(&lines(40).collect::<String>(), 10_000),
                    splats: vec![splat],
                    splats_left_out: 0,
                };
                evidence.jobs.insert(job.artifacts.clone(), left);
                jobs.push(job);
            }
        }
    }
    let page = page(&run(jobs), None, &evidence);
    assert!(page.len() < 7_000_000, "{} bytes", page.len());
    assert!(page.contains("lines more are in splats.txt"));
}

#[test]
fn the_result_in_words() {
    let of = |jobs: Vec<JobResult>| Headline::of(&run(jobs), &Evidence::default()).sentence;
    let good = || job("s", "series", "pass", "pass");
    let said = [
        of(vec![good()]),
        of(vec![good(), good()]),
        of(vec![good(), job("t:a", "series", "skip", "pass")]),
        of(vec![job("t:a", "series", "skip", "pass")]),
        of(vec![]),
        of(vec![good(), job("s", "series", "error", "pass")]),
        of(vec![
            job("s", "series", "fail", "pass"),
            job("t", "series", "fail", "pass"),
            job("u", "series", "error", "pass"),
        ]),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    The one verdict is as expected
    All 2 verdicts are as expected
    1 of 2 verdicts is as expected, the others were skipped
    Nothing is proven: every test was skipped
    Nothing is proven: nothing ran
    1 of 2 jobs is without a verdict
    2 of 3 verdicts are not as expected, 1 of 3 jobs is without a verdict
    ");
}
