// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutation testing: runs scenarios on mutants of the series until a mutant is caught.
//!
//! A mutant is caught if two jobs differ from the series: jobs of two scenarios, or two
//! repetitions of one scenario. A single difference could be a flaky test. A scenario that
//! fails on the series differs if it passes or has another timeline. The next mutant is
//! built while scenarios run on the current mutant.

mod baseline;
mod priority;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::Utf8Path;
use fs_err as fs;
use kernel_patches::checkout::MUTANT_PREFIX;
use kernel_patches::kernel::{MutantBuild, MutantCompiler, Origin, Toolchain};
use kernel_patches::mutant::{KernelFacts, Mutant, Validity};
use patchbed_host::pool;
use selftests::scenario::Scenario;

use self::baseline::{Baseline, is_conclusive};
use self::priority::TestPriority;
use crate::engine::build::Build;
use crate::engine::executor::Executor;
use crate::engine::job::Job;
use crate::engine::judge::Judge;
use crate::engine::pipeline::Pipeline;
use crate::engine::plan::Plan;
use crate::job_plan::SERIES;
use crate::result::{JobResult, MutantResult, MutantStatus};

/// Number of jobs that boot before a checkpoint is made. Most mutants are caught by the first
/// jobs, and a checkpoint would not pay off.
const COLD_BOOT_JOBS: usize = 6;
/// Minimum of jobs on a machine for which a checkpoint is made.
const CHECKPOINT_JOBS_MIN: usize = 4;

/// The run that mutants are part of.
#[derive(Clone, Copy)]
pub(crate) struct MutationRun<'a> {
    pub(crate) pipeline: &'a Pipeline<'a>,
    pub(crate) builds: &'a [Build],
    pub(crate) plan: &'a Plan,
}

impl<'a> MutationRun<'a> {
    /// Returns the results of the selected mutants. `on_series` are the results of the jobs on
    /// the series.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(crate) fn run(&self, on_series: &[JobResult]) -> anyhow::Result<Vec<MutantResult>> {
        let mut results = Vec::new();
        let Pipeline {
            request,
            sources,
            folder,
            session,
            ..
        } = self.pipeline;
        if sources.mutants.is_empty() {
            return Ok(results);
        }
        for config in &self.plan.configs {
            let mut builds = self.builds.iter();
            let build = builds
                .find(|build| build.checkout == SERIES && build.config == *config)
                .context("no kernel of the series was built")?;
            let scenarios = &request.scenarios;
            let baseline = Baseline::of(scenarios, config, on_series, folder.path());
            let mut worker = Worker {
                run: *self,
                build,
                scenarios: scenarios.iter().filter(|one| baseline.has(one)).collect(),
                baseline,
                priority: TestPriority::load(session, &request.source_request.series),
            };
            results.extend(worker.run()?);
        }
        Ok(results)
    }

    /// Builds all mutants of the series `build`, one after the other; returns early if the
    /// receiver is gone.
    fn build_all(self, build: &Build, send: &SyncSender<BuiltMutant<'a>>) -> anyhow::Result<()> {
        let Pipeline {
            request,
            sources,
            folder,
            session,
            options,
            ..
        } = self.pipeline;
        let series = sources.checkouts.iter().find(|one| one.name == SERIES);
        let mut configs = request.configs.iter();
        let modules = request.modules(!options.no_self_check)?;
        let toolchain = Toolchain::detect(&session.cancel)?;
        let origin = Origin {
            tree: &sources.tree,
            series: series.context("no checkout of the series")?,
            config: configs
                .find(|one| one.name == build.config)
                .context("unknown config")?,
            toolchain: &toolchain,
            modules: modules.as_ref().zip(build.modules.as_deref()),
        };
        let files = sources.mutants.iter().flat_map(Mutant::files);
        let files = files.map(camino::Utf8PathBuf::as_path);
        let context = session.context();
        let mut compiler = MutantCompiler::open(origin, files, &context)?;
        let kernels = folder.path().join("kernels").join(&build.config);
        fs::create_dir_all(&kernels)?;
        for mutant in &sources.mutants {
            let begun = Instant::now();
            let place = kernels.join(format!("{MUTANT_PREFIX}{}", mutant.name));
            let built = BuiltMutant {
                mutant,
                mutant_build: compiler.build(mutant, &place)?,
                took: begun.elapsed(),
            };
            if send.send(built).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A mutant and the outcome of its build.
#[derive(Debug)]
struct BuiltMutant<'a> {
    mutant: &'a Mutant,
    mutant_build: MutantBuild,
    took: Duration,
}

/// Evaluates the mutants of a config.
struct Worker<'a> {
    run: MutationRun<'a>,
    /// The build of the series.
    build: &'a Build,
    /// The scenarios in the baseline.
    scenarios: Vec<&'a Scenario>,
    baseline: Baseline,
    priority: TestPriority,
}

impl Worker<'_> {
    /// Returns the results of all mutants.
    fn run(&mut self) -> anyhow::Result<Vec<MutantResult>> {
        let pipeline = self.run.pipeline;
        let total = Some(pipeline.sources.mutants.len() as u64);
        let context = pipeline.session.context();
        let activity = context.activity("testing mutants", total);
        let (run, build) = (self.run, self.build);
        let mut results = Vec::new();
        self.drop_flaky_scenarios()?;
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(1);
            let builder = scope.spawn(move || run.build_all(build, &send));
            for built in receive {
                let result = self.judge(built)?;
                // Saved after each mutant, because the run may be interrupted.
                self.priority.save();
                activity.advance(results.len() as u64 + 1, &result.name);
                context.note(format!("{}: {}", result.name, result.reason));
                results.push(result);
            }
            let built = builder.join();
            built.map_err(|_| anyhow::anyhow!("the thread that builds mutants panicked"))?
        })?;
        Ok(results)
    }

    /// Runs each scenario that fails on the series once more with the command line of mutants,
    /// and drops it from the baseline if the result differs.
    fn drop_flaky_scenarios(&mut self) -> anyhow::Result<()> {
        let mut failing = self.scenarios.clone();
        failing.retain(|scenario| self.baseline.fails(scenario));
        let build = self.build.panicking_on_oops();
        for name in self.on(&build).flaky(failing)? {
            self.run.pipeline.session.note(format!(
                "`{name}` is not used for mutants: its failure on the series is flaky"
            ));
            self.baseline.remove(&name);
            self.scenarios.retain(|scenario| scenario.name != name);
        }
        Ok(())
    }

    fn on<'b>(&'b self, build: &'b Build) -> Evaluation<'b> {
        Evaluation {
            run: self.run,
            baseline: &self.baseline,
            build,
        }
    }

    fn judge(&mut self, built: BuiltMutant<'_>) -> anyhow::Result<MutantResult> {
        let begun = Instant::now();
        let mutant = built.mutant;
        let (status, caught_by, reason) = match built.mutant_build {
            MutantBuild::Unviable { why } => (MutantStatus::Unviable, Vec::new(), why),
            MutantBuild::SameCode { same_as } => (
                MutantStatus::SameCode,
                Vec::new(),
                format!("compiles to the same code as {same_as}"),
            ),
            MutantBuild::Kernel(kernel, modules) => {
                let dir = kernel.dir.clone();
                let checkout = format!("{MUTANT_PREFIX}{}", mutant.name);
                let environment = self.run.pipeline.environment;
                let build = self.build.mutant(checkout, *kernel, modules, environment)?;
                let claim = self.claim(mutant)?;
                let why = match &claim {
                    Some(Validity::Holds(why)) => Some(why.as_str()),
                    Some(Validity::Expired(_)) | None => None,
                };
                let differences = self.evaluate(mutant, &build, why.is_some())?;
                self.run.pipeline.executor.forget(&build.kernel.image());
                let (status, caught_by, mut reason) = self.outcome(mutant, &differences, why);
                if let Some(Validity::Expired(text)) = claim {
                    reason += &format!("; {text}");
                }
                // The kernel of a finding is kept for a manual boot.
                if status == MutantStatus::Caught
                    || (status == MutantStatus::Equivalent && caught_by.is_empty())
                {
                    let _ = fs::remove_dir_all(dir);
                }
                (status, caught_by, reason)
            }
        };
        let took = built.took + begun.elapsed();
        Ok(MutantResult {
            name: mutant.name.clone(),
            config: self.build.config.clone(),
            title: mutant.title.clone(),
            patch: mutant.patch,
            file: mutant.file.to_string(),
            line: mutant.line,
            diff: mutant.diff.clone(),
            status,
            caught_by,
            reason,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Returns the claim that a mutant is equivalent or unreachable, as it applies to this build.
    fn claim(&self, mutant: &Mutant) -> anyhow::Result<Option<Validity>> {
        let Some(claim) = self.run.pipeline.sources.equivalent.get(&mutant.name) else {
            return Ok(None);
        };
        let dot_config = fs::read_to_string(self.build.kernel.config())?;
        Ok(claim.validity(&KernelFacts {
            config: &self.build.config,
            contains: &self.build.contains,
            dot_config: &dot_config,
        }))
    }

    /// Returns the status of a mutant, the scenarios that caught it, and the reason. `why` is
    /// the recorded reason why it is equivalent.
    fn outcome(
        &mut self,
        mutant: &Mutant,
        differences: &Differences,
        why: Option<&str>,
    ) -> (MutantStatus, Vec<String>, String) {
        let mut names: Vec<String> = differences
            .different
            .iter()
            .map(|job| job.test.clone())
            .collect();
        names.sort();
        names.dedup();
        let is_caught = differences.is_caught();
        if let Some(first) = differences.different.first().filter(|_| is_caught) {
            self.priority.learn(mutant, &first.test);
            let reason = format!("`{}`: {} ({})", first.test, first.status, first.reason);
            let status = match why {
                Some(_) => MutantStatus::Equivalent,
                None => MutantStatus::Caught,
            };
            return (status, names, reason);
        }
        if let Some(why) = why.filter(|_| differences.is_conclusive()) {
            return (MutantStatus::Equivalent, Vec::new(), why.to_owned());
        }
        let mut reason = format!(
            "{} tests gave the same result as on the series",
            differences.same
        );
        for job in &differences.different {
            reason += &format!(
                ", `{}` differed once ({}: {}) and not when repeated",
                job.test, job.status, job.reason
            );
        }
        for job in &differences.inconclusive {
            reason += &format!(", `{}`: {} ({})", job.test, job.status, job.reason);
        }
        let status = if differences.is_conclusive() {
            MutantStatus::Missed
        } else {
            MutantStatus::Inconclusive
        };
        (status, Vec::new(), reason)
    }

    /// Runs scenarios on a mutant: all of them, or only the scenarios likely to catch it if the
    /// mutant is recorded as equivalent.
    fn evaluate(
        &self,
        mutant: &Mutant,
        build: &Build,
        is_equivalent: bool,
    ) -> anyhow::Result<Differences> {
        let is_selected =
            |scenario: &&&Scenario| !is_equivalent || self.priority.is_likely(mutant, scenario);
        let scenarios: Vec<&Scenario> =
            self.scenarios.iter().filter(is_selected).copied().collect();
        let evaluation = self.on(build);
        let history = &self.run.pipeline.history;
        let order = self.priority.order(mutant, &scenarios, |scenario| {
            let job = evaluation.job(scenario, 1).ok()?;
            history.estimate(&job.plan)
        });
        evaluation.run(order)
    }
}

/// Results of scenarios on a mutant, compared to the series.
#[derive(Debug, Default)]
struct Differences {
    /// Jobs with another result than on the series.
    different: Vec<JobResult>,
    /// Jobs with status `error` or `skip`.
    inconclusive: Vec<JobResult>,
    /// Number of jobs with the same result as on the series.
    same: usize,
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
    fn is_conclusive(&self) -> bool {
        self.inconclusive.is_empty() && self.same > 0
    }

    /// Returns whether two jobs differ; a single difference could be a flaky test.
    fn is_caught(&self) -> bool {
        self.different.len() > 1
    }
}

/// A build on which scenarios run and are compared with the series.
#[derive(Clone, Copy)]
struct Evaluation<'a> {
    run: MutationRun<'a>,
    baseline: &'a Baseline,
    build: &'a Build,
}

impl Evaluation<'_> {
    /// Runs scenarios in their order until the mutant is caught or all have run.
    fn run(&self, mut pending: Vec<&Scenario>) -> anyhow::Result<Differences> {
        let folder = self.run.pipeline.folder.path();
        let mut differences = Differences::default();
        let mut cold_boot = true;
        while !pending.is_empty() && !differences.is_caught() {
            let count = if cold_boot {
                COLD_BOOT_JOBS
            } else {
                usize::MAX
            };
            let later = pending.split_off(count.min(pending.len()));
            let before = differences.different.len();
            let (results, not_started) = self.run_until_different(&pending, 1, cold_boot)?;
            for result in results {
                differences.add(result, self.baseline, folder);
            }
            if let [single] = &differences.different[before..]
                && !differences.is_caught()
            {
                let name = single.test.clone();
                pending.retain(|scenario| scenario.name == name);
                let (again, _) = self.run_until_different(&pending, 2, cold_boot)?;
                for result in again {
                    differences.add(result, self.baseline, folder);
                }
            }
            pending = not_started;
            pending.extend(later);
            cold_boot = false;
        }
        Ok(differences)
    }

    /// Runs scenarios once more and returns the names of scenarios whose result differs from
    /// the baseline or is inconclusive.
    fn flaky(&self, mut pending: Vec<&Scenario>) -> anyhow::Result<Vec<String>> {
        let folder = self.run.pipeline.folder.path();
        // The folders of the run's own repetitions must not be overwritten.
        let repetition = self.run.pipeline.options.repeat + 1;
        let mut flaky = Vec::new();
        while !pending.is_empty() {
            let (results, not_started) = self.run_until_different(&pending, repetition, true)?;
            let is_flaky =
                |job: &JobResult| !is_conclusive(job) || self.baseline.differs(job, folder);
            flaky.extend(results.into_iter().filter(is_flaky).map(|job| job.test));
            pending = not_started;
        }
        Ok(flaky)
    }

    fn job(&self, scenario: &Scenario, repetition: u32) -> anyhow::Result<Job> {
        let job = self
            .run
            .pipeline
            .job(scenario, self.build, self.run.builds)?;
        Ok(job.with_repetition(repetition))
    }

    /// Runs scenarios, and starts no further job after a result that differs from the series.
    /// Returns the results, in the order of the scenarios, and the scenarios that did not run.
    fn run_until_different<'s>(
        &self,
        scenarios: &[&'s Scenario],
        repetition: u32,
        cold_boot: bool,
    ) -> anyhow::Result<(Vec<JobResult>, Vec<&'s Scenario>)> {
        let pipeline = self.run.pipeline;
        let jobs = scenarios
            .iter()
            .map(|scenario| self.job(scenario, repetition));
        let mut jobs = jobs.collect::<anyhow::Result<Vec<Job>>>()?;
        let machines: Vec<String> = jobs.iter().map(|job| job.machine.name.clone()).collect();
        for job in &mut jobs {
            let same = machines.iter().filter(|name| **name == job.machine.name);
            job.cold_boot |= cold_boot || same.count() < CHECKPOINT_JOBS_MIN;
        }
        let judge = Judge {
            check_snapshots: false,
            ..pipeline.judge()
        };
        let folder = pipeline.folder.path();
        let is_found = AtomicBool::new(false);
        let until_found = jobs.into_iter().enumerate();
        let until_found = until_found.take_while(|_| !is_found.load(Ordering::SeqCst));
        let mut results: Vec<Option<JobResult>> = scenarios.iter().map(|_| None).collect();
        let run = |(index, job): (usize, Job)| {
            let transcript = pipeline.executor.run(&job, &folder.join(job.plan.folder()));
            let result = judge.ended(&job, Some(&transcript));
            if self.baseline.differs(&result, folder) {
                is_found.store(true, Ordering::SeqCst);
            }
            (index, result)
        };
        let cancel = &pipeline.session.cancel;
        pool::run(
            pipeline.parallel,
            until_found,
            cancel,
            run,
            |(index, result)| {
                results[index] = Some(result);
                anyhow::Ok(())
            },
        )?;
        pipeline.session.check_interrupted()?;
        let not_started = scenarios.iter().zip(&results);
        let not_started = not_started.filter(|(_, result)| result.is_none());
        let not_started = not_started.map(|(scenario, _)| *scenario).collect();
        Ok((results.into_iter().flatten().collect(), not_started))
    }
}
