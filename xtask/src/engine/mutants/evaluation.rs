// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs scenarios on a mutant until it is caught or all scenarios have run.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use camino::Utf8Path;
use selftests::scenario::Scenario;
use vm_images::transcript::Transcript;

use super::MutationRun;
use super::baseline::{Baseline, is_conclusive};
use crate::engine::batches::Batch;
use crate::engine::checkpoints;
use crate::engine::jobs::{self, Job, Judge, Test};
use crate::engine::plan::{JobPlan, Plan};
use crate::engine::prepare::Build;
use crate::engine::running::RunJudge;
use crate::result::JobResult;

/// Number of jobs that boot before a checkpoint is made. Most mutants are caught by the first
/// jobs, and a checkpoint would not pay off.
const COLD_BOOT_JOBS: usize = 6;
/// Minimum of jobs on a machine for which a checkpoint is made.
const CHECKPOINT_JOBS_MIN: usize = 4;

/// Results of scenarios on a mutant, compared to the series.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Jobs with another result than on the series.
    pub(super) different: Vec<JobResult>,
    /// Jobs with status `error` or `skip`.
    pub(super) inconclusive: Vec<JobResult>,
    /// Number of jobs with the same result as on the series.
    pub(super) same: usize,
}

impl Differences {
    fn add(&mut self, job: JobResult, baseline: &Baseline, run: &Utf8Path) {
        if !is_conclusive(&job) {
            self.inconclusive.push(job);
        } else if baseline.differs(&job, run) {
            self.different.push(job);
        } else {
            self.same += 1;
        }
    }

    /// Returns whether no job was inconclusive and at least one gave the same result.
    pub(super) fn is_conclusive(&self) -> bool {
        self.inconclusive.is_empty() && self.same > 0
    }

    /// Returns whether two jobs differ; a single difference could be a flaky test.
    pub(super) fn is_caught(&self) -> bool {
        self.different.len() > 1
    }
}

/// A mutant on which scenarios run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) mutation_run: &'a MutationRun<'a>,
    pub(super) plan: &'a Plan,
    pub(super) baseline: &'a Baseline,
    /// The mutant's kernel.
    pub(super) build: &'a Build,
}

impl Evaluation<'_> {
    /// Runs scenarios in their order until the mutant is caught or all have run.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn run(&self, mut pending: Vec<&Scenario>) -> anyhow::Result<Differences> {
        let folder = self.mutation_run.folder.path();
        let mut differences = Differences::default();
        let mut cold_boot = true;
        while !pending.is_empty() && !differences.is_caught() {
            let later = pending.split_off(if cold_boot {
                COLD_BOOT_JOBS.min(pending.len())
            } else {
                pending.len()
            });
            let before = differences.different.len();
            let mut not_started = Vec::new();
            let results = self.run_until_different(&pending, 1, cold_boot)?;
            for (scenario, result) in pending.iter().zip(results) {
                match result {
                    Some(result) => differences.add(result, self.baseline, folder),
                    None => not_started.push(*scenario),
                }
            }
            if let [single] = &differences.different[before..]
                && !differences.is_caught()
            {
                let name = single.test.clone();
                pending.retain(|scenario| scenario.name == name);
                self.run_until_different(&pending, 2, cold_boot)?
                    .into_iter()
                    .flatten()
                    .for_each(|result| differences.add(result, self.baseline, folder));
            }
            not_started.extend(later);
            pending = not_started;
            cold_boot = false;
        }
        Ok(differences)
    }

    /// Runs scenarios once more and returns the names of scenarios whose result differs from
    /// the baseline or is inconclusive.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn flaky(&self, mut pending: Vec<&Scenario>) -> anyhow::Result<Vec<String>> {
        let mut flaky = Vec::new();
        while !pending.is_empty() {
            let mut not_started = Vec::new();
            let results = self.run_until_different(&pending, 2, true)?;
            for (scenario, result) in pending.iter().zip(results) {
                match result {
                    Some(job) => {
                        let folder = self.mutation_run.folder.path();
                        if !is_conclusive(&job) || self.baseline.differs(&job, folder) {
                            flaky.push(job.test);
                        }
                    }
                    None => not_started.push(*scenario),
                }
            }
            pending = not_started;
        }
        Ok(flaky)
    }

    /// Returns the plan of a scenario's job on the mutant.
    pub(super) fn job_plan(&self, scenario: &Scenario, repetition: u32) -> JobPlan {
        JobPlan {
            test: scenario.name.clone(),
            config: self.build.config.clone(),
            checkout: self.build.checkout.clone(),
            machine: self
                .plan
                .machine
                .clone()
                .unwrap_or_else(|| scenario.machine.clone()),
            repetition,
        }
    }

    /// Runs scenarios, and starts no further job after a result that differs from the series.
    fn run_until_different(
        &self,
        scenarios: &[&Scenario],
        repetition: u32,
        cold_boot: bool,
    ) -> anyhow::Result<Vec<Option<JobResult>>> {
        let MutationRun {
            context,
            folder,
            args,
            session,
            ..
        } = *self.mutation_run;
        let plans: Vec<JobPlan> = scenarios
            .iter()
            .map(|scenario| self.job_plan(scenario, repetition))
            .collect();
        let jobs = plans
            .iter()
            .zip(scenarios)
            .map(|(plan, scenario)| {
                Ok(Job {
                    plan,
                    test: Test::Scenario(scenario),
                    build: self.build,
                    machine: context.environment.machine(&plan.machine)?,
                    vm_run: self
                        .build
                        .vm_runs
                        .get(&plan.test)
                        .context("no boots for the scenario")?,
                    checkpoint: None,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let parallel = jobs::parallel(args, context);
        let mut restoring = jobs.clone();
        let jobs_on = |machine: &str| {
            jobs.iter()
                .filter(|job| job.machine.name == machine)
                .count()
        };
        restoring.retain(|job| {
            let is_worth_it = jobs_on(&job.machine.name) >= CHECKPOINT_JOBS_MIN;
            !cold_boot && !args.cold_boot && is_worth_it
        });
        let made = checkpoints::make(&restoring, &context.environment, parallel, session);
        let jobs = checkpoints::assign(&jobs, &made);
        let batches: Vec<Batch> = (0..jobs.len()).map(|index| vec![index]).collect();
        let judge = FirstDifference {
            inner: RunJudge {
                environment: &context.environment,
                plan: self.plan,
                folder,
                session,
                on_result: &|_, _| {},
            },
            baseline: self.baseline,
            is_found: AtomicBool::new(false),
        };
        let results = jobs::run_all(
            &jobs,
            &batches,
            &context.environment,
            folder.path(),
            parallel,
            session,
            &judge,
        );
        for checkpoint in made.iter().filter_map(|entry| entry.checkpoint.as_ref()) {
            context.environment.checkpoints.forget(checkpoint);
        }
        if session.cancel.is_cancelled() {
            anyhow::bail!("interrupted");
        }
        Ok(results)
    }
}

/// Judges jobs until a result differs from the series.
struct FirstDifference<'a> {
    inner: RunJudge<'a>,
    baseline: &'a Baseline,
    is_found: AtomicBool,
}

impl Judge for FirstDifference<'_> {
    type Judged = JobResult;

    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> JobResult {
        self.inner.judge(job, transcript)
    }

    fn is_clean(&self, result: &JobResult) -> bool {
        self.inner.is_clean(result)
    }

    fn finished(&self, _: &Job<'_>, result: &JobResult) {
        if self.baseline.differs(result, self.inner.folder.path()) {
            self.is_found.store(true, Ordering::SeqCst);
        }
    }

    fn should_stop(&self) -> bool {
        self.is_found.load(Ordering::SeqCst)
    }
}
