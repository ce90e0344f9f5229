// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of the report: the result in a sentence, the findings, and the command that
//! reproduces them.

use std::collections::BTreeMap;

use kernel_patches::checkout::MUTANT_PREFIX;

use super::article::{self, distinct};
use super::sentence;
use crate::report::evidence::Evidence;
use crate::report::input::{count_tests, outcome};
use crate::report::reproduce;
use crate::result::{Detection, JobResult, MutantResult, RunResult, Tally};
use selftests::expectation::Expected;

/// Findings that are listed at the top, and in total; the table has all findings.
const FINDINGS_AT_TOP: usize = 8;
const FINDINGS_MAX: usize = 200;
/// A command with more names runs all tests.
const NAMES_MAX: usize = 8;

/// The head of the report.
pub(super) struct Headline {
    /// `good`, `bad` or `open`.
    pub(super) class: &'static str,
    /// The word in front of the sentence: the same information as the colour.
    pub(super) word: &'static str,
    pub(super) sentence: String,
    /// The other counts, a sentence each.
    pub(super) facts: Vec<String>,
    /// The command that reproduces the findings, or the run.
    pub(super) command: String,
    /// Sorted by severity.
    pub(super) findings: Vec<Finding>,
    pub(super) more_findings: Vec<Finding>,
    pub(super) findings_left_out: usize,
}

/// A result that needs attention.
pub(super) struct Finding {
    /// The id of the details in the report.
    pub(super) link: String,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) outcome: String,
    pub(super) reason: String,
}

impl Headline {
    pub(super) fn of(result: &RunResult, evidence: &Evidence) -> Self {
        let (sentence, is_bad) = summary(result);
        let (class, word) = match result.exit_code {
            _ if result.only_not_tested().is_some() => ("open", "not tested"),
            3 => ("open", "inconclusive"),
            0 if !is_bad => ("good", "as expected"),
            _ => ("bad", "finding"),
        };
        let mut all: Vec<&JobResult> = result
            .jobs
            .iter()
            .filter(|job| job.needs_attention())
            .collect();
        all.sort_by_key(|job| (job.expected, job.is_inconclusive()));
        let mut findings: Vec<Finding> = all
            .iter()
            .take(FINDINGS_MAX)
            .map(|job| finding(job))
            .collect();
        let more_findings = findings.split_off(findings.len().min(FINDINGS_AT_TOP));
        Self {
            class,
            word,
            sentence,
            facts: facts(result),
            command: command(result, &all, &evidence.options),
            findings_left_out: all.len() - findings.len() - more_findings.len(),
            findings,
            more_findings,
        }
    }
}

/// Returns the result in one sentence, and whether anything needs attention.
fn summary(result: &RunResult) -> (String, bool) {
    let mut bad = problems(result);
    if let Some(not_tested) = result.not_tested() {
        bad.insert(0, not_tested.to_owned());
    }
    if !bad.is_empty() {
        return (bad.join(", "), true);
    }
    let total = result.jobs.len();
    let skipped = result.jobs.iter().filter(|job| job.is_skipped()).count();
    let sentence = match total - skipped {
        0 if total > 0 => return ("No result: every test was skipped".to_owned(), true),
        0 => return ("No result: no test ran".to_owned(), true),
        good if skipped > 0 => {
            let are = count_of(good, total, "result");
            format!("{are} as expected, the others were skipped")
        }
        1 => "The only result is as expected".to_owned(),
        good => format!("All {good} results are as expected"),
    };
    match result.exit_code {
        0 => (sentence, false),
        // The report has no sentence for the reason of this exit code.
        code => (format!("{sentence}, but the exit code is {code}"), true),
    }
}

/// State of results whose verb is not `is`.
const DIFFERING: &str = "different";

/// Returns the counts of results that need attention, each as a part of a sentence.
fn problems(result: &RunResult) -> Vec<String> {
    let total = result.jobs.len();
    let count = |test: &dyn Fn(&JobResult) -> bool| {
        let jobs = result.jobs.iter();
        jobs.filter(|job| test(job)).count()
    };
    let mutants = Tally::of(&result.mutants);
    let counts = [
        (
            count(&|job| !job.expected && !job.is_inconclusive()),
            total,
            "result",
            "not as expected",
        ),
        (
            count(&|job| job.expected && job.needs_attention()),
            total,
            "result",
            DIFFERING,
        ),
        (
            count(&JobResult::is_inconclusive),
            total,
            "result",
            "inconclusive",
        ),
        (
            mutants.missed,
            mutants.testable(),
            "mutant",
            "missed by all tests",
        ),
        (
            mutants.inconclusive,
            mutants.testable() + mutants.inconclusive,
            "mutant",
            "inconclusive",
        ),
        (
            mutants.disproved,
            mutants.equivalent,
            "equivalent mutant",
            "caught",
        ),
        (
            result
                .self_checks
                .iter()
                .filter(|one| one.detection == Detection::Missed)
                .count(),
            result
                .self_checks
                .iter()
                .filter(|one| one.detection != Detection::NotConfigured)
                .count(),
            "injected fault",
            "missed",
        ),
    ];
    counts
        .into_iter()
        .filter(|(some, ..)| *some > 0)
        .map(|(some, total, noun, state)| match (state, some) {
            (DIFFERING, 1) => format!("{} differs from its snapshot", ratio(some, total, noun)),
            (DIFFERING, _) => format!("{} differ from their snapshots", ratio(some, total, noun)),
            _ => format!("{} {state}", count_of(some, total, noun)),
        })
        .collect()
}

fn count_of(some: usize, total: usize, noun: &str) -> String {
    let are = if some == 1 { "is" } else { "are" };
    format!("{} {are}", ratio(some, total, noun))
}

fn ratio(some: usize, total: usize, noun: &str) -> String {
    let plural = if total == 1 { "" } else { "s" };
    format!("{some} of {total} {noun}{plural}")
}

fn facts(result: &RunResult) -> Vec<String> {
    let mut facts = Vec::new();
    let count =
        |test: &dyn Fn(&JobResult) -> bool| result.jobs.iter().filter(|job| test(job)).count();
    let skipped = count(&JobResult::is_skipped);
    let good = count(&JobResult::is_good);
    facts.push(format!(
        "{good} of {} results as expected",
        result.jobs.len()
    ));
    if skipped > 0 {
        facts.push(format!("{skipped} skipped"));
    }
    if count(&|job| job.expectation == Expected::Fail) > 0 {
        let tests = result.tests.iter();
        let failing = tests.filter(|test| test.fails_without_series).count();
        let verb = if failing == 1 { "fails" } else { "fail" };
        let all = count_tests(result.tests.len());
        facts.push(format!("{failing} of {all} {verb} without the series"));
    }
    if !result.mutants.is_empty() {
        let tally = Tally::of(&result.mutants);
        facts.push(format!(
            "{} of {} mutants caught",
            tally.caught,
            tally.testable()
        ));
    }
    facts.extend(not_configured(result));
    let notes = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    facts.extend(notes.cloned());
    facts
}

/// Returns the fault classes that each config cannot detect.
fn not_configured(result: &RunResult) -> Vec<String> {
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
        .map(|(config, names)| format!("{config} cannot detect {}", names.join(", ")))
        .collect()
}

fn finding(job: &JobResult) -> Finding {
    Finding {
        link: article::job_id(&job.config, &job.test, &job.checkout),
        name: job.test.clone(),
        place: format!("{} ({})", job.checkout, job.config),
        outcome: outcome(job),
        reason: sentence(&job.reason),
    }
}

/// Returns the command that reproduces the findings, or the run if there are no findings.
fn command(result: &RunResult, findings: &[&JobResult], options: &str) -> String {
    let jobs: Vec<&JobResult> = if findings.is_empty() {
        result.jobs.iter().collect()
    } else {
        findings.to_vec()
    };
    let mutants = result.mutants.iter().filter(|one| one.needs_attention());
    let mutants: Vec<&MutantResult> = mutants.collect();
    if let (true, Some(first)) = (findings.is_empty(), mutants.first()) {
        let of_config = mutants.iter().filter(|one| one.config == first.config);
        let checkouts: Vec<String> = of_config
            .map(|one| format!("{MUTANT_PREFIX}{}", one.name))
            .collect();
        let checkouts: Vec<&str> = checkouts.iter().map(String::as_str).collect();
        return reproduce::command([], &checkouts, &[&first.config], options);
    }
    let each = |of: fn(&JobResult) -> &str| distinct(jobs.iter().map(|job| of(job)));
    let mut names = each(|job| &job.test);
    let mut checkouts = each(|job| &job.checkout);
    let mut configs = each(|job| &job.config);
    // Defaults are omitted, and too many names as well.
    if names.len() > NAMES_MAX {
        names.clear();
    }
    if checkouts == ["base", "series"] {
        checkouts.clear();
    }
    if configs == ["fast"] {
        configs.clear();
    }
    reproduce::command(names, &checkouts, &configs, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::MutantStatus;
    use crate::result::tests::{job, mutant};

    #[test]
    fn headline_reports_a_series_that_is_not_in_the_kernels() {
        let result = crate::report::tests::not_tested();
        let headline = Headline::of(&result, &Evidence::default());
        assert_eq!((headline.class, headline.word), ("open", "not tested"));
        assert_eq!(headline.sentence, crate::report::tests::NOT_TESTED);
    }

    #[test]
    fn command_runs_the_missed_mutants_or_the_whole_run() {
        let jobs = vec![
            job("s", "base", "pass", "pass"),
            job("s", "series", "pass", "pass"),
        ];
        let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
        assert_eq!(
            command(&result, &[], " --tree K"),
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
            command(&result, &[], ""),
            "cargo xtask test --checkouts mutant-b-1,mutant-c-1 --config fast"
        );
    }
}
