// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checkouts under test, and the results that each patch changes.

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::{Cause, Status};
use serde::{Deserialize, Serialize};

use super::job::JobResult;
use super::matrix::{Group, Matrix};
use crate::job_plan::SERIES;
use crate::text::distinct;

/// One checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckoutResult {
    /// `base`, `patch-1` and so on, `series`, or `mutant-NAME`.
    pub name: String,
    /// The subjects of the patches of the series that are in it, in their order.
    pub patches: Vec<String>,
    /// The names of the series that are in it completely.
    pub contains: Vec<String>,
}

/// The results that a patch, or several consecutive patches, change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchResult {
    /// Number of the first patch, from 1.
    pub first: usize,
    /// Number of the last patch: the same, unless no checkout between them was tested.
    pub last: usize,
    /// The subject of the first patch.
    pub subject: String,
    /// The changes in one sentence.
    pub sentence: String,
    /// Each test whose status it changes.
    pub changes: Vec<StatusChange>,
}

/// A test whose status a patch changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusChange {
    /// The test's name.
    pub test: String,
    /// The config's name.
    pub config: String,
    /// The status without the patch.
    pub from: String,
    /// The status with it.
    pub to: String,
    /// The reason of the status that is not a pass, in a sentence.
    pub reason: String,
    /// Whether `to` is the expected status.
    pub is_expected: bool,
}

/// At most this many tests of each kind are named in a sentence.
const NAMED: usize = 2;
/// At most this many characters of a reason are quoted in a sentence.
const REASON_MAX: usize = 100;
const PASS: &str = Status::Pass.word();

/// Returns the results that each patch changes, from the jobs of the checkouts before and
/// after it. Patches between which no checkout was tested are taken together.
pub(crate) fn patches(jobs: &[JobResult], checkouts: &[CheckoutResult]) -> Vec<PatchResult> {
    let matrix = Matrix::of(jobs);
    let pairs = checkouts.windows(2);
    pairs
        .filter_map(|pair| between(&matrix, &pair[0], &pair[1]))
        .collect()
}

fn between(
    matrix: &Matrix<'_>,
    before: &CheckoutResult,
    after: &CheckoutResult,
) -> Option<PatchResult> {
    let (first, last) = (before.patches.len() + 1, after.patches.len());
    let subject = after.patches.get(first - 1)?.clone();
    let changes: Vec<StatusChange> = matrix
        .groups()
        .iter()
        .filter(|group| group.first().checkout == before.name)
        .filter_map(|group| change(group, on(matrix, group.first(), &after.name)?))
        .collect();
    Some(PatchResult {
        first,
        last,
        subject,
        sentence: sentence(first, last, &changes),
        changes,
    })
}

/// Returns the same test with the same config on a checkout.
fn on<'m, 'a>(matrix: &'m Matrix<'a>, job: &JobResult, checkout: &str) -> Option<&'m Group<'a>> {
    matrix.get(&job.test, &job.config, checkout)
}

fn change(before: &Group<'_>, after: &Group<'_>) -> Option<StatusChange> {
    let ((from, reason), (to, broken)) = (combined(before)?, combined(after)?);
    (from != to).then(|| StatusChange {
        test: before.first().test.clone(),
        config: before.first().config.clone(),
        reason: if from == PASS { broken } else { reason },
        from,
        to,
        is_expected: after.all(|job| job.expected),
    })
}

/// Returns the status of all repetitions and the reason of the first that did not pass. If
/// statuses differ, the status is the number of passes.
fn combined(group: &Group<'_>) -> Option<(String, String)> {
    // An error of the host or the tool must not be attributed to the patch.
    if group.any(JobResult::is_inconclusive) {
        return None;
    }
    let first = group.first().status;
    let status = if group.all(|job| job.status == first) {
        first.to_string()
    } else {
        let passes = group.count(|job| job.status == Status::Pass);
        format!("{passes} passes of {}", group.jobs().len())
    };
    let mut jobs = group.jobs().iter();
    let bad = jobs.find(|job| job.status != Status::Pass);
    Some((status, bad.map_or(String::new(), |job| why(job))))
}

/// Returns a short reason why a job did not pass: the title of the first kernel report, if
/// there is a report.
fn why(job: &JobResult) -> String {
    let text = job.splats.first().unwrap_or(&job.reason);
    let line = text.lines().next().unwrap_or_default();
    // The compared values are lines of C; the job's own reason has them.
    let line = line.split(" (Expected ").next().unwrap_or(line);
    match line.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// Returns the numbers of patches as printed.
pub(super) fn span(first: usize, last: usize) -> String {
    match first == last {
        true => format!("patch {first}"),
        false => format!("patches {first} to {last}"),
    }
}

fn sentence(first: usize, last: usize, changes: &[StatusChange]) -> String {
    let subject = span(first, last);
    let verb = if first == last { "changes" } else { "change" };
    let (bad, rest): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.from == PASS);
    let (good, other): (Vec<_>, Vec<_>) = rest.into_iter().partition(|change| change.to == PASS);
    let parts: Vec<String> = [good, bad, other]
        .iter()
        .filter_map(|some| list(some))
        .collect();
    match parts.is_empty() {
        true => format!("{subject} {verb} no status"),
        false => format!("{subject} {verb} {}", parts.join("; and ")),
    }
}

/// Returns "`a` from crash (REASON) to pass, `b` from ...", or the number of tests and the first
/// names if there are more.
fn list(changes: &[&StatusChange]) -> Option<String> {
    let expected = |all: bool| if all { " (expected failure)" } else { "" };
    let name = |change: &&StatusChange| {
        let StatusChange { test, from, to, .. } = change;
        let why = match change.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        match from.as_str() {
            PASS => format!(
                "`{test}` from pass to {to}{}{why}",
                expected(change.is_expected)
            ),
            from => format!("`{test}` from {from}{why} to {to}"),
        }
    };
    if changes.len() <= NAMED {
        let named: Vec<String> = changes.iter().map(name).collect();
        return (!named.is_empty()).then(|| named.join(", "));
    }
    let all = |of: fn(&StatusChange) -> &str| distinct(changes.iter().map(|one| of(one)));
    let (from, to) = (all(|one| &one.from), all(|one| &one.to));
    let is_failure = from == [PASS] && changes.iter().all(|one| one.is_expected);
    let named: Vec<String> = all(|one| &one.test)
        .iter()
        .take(NAMED)
        .map(|test| format!("`{test}`"))
        .collect();
    Some(format!(
        "{} tests from {} to {}{}: {} and {} more",
        changes.len(),
        from.join(" or "),
        to.join(" or "),
        expected(is_failure),
        named.join(", "),
        changes.len() - NAMED
    ))
}

/// Finds tests that a patch breaks again after an earlier patch fixed them, and makes these
/// jobs unexpected.
pub(super) fn find_broken_again(jobs: &mut [JobResult], checkouts: &[CheckoutResult]) {
    let matrix = Matrix::of(&*jobs);
    let broken: Vec<(usize, String)> = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.expectation == Expected::Either && job.status != Status::Pass)
        .filter_map(|(index, job)| Some((index, fixed_by(&matrix, job, checkouts)?)))
        .collect();
    for (index, checkout) in broken {
        let job = &mut jobs[index];
        job.expected = false;
        job.xfail = false;
        job.cause = Some(Cause::Kernel);
        job.reason = format!("passed on {checkout} and fails again: {}", job.reason);
    }
}

/// Returns the last checkout before the job's on which the test passed although no pass was
/// asserted.
fn fixed_by(matrix: &Matrix<'_>, of: &JobResult, checkouts: &[CheckoutResult]) -> Option<String> {
    // A test that must fail with the whole series starts to fail at some patch.
    let whole = on(matrix, of, SERIES);
    if whole.is_some_and(|group| group.any(|job| job.expectation == Expected::Fail)) {
        return None;
    }
    let passes = |checkout: &&CheckoutResult| {
        let group = on(matrix, of, &checkout.name);
        group.is_some_and(|group| {
            group.any(|job| job.expectation == Expected::Either)
                && group.all(|job| job.status == Status::Pass)
        })
    };
    let at = checkouts.iter().position(|one| one.name == of.checkout)?;
    let checkout = checkouts[..at].iter().rev().find(passes)?;
    Some(checkout.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    fn checkouts() -> Vec<CheckoutResult> {
        let subjects = ["one", "two", "three"].map(str::to_owned);
        let checkout = |name: &str, patches: usize| CheckoutResult {
            name: name.to_owned(),
            patches: subjects[..patches].to_vec(),
            contains: Vec::new(),
        };
        vec![
            checkout("base", 0),
            checkout("patch-1", 1),
            checkout("patch-2", 2),
            checkout("series", 3),
        ]
    }

    fn sentences(jobs: &[JobResult], checkouts: &[CheckoutResult]) -> String {
        let all = patches(jobs, checkouts);
        let lines: Vec<String> = all.iter().map(|one| one.sentence.clone()).collect();
        lines.join("\n")
    }

    #[test]
    fn patches_ignores_jobs_with_an_error() {
        let jobs = [
            job("held", "base", "pass", "pass"),
            job("held", "series", "error", "pass"),
        ];
        let checkouts = checkouts();
        let ends = [checkouts[0].clone(), checkouts[3].clone()];
        assert_eq!(sentences(&jobs, &ends), "patches 1 to 3 change no status");
    }

    #[test]
    fn patches_returns_a_sentence_for_each_patch() {
        let mut jobs = vec![
            job("held", "base", "crash", "fail"),
            job("held", "patch-1", "pass", "not-asserted"),
            job("held", "patch-2", "pass", "not-asserted"),
            job("held", "series", "pass", "pass"),
            job("kexec", "base", "pass", "pass"),
            job("kexec", "patch-1", "pass", "pass"),
            job("kexec", "patch-2", "pass", "pass"),
            job("kexec", "series", "hang", "pass"),
        ];
        jobs[0].splats = vec!["KASAN: slab-use-after-free Read in f".to_owned()];
        insta::assert_snapshot!(sentences(&jobs, &checkouts()), @r"
        patch 1 changes `held` from crash (KASAN: slab-use-after-free Read in f) to pass
        patch 2 changes no status
        patch 3 changes `kexec` from pass to hang (hang for a reason)
        ");
        let ends = [checkouts().remove(0), checkouts().remove(3)];
        insta::assert_snapshot!(sentences(&jobs, &ends), @"patches 1 to 3 change `held` from crash (KASAN: slab-use-after-free Read in f) to pass; and `kexec` from pass to hang (hang for a reason)");
    }

    #[test]
    fn sentence_counts_the_tests_if_there_are_many() {
        let fixed = ["a", "b", "c"].iter().flat_map(|test| {
            let status = if *test == "b" { "crash" } else { "fail" };
            [
                job(test, "base", status, "fail"),
                job(test, "series", "pass", "pass"),
            ]
        });
        let broken = [
            job("d", "base", "pass", "pass"),
            job("d", "series", "hang", "pass"),
        ];
        let jobs: Vec<JobResult> = fixed.chain(broken).collect();
        let ends = [checkouts().remove(0), checkouts().remove(3)];
        insta::assert_snapshot!(sentences(&jobs, &ends), @"patches 1 to 3 change 3 tests from fail or crash to pass: `a`, `b` and 1 more; and `d` from pass to hang (hang for a reason)");
    }

    #[test]
    fn find_broken_again_makes_a_test_that_fails_again_unexpected() {
        let mut jobs = vec![
            job("held", "base", "crash", "fail"),
            job("held", "patch-1", "pass", "not-asserted"),
            job("held", "patch-2", "crash", "not-asserted"),
            job("held", "series", "pass", "pass"),
            job("late", "patch-1", "fail", "not-asserted"),
            job("late", "patch-2", "pass", "not-asserted"),
        ];
        for job in &mut jobs {
            job.expected = true;
        }
        find_broken_again(&mut jobs, &checkouts());
        let bad: Vec<&str> = jobs
            .iter()
            .filter(|job| !job.expected)
            .map(|job| job.reason.as_str())
            .collect();
        assert_eq!(
            bad,
            ["passed on patch-1 and fails again: crash for a reason"]
        );
    }
}
