// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checkouts under test, and the results that each patch changes.

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::Status;
use serde::{Deserialize, Serialize};

use super::{Cause, JobResult};
use crate::engine::checkouts::SERIES;

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

/// Returns the results that each patch changes, from the jobs of the checkouts before and
/// after it. Patches between which no checkout was tested are taken together.
pub(crate) fn patches(jobs: &[JobResult], checkouts: &[CheckoutResult]) -> Vec<PatchResult> {
    let pairs = checkouts.windows(2);
    pairs
        .filter_map(|pair| between(jobs, &pair[0], &pair[1]))
        .collect()
}

fn between(
    jobs: &[JobResult],
    before: &CheckoutResult,
    after: &CheckoutResult,
) -> Option<PatchResult> {
    let (first, last) = (before.patches.len() + 1, after.patches.len());
    let subject = after.patches.get(first - 1)?.clone();
    let changes = changes(jobs, &before.name, &after.name);
    let sentence = sentence(first, last, &changes);
    Some(PatchResult {
        first,
        last,
        subject,
        sentence,
        changes,
    })
}

/// Returns the tests whose status differs, in the order of the jobs.
fn changes(jobs: &[JobResult], before: &str, after: &str) -> Vec<StatusChange> {
    let mut changes: Vec<StatusChange> = Vec::new();
    for job in jobs.iter().filter(|job| job.checkout == before) {
        let is_known =
            |change: &StatusChange| change.test == job.test && change.config == job.config;
        if changes.iter().any(is_known) {
            continue;
        }
        let (from, to) = (all_of(jobs, job, before), all_of(jobs, job, after));
        let (Some((from, reason)), Some((to, broken))) = (from, to) else {
            continue;
        };
        if from != to {
            changes.push(StatusChange {
                test: job.test.clone(),
                config: job.config.clone(),
                reason: if from == PASS { broken } else { reason },
                from,
                to: to.clone(),
                is_expected: is_expected(jobs, job, after),
            });
        }
    }
    changes
}

/// Returns the status of all repetitions of a job on a checkout and the reason of the first
/// that did not pass. If statuses differ, the status is the number of passes.
fn all_of(jobs: &[JobResult], of: &JobResult, checkout: &str) -> Option<(String, String)> {
    let all: Vec<&JobResult> = repetitions(jobs, of, checkout).collect();
    let first = all.first()?;
    // An error of the host or the tool must not be attributed to the patch.
    if all.iter().any(|job| job.is_inconclusive()) {
        return None;
    }
    let bad = all.iter().find(|job| job.status != Status::Pass);
    let status = if all.iter().all(|job| job.status == first.status) {
        first.status.to_string()
    } else {
        let passes = all.iter().filter(|job| job.status == Status::Pass).count();
        format!("{passes} passes of {}", all.len())
    };
    Some((status, bad.map_or(String::new(), |job| why(job))))
}

const PASS: &str = "pass";

fn is_expected(jobs: &[JobResult], of: &JobResult, checkout: &str) -> bool {
    repetitions(jobs, of, checkout).all(|job| job.expected)
}

/// Returns all repetitions of the same job on a checkout.
fn repetitions<'a>(
    jobs: &'a [JobResult],
    of: &'a JobResult,
    checkout: &'a str,
) -> impl Iterator<Item = &'a JobResult> + Clone {
    jobs.iter().filter(move |job| {
        job.test == of.test && job.config == of.config && job.checkout == checkout
    })
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

fn sentence(first: usize, last: usize, changes: &[StatusChange]) -> String {
    let subject = match (first, last) {
        (first, last) if first == last => format!("patch {first}"),
        (first, last) => format!("patches {first} to {last}"),
    };
    let verb = if first == last { "changes" } else { "change" };
    let (bad, rest): (Vec<&StatusChange>, Vec<&StatusChange>) =
        changes.iter().partition(|change| change.from == PASS);
    let (good, other): (Vec<&StatusChange>, Vec<&StatusChange>) =
        rest.iter().partition(|change| change.to == PASS);
    let parts: Vec<String> = [good, bad, other]
        .iter()
        .filter_map(|some| list(some))
        .collect();
    match (parts.is_empty(), first == last) {
        (true, true) => format!("{subject} changes no status"),
        (true, false) => format!("{subject} change no status"),
        (false, _) => format!("{subject} {verb} {}", parts.join("; and ")),
    }
}

/// Returns "`a` from crash (REASON) to pass, `b` from ..., and 3 more tests in the same way".
fn list(changes: &[&StatusChange]) -> Option<String> {
    if changes.is_empty() {
        return None;
    }
    let name = |change: &&StatusChange| {
        let why = if change.reason.is_empty() {
            String::new()
        } else {
            format!(" ({})", change.reason)
        };
        match change.from.as_str() {
            PASS if change.is_expected => {
                format!(
                    "`{}` from pass to {} (expected failure){why}",
                    change.test, change.to
                )
            }
            PASS => format!("`{}` from pass to {}{why}", change.test, change.to),
            from => format!("`{}` from {from}{why} to {}", change.test, change.to),
        }
    };
    let mut text = changes
        .iter()
        .take(NAMED)
        .map(name)
        .collect::<Vec<_>>()
        .join(", ");
    if changes.len() > NAMED {
        text += &format!(", and {} more tests in the same way", changes.len() - NAMED);
    }
    Some(text)
}

/// Finds tests that a patch breaks again after an earlier patch fixed them, and makes these
/// jobs unexpected.
pub(super) fn find_broken_again(jobs: &mut [JobResult], checkouts: &[CheckoutResult]) {
    for later in 1..checkouts.len() {
        let broken: Vec<(usize, String)> = (0..jobs.len())
            .filter(|&index| jobs[index].checkout == checkouts[later].name)
            .filter(|&index| {
                jobs[index].expectation == Expected::Either && jobs[index].status != Status::Pass
            })
            .filter_map(|index| Some((index, fixed_by(jobs, &jobs[index], &checkouts[..later])?)))
            .collect();
        for (index, checkout) in broken {
            let job = &mut jobs[index];
            job.expected = false;
            job.xfail = false;
            job.cause = Some(Cause::Kernel);
            job.reason = format!("passed on {checkout} and fails again: {}", job.reason);
        }
    }
}

/// Returns the last of the checkouts on which a test passed although no pass was asserted.
fn fixed_by(jobs: &[JobResult], of: &JobResult, before: &[CheckoutResult]) -> Option<String> {
    let passes = |checkout: &&CheckoutResult| {
        let mut same = repetitions(jobs, of, &checkout.name);
        let is_not_asserted = same.clone().any(|job| job.expectation == Expected::Either);
        // A test that must fail with the whole series starts to fail at some patch.
        let mut whole = repetitions(jobs, of, SERIES);
        let fails_in_the_end = whole.any(|job| job.expectation == Expected::Fail);
        is_not_asserted && !fails_in_the_end && same.all(|job| job.status == Status::Pass)
    };
    let checkout = before.iter().rev().find(passes)?;
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
