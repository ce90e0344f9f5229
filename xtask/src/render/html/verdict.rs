// SPDX-License-Identifier: GPL-2.0-only
//! The head of the page: the verdict in a sentence, the findings, and the commands that
//! show them again.

use std::collections::BTreeMap;

use kernel_patches::checkout::MUTANT_PREFIX;

use super::article::{self, distinct};
use super::sentence;
use crate::evidence::Evidence;
use crate::render::again;
use crate::render::report::what_came;
use crate::result::{Detection, JobResult, MutantResult, RunResult, Tally};

/// So many findings are listed at the top, so many more behind a click; the table has all.
const FINDINGS_AT_ONCE: usize = 8;
const FINDINGS_MAX: usize = 200;
/// So many scenarios are named in a command.
const NAMES_MAX: usize = 8;

/// What a reader needs first.
pub(super) struct Headline {
    /// `good`, `bad` or `open`.
    pub(super) class: &'static str,
    /// The mark in front of the sentence, for those who see no colours.
    pub(super) word: &'static str,
    pub(super) sentence: String,
    /// The other counts, a sentence each.
    pub(super) facts: Vec<String>,
    /// The command that makes the run, or what went wrong in it, again.
    pub(super) again: String,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
    pub(super) more_findings: Vec<Finding>,
    pub(super) findings_left_out: usize,
}

/// One thing that a person should look at.
pub(super) struct Finding {
    /// Where the page tells more.
    pub(super) link: String,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) what: String,
    pub(super) reason: String,
}

impl Headline {
    pub(super) fn of(result: &RunResult, evidence: &Evidence) -> Self {
        let (sentence, is_bad) = verdict(result);
        let (class, word) = match result.exit_code {
            _ if result.only_not_tested().is_some() => ("open", "not tested"),
            3 => ("open", "inconclusive"),
            0 if !is_bad => ("good", "as expected"),
            _ => ("bad", "finding"),
        };
        let mut all: Vec<&JobResult> = result.jobs.iter().filter(|job| job.is_finding()).collect();
        all.sort_by_key(|job| (job.expected, job.status == "error"));
        let mut findings: Vec<Finding> = all
            .iter()
            .take(FINDINGS_MAX)
            .map(|job| finding(job))
            .collect();
        let more_findings = findings.split_off(findings.len().min(FINDINGS_AT_ONCE));
        Self {
            class,
            word,
            sentence,
            facts: facts(result),
            again: again_all(result, &all, &evidence.again),
            findings_left_out: all.len() - findings.len() - more_findings.len(),
            findings,
            more_findings,
        }
    }
}

/// Returns the verdict in one sentence, and whether it is a bad one.
fn verdict(result: &RunResult) -> (String, bool) {
    let mut bad = bad_news(result);
    if let Some(not_tested) = result.not_tested() {
        bad.insert(0, not_tested.to_owned());
    }
    if !bad.is_empty() {
        return (bad.join(", "), true);
    }
    let total = result.jobs.len();
    let skipped = result.jobs.iter().filter(|job| job.is_skipped()).count();
    let sentence = match total - skipped {
        0 if total > 0 => return ("Nothing is proven: every test was skipped".to_owned(), true),
        0 => return ("Nothing is proven: nothing ran".to_owned(), true),
        good if skipped > 0 => {
            let are = some_of(good, total, "verdict");
            format!("{are} as expected, the others were skipped")
        }
        1 => "The one verdict is as expected".to_owned(),
        good => format!("All {good} verdicts are as expected"),
    };
    match result.exit_code {
        0 => (sentence, false),
        // A newer kind of finding, which this page has no words for.
        code => (format!("{sentence}, yet the run ended with {code}"), true),
    }
}

/// Returns what a reader must not miss, a part of a sentence each.
fn bad_news(result: &RunResult) -> Vec<String> {
    let total = result.jobs.len();
    let count = |test: &dyn Fn(&JobResult) -> bool| {
        let jobs = result.jobs.iter();
        jobs.filter(|job| test(job)).count()
    };
    let mutants = Tally::of(&result.mutants);
    let counts = [
        (
            count(&|job| !job.expected && job.status != "error"),
            total,
            "verdict",
            "not as expected",
        ),
        (
            count(&|job| job.expected && job.is_finding()),
            total,
            "job",
            "not as recorded",
        ),
        (
            count(&|job| job.status == "error"),
            total,
            "job",
            "without a verdict",
        ),
        (
            mutants.missed,
            mutants.testable(),
            "mutant",
            "caught by no scenario",
        ),
        (
            mutants.inconclusive,
            mutants.testable() + mutants.inconclusive,
            "mutant",
            "not proven",
        ),
        (
            mutants.disproved,
            mutants.equivalent,
            "equivalent mutant",
            "caught all the same",
        ),
        (
            result
                .self_checks
                .iter()
                .filter(|one| one.detection == Detection::Missed)
                .count(),
            result.self_checks.len(),
            "self_check",
            "blind",
        ),
    ];
    counts
        .into_iter()
        .filter(|(some, ..)| *some > 0)
        .map(|(some, total, what, how)| format!("{} {how}", some_of(some, total, what)))
        .collect()
}

fn some_of(some: usize, total: usize, what: &str) -> String {
    let are = if some == 1 { "is" } else { "are" };
    let plural = if total == 1 { "" } else { "s" };
    format!("{some} of {total} {what}{plural} {are}")
}

fn facts(result: &RunResult) -> Vec<String> {
    let mut facts = Vec::new();
    let count =
        |test: &dyn Fn(&JobResult) -> bool| result.jobs.iter().filter(|job| test(job)).count();
    let skipped = count(&JobResult::is_skipped);
    let good = count(&|job| job.expected) - skipped;
    facts.push(format!("{good} of {} as expected", result.jobs.len()));
    if skipped > 0 {
        facts.push(format!("{skipped} skipped"));
    }
    let must_fail = count(&|job| job.expectation == "fail");
    if must_fail > 0 {
        let fails_without_series = result
            .tests
            .iter()
            .filter(|one| one.fails_without_series)
            .count();
        facts.push(format!(
            "{fails_without_series} of {} scenarios have fails_without_series",
            result.tests.len()
        ));
    }
    if !result.mutants.is_empty() {
        let tally = Tally::of(&result.mutants);
        facts.push(format!(
            "{} of {} mutants caught",
            tally.caught,
            tally.testable()
        ));
    }
    facts.extend(missed(result));
    let notes = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    facts.extend(notes.cloned());
    facts
}

/// Returns what the kernels of each config cannot show: silence there is no pass.
fn missed(result: &RunResult) -> Vec<String> {
    let mut absent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in result
        .self_checks
        .iter()
        .filter(|one| one.detection == Detection::NotConfigured)
    {
        let names = absent.entry(&one.config).or_default();
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let sentences = absent.iter();
    sentences
        .map(|(config, names)| format!("{config} cannot show {}", names.join(", ")))
        .collect()
}

fn finding(job: &JobResult) -> Finding {
    Finding {
        link: article::job_id(&job.config, &job.test, &job.checkout),
        name: job.test.clone(),
        place: format!("{} ({})", job.checkout, job.config),
        what: what_came(job),
        reason: sentence(&job.reason),
    }
}

/// Returns the command that runs again what went wrong, or everything when nothing did.
fn again_all(result: &RunResult, findings: &[&JobResult], options: &str) -> String {
    let jobs: Vec<&JobResult> = if findings.is_empty() {
        result.jobs.iter().collect()
    } else {
        findings.to_vec()
    };
    let mutants = result.mutants.iter().filter(|one| one.is_finding());
    let mutants: Vec<&MutantResult> = mutants.collect();
    if let (true, Some(first)) = (findings.is_empty(), mutants.first()) {
        let of_config = mutants.iter().filter(|one| one.config == first.config);
        let checkouts: Vec<String> = of_config
            .map(|one| format!("{MUTANT_PREFIX}{}", one.name))
            .collect();
        let checkouts: Vec<&str> = checkouts.iter().map(String::as_str).collect();
        return again::command([], &checkouts, &[&first.config], options);
    }
    let each = |of: fn(&JobResult) -> &str| distinct(jobs.iter().map(|job| of(job)));
    let mut names = each(|job| &job.test);
    let mut checkouts = each(|job| &job.checkout);
    let mut configs = each(|job| &job.config);
    // What is so without being said, and more names than anybody would paste.
    if names.len() > NAMES_MAX {
        names.clear();
    }
    if checkouts == ["base", "series"] {
        checkouts.clear();
    }
    if configs == ["fast"] {
        configs.clear();
    }
    again::command(names, &checkouts, &configs, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::MutantStatus;
    use crate::result::tests::{job, mutant};

    #[test]
    fn headline_says_that_the_series_is_in_no_kernel() {
        let result = crate::render::tests::not_tested();
        let headline = Headline::of(&result, &Evidence::default());
        assert_eq!((headline.class, headline.word), ("open", "not tested"));
        assert_eq!(headline.sentence, crate::render::tests::NOT_TESTED);
    }

    #[test]
    fn what_is_run_again_is_what_went_wrong() {
        let jobs = vec![
            job("s", "base", "pass", "pass"),
            job("s", "series", "pass", "pass"),
        ];
        let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
        assert_eq!(
            again_all(&result, &[], " --tree K"),
            "cargo xtask test s --tree K"
        );
        let mutants = [
            ("a-1", MutantStatus::Caught),
            ("b-1", MutantStatus::Missed),
            ("c-1", MutantStatus::Missed),
        ];
        let mutants = mutants.map(|(name, status)| mutant(name, status)).to_vec();
        let result = result.with_mutants(mutants);
        assert_eq!(
            again_all(&result, &[], ""),
            "cargo xtask test --checkouts mutant-b-1,mutant-c-1 --config fast"
        );
    }
}
