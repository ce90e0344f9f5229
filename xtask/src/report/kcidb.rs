// SPDX-License-Identifier: MIT OR Apache-2.0
//! KCIDB JSON, for dashboards of many CI systems: checkouts, builds, tests, and issues.
//!
//! An expected failure on `base` is a `FAIL` of that kernel, because readers of the database
//! do not know the expectations of the tests. The expectation is in `misc`, and each expected
//! failure is an incident of an issue, as KCIDB represents known failures. A checkout is the
//! tree with all patches, including the prerequisites.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::input::Report;
use super::words::outcome;
use crate::job_plan::{BASE, SERIES};
use crate::result::{Cause, JobResult};
use crate::text::{distinct, head};
use selftests::expectation::Expected;
use selftests::status::Status;

/// The version of KCIDB's schema.
const VERSION: (u32, u32) = (5, 3);
/// The schema's limit for excerpts of a log, in characters.
const EXCERPT_BYTES_MAX: usize = 16_000;

/// Returns the report of the CI system `origin`.
pub(crate) fn text(report: &Report<'_>, origin: &str) -> String {
    let names = Names { report, origin };
    let checkouts = report.matrix.checkouts().into_iter();
    let kernels = report.matrix.kernels().into_iter();
    let tests = report.result.jobs.iter().map(|job| names.test(job));
    let mut document = json!({
        "version": {"major": VERSION.0, "minor": VERSION.1},
        "checkouts": distinct(checkouts.map(|checkout| names.checkout(checkout))),
        "builds": kernels
            .map(|(checkout, config)| names.build(checkout, config))
            .collect::<Vec<_>>(),
        "tests": tests.chain(names.not_tested()).collect::<Vec<_>>(),
        "issues": names.issues(),
        "incidents": names.incidents(),
    });
    without_nul(&mut document);
    format!("{document:#}\n")
}

/// Creates identifiers that are the same in every report.
#[derive(Clone, Copy)]
struct Names<'a> {
    report: &'a Report<'a>,
    origin: &'a str,
}

impl Names<'_> {
    /// Hash of the content if known, so that two runs of the same source share it.
    fn checkout_id(&self, checkout: &str) -> String {
        let result = self.report.result;
        let mut parts = vec![result.tree.as_str(), &result.provenance.tree_id];
        match result.provenance.patches_of(checkout) {
            Some(patches) => parts.extend(patches.iter().map(|patch| patch.sha256.as_str())),
            None => {
                parts.extend(result.prerequisites.iter().map(String::as_str));
                parts.extend([result.series.as_str(), checkout]);
            }
        }
        format!("{}:{}", self.origin, sum(&parts))
    }

    fn build_id(&self, checkout: &str, config: &str) -> String {
        let of = self.checkout_id(checkout);
        let id = match self.report.result.provenance.kernel(checkout, config) {
            Some(kernel) => sum(&[&of, &kernel.id]),
            None => sum(&[&of, config]),
        };
        format!("{}:{id}", self.origin)
    }

    /// Includes the host, because runs on different hosts may have the same name.
    fn test_id(&self, job: &JobResult) -> String {
        let provenance = &self.report.result.provenance;
        let run = match provenance.run.as_str() {
            "" => self.report.run,
            name => name,
        };
        let host = sum(&[run, &provenance.started, &provenance.host]);
        format!("{}:{}/{}", self.origin, &host[..16], job.artifacts)
    }

    fn issue_id(&self, scenario: &str) -> String {
        format!("{}:{scenario}", self.origin)
    }

    fn checkout(&self, checkout: &str) -> Value {
        let result = self.report.result;
        let provenance = &result.provenance;
        let mut entry = json!({
            "id": self.checkout_id(checkout),
            "origin": self.origin,
            "valid": true,
            "comment": format!("{checkout}: {} on {}", self.patch_list(checkout), result.tree),
            "misc": {
                "checkout": checkout,
                "tree": result.tree,
                "prerequisites": result.prerequisites,
            },
        });
        if let Some(patches) = provenance.patches_of(checkout) {
            let sums = patches.iter().map(|patch| patch.sha256.as_str());
            entry["patchset_hash"] = patchset_hash(sums).into();
        }
        if let Some(commit) = provenance.commit.as_deref().filter(|id| is_commit(id)) {
            entry["git_commit_hash"] = commit.into();
        }
        let series = provenance.judged.as_ref().filter(|_| checkout == SERIES);
        if let Some(id) = series.and_then(|series| series.message_id.as_deref()) {
            entry["message_id"] = id.into();
        }
        if !provenance.started.is_empty() {
            entry["start_time"] = provenance.started.as_str().into();
        }
        entry
    }

    fn patch_list(&self, checkout: &str) -> String {
        let result = self.report.result;
        let below = result.prerequisites.join(", ");
        match checkout {
            BASE if below.is_empty() => "no patches".to_owned(),
            BASE => below,
            SERIES if below.is_empty() => result.series.clone(),
            SERIES => format!("{below}, {}", result.series),
            other => format!("{below}, {other} of {}", result.series),
        }
    }

    /// A failed build ends the run, so all builds in the result passed.
    fn build(&self, checkout: &str, config: &str) -> Value {
        let provenance = &self.report.result.provenance;
        let mut build = json!({
            "id": self.build_id(checkout, config),
            "checkout_id": self.checkout_id(checkout),
            "origin": self.origin,
            "architecture": "x86_64",
            "config_name": config,
            "status": "PASS",
            "comment": format!("{checkout}, config {config}"),
        });
        if !provenance.toolchain.is_empty() {
            build["compiler"] = provenance.toolchain.as_str().into();
        }
        if let Some(kernel) = provenance.kernel(checkout, config) {
            build["duration"] = kernel.build_secs.into();
            build["misc"] = json!({"release": kernel.release, "kernel_id": kernel.id});
        }
        build
    }

    fn test(&self, job: &JobResult) -> Value {
        let provenance = &self.report.result.provenance;
        let mut test = json!({
            "id": self.test_id(job),
            "build_id": self.build_id(&job.checkout, &job.config),
            "origin": self.origin,
            "path": path(&self.report.result.collection, &job.test),
            "status": status(job),
            "duration": job.duration_ms as f64 / 1000.0,
            "comment": format!("{}: {}", outcome(job), job.reason),
            "environment": {
                "comment": format!("QEMU {}, machine {}", provenance.qemu, job.machine),
                "misc": {"machine": job.machine, "accelerator": job.accel, "host": provenance.host},
            },
            "misc": misc(job),
        });
        let excerpt = head(&self.report.splats_of(job), EXCERPT_BYTES_MAX);
        if !excerpt.is_empty() {
            test["log_excerpt"] = excerpt.into();
        }
        test
    }

    /// A missing test on each build with the series, if the series is not in the kernels:
    /// otherwise, a dashboard shows only passes for this patchset.
    fn not_tested(&self) -> Vec<Value> {
        let Some(why) = self.report.result.not_tested() else {
            return Vec::new();
        };
        let kernels = self.report.matrix.kernels().into_iter();
        let with_series = kernels.filter(|(checkout, _)| *checkout != BASE);
        let test = |(checkout, config): (&str, &str)| {
            let build = self.build_id(checkout, config);
            json!({
                "id": format!("{}:{}", self.origin, sum(&["not tested", self.report.run, &build])),
                "build_id": build,
                "origin": self.origin,
                "path": path(&self.report.result.collection, "series_is_in_the_kernel"),
                "status": "MISS",
                "comment": why,
            })
        };
        with_series.map(test).collect()
    }

    /// Known issues: the tests with expected failures.
    fn issues(&self) -> Vec<Value> {
        let tests: BTreeSet<&str> = self.xfails().map(|job| job.test.as_str()).collect();
        let issue = |test: &str| {
            json!({
                "id": self.issue_id(test),
                "version": 1,
                "origin": self.origin,
                "comment": format!("`{test}` fails without the fix"),
                "culprit": {"code": true, "tool": false, "harness": false},
            })
        };
        tests.into_iter().map(issue).collect()
    }

    fn incidents(&self) -> Vec<Value> {
        let incident = |job: &JobResult| {
            let test = self.test_id(job);
            json!({
                "id": format!("{}:{}", self.origin, sum(&[&test, &job.test])),
                "origin": self.origin,
                "issue_id": self.issue_id(&job.test),
                "issue_version": 1,
                "test_id": test,
                "present": true,
            })
        };
        self.xfails().map(incident).collect()
    }

    fn xfails(&self) -> impl Iterator<Item = &JobResult> {
        let jobs = self.report.result.jobs.iter();
        jobs.filter(|job| job.expectation == Expected::Fail && job.expected)
    }
}

/// A failure that the kernel causes is a `FAIL`. `ERROR` (caused by the test) and `MISS`
/// (caused by tool or host) are no results for the kernel.
fn status(job: &JobResult) -> &'static str {
    match (job.status, job.cause) {
        (Status::Pass, _) => "PASS",
        (Status::Skip, _) => "SKIP",
        (_, Some(Cause::Test)) => "ERROR",
        (_, Some(Cause::Tool | Cause::Infrastructure)) => "MISS",
        (Status::Fail | Status::Crash | Status::Hang, _) => "FAIL",
        (Status::Error, _) => "MISS",
    }
}

fn misc(job: &JobResult) -> Value {
    json!({
        "status": job.status,
        "expected": job.expectation,
        "as_expected": job.expected,
        "as_recorded": job.snapshot_difference.is_none(),
        "repetition": job.repetition,
        "splats": job.splats,
    })
}

/// Returns the path of a test in KCIDB's name space, which all CI systems share: suite first;
/// kselftests are in `kselftest`.
fn path(collection: &str, test: &str) -> String {
    let full = match test.split_once(':') {
        Some((target, test)) => format!("kselftest.{}.{test}", target.replace('/', "-")),
        None => format!("kselftest.{collection}.{test}"),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let parts = full.split('.').filter(|part| !part.is_empty());
    let parts: Vec<String> = parts
        .map(|part| part.replace(|c| !allowed(c), "_"))
        .collect();
    parts.join(".")
}

fn is_commit(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The database refuses NUL in text.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|character| character != '\0'),
        Value::Array(values) => values.iter_mut().for_each(without_nul),
        Value::Object(map) => map.values_mut().for_each(without_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Same as `sha256sum *.patch | cut -c-64 | sha256sum`; empty without patches.
fn patchset_hash<'a>(sums: impl Iterator<Item = &'a str>) -> String {
    let lines: String = sums.map(|sum| format!("{sum}\n")).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("{:x}", Sha256::digest(lines))
}

fn sum(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{hostile, result};

    fn document(report: &Report<'_>) -> Value {
        serde_json::from_str(&text(report, "us")).unwrap()
    }

    #[test]
    fn text_has_fail_and_an_incident_for_an_expected_failure() {
        let result = result();
        let document = document(&Report::new(&result, "RUN", ""));
        let lines: Vec<String> = document["tests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|test| {
                let expected = &test["misc"]["as_expected"];
                format!(
                    "{} {} as expected: {expected}",
                    test["path"], test["status"]
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
        assert_eq!(document["checkouts"].as_array().unwrap().len(), 2);
        assert_eq!(document["builds"].as_array().unwrap().len(), 2);
        assert_eq!(document["issues"][0]["id"], "us:held-object");
        let incident = &document["incidents"][0];
        assert_eq!(incident["test_id"], document["tests"][0]["id"]);
        assert_eq!(document["checkouts"][1]["message_id"], "s@example.org");
    }

    #[test]
    fn text_has_a_missing_test_if_the_series_is_not_in_the_kernels() {
        let result = crate::report::tests::not_tested();
        let document = document(&Report::new(&result, "RUN", ""));
        let tests = document["tests"].as_array().unwrap();
        assert_eq!(tests.len(), 3);
        assert_eq!(tests[2]["status"], "MISS");
        assert_eq!(tests[2]["comment"], crate::report::tests::NOT_TESTED);
        assert_eq!(tests[2]["build_id"], document["builds"][1]["id"]);
    }

    #[test]
    fn ids_of_equal_runs_are_equal_and_of_different_runs_differ() {
        let one = result();
        let mut other = one.clone();
        other.provenance.started = "2026-11-27T00:00:00Z".to_owned();
        let documents = [&one, &one, &other].map(|one| document(&Report::new(one, "RUN", "")));
        assert_eq!(documents[0], documents[1]);
        assert_eq!(
            documents[0]["builds"][0]["id"],
            documents[2]["builds"][0]["id"]
        );
        assert_ne!(
            documents[0]["tests"][0]["id"],
            documents[2]["tests"][0]["id"]
        );
    }

    #[test]
    fn path_and_text_of_hostile_names_fit_the_schema() {
        assert_eq!(
            path("liveupdate_pci", "a.b c"),
            "kselftest.liveupdate_pci.a.b_c"
        );
        assert_eq!(
            path("liveupdate_pci", "net/lib:x..y"),
            "kselftest.net-lib.x.y"
        );
        let result = hostile();
        let test = document(&Report::new(&result, "RUN", ""))["tests"][0].clone();
        assert!(!test.to_string().contains("\\u0000"), "{test}");
    }

    #[test]
    fn patchset_hash_is_the_hash_of_the_sums() {
        assert_eq!(patchset_hash(std::iter::empty()), "");
        // printf 'aa\nbb\n' | sha256sum
        let known = "329d670e59ead1543a2d36865895972560bc434204c5f4a0c8219005dd312719";
        assert_eq!(patchset_hash(["aa", "bb"].into_iter()), known);
    }
}
