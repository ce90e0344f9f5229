// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of the report: the result in a sentence, the findings, and the command that
//! reproduces them.

use std::collections::BTreeMap;

use kernel_patches::checkout::MUTANT_PREFIX;

use super::details::{job_id, sentence};
use crate::job_plan::{BASE, SERIES};
use crate::report::evidence::Evidence;
use crate::report::reproduce;
use crate::report::words::{self, Conclusion, outcome};
use crate::result::{Detection, JobResult, MutantStatus, RunResult, Tally};
use crate::text::distinct;

/// Findings that are listed at the top, and in total; the table has all findings.
const FINDINGS_AT_TOP: usize = 8;
const FINDINGS_MAX: usize = 200;
/// A command with more names runs all tests.
const NAMES_MAX: usize = 8;

/// The head of the report.
pub(super) struct Headline<'a> {
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
    pub(super) findings: Vec<Finding<'a>>,
    pub(super) more_findings: Vec<Finding<'a>>,
    pub(super) findings_left_out: usize,
}

/// A result that needs attention.
pub(super) struct Finding<'a> {
    pub(super) job: &'a JobResult,
    /// The id of the details in the report.
    pub(super) link: String,
    pub(super) outcome: String,
    pub(super) reason: String,
}

impl<'a> Headline<'a> {
    pub(super) fn of(result: &'a RunResult, evidence: &Evidence) -> Self {
        let conclusion = Conclusion::of(result);
        let class = match conclusion {
            Conclusion::AsExpected => "good",
            Conclusion::Finding => "bad",
            Conclusion::Inconclusive | Conclusion::NotTested => "open",
        };
        let jobs = result.jobs.iter();
        let mut all: Vec<&JobResult> = jobs.filter(|job| job.needs_attention()).collect();
        all.sort_by_key(|job| (job.expected, job.is_inconclusive()));
        let shown = all.iter().take(FINDINGS_MAX);
        let mut findings: Vec<Finding<'a>> = shown.map(|job| finding(job)).collect();
        Self {
            class,
            word: conclusion.word(),
            sentence: words::headline(result),
            facts: facts(result),
            command: command(result, &all, &evidence.options),
            findings_left_out: all.len() - findings.len(),
            more_findings: findings.split_off(findings.len().min(FINDINGS_AT_TOP)),
            findings,
        }
    }
}

fn finding(job: &JobResult) -> Finding<'_> {
    Finding {
        job,
        link: job_id(&job.config, &job.test, &job.checkout),
        outcome: outcome(job),
        reason: sentence(&job.reason),
    }
}

fn facts(result: &RunResult) -> Vec<String> {
    let mut facts = words::counts(&result.jobs);
    facts.extend(words::fails_without_series(result));
    if !result.mutants.is_empty() {
        let tally = Tally::of(&result.mutants);
        let (caught, all) = (tally.count(MutantStatus::Caught), tally.testable());
        facts.push(format!("{caught} of {all} mutants caught"));
    }
    facts.extend(not_configured(result));
    facts.extend(words::notes(result).cloned());
    facts
}

/// Returns the fault classes that each config cannot detect.
fn not_configured(result: &RunResult) -> Vec<String> {
    let mut absent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let self_checks = result.self_checks.iter();
    for one in self_checks.filter(|one| one.detection == Detection::NotConfigured) {
        absent.entry(&one.config).or_default().push(&one.name);
    }
    let sentence = |(config, names): (&str, Vec<&str>)| {
        format!("{config} cannot detect {}", distinct(names).join(", "))
    };
    absent.into_iter().map(sentence).collect()
}

/// Returns the command that reproduces the findings, or the run if there are no findings.
fn command(result: &RunResult, findings: &[&JobResult], options: &str) -> String {
    let mutants = || result.mutants.iter().filter(|one| one.needs_attention());
    if let (true, Some(first)) = (findings.is_empty(), mutants().next()) {
        let of_config = mutants().filter(|one| one.config == first.config);
        let checkouts = of_config.map(|one| format!("{MUTANT_PREFIX}{}", one.name));
        let checkouts: Vec<String> = checkouts.collect();
        let checkouts: Vec<&str> = checkouts.iter().map(String::as_str).collect();
        return reproduce::command([], &checkouts, &[&first.config], options);
    }
    let jobs: Vec<&JobResult> = match findings {
        [] => result.jobs.iter().collect(),
        findings => findings.to_vec(),
    };
    let each = |of: fn(&JobResult) -> &str| distinct(jobs.iter().map(|job| of(job)));
    let mut names = each(|job| &job.test);
    let mut checkouts = each(|job| &job.checkout);
    let mut configs = each(|job| &job.config);
    // Defaults are omitted, and too many names as well.
    if names.len() > NAMES_MAX {
        names.clear();
    }
    if checkouts == [BASE, SERIES] {
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
