// SPDX-License-Identifier: GPL-2.0-only
//! What a run came to: the content of `result.json`, and the exit code it leads to.
//!
//! A contract: fields may be added, none renamed. The schema is checked in
//! beside this room's `Cargo.toml`.

mod coverage;
mod mutant;
mod patch;
mod provenance;
mod rate;
mod self_check;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::plan::{self, JobPlan};

pub(crate) use selftests::status::Cause;

pub(crate) use coverage::Coverage;
pub(crate) use mutant::{MutantResult, MutantStatus, Tally};
pub(crate) use patch::{CheckoutResult, PatchResult, StatusChange};
pub(crate) use provenance::{KernelFacts, PatchFacts, Provenance, SeriesFacts};
pub(crate) use rate::RateResult;
pub(crate) use self_check::{Detection, SelfCheckResult};

/// The version of this format.
pub(crate) const SCHEMA: u32 = 2;

/// One job's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct JobResult {
    /// The test's name: that of a scenario, or `TARGET:TEST` for a kselftest of the tree.
    pub(crate) test: String,
    /// Whether it is a kselftest of the tree. One that could not run has the status `skip`
    /// and is expected, but it is not counted as a pass.
    #[serde(default)]
    pub(crate) kselftest: bool,
    /// The checkout's name.
    pub(crate) checkout: String,
    /// The config's name.
    pub(crate) config: String,
    /// The machine's name.
    pub(crate) machine: String,
    /// The architecture of the kernel, in the kernel's own words: `x86_64`.
    pub(crate) arch: String,
    /// The number of the repetition, from 1.
    pub(crate) repetition: u32,
    /// `pass`, `fail`, `crash`, `hang`, `skip` or `error`.
    pub(crate) status: String,
    /// The cause, of a job that did not pass and was not skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
    /// What the scenario expects on this checkout: `pass` or `fail`; `not-asserted` where
    /// the checkout has only a part of a series without which the scenario fails.
    pub(crate) expectation: String,
    /// Whether the status is what the scenario expects on this checkout.
    pub(crate) expected: bool,
    /// Whether the job failed where the scenario expects a failure.
    pub(crate) xfail: bool,
    /// The reason for the status, in a sentence.
    pub(crate) reason: String,
    /// From starting QEMU until the first kernel is ready, in milliseconds.
    pub(crate) boot_ms: u64,
    /// `restore` when the guest was restored from a checkpoint, `cold` when it booted,
    /// `cold-instead` when it booted because the restore failed; empty when no guest was
    /// started.
    #[serde(default)]
    pub(crate) boot_mode: String,
    /// Whether it shared its guest with other jobs.
    #[serde(default)]
    pub(crate) shared: bool,
    /// The whole job, in milliseconds.
    pub(crate) duration_ms: u64,
    /// `kvm` or `tcg`; empty when no guest was started.
    pub(crate) accel: String,
    /// The job's folder, relative to the run folder.
    pub(crate) artifacts: String,
    /// How the result differs from the recorded one, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_difference: Option<String>,
    /// Titles of the kernel's reports.
    #[serde(default)]
    pub(crate) splats: Vec<String>,
    /// The earlier run that the result was taken from, because neither build, test nor
    /// machine had changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cached: Option<Cached>,
}

/// An earlier run of the same `watch`, and when it had the job's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Cached {
    /// The name of its run folder.
    pub(crate) run: String,
    /// When the job had ended, in local time with its offset.
    pub(crate) at: String,
}

impl JobResult {
    /// Returns the job that it is the result of.
    pub(crate) fn plan(&self) -> JobPlan {
        JobPlan {
            test: self.test.clone(),
            config: self.config.clone(),
            checkout: self.checkout.clone(),
            machine: self.machine.clone(),
            repetition: self.repetition,
        }
    }

    /// Returns whether a person should look at it: it is a finding or inconclusive.
    pub(crate) fn is_finding(&self) -> bool {
        !self.expected || self.snapshot_difference.is_some()
    }

    /// Returns whether the tool or the host failed, so that the run says nothing about the
    /// kernel.
    pub(crate) fn is_inconclusive(&self) -> bool {
        self.status == "error"
    }

    /// Returns whether it is neither proven nor a finding.
    pub(crate) fn is_skipped(&self) -> bool {
        self.status == "skip" && self.expected
    }

    /// Takes the verdict back: the host failed to keep what it rests on.
    pub(crate) fn give_up(&mut self, why: &anyhow::Error) {
        "error".clone_into(&mut self.status);
        self.cause = Some(Cause::Infrastructure);
        self.expected = false;
        self.xfail = false;
        self.reason = format!("the job's folder cannot be written: {why:#}");
    }
}

/// What a scenario showed over all its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TestResult {
    /// The scenario's name.
    pub(crate) name: String,
    /// Whether it failed on at least one checkout that should be bad.
    pub(crate) fails_without_series: bool,
    /// The checkouts it failed on.
    pub(crate) failed_on: Vec<String>,
}

/// The content of `result.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RunResult {
    /// The version of this format: 2.
    pub(crate) schema: u32,
    /// What the command exited with.
    pub(crate) exit_code: u8,
    /// The tree, for people.
    pub(crate) tree: String,
    /// The series judged.
    pub(crate) series: String,
    /// The series below every checkout.
    pub(crate) prerequisites: Vec<String>,
    /// When, where, by what and of what the run was made.
    #[serde(default)]
    pub(crate) provenance: Provenance,
    /// The jobs, in the order of the plan.
    pub(crate) jobs: Vec<JobResult>,
    /// The scenarios, by name, without the tests of the tree's own.
    pub(crate) tests: Vec<TestResult>,
    /// How often what came to what, of scenarios that ran several times.
    #[serde(default)]
    pub(crate) rates: Vec<RateResult>,
    /// The source states that were judged, in the order of the table.
    #[serde(default)]
    pub(crate) checkouts: Vec<CheckoutResult>,
    /// What each patch of the series changes, told from the table alone; empty where
    /// too few checkouts were judged to tell.
    #[serde(default)]
    pub(crate) patches: Vec<PatchResult>,
    /// What each kernel showed that it can see, before its verdicts counted.
    #[serde(default)]
    pub(crate) self_checks: Vec<SelfCheckResult>,
    /// The mistakes that were put into the series, and what came of each.
    #[serde(default)]
    pub(crate) mutants: Vec<MutantResult>,
    /// What of the series was in the kernels that were run; absent in a run that did not
    /// record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<Coverage>,
}

impl RunResult {
    /// Makes sure that it is one that this program writes.
    ///
    /// # Errors
    /// Says what is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            let schema = self.schema;
            return Err(format!("its `schema` is {schema}, and not {SCHEMA}"));
        }
        let plans: Vec<JobPlan> = self.jobs.iter().map(JobResult::plan).collect();
        plan::check_jobs(&plans)?;
        for (index, (plan, job)) in plans.iter().zip(&self.jobs).enumerate() {
            if plan.folder() != job.artifacts {
                let (told, own) = (&job.artifacts, plan.folder());
                return Err(format!("`jobs[{index}].artifacts`: `{told}`, not `{own}`"));
            }
        }
        Ok(())
    }

    /// Returns the result for these jobs, with fails_without_series and exit code worked out.
    pub(crate) fn new(
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

    /// Returns the result with what is known of the checkouts: what each patch changes, and
    /// whether one breaks what an earlier one has fixed.
    pub(crate) fn with_checkouts(mut self, checkouts: Vec<CheckoutResult>) -> Self {
        patch::hold_in_order(&mut self.jobs, &checkouts);
        self.patches = patch::patches(&self.jobs, &checkouts);
        self.checkouts = checkouts;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the result with what of the series was in the kernels.
    pub(crate) fn with_coverage(mut self, coverage: Option<Coverage>) -> Self {
        if let Some(coverage) = &coverage {
            coverage.correct(&mut self.patches);
        }
        self.coverage = coverage;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns why the run does not test the series, or a part of it, in a sentence.
    pub(crate) fn not_tested(&self) -> Option<&str> {
        self.coverage.as_ref()?.summary.as_deref()
    }

    /// Returns the same sentence where nothing worse came of the run.
    pub(crate) fn only_not_tested(&self) -> Option<&str> {
        let is_finding = self.jobs.iter().any(JobResult::is_finding);
        self.not_tested()
            .filter(|_| self.exit_code == Exit::Infrastructure as u8 && !is_finding)
    }

    /// Returns the result with what the kernels showed that they can see.
    pub(crate) fn with_self_checks(mut self, self_checks: Vec<SelfCheckResult>) -> Self {
        self.self_checks = self_checks;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the result with what came of mutants.
    pub(crate) fn with_mutants(mut self, mutants: Vec<MutantResult>) -> Self {
        self.mutants = mutants;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns what the command exits with. Where a self_check is blind, what passed may
    /// not have; where a mutant lives, what failed may not have been looked for.
    /// A series that was not in the kernels is not tested, whatever passed.
    pub(crate) fn exit(&self) -> Exit {
        match self.exit_by_outcomes() {
            Exit::Ok if self.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        }
    }

    fn exit_by_outcomes(&self) -> Exit {
        let was_run = |one: &MutantResult| {
            !matches!(one.status, MutantStatus::SameCode | MutantStatus::Unviable)
        };
        let none_was_run = !self.mutants.is_empty() && !self.mutants.iter().any(was_run);
        let is_unproven = |one: &MutantResult| one.status == MutantStatus::Inconclusive;
        let is_finding = none_was_run
            || self.self_checks.iter().any(SelfCheckResult::is_finding)
            || self
                .mutants
                .iter()
                .any(|one| one.is_finding() && !is_unproven(one));
        match exit(&self.jobs) {
            _ if is_finding => Exit::Finding,
            Exit::Ok if self.mutants.iter().any(is_unproven) => Exit::Infrastructure,
            other => other,
        }
    }
}

/// Returns the exit code for these jobs. A finding decides, whatever else could not be
/// run: it is a fact about the kernel. A run in which every test was skipped is a finding.
pub(crate) fn exit(jobs: &[JobResult]) -> Exit {
    let is_finding = |job: &JobResult| job.is_finding() && !job.is_inconclusive();
    if jobs.iter().any(is_finding) || jobs.iter().all(JobResult::is_skipped) {
        Exit::Finding
    } else if jobs.iter().any(JobResult::is_inconclusive) {
        Exit::Infrastructure
    } else {
        Exit::Ok
    }
}

fn tests_of(jobs: &[JobResult]) -> Vec<TestResult> {
    let ours = jobs.iter().filter(|job| !job.kselftest);
    let names: BTreeSet<&String> = ours.map(|job| &job.test).collect();
    names
        .into_iter()
        .map(|name| {
            let failed: Vec<&JobResult> = jobs
                .iter()
                .filter(|job| job.test == *name)
                .filter(|job| job.status == "fail" || job.status == "crash")
                .collect();
            let failed_on: BTreeSet<String> =
                failed.iter().map(|job| job.checkout.clone()).collect();
            TestResult {
                name: name.clone(),
                fails_without_series: failed
                    .iter()
                    .any(|job| job.expectation == "fail" && job.expected),
                failed_on: failed_on.into_iter().collect(),
            }
        })
        .collect()
}

/// Returns the JSON schema of `result.json`.
pub(crate) fn json_schema() -> String {
    let schema = schemars::schema_for!(RunResult);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) use super::coverage::tests::nothing;
    pub(crate) use super::mutant::tests::{mutant, one_of_each};
    pub(crate) use super::provenance::tests::provenance;

    pub(crate) fn job(
        scenario: &str,
        checkout: &str,
        status: &str,
        expectation: &str,
    ) -> JobResult {
        let good = status == expectation
            || (expectation == "fail" && status == "crash")
            || (scenario.contains(':') && status == "skip");
        JobResult {
            test: scenario.to_owned(),
            kselftest: scenario.contains(':'),
            checkout: checkout.to_owned(),
            config: "fast".to_owned(),
            machine: "edu-pair".to_owned(),
            arch: "x86_64".to_owned(),
            repetition: 1,
            status: status.to_owned(),
            expectation: expectation.to_owned(),
            expected: good,
            xfail: good && expectation == "fail",
            reason: format!("{status} for a reason"),
            cause: (!good).then_some(Cause::Kernel),
            boot_ms: 1500,
            duration_ms: 2500,
            boot_mode: "restore".to_owned(),
            shared: false,
            accel: "tcg".to_owned(),
            artifacts: format!("fast/{checkout}/{scenario}"),
            snapshot_difference: None,
            splats: Vec::new(),
            cached: None,
        }
    }

    #[test]
    fn a_result_that_we_do_not_write_is_told() {
        let jobs = vec![
            job("a", "base", "pass", "pass"),
            job("b", "base", "pass", "pass"),
        ];
        let good = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
        assert_eq!(good.check(), Ok(()));
        let said = |change: &dyn Fn(&mut RunResult)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check().unwrap_err()
        };
        assert_eq!(
            said(&|bad| bad.schema = 99),
            "its `schema` is 99, and not 2"
        );
        assert_eq!(
            said(&|bad| bad.jobs[1].artifacts = "../x".to_owned()),
            "`jobs[1].artifacts`: `../x`, not `fast/base/b`"
        );
        let twice = said(&|bad| bad.jobs[1] = bad.jobs[0].clone());
        assert_eq!(twice, "`jobs[1]`: a on base (fast) is there twice");
    }

    #[test]
    fn exit_code_of_a_finding_beats_the_one_of_an_inconclusive_job() {
        let good = job("s", "series", "pass", "pass");
        let bad = job("s", "series", "fail", "pass");
        let broken = job("s", "series", "error", "pass");
        assert_eq!(exit(std::slice::from_ref(&good)), Exit::Ok);
        assert_eq!(exit(&[good.clone(), bad.clone()]), Exit::Finding);
        assert_eq!(exit(&[good.clone(), broken.clone()]), Exit::Infrastructure);
        assert_eq!(exit(&[broken, bad]), Exit::Finding);
        assert_eq!(
            exit(&[]),
            Exit::Finding,
            "nothing that ran is nothing proven"
        );
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
    fn the_exit_code_follows_mutants_as_well() {
        let of = |fates: &[MutantStatus]| {
            let jobs = vec![job("s", "series", "pass", "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
            let mutants = fates.iter().map(|status| mutant("m", *status));
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
    fn exit_is_3_where_the_series_is_not_in_the_kernel_unless_there_is_a_finding() {
        let of = |status: &str| {
            let jobs = vec![job("s", "series", status, "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), jobs);
            let result = result.with_coverage(Some(nothing()));
            assert_eq!(result.exit_code, result.exit() as u8);
            (result.exit(), result.only_not_tested().is_some())
        };
        assert_eq!(of("pass"), (Exit::Infrastructure, true));
        assert_eq!(of("fail"), (Exit::Finding, false));
        assert_eq!(of("error"), (Exit::Infrastructure, false));
    }

    #[test]
    fn tests_of_lists_failures_where_a_failure_is_expected() {
        let jobs = [
            job("bisected", "base", "crash", "fail"),
            job("bisected", "series", "pass", "pass"),
            job("barks", "base", "pass", "pass"),
            job("broken", "series", "fail", "pass"),
            job("tree:own", "series", "fail", "pass"),
        ];
        let tests: Vec<_> = tests_of(&jobs)
            .into_iter()
            .map(|s| (s.name, s.fails_without_series, s.failed_on))
            .collect();
        assert_eq!(tests[0], ("barks".to_owned(), false, vec![]));
        assert_eq!(
            tests[1],
            ("bisected".to_owned(), true, vec!["base".to_owned()])
        );
        assert_eq!(
            tests[2],
            ("broken".to_owned(), false, vec!["series".to_owned()])
        );
        assert_eq!(tests.len(), 3, "kselftests of the tree are not listed");
    }

    #[test]
    fn the_schema_that_is_checked_in_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/result.schema.json");
        let there = fs_err::read_to_string(path).unwrap_or_default();
        assert!(
            there == json_schema(),
            "run `cargo xtask generate` and commit the result"
        );
    }
}
