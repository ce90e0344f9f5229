// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a run: the content of `result.json`, and the exit code.
//!
//! A stable format: fields may be added but not renamed. The schema is checked in beside
//! `Cargo.toml` of this crate.

mod coverage;
mod job;
mod matrix;
mod patch;
mod proof;
mod provenance;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use selftests::expectation::Expected;
use selftests::status::Status;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::job_plan::{JobPlan, SERIES};

pub use selftests::status::Cause;

pub use coverage::Coverage;
pub use job::{Cached, JobResult};
pub use matrix::{Group, Mark, Matrix, RateResult};
pub use patch::{CheckoutResult, PatchResult, StatusChange};
pub use proof::{Detection, MutantResult, MutantStatus, SelfCheckResult, Tally};
pub use provenance::{KernelFacts, PatchFacts, Provenance, SeriesFacts};
pub use vm_images::transcript::BootMode;

/// The version of this format.
pub const SCHEMA: u32 = 2;

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
    /// The kselftest collection of the scenarios: the folder of their programs in
    /// `tools/testing/selftests`.
    #[serde(default)]
    pub collection: String,
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
    pub checkouts: Vec<CheckoutResult>,
    /// The results that each patch of the series changes, derived from the jobs; empty if
    /// too few checkouts were tested.
    #[serde(default)]
    pub patches: Vec<PatchResult>,
    /// The results of the fault-injection self-check of each build.
    pub self_checks: Vec<SelfCheckResult>,
    /// The mutants of the series and their results.
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
        if let Some(coverage) = &self.coverage {
            coverage.check()?;
        }
        let plans: Vec<JobPlan> = self.jobs.iter().map(JobResult::plan).collect();
        crate::job_plan::check_jobs(&plans)?;
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
        let matrix = Matrix::of(&jobs);
        let tests = tests_of(&matrix);
        let rates = matrix::rates(&matrix);
        Self {
            schema: SCHEMA,
            exit_code,
            tree,
            series,
            prerequisites,
            collection: String::new(),
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
        self.with_exit_code()
    }

    /// Adds the coverage of the series by the kernels that were run.
    pub fn with_coverage(mut self, coverage: Option<Coverage>) -> Self {
        if let Some(coverage) = &coverage {
            coverage.correct(&mut self.patches);
        }
        self.coverage = coverage;
        self.with_exit_code()
    }

    /// Adds the results of the self-checks.
    pub fn with_self_checks(mut self, self_checks: Vec<SelfCheckResult>) -> Self {
        self.self_checks = self_checks;
        self.with_exit_code()
    }

    /// Adds the results of mutants.
    pub fn with_mutants(mut self, mutants: Vec<MutantResult>) -> Self {
        self.mutants = mutants;
        self.with_exit_code()
    }

    fn with_exit_code(mut self) -> Self {
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the number of jobs with a property.
    pub fn count(&self, has: impl Fn(&JobResult) -> bool) -> usize {
        self.jobs.iter().filter(|job| has(job)).count()
    }

    /// Returns whether the run has mutants, but each of them has the code of another checkout or
    /// does not compile.
    pub fn no_mutant_was_run(&self) -> bool {
        let was_run = |mutant: &MutantResult| {
            !matches!(
                mutant.status,
                MutantStatus::SameCode | MutantStatus::Unviable
            )
        };
        !self.mutants.is_empty() && !self.mutants.iter().any(was_run)
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

    /// Returns the exit code. A missed fault or mutant is a finding. A series that is not in
    /// the kernels is not tested, even if all jobs passed.
    pub fn exit(&self) -> Exit {
        match self.exit_by_results() {
            Exit::Ok if self.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        }
    }

    fn exit_by_results(&self) -> Exit {
        let is_finding = self.no_mutant_was_run()
            || self.self_checks.iter().any(SelfCheckResult::is_finding)
            || self.mutants.iter().any(MutantResult::is_finding);
        let is_inconclusive = self
            .self_checks
            .iter()
            .any(SelfCheckResult::is_inconclusive)
            || self.mutants.iter().any(MutantResult::is_inconclusive);
        match exit(&self.jobs) {
            _ if is_finding => Exit::Finding,
            Exit::Ok if is_inconclusive => Exit::Infrastructure,
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

fn tests_of(matrix: &Matrix<'_>) -> Vec<TestResult> {
    let of_test = |test: &str| -> Vec<&JobResult> {
        let jobs = matrix.groups().iter().flat_map(|group| group.jobs());
        jobs.copied().filter(|job| job.test == test).collect()
    };
    let result = |name: &str, jobs: &[&JobResult]| {
        let failed = jobs
            .iter()
            .filter(|job| matches!(job.status, Status::Fail | Status::Crash));
        let mut without_series = failed.clone().filter(|job| job.checkout != SERIES);
        let failed_on: BTreeSet<&str> = failed.map(|job| job.checkout.as_str()).collect();
        TestResult {
            name: name.to_owned(),
            fails_without_series: !failed_on.contains(SERIES)
                && without_series.any(|job| job.expectation == Expected::Fail && job.expected),
            failed_on: failed_on.into_iter().map(str::to_owned).collect(),
        }
    };
    let tests = matrix.tests().into_iter();
    tests
        .map(|name| (name, of_test(name)))
        .filter(|(_, jobs)| jobs.iter().any(|job| !job.kselftest))
        .map(|(name, jobs)| result(name, &jobs))
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
    use vm_images::accel::Accelerator;

    use super::*;

    pub(crate) use super::coverage::tests::not_in_kernel;
    pub(crate) use super::proof::tests::{mutant, one_of_each};
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
        let tests: Vec<_> = tests_of(&Matrix::of(&jobs))
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
