// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::report::comparison::compare;
use crate::report::evidence::{JobEvidence, SplatEvidence, SplatLine, Story};
use crate::result::tests::{job, mutant, one_of_each};
use crate::result::{Cached, CheckoutResult, JobResult, PatchResult, StatusChange};

/// Text of a guest or patch that tries to add markup to the report.
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
        reason: text(),
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
        options: text(),
        stories: [(text(), story)].into(),
        jobs: [(text(), left)].into(),
    };
    (result, evidence)
}

#[test]
fn text_escapes_markup_of_guests_and_patches() {
    let (result, evidence) = hostile();
    let before = run(vec![job("s", "base", "pass", "pass")]);
    let comparison = compare(&before, &result);
    let html = text(&result, Some((&comparison, HOSTILE)), &evidence);
    assert!(!html.contains("<img"), "{html}");
    assert_eq!(html.matches("<script").count(), 1);
    assert_eq!(html.matches("</script>").count(), 1);
    let quoted = html.matches("&#60;/script&#62;&#60;img").count();
    assert!(quoted > 30, "quoted {quoted} times");
    assert!(!html.contains('\u{202e}') && !html.contains('\u{1b}'));
    // Values of attributes contain no unescaped markup.
    for attribute in html.split("=\"").skip(1) {
        let value = attribute.split('"').next().unwrap();
        assert!(!value.contains('<') && !value.contains('>'), "{value}");
    }
    assert!(!html.contains("\" onload"), "{html}");
}

#[test]
fn policy_allows_only_the_script_and_style_of_the_report() {
    let html = text(&result(), None, &Evidence::default());
    let script = html.split("<script>").nth(1).unwrap();
    let script = script.split("</script>").next().unwrap();
    let allowed = format!("script-src 'sha256-{}'", hash(script));
    assert!(html.contains(&allowed), "{allowed}");
    let style = html.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    assert!(html.contains(&format!("style-src 'sha256-{}'", hash(style))));
    assert!(html.contains("default-src 'none'") && !html.contains("http://"));
}

#[test]
fn result_and_command_precede_the_table() {
    let html = text(&result(), None, &Evidence::default());
    let headline = html.find("1 of 4 results is not as expected").unwrap();
    assert!(headline < html.find("<table").unwrap());
    let command = html.find("cargo xtask test two --checkouts series</code>");
    assert!(command.unwrap() < html.find("<table").unwrap());
}

#[test]
fn entries_of_the_table_link_to_their_jobs() {
    let html = text(&result(), None, &Evidence::default());
    for (name, checkout) in [("one", "base"), ("one", "series"), ("two", "series")] {
        let id = format!("c/fast/{name}/{checkout}");
        assert!(html.contains(&format!("href=\"#{id}\"")), "{id}");
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn headline_counts_missed_equivalent_and_inconclusive_mutants() {
    let result = RunResult {
        mutants: one_of_each(),
        ..run(vec![job("one", "series", "pass", "pass")])
    };
    let result = result.clone().with_mutants(result.mutants);
    let headline = Headline::of(&result, &Evidence::default());
    assert_eq!(
        headline.sentence,
        "1 of 2 mutants is missed by all tests, 1 of 2 equivalent mutants is caught"
    );
    let facts = &headline.facts;
    let fact = "1 of 2 mutants caught".to_owned();
    assert!(facts.contains(&fact), "{facts:?}");
    let html = text(&result, None, &Evidence::default());
    assert!(html.contains("CAUGHT although equivalent"), "{html}");
    let inconclusive = RunResult {
        mutants: vec![
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Inconclusive),
        ],
        ..result
    };
    assert_eq!(
        Headline::of(&inconclusive, &Evidence::default()).sentence,
        "1 of 2 mutants is inconclusive"
    );
}

#[test]
fn headline_lists_fault_classes_that_are_not_configured() {
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
        "fast cannot detect KASAN, lockdep"
    );
    let html = text(&result, None, &Evidence::default());
    assert!(
        html.contains("<td>base, series</td>"),
        "equal results are in one row"
    );
}

#[test]
fn text_of_a_large_run_is_smaller_than_7_megabytes() {
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
    let html = text(&run(jobs), None, &evidence);
    assert!(html.len() < 7_000_000, "{} bytes", html.len());
    assert!(html.contains("more lines are in splats.txt"));
}
