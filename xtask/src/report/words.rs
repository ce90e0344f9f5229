// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts of a run in words. Every format takes them from here, so that all have the same.

use super::input::Report;
use crate::result::{Detection, JobResult, MutantStatus, RunResult, Tally};
use crate::text::one_line;
use selftests::expectation::Expected;
use selftests::status::Status;

// Labels of the lines of a finding, of the same width.
pub(crate) const CAUSE: &str = "cause:     ";
pub(crate) const PASS_RATE: &str = "pass rate: ";
pub(crate) const LOG: &str = "log:       ";
pub(crate) const REPRODUCE: &str = "reproduce: ";

/// The result of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    AsExpected,
    Finding,
    Inconclusive,
    /// All results are as expected, but the series is not in the kernels.
    NotTested,
}

impl Conclusion {
    pub(crate) fn of(result: &RunResult) -> Self {
        match result.exit_code {
            _ if result.only_not_tested().is_some() => Self::NotTested,
            0 => Self::AsExpected,
            1 => Self::Finding,
            _ => Self::Inconclusive,
        }
    }

    /// Returns the label of the last line.
    pub(crate) const fn label(self) -> &'static str {
        self.words().0
    }

    /// Returns the word for a headline.
    pub(crate) const fn word(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::AsExpected => ("OK", "as expected"),
            Self::Finding => ("FINDING", "finding"),
            Self::Inconclusive => ("INCONCLUSIVE", "inconclusive"),
            Self::NotTested => ("not tested", "not tested"),
        }
    }
}

pub(crate) fn name(job: &JobResult) -> String {
    format!("{} on {} ({})", job.test, job.checkout, job.config)
}

pub(crate) fn outcome(job: &JobResult) -> String {
    let JobResult {
        status,
        expectation,
        ..
    } = job;
    match (status, expectation) {
        (Status::Pass, Expected::Fail) if !job.expected => "unexpected pass".to_owned(),
        _ if !job.expected => format!("{status}, expected {expectation}"),
        _ if job.snapshot_difference.is_some() => format!("{status}, {}", differ(1)),
        _ if job.xfail => format!("{status}, expected failure"),
        _ => status.to_string(),
    }
}

const fn differ(count: usize) -> &'static str {
    match count {
        1 => "differs from its snapshot",
        _ => "differ from their snapshots",
    }
}

pub(crate) fn count_tests(count: usize) -> String {
    match count {
        1 => "1 test".to_owned(),
        count => format!("{count} tests"),
    }
}

pub(crate) fn counts(jobs: &[JobResult]) -> Vec<String> {
    let count = |has: fn(&JobResult) -> bool| jobs.iter().filter(|job| has(job)).count();
    let good = count(JobResult::is_good);
    let mut counts = vec![format!("{good} of {} results as expected", jobs.len())];
    match count(JobResult::is_skipped) {
        0 => {}
        skipped => counts.push(format!("{skipped} skipped")),
    }
    match count(|job| job.snapshot_difference.is_some()) {
        0 => {}
        changed => counts.push(format!("{changed} {}", differ(changed))),
    }
    counts
}

/// Returns the number of tests that fail without the series, if the run has a checkout on
/// which a test is expected to fail.
pub(crate) fn fails_without_series(result: &RunResult) -> Option<String> {
    if result.count(|job| job.expectation == Expected::Fail) == 0 {
        return None;
    }
    let tests = result.tests.iter();
    let failing = tests.filter(|test| test.fails_without_series).count();
    let verb = if failing == 1 { "fails" } else { "fail" };
    let all = count_tests(result.tests.len());
    Some(format!("{failing} of {all} {verb} without the series"))
}

/// Returns the counts of a run, one sentence without a full stop.
pub(crate) fn summary(result: &RunResult) -> String {
    let counts = counts(&result.jobs).join(", ");
    match fails_without_series(result) {
        Some(failing) => format!("{counts}; {failing}"),
        None => counts,
    }
}

pub(crate) fn subject(result: &RunResult, separator: &str) -> String {
    let prerequisites = match result.prerequisites.join(", ") {
        none if none.is_empty() => none,
        some => format!("{separator}every checkout has {some}"),
    };
    format!("{} on {}{prerequisites}", result.series, result.tree)
}

pub(crate) fn notes(result: &RunResult) -> impl Iterator<Item = &String> {
    result.coverage.iter().flat_map(|coverage| &coverage.notes)
}

pub(crate) fn patches(result: &RunResult) -> impl Iterator<Item = &str> {
    let patches = result.patches.iter();
    patches.map(|patch| patch.sentence.as_str())
}

/// Returns the result of a run in one sentence without a full stop: the counts of results that
/// need attention, or that all results are as expected.
pub(crate) fn headline(result: &RunResult) -> String {
    let not_tested = result.not_tested().map(str::to_owned);
    let problems: Vec<String> = not_tested.into_iter().chain(problems(result)).collect();
    if !problems.is_empty() {
        return problems.join(", ");
    }
    let total = result.jobs.len();
    let skipped = result.count(JobResult::is_skipped);
    let sentence = match total - skipped {
        0 if total > 0 => return "No result: every test was skipped".to_owned(),
        0 => return "No result: no test ran".to_owned(),
        good if skipped > 0 => {
            let are = count_of(good, total, "result");
            format!("{are} as expected, the others were skipped")
        }
        1 => "The only result is as expected".to_owned(),
        good => format!("All {good} results are as expected"),
    };
    match result.exit_code {
        0 => sentence,
        // The sentences have no reason for this exit code.
        code => format!("{sentence}, but the exit code is {code}"),
    }
}

/// Returns the counts of results that need attention, each as a part of a sentence.
fn problems(result: &RunResult) -> Vec<String> {
    let total = result.jobs.len();
    let unexpected = result.count(|job| !job.expected && !job.is_inconclusive());
    let changed = result.count(|job| job.expected && job.needs_attention());
    let inconclusive = result.count(JobResult::is_inconclusive);
    let mutants = Tally::of(&result.mutants);
    let run = mutants.testable() + mutants.count(MutantStatus::Inconclusive);
    let faults = |detections: &[Detection]| {
        let faults = result.self_checks.iter();
        faults
            .filter(|one| detections.contains(&one.detection))
            .count()
    };
    let missed = faults(&[Detection::Missed]);
    let without_result = faults(&[Detection::Inconclusive]);
    let injected = missed + without_result + faults(&[Detection::Detected]);
    let (tested, equivalent) = (mutants.testable(), mutants.count(MutantStatus::Equivalent));
    let proofs = [
        (
            mutants.count(MutantStatus::Missed),
            tested,
            "mutant",
            "missed by all tests",
        ),
        (
            mutants.count(MutantStatus::Inconclusive),
            run,
            "mutant",
            "inconclusive",
        ),
        (
            mutants.disproved(),
            equivalent,
            "equivalent mutant",
            "caught",
        ),
        (missed, injected, "injected fault", "missed"),
        (without_result, injected, "injected fault", "inconclusive"),
    ];
    let is = |(some, total, noun, state): (usize, usize, &str, &str)| {
        (some > 0).then(|| format!("{} {state}", count_of(some, total, noun)))
    };
    let differing = || format!("{} {}", ratio(changed, total, "result"), differ(changed));
    let results = [
        is((unexpected, total, "result", "not as expected")),
        (changed > 0).then(differing),
        is((inconclusive, total, "result", "inconclusive")),
    ];
    let problems = results.into_iter().chain(proofs.map(is));
    problems.flatten().collect()
}

fn count_of(some: usize, total: usize, noun: &str) -> String {
    let are = if some == 1 { "is" } else { "are" };
    format!("{} {are}", ratio(some, total, noun))
}

fn ratio(some: usize, total: usize, noun: &str) -> String {
    let plural = if total == 1 { "" } else { "s" };
    format!("{some} of {total} {noun}{plural}")
}

/// Returns the job that decides the exit code. With exit code 1, this is a finding (of a test,
/// self-check or mutant), not an inconclusive job.
pub(crate) fn decisive<'a>(report: &Report<'a>) -> Option<&'a JobResult> {
    let decides = |job: &&JobResult| report.result.exit_code != 1 || !job.is_inconclusive();
    report.findings().find(decides)
}

/// Returns the last line behind its label: the reason for the exit code.
pub(crate) fn last_line(report: &Report<'_>) -> String {
    let result = report.result;
    if let Some(why) = result.only_not_tested() {
        let label = format!("{}: ", Conclusion::NotTested.label());
        return one_line(why.strip_prefix(&label).unwrap_or(why));
    }
    let Some(first) = decisive(report) else {
        return match result.exit_code {
            0 => "every result is as expected".to_owned(),
            _ => reason_without_job(result),
        };
    };
    let is_same_kind = |job: &&JobResult| job.is_inconclusive() == first.is_inconclusive();
    let more = first_of(report.findings().filter(is_same_kind).count());
    let reason: Vec<&str> = first.reason.split_whitespace().collect();
    let reason = one_line(&reason.join(" "));
    format!("{}: {}{more}: {reason}", name(first), outcome(first))
}

fn first_of(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        some => format!(" (the first of {some})"),
    }
}

/// Returns the reason for the exit code if no job needs attention. A finding decides the exit
/// code, so findings come before inconclusive results.
fn reason_without_job(result: &RunResult) -> String {
    self_check(result, Detection::Missed)
        .or_else(|| mutant(result, MutantStatus::Missed))
        .or_else(|| mutant(result, MutantStatus::Equivalent))
        .or_else(|| nothing_was_run(result))
        .or_else(|| self_check(result, Detection::Inconclusive))
        .or_else(|| mutant(result, MutantStatus::Inconclusive))
        .unwrap_or_else(|| "see above".to_owned())
}

fn self_check(result: &RunResult, detection: Detection) -> Option<String> {
    let mut self_checks = result.self_checks.iter();
    let one = self_checks.find(|one| one.detection == detection)?;
    let (name, word) = (&one.name, detection.word());
    let place = format!("{} ({})", one.checkout, one.config);
    Some(format!(
        "self-check: injected fault {name} {word} on {place}"
    ))
}

fn mutant(result: &RunResult, status: MutantStatus) -> Option<String> {
    let findings = || result.mutants.iter().filter(|one| one.needs_attention());
    let mutant = findings().find(|one| one.status == status)?;
    let more = first_of(findings().count());
    Some(format!(
        "mutant `{}` is {}{more}",
        mutant.name,
        mutant.word()
    ))
}

fn nothing_was_run(result: &RunResult) -> Option<String> {
    let reason = if result.jobs.iter().all(JobResult::is_skipped) {
        "all tests were skipped"
    } else if result.no_mutant_was_run() {
        "no mutant was run: each has the same code as the series or does not compile"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;
    use crate::result::tests::{job, mutant, one_of_each};

    #[test]
    fn headline_of_each_kind_of_result() {
        let of = |jobs: Vec<JobResult>| headline(&run(jobs));
        let good = || job("s", "series", "pass", "pass");
        let differing = || {
            let mut job = good();
            job.snapshot_difference = Some("-a +b".to_owned());
            job
        };
        let sentences = [
            of(vec![good()]),
            of(vec![good(), good()]),
            of(vec![good(), job("t:a", "series", "skip", "pass")]),
            of(vec![job("t:a", "series", "skip", "pass")]),
            of(vec![]),
            of(vec![good(), job("s", "series", "error", "pass")]),
            of(vec![good(), differing()]),
            of(vec![differing(), differing()]),
            of(vec![
                job("s", "series", "fail", "pass"),
                job("t", "series", "fail", "pass"),
                job("u", "series", "error", "pass"),
            ]),
        ];
        insta::assert_snapshot!(sentences.join("\n"), @"
        The only result is as expected
        All 2 results are as expected
        1 of 2 results is as expected, the others were skipped
        No result: every test was skipped
        No result: no test ran
        1 of 2 results is inconclusive
        1 of 2 results differs from its snapshot
        2 of 2 results differ from their snapshots
        2 of 3 results are not as expected, 1 of 3 results is inconclusive
        ");
    }

    #[test]
    fn headline_counts_missed_equivalent_and_inconclusive_mutants() {
        let of = |mutants| {
            let jobs = vec![job("one", "series", "pass", "pass")];
            headline(&run(jobs).with_mutants(mutants))
        };
        assert_eq!(
            of(one_of_each()),
            "1 of 2 mutants is missed by all tests, 1 of 2 equivalent mutants is caught"
        );
        let inconclusive = vec![
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Inconclusive),
        ];
        assert_eq!(of(inconclusive), "1 of 2 mutants is inconclusive");
    }
}
