// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a run: the content of `result.json`, and the exit code.
//!
//! A stable format: fields may be added but not renamed. The schema is checked in beside
//! `Cargo.toml` of this crate.

mod coverage;
mod mutant;
mod patch;
mod provenance;
mod rate;
mod self_check;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::Status;
use serde::{Deserialize, Serialize};
use vm_images::accel::Accelerator;

use crate::engine::checkouts::SERIES;
use crate::engine::plan::{self, JobPlan};
use crate::exit::Exit;

pub use selftests::status::Cause;
pub use vm_images::transcript::BootMode;

pub use coverage::Coverage;
pub use mutant::{MutantResult, MutantStatus, Tally};
pub use patch::{CheckoutResult, PatchResult, StatusChange};
pub use provenance::{KernelFacts, PatchFacts, Provenance, SeriesFacts};
pub use rate::RateResult;
pub use self_check::{Detection, SelfCheckResult};

/// The version of this format.
pub const SCHEMA: u32 = 2;

/// One job's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobResult {
    /// The test's name: a scenario's name, or `TARGET:TEST` for a kselftest of the tree.
    pub test: String,
    /// Whether the test is a kselftest of the tree. A kselftest that could not run has the
    /// status `skip`, which is expected but not counted as a pass.
    #[serde(default)]
    pub kselftest: bool,
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The machine's name.
    pub machine: String,
    /// The architecture of the kernel, as the kernel names it: `x86_64`.
    pub arch: String,
    /// The number of the repetition, from 1.
    pub repetition: u32,
    /// `pass`, `fail`, `crash`, `hang`, `skip` or `error`.
    pub status: Status,
    /// The cause, if the job neither passed nor was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The status that the test expects on this checkout: `pass` or `fail`; `not-asserted`
    /// if the checkout has only a part of a series without which the test fails.
    pub expectation: Expected,
    /// Whether the status is the expected one.
    pub expected: bool,
    /// Whether the job failed and the failure is expected.
    pub xfail: bool,
    /// The reason for the status, in a sentence.
    pub reason: String,
    /// From starting QEMU until the first kernel is ready, in milliseconds.
    pub boot_ms: u64,
    /// `restore` when the guest was restored from a checkpoint, `cold` when it booted,
    /// `cold-instead` when it booted because the restore failed; empty when no guest was
    /// started.
    #[serde(default, with = "word_or_empty")]
    #[schemars(with = "String")]
    pub boot_mode: Option<BootMode>,
    /// Whether the job shared its guest with other jobs.
    #[serde(default)]
    pub shared: bool,
    /// Duration of the whole job, in milliseconds.
    pub duration_ms: u64,
    /// `kvm` or `tcg`; empty when no guest was started.
    #[serde(with = "word_or_empty")]
    #[schemars(with = "String")]
    pub accel: Option<Accelerator>,
    /// The job's folder, relative to the run folder.
    pub artifacts: String,
    /// The difference between the result and its snapshot, if there is a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_difference: Option<String>,
    /// Titles of the kernel reports.
    #[serde(default)]
    pub splats: Vec<String>,
    /// The earlier run that the result is reused from, because build, test and machine are
    /// unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// Writes an absent value as an empty word, as schema 2 requires.
mod word_or_empty {
    use serde::de::{DeserializeOwned, Error};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(word) if word.is_empty() => Ok(None),
            word => serde_json::from_value(word)
                .map(Some)
                .map_err(D::Error::custom),
        }
    }
}

/// An earlier run of the same `watch`, and the time of the job in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cached {
    /// The name of its run folder.
    pub run: String,
    /// End of the job, in local time with its UTC offset.
    pub at: String,
}

impl JobResult {
    /// Returns the planned job of this result.
    pub fn plan(&self) -> JobPlan {
        JobPlan {
            test: self.test.clone(),
            config: self.config.clone(),
            checkout: self.checkout.clone(),
            machine: self.machine.clone(),
            repetition: self.repetition,
        }
    }

    /// Returns whether the result needs attention: it is a finding or inconclusive.
    pub fn needs_attention(&self) -> bool {
        !self.expected || self.snapshot_difference.is_some()
    }

    /// Returns whether the result is a finding: an unexpected status of the kernel or the
    /// test, or a difference from the snapshot.
    pub fn is_finding(&self) -> bool {
        self.needs_attention() && !self.is_inconclusive()
    }

    /// Returns whether the tool or the host failed, so that the job has no result for the
    /// kernel.
    pub fn is_inconclusive(&self) -> bool {
        self.status == Status::Error
    }

    /// Returns whether the job was skipped as expected: neither a pass nor a finding.
    pub fn is_skipped(&self) -> bool {
        self.status == Status::Skip && self.expected
    }

    /// Returns whether the result is as expected and not skipped. Every output counts these.
    pub fn is_good(&self) -> bool {
        !self.needs_attention() && !self.is_skipped()
    }

    /// Makes the job inconclusive, because its artifacts could not be written.
    pub fn make_inconclusive(&mut self, why: &anyhow::Error) {
        self.status = Status::Error;
        self.cause = Some(Cause::Infrastructure);
        self.expected = false;
        self.xfail = false;
        self.reason = format!("the job's folder cannot be written: {why:#}");
    }
}

/// The result of a test over all its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// Whether the test failed as expected on a checkout without the whole series, and did not
    /// fail on the checkout with it.
    pub fails_without_series: bool,
    /// The checkouts on which the test failed.
    pub failed_on: Vec<String>,
}

/// The content of `result.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// The version of this format: 2.
    pub schema: u32,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The tree, as printed.
    pub tree: String,
    /// The series under test.
    pub series: String,
    /// The series that are applied first, in every checkout.
    pub prerequisites: Vec<String>,
    /// Time, host, tools and sources of the run.
    #[serde(default)]
    pub provenance: Provenance,
    /// The jobs, in the order of the plan.
    pub jobs: Vec<JobResult>,
    /// The scenarios by name, without kselftests of the tree.
    pub tests: Vec<TestResult>,
    /// The number of jobs for each status, for tests that ran several times.
    #[serde(default)]
    pub rates: Vec<RateResult>,
    /// The checkouts under test, in the order of the table.
    #[serde(default)]
    pub checkouts: Vec<CheckoutResult>,
    /// The results that each patch of the series changes, derived from the jobs; empty if
    /// too few checkouts were tested.
    #[serde(default)]
    pub patches: Vec<PatchResult>,
    /// The results of the fault-injection self-check of each build.
    #[serde(default)]
    pub self_checks: Vec<SelfCheckResult>,
    /// The mutants of the series and their results.
    #[serde(default)]
    pub mutants: Vec<MutantResult>,
    /// The part of the series that is in the kernels that were run; absent in runs that did
    /// not record it.
    /// Recorded by `test`; `report` does not compute it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

impl RunResult {
    /// Checks that this program can have written the result.
    ///
    /// # Errors
    /// Names the first value that this program does not write.
    pub fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            let schema = self.schema;
            return Err(format!("`schema` is {schema}, expected {SCHEMA}"));
        }
        let plans: Vec<JobPlan> = self.jobs.iter().map(JobResult::plan).collect();
        plan::check_jobs(&plans)?;
        for (index, (plan, job)) in plans.iter().zip(&self.jobs).enumerate() {
            if plan.folder() != job.artifacts {
                let (found, expected) = (&job.artifacts, plan.folder());
                return Err(format!(
                    "`jobs[{index}].artifacts`: found `{found}`, expected `{expected}`"
                ));
            }
        }
        Ok(())
    }

    /// Returns the result for these jobs, with tests, pass rates and exit code computed.
    pub fn new(
        tree: String,
        series: String,
        prerequisites: Vec<String>,
        jobs: Vec<JobResult>,
    ) -> Self {
        let exit_code = exit(&jobs) as u8;
        let tests = tests_of(&jobs);
        let rates = rate::rates(&jobs);
        Self {
            schema: SCHEMA,
            exit_code,
            tree,
            series,
            prerequisites,
            provenance: Provenance::default(),
            jobs,
            tests,
            rates,
            checkouts: Vec::new(),
            patches: Vec::new(),
            self_checks: Vec::new(),
            mutants: Vec::new(),
            coverage: None,
        }
    }

    /// Adds the checkouts, the results that each patch changes, and the findings for tests
    /// that a patch breaks again after an earlier patch fixed them.
    pub fn with_checkouts(mut self, checkouts: Vec<CheckoutResult>) -> Self {
        patch::find_broken_again(&mut self.jobs, &checkouts);
        self.patches = patch::patches(&self.jobs, &checkouts);
        self.checkouts = checkouts;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Adds the coverage of the series by the kernels that were run.
    pub fn with_coverage(mut self, coverage: Option<Coverage>) -> Self {
        if let Some(coverage) = &coverage {
            coverage.correct(&mut self.patches);
        }
        self.coverage = coverage;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the reason why the run does not test the series or a part of it, in a sentence.
    pub fn not_tested(&self) -> Option<&str> {
        self.coverage.as_ref()?.summary.as_deref()
    }

    /// Returns the same sentence if it alone decides the exit code.
    pub fn only_not_tested(&self) -> Option<&str> {
        self.not_tested()
            .filter(|_| self.exit_by_results() == Exit::Ok)
    }

    /// Adds the results of the self-checks.
    pub fn with_self_checks(mut self, self_checks: Vec<SelfCheckResult>) -> Self {
        self.self_checks = self_checks;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Adds the results of mutants.
    pub fn with_mutants(mut self, mutants: Vec<MutantResult>) -> Self {
        self.mutants = mutants;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the exit code. A missed fault or mutant is a finding. A series that is not in
    /// the kernels is not tested, even if all jobs passed.
    pub fn exit(&self) -> Exit {
        match self.exit_by_results() {
            Exit::Ok if self.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        }
    }

    fn exit_by_results(&self) -> Exit {
        let was_run = |mutant: &MutantResult| {
            !matches!(
                mutant.status,
                MutantStatus::SameCode | MutantStatus::Unviable
            )
        };
        let no_mutant_was_run = !self.mutants.is_empty() && !self.mutants.iter().any(was_run);
        let is_finding = no_mutant_was_run
            || self.self_checks.iter().any(SelfCheckResult::is_finding)
            || self.mutants.iter().any(MutantResult::is_finding);
        match exit(&self.jobs) {
            _ if is_finding => Exit::Finding,
            Exit::Ok if self.mutants.iter().any(MutantResult::is_inconclusive) => {
                Exit::Infrastructure
            }
            other => other,
        }
    }
}

/// Returns the exit code for these jobs. A finding decides it, even if other jobs are
/// inconclusive. A run in which every test was skipped is a finding.
pub fn exit(jobs: &[JobResult]) -> Exit {
    if jobs.iter().any(JobResult::is_finding) || jobs.iter().all(JobResult::is_skipped) {
        Exit::Finding
    } else if jobs.iter().any(JobResult::is_inconclusive) {
        Exit::Infrastructure
    } else {
        Exit::Ok
    }
}

fn tests_of(jobs: &[JobResult]) -> Vec<TestResult> {
    let scenarios = jobs.iter().filter(|job| !job.kselftest);
    let names: BTreeSet<&String> = scenarios.map(|job| &job.test).collect();
    names
        .into_iter()
        .map(|name| {
            let failed: Vec<&JobResult> = jobs
                .iter()
                .filter(|job| job.test == *name)
                .filter(|job| matches!(job.status, Status::Fail | Status::Crash))
                .collect();
            let failed_on: BTreeSet<String> =
                failed.iter().map(|job| job.checkout.clone()).collect();
            TestResult {
                name: name.clone(),
                fails_without_series: failed.iter().any(|job| {
                    job.checkout != SERIES && job.expectation == Expected::Fail && job.expected
                }) && failed.iter().all(|job| job.checkout != SERIES),
                failed_on: failed_on.into_iter().collect(),
            }
        })
        .collect()
}

/// Returns the JSON schema of `result.json`.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RunResult);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) use super::coverage::tests::not_in_kernel;
    pub(crate) use super::mutant::tests::{mutant, one_of_each};
    pub(crate) use super::provenance::tests::provenance;

    /// Returns the value with this name in `result.json`.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(word: &str) -> T {
        serde_json::from_value(word.into()).unwrap_or_else(|error| panic!("{word}: {error}"))
    }

    pub(crate) fn job(
        scenario: &str,
        checkout: &str,
        status: &str,
        expectation: &str,
    ) -> JobResult {
        let (status, expectation): (Status, Expected) = (parse(status), parse(expectation));
        let good = match (status, expectation) {
            (Status::Pass, Expected::Pass) | (Status::Fail | Status::Crash, Expected::Fail) => true,
            (status, _) => scenario.contains(':') && status == Status::Skip,
        };
        JobResult {
            test: scenario.to_owned(),
            kselftest: scenario.contains(':'),
            checkout: checkout.to_owned(),
            config: "fast".to_owned(),
            machine: "edu-pair".to_owned(),
            arch: "x86_64".to_owned(),
            repetition: 1,
            status,
            expectation,
            expected: good,
            xfail: good && expectation == Expected::Fail,
            reason: format!("{status} for a reason"),
            cause: (!good).then_some(Cause::Kernel),
            boot_ms: 1500,
            duration_ms: 2500,
            boot_mode: Some(BootMode::Restore),
            shared: false,
            accel: Some(Accelerator::Tcg),
            artifacts: format!("fast/{checkout}/{scenario}"),
            snapshot_difference: None,
            splats: Vec::new(),
            cached: None,
        }
    }

    #[test]
    fn check_rejects_wrong_schema_folder_and_duplicate_job() {
        let jobs = vec![
            job("a", "base", "pass", "pass"),
            job("b", "base", "pass", "pass"),
        ];
        let good = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
        assert_eq!(good.check(), Ok(()));
        let error = |change: &dyn Fn(&mut RunResult)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check().unwrap_err()
        };
        assert_eq!(error(&|bad| bad.schema = 99), "`schema` is 99, expected 2");
        assert_eq!(
            error(&|bad| bad.jobs[1].artifacts = "../x".to_owned()),
            "`jobs[1].artifacts`: found `../x`, expected `fast/base/b`"
        );
        let twice = error(&|bad| bad.jobs[1] = bad.jobs[0].clone());
        assert_eq!(twice, "`jobs[1]`: duplicate job a on base (fast)");
    }

    #[test]
    fn exit_returns_finding_before_inconclusive_and_for_no_pass() {
        let good = job("s", "series", "pass", "pass");
        let bad = job("s", "series", "fail", "pass");
        let broken = job("s", "series", "error", "pass");
        assert_eq!(exit(std::slice::from_ref(&good)), Exit::Ok);
        assert_eq!(exit(&[good.clone(), bad.clone()]), Exit::Finding);
        assert_eq!(exit(&[good.clone(), broken.clone()]), Exit::Infrastructure);
        assert_eq!(exit(&[broken, bad]), Exit::Finding);
        assert_eq!(exit(&[]), Exit::Finding, "a run without jobs has no result");
        let skipped = job("t:a", "series", "skip", "pass");
        assert_eq!(exit(&[good.clone(), skipped.clone()]), Exit::Ok);
        assert_eq!(exit(&[skipped.clone(), skipped]), Exit::Finding);
        let changed = JobResult {
            snapshot_difference: Some("-a +b".to_owned()),
            ..good
        };
        assert_eq!(exit(&[changed]), Exit::Finding);
    }

    #[test]
    fn exit_depends_on_the_status_of_mutants() {
        let of = |statuses: &[MutantStatus]| {
            let jobs = vec![job("s", "series", "pass", "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
            let mutants = statuses.iter().map(|status| mutant("m", *status));
            result.with_mutants(mutants.collect()).exit()
        };
        assert_eq!(of(&[]), Exit::Ok);
        assert_eq!(
            of(&[MutantStatus::Caught, MutantStatus::SameCode]),
            Exit::Ok
        );
        assert_eq!(
            of(&[MutantStatus::Caught, MutantStatus::Missed]),
            Exit::Finding
        );
        assert_eq!(
            of(&[MutantStatus::SameCode, MutantStatus::Unviable]),
            Exit::Finding
        );
        assert_eq!(
            of(&[MutantStatus::Missed, MutantStatus::Inconclusive]),
            Exit::Finding
        );
        assert_eq!(
            of(&[MutantStatus::Caught, MutantStatus::Inconclusive]),
            Exit::Infrastructure
        );
    }

    #[test]
    fn exit_is_3_if_the_series_is_not_in_the_kernel_and_no_finding_exists() {
        let of = |status: &str| {
            let jobs = vec![job("s", "series", status, "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
            let result = result.with_coverage(Some(not_in_kernel()));
            assert_eq!(result.exit_code, result.exit() as u8);
            (result.exit(), result.only_not_tested().is_some())
        };
        assert_eq!(of("pass"), (Exit::Infrastructure, true));
        assert_eq!(of("fail"), (Exit::Finding, false));
        assert_eq!(of("error"), (Exit::Infrastructure, false));
    }

    #[test]
    fn tests_of_marks_tests_that_fail_where_a_failure_is_expected() {
        let jobs = [
            job("fixed", "base", "crash", "fail"),
            job("fixed", "series", "pass", "pass"),
            job("always", "base", "pass", "pass"),
            job("broken", "series", "fail", "pass"),
            job("tree:own", "series", "fail", "pass"),
        ];
        let tests: Vec<_> = tests_of(&jobs)
            .into_iter()
            .map(|test| (test.name, test.fails_without_series, test.failed_on))
            .collect();
        let expected = [
            ("always".to_owned(), false, vec![]),
            ("broken".to_owned(), false, vec!["series".to_owned()]),
            ("fixed".to_owned(), true, vec!["base".to_owned()]),
        ];
        assert_eq!(tests, expected, "without kselftests of the tree");
    }

    #[test]
    fn json_schema_equals_the_checked_in_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/result.schema.json");
        let there = fs_err::read_to_string(path).unwrap_or_default();
        assert!(
            there == json_schema(),
            "run `cargo xtask generate` and commit the result"
        );
    }
}
