// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios on one mutant, until it is surely caught or none is left.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use camino::Utf8Path;
use selftests::scenario::Scenario;
use vm_images::transcript::Transcript;

use super::MutationRun;
use super::known::{Known, is_proof};
use crate::commands::test::jobs::{self, Job, Judge, Test};
use crate::commands::test::loads::Load;
use crate::commands::test::prepare::Build;
use crate::commands::test::running::RunJudge;
use crate::commands::test::start::{self, start_from};
use crate::plan::{JobPlan, Plan};
use crate::result::JobResult;

/// Jobs that boot before it is worth it to save the machine that the others go on from.
const BOOTS: usize = 6;
/// Of a machine with fewer jobs, they boot.
const CROWD: usize = 4;

/// How scenarios came to notice a mutant, or did not.
#[derive(Debug, Default)]
pub(super) struct Notice {
    /// Jobs that came to something else than on the series.
    pub(super) bad: Vec<JobResult>,
    /// Jobs that came to nothing: an error or a skip.
    pub(super) void: Vec<JobResult>,
    /// How many came to what they do on the series.
    pub(super) same: usize,
}

impl Notice {
    fn take(&mut self, job: JobResult, known: &Known, run: &Utf8Path) {
        if !is_proof(&job) {
            self.void.push(job);
        } else if known.differs(&job, run) {
            self.bad.push(job);
        } else {
            self.same += 1;
        }
    }

    /// Returns whether all jobs say something, and there were any.
    pub(super) fn is_proven(&self) -> bool {
        self.void.is_empty() && self.same > 0
    }

    /// Returns whether it was not pass_rate.
    pub(super) fn is_sure(&self) -> bool {
        self.bad.len() > 1
    }
}

/// A mutant on which scenarios run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) mutation_run: &'a MutationRun<'a>,
    pub(super) plan: &'a Plan,
    pub(super) known: &'a Known,
    /// The mutant's kernel.
    pub(super) build: &'a Build,
}

impl Evaluation<'_> {
    /// Runs scenarios in their order until the mutant is surely caught, or none is left.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn hear(&self, mut left: Vec<&Scenario>) -> anyhow::Result<Notice> {
        let folder = self.mutation_run.folder.path();
        let mut notice = Notice::default();
        let mut boots = true;
        while !left.is_empty() && !notice.is_sure() {
            let later = left.split_off(if boots {
                BOOTS.min(left.len())
            } else {
                left.len()
            });
            let known = notice.bad.len();
            let mut undone = Vec::new();
            for (scenario, result) in left.iter().zip(self.run(&left, 1, boots)?) {
                match result {
                    Some(result) => notice.take(result, self.known, folder),
                    None => undone.push(*scenario),
                }
            }
            if let [doubtful] = &notice.bad[known..]
                && !notice.is_sure()
            {
                let name = doubtful.test.clone();
                left.retain(|scenario| scenario.name == name);
                let again = self.run(&left, 2, boots)?;
                again
                    .into_iter()
                    .flatten()
                    .for_each(|result| notice.take(result, self.known, folder));
            }
            undone.extend(later);
            left = undone;
            boots = false;
        }
        Ok(notice)
    }

    /// Runs scenarios once more, and returns those that come to something else than is
    /// known, or to nothing.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn flaky(&self, mut left: Vec<&Scenario>) -> anyhow::Result<Vec<String>> {
        let mut flaky = Vec::new();
        while !left.is_empty() {
            let mut undone = Vec::new();
            for (scenario, result) in left.iter().zip(self.run(&left, 2, true)?) {
                match result {
                    Some(job) => {
                        if !is_proof(&job)
                            || self.known.differs(&job, self.mutation_run.folder.path())
                        {
                            flaky.push(job.test);
                        }
                    }
                    None => undone.push(*scenario),
                }
            }
            left = undone;
        }
        Ok(flaky)
    }

    /// Returns the job of a scenario on the mutant.
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

    /// Runs scenarios, and begins no more once one comes to something else than on the
    /// series.
    fn run(
        &self,
        scenarios: &[&Scenario],
        repetition: u32,
        boots: bool,
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
                        .context("nothing to run")?,
                    checkpoint: None,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let parallel = jobs::parallel(args, context);
        let mut crowded = jobs.clone();
        let on = |machine: &str| {
            jobs.iter()
                .filter(|one| one.machine.name == machine)
                .count()
        };
        crowded.retain(|job| !boots && !args.cold_boot && on(&job.machine.name) >= CROWD);
        let starts = start::starts(&crowded, &context.environment, parallel, session);
        let jobs = start_from(&jobs, &starts);
        let loads: Vec<Load> = (0..jobs.len()).map(|index| vec![index]).collect();
        let alert = Alert {
            inner: RunJudge {
                environment: &context.environment,
                plan: self.plan,
                folder,
                session,
                tell: &|_, _| {},
            },
            known: self.known,
            is_caught: AtomicBool::new(false),
        };
        let path = folder.path();
        let ran = jobs::run_all(
            &jobs,
            &loads,
            &context.environment,
            path,
            parallel,
            session,
            &alert,
        );
        for checkpoint in starts.iter().filter_map(|start| start.checkpoint.as_ref()) {
            context.environment.checkpoints.forget(checkpoint);
        }
        if session.cancel.is_cancelled() {
            anyhow::bail!("interrupted");
        }
        Ok(ran)
    }
}

/// Judges jobs until one comes to something else than on the series.
struct Alert<'a> {
    inner: RunJudge<'a>,
    known: &'a Known,
    is_caught: AtomicBool,
}

impl Judge for Alert<'_> {
    type Judged = JobResult;

    fn judge(&self, job: &Job<'_>, transcript: &Transcript) -> JobResult {
        self.inner.judge(job, transcript)
    }

    fn is_well(&self, result: &JobResult) -> bool {
        self.inner.is_well(result)
    }

    fn settled(&self, _: &Job<'_>, result: &JobResult) {
        if self.known.differs(result, self.inner.folder.path()) {
            self.is_caught.store(true, Ordering::SeqCst);
        }
    }

    fn knows_enough(&self) -> bool {
        self.is_caught.load(Ordering::SeqCst)
    }
}
