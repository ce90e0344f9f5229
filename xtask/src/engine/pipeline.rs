// SPDX-License-Identifier: MIT OR Apache-2.0
//! The threads of a run. One makes builds and passes on the tasks of each as soon as it is
//! ready; the workers do the tasks meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context;
use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::events::Activity;
use patchbed_host::pool;
use selftests::scenario::Scenario;

use crate::engine::batches;
use crate::engine::build::{self, Build, Built, Tests};
use crate::engine::environment::Environment;
use crate::engine::executor::{Executor, LocalExecutor};
use crate::engine::history::History;
use crate::engine::job::{self, Job, TestCase};
use crate::engine::judge::Judge;
use crate::engine::kselftest;
use crate::engine::options::TestOptions;
use crate::engine::plan::Plan;
use crate::engine::queue::Queue;
use crate::engine::request::Request;
use crate::engine::result_cache::{Ids, ResultCache};
use crate::engine::run_folder::RunFolder;
use crate::engine::self_checks::{GuestRun, SelfChecks};
use crate::engine::session::{INTERRUPTED, Session};
use crate::engine::sources::Sources;
use crate::exit::{Exit, exit_for};
use crate::job_plan::JobPlan;
use crate::result::{JobResult, SelfCheckResult};

/// Tasks of a higher rank run first. The rank of jobs is their expected duration.
const CHECKPOINT_RANK: u64 = u64::MAX;
const SELF_CHECK_RANK: u64 = u64::MAX - 1;

/// Work for a worker.
pub(crate) enum Task {
    /// Makes the checkpoint of a build and machine, for the job and others.
    Checkpoint(Box<Job>),
    /// Injects faults into a build.
    SelfCheck(Box<GuestRun>),
    /// Runs jobs, several in one VM.
    Jobs(Vec<Job>),
}

/// The builds and results of a run.
pub(crate) struct Outcome {
    pub(crate) builds: Vec<Build>,
    pub(crate) plan: Plan,
    pub(crate) results: Vec<JobResult>,
    pub(crate) built_at: Instant,
    /// Whether the last printed result was of the same jobs.
    pub(crate) is_printed: bool,
}

/// The parts of a run that its threads share.
pub(crate) struct Pipeline<'a> {
    pub(crate) request: &'a Request,
    pub(crate) options: &'a TestOptions,
    pub(crate) sources: &'a Sources,
    pub(crate) environment: &'a Environment,
    pub(crate) executor: LocalExecutor<'a>,
    pub(crate) self_checks: SelfChecks<'a>,
    /// The number of VMs to run at once.
    pub(crate) parallel: usize,
    pub(crate) history: History,
    pub(crate) queue: Queue<Task>,
    /// Whether a job or a self-check was started.
    pub(crate) has_run: AtomicBool,
    pub(crate) cache: Option<&'a ResultCache>,
    /// The content ids of the jobs, if results are cached.
    pub(crate) ids: Mutex<Ids>,
    pub(crate) folder: &'a RunFolder,
    pub(crate) session: &'a Session,
}

/// The state of the thread that makes builds.
#[derive(Default)]
struct Production {
    builds: Vec<Build>,
    /// Scenario and build of the jobs that were passed on.
    passed_on: BTreeSet<(String, usize)>,
    /// The machines of each build that have a checkpoint task.
    checkpoints: BTreeSet<(String, String)>,
    /// The kselftests with their machines, in the order of the plan.
    kselftests: Vec<(String, String)>,
    /// Results of earlier runs.
    reused: Vec<JobResult>,
    /// Jobs that start no VM.
    not_started: Vec<Job>,
}

impl<'a> Pipeline<'a> {
    /// Makes the builds and runs the jobs.
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let mut results: BTreeMap<JobPlan, JobResult> = BTreeMap::new();
        let mut history = self.history.clone();
        // Until the first result, the builds are the progress to show.
        let mut activity = None;
        let (production, built_at) = std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let _guard = self.queue.stop_on_panic();
                let produced = self.produce();
                match produced {
                    Ok(_) => self.queue.close(),
                    Err(_) => self.stop(),
                }
                (produced, Instant::now())
            });
            let ran: anyhow::Result<()> = pool::run(
                self.parallel,
                &self.queue,
                &self.session.cancel,
                |task| {
                    let _guard = self.queue.stop_on_panic();
                    let done = self.work(task).inspect_err(|_| self.stop());
                    self.queue.ended();
                    done
                },
                |done| {
                    for (job, result) in done? {
                        self.report(&result, results.is_empty());
                        self.remember(&result);
                        history.learn(std::iter::once(&result));
                        let label = job.plan.label();
                        results.insert(job.plan, result);
                        let activity = activity.get_or_insert_with(|| self.activity());
                        activity.advance(results.len() as u64, label);
                    }
                    Ok(())
                },
            );
            let (produced, at) = match producer.join() {
                Ok(joined) => joined,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            // Each side ends early after an error of the other.
            match (ran, produced) {
                (Ok(()), produced) => Ok((produced?, at)),
                (Err(error), Ok(_)) => Err(error),
                (Err(ran), Err(produced)) => Err(match is_interrupted(&ran) {
                    true => produced,
                    false => ran,
                }),
            }
        })?;
        history.save();
        self.session.check_interrupted()?;
        self.outcome(production, results, built_at)
    }

    /// Ends the builds and the jobs after an error.
    fn stop(&self) {
        self.queue.stop();
        self.session.cancel.cancel();
    }

    /// Returns whether a VM was started.
    pub(crate) fn has_run(&self) -> bool {
        self.has_run.load(Ordering::SeqCst)
    }

    /// Adds a result to the cache, if there is one. The result of a cancelled job is incomplete.
    fn remember(&self, result: &JobResult) {
        if let Some(cache) = self.cache.filter(|_| !self.session.cancel.is_cancelled())
            && let Some(id) = self.ids().get(&result.plan())
        {
            cache.insert(result, id, self.folder);
        }
    }

    pub(crate) fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> Activity<'_> {
        let total = match self.cache {
            Some(_) => None,
            None => Some(self.request.plan.jobs.len() as u64),
        };
        Activity::start(&*self.session.observer, "running jobs", total)
    }

    fn outcome(
        &self,
        production: Production,
        mut results: BTreeMap<JobPlan, JobResult>,
        built_at: Instant,
    ) -> anyhow::Result<Outcome> {
        let ran = results.len();
        let judge = self.judge();
        for job in production.not_started {
            let result = judge.ended(&job, None);
            results.insert(job.plan, result);
        }
        for result in production.reused {
            results.insert(result.plan(), result);
        }
        let plan = self
            .request
            .plan
            .clone()
            .with_jobs_of(&production.kselftests);
        if plan.jobs.len() > self.request.plan.jobs.len() {
            self.folder.replace_plan(&plan)?;
        }
        let in_order = plan.jobs.iter().map(|plan| {
            let result = results.remove(plan);
            result.with_context(|| format!("no result for {}", plan.label()))
        });
        let results = in_order.collect::<anyhow::Result<Vec<_>>>()?;
        let cache = self.cache.filter(|_| ran == 0);
        Ok(Outcome {
            is_printed: cache.is_some_and(|cache| cache.is_printed(&self.ids())),
            builds: production.builds,
            plan,
            results,
            built_at,
        })
    }

    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge {
            scenarios: &self.request.scenarios,
            check_snapshots: self.request.plan.check_snapshots,
            folder: self.folder,
            layout: &self.session.layout,
        }
    }

    /// Prints the first result, and each result that needs attention, when its job ends.
    fn report(&self, result: &JobResult, is_first: bool) {
        if self.session.cancel.is_cancelled() {
            return;
        }
        let label = result.plan().label();
        if result.needs_attention() {
            let line = result.reason.lines().next().unwrap_or_default();
            let text = format!("needs attention: {label}: {}: {line}", result.status);
            self.session.note(text);
        } else if is_first && self.cache.is_none() {
            self.session
                .note(format!("first result: {label}: {}", result.status));
        }
    }

    /// Makes the builds, and passes on the tasks of each.
    fn produce(&self) -> anyhow::Result<Production> {
        let mut production = Production::default();
        let with_self_check = self.cache.is_none() && !self.options.no_self_check;
        let modules = self.request.modules(with_self_check)?;
        let tests = self.request.tests();
        build::build_each(
            self.sources,
            &self.request.configs,
            modules.as_ref(),
            self.session,
            |built| {
                anyhow::ensure!(!self.queue.is_closed(), "a worker failed");
                let build = self.build(built, &tests)?;
                if with_self_check {
                    for guest in self.self_checks.guests(&build)? {
                        self.queue
                            .push(SELF_CHECK_RANK, Task::SelfCheck(Box::new(guest)));
                    }
                }
                production.builds.push(build);
                self.pass_on(&mut production)
            },
        )?;
        self.session.check_interrupted()?;
        let order = |build: &Build| {
            let position = |names: &[String], name: &String| {
                names
                    .iter()
                    .position(|one| one == name)
                    .unwrap_or(usize::MAX)
            };
            let plan = &self.request.plan;
            (
                position(&plan.configs, &build.config),
                position(&self.request.source_request.checkouts, &build.checkout),
            )
        };
        production.builds.sort_by_key(order);
        self.pass_on_kselftests(&mut production)?;
        Ok(production)
    }

    fn build(&self, built: Built, tests: &Tests<'_>) -> anyhow::Result<Build> {
        let (sources, environment) = (self.sources, self.environment);
        let build = Build::new(built, sources, tests, environment, self.session)?;
        // The first build decides.
        environment.choose_accelerator(
            self.request.machine(),
            &build.kernel.image(),
            &build.initramfs,
            &build.needs,
            self.session,
        )?;
        Ok(build)
    }

    /// Passes on the jobs whose kernels are built.
    fn pass_on(&self, production: &mut Production) -> anyhow::Result<()> {
        for index in 0..production.builds.len() {
            let build = &production.builds[index];
            if !self.request.plan.checkouts.contains(&build.checkout) {
                continue;
            }
            let is_built = |checkout: &&str| {
                let mut builds = production.builds.iter();
                builds.any(|one| one.checkout == **checkout && one.config == build.config)
            };
            let mut ready: Vec<Job> = Vec::new();
            for scenario in &self.request.scenarios {
                let key = (scenario.name.clone(), index);
                if production.passed_on.contains(&key)
                    || !scenario.other_checkouts().iter().all(&is_built)
                {
                    continue;
                }
                production.passed_on.insert(key);
                let job = self.job(scenario, build, &production.builds)?;
                ready.extend(job.repeated(self.options.repeat));
            }
            let label = build.label();
            let ready = self.without_cached(ready, production)?;
            self.push(&label, ready, production);
        }
        Ok(())
    }

    /// Returns the first job of a scenario on a build.
    pub(crate) fn job(
        &self,
        scenario: &Scenario,
        build: &Build,
        builds: &[Build],
    ) -> anyhow::Result<Job> {
        let name = self.options.machine.as_ref().unwrap_or(&scenario.machine);
        let machine = self.environment.machine(name)?;
        let kernel_of = |checkout: &str| {
            let matches = |one: &&Build| one.role() == checkout && one.config == build.config;
            // A mutant takes the place of the series.
            let own = Some(build).filter(matches);
            let other = own.or_else(|| builds.iter().find(matches))?;
            Some(other.as_next_kernel())
        };
        let plan = JobPlan {
            test: scenario.name.clone(),
            config: build.config.clone(),
            checkout: build.checkout.clone(),
            machine: machine.name.clone(),
            repetition: 1,
        };
        let vm_run = job::boots(scenario, build, machine, &kernel_of)?;
        Ok(Job {
            cold_boot: self.options.cold_boot,
            scenario_id: Some(TestCase::Scenario(scenario).id()),
            ..Job::new(plan, build, machine, vm_run)
        })
    }

    /// Returns the jobs without a cached result.
    fn without_cached(
        &self,
        jobs: Vec<Job>,
        production: &mut Production,
    ) -> anyhow::Result<Vec<Job>> {
        let Some(cache) = self.cache else {
            return Ok(jobs);
        };
        let mut missing = Vec::new();
        for job in jobs {
            let id = cache.id(&job, self.judge(), self.environment)?;
            self.ids().insert(job.plan.clone(), id.clone());
            match cache.reuse(&job.plan, &id, self.folder, self.session) {
                Some(result) => production.reused.push(result),
                None => missing.push(job),
            }
        }
        Ok(missing)
    }

    /// Adds jobs on a build to the queue, the longest first, after the checkpoints that they
    /// need.
    fn push(&self, build: &str, jobs: Vec<Job>, production: &mut Production) {
        for job in jobs.iter().filter(|job| !job.cold_boot) {
            let key = (build.to_owned(), job.machine.name.clone());
            if production.checkpoints.insert(key) {
                let task = Task::Checkpoint(Box::new(job.clone()));
                self.queue.push(CHECKPOINT_RANK, task);
            }
        }
        let plan = &self.request.plan;
        let builds = (plan.checkouts.len() * plan.configs.len()).max(1);
        let workers = (self.parallel / builds).max(1);
        for batch in batches::make(jobs, &self.request.scenarios, self.options.batch, workers) {
            let rank = batches::rank(&batch, &self.history);
            self.queue.push(rank, Task::Jobs(batch));
        }
    }

    /// Builds the kselftests of the tree, and passes on their jobs.
    fn pass_on_kselftests(&self, production: &mut Production) -> anyhow::Result<()> {
        let is_judged = |build: &&Build| self.request.plan.checkouts.contains(&build.checkout);
        let builds: Vec<Build> = production
            .builds
            .iter()
            .filter(is_judged)
            .cloned()
            .collect();
        let jobs = kselftest::jobs(
            &self.request.kselftests,
            self.sources,
            &builds,
            self.environment,
            self.request.machine(),
            self.options.repeat,
            self.session,
        )?;
        for JobPlan { test, machine, .. } in jobs.iter().map(|job| &job.plan) {
            let named = (test.clone(), machine.clone());
            if !production.kselftests.contains(&named) {
                production.kselftests.push(named);
            }
        }
        let (ready, unfit): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(Job::starts_vm);
        if let Some(cache) = self.cache {
            for job in &unfit {
                let id = cache.id(job, self.judge(), self.environment)?;
                self.ids().insert(job.plan.clone(), id);
            }
        }
        production.not_started = unfit;
        let cold_boot = self.options.cold_boot;
        let ready = ready.into_iter().map(|job| Job { cold_boot, ..job });
        let ready = self.without_cached(ready.collect(), production)?;
        for build in &builds {
            let is_on =
                |job: &&Job| job.plan.checkout == build.checkout && job.plan.config == build.config;
            let on_build = ready.iter().filter(|job| is_on(job));
            self.push(&build.label(), on_build.cloned().collect(), production);
        }
        Ok(())
    }

    /// Does a task, and returns the results of its jobs.
    fn work(&self, task: Task) -> anyhow::Result<Vec<(Job, JobResult)>> {
        match task {
            Task::Checkpoint(job) => {
                self.executor.restoring_spec("", &job, Utf8Path::new(""));
                Ok(Vec::new())
            }
            Task::SelfCheck(guest) => {
                self.has_run.store(true, Ordering::SeqCst);
                self.self_checks.run(&guest, &self.executor)?;
                Ok(Vec::new())
            }
            Task::Jobs(jobs) => {
                self.has_run.store(true, Ordering::SeqCst);
                Ok(self.run_jobs(jobs))
            }
        }
    }

    fn run_jobs(&self, jobs: Vec<Job>) -> Vec<(Job, JobResult)> {
        if jobs.len() > 1
            && let Some(results) = self.run_shared(&jobs)
        {
            return jobs.into_iter().zip(results).collect();
        }
        let is_cancelled = |_: &Job| !self.session.cancel.is_cancelled();
        let alone = jobs.into_iter().take_while(is_cancelled);
        alone
            .map(|job| {
                let folder = self.folder.path().join(job.plan.folder());
                let transcript = self.executor.run(&job, &folder);
                let result = self.judge().ended(&job, Some(&transcript));
                (job, result)
            })
            .collect()
    }

    /// Runs jobs in one VM. Returns `None` unless all results are as expected and pass; then
    /// each job has to run in a VM of its own.
    fn run_shared(&self, jobs: &[Job]) -> Option<Vec<JobResult>> {
        let name = jobs[0].plan.folder().replace('/', "-");
        let folder = self.folder.path().join(format!("shared-{name}"));
        let transcripts = self.executor.run_shared(jobs, &folder, self.folder.path());
        let judged = transcripts.map(|transcripts| {
            let judge = self.judge();
            let pairs = jobs.iter().zip(&transcripts);
            pairs
                .map(|(job, transcript)| judge.ended(job, Some(transcript)))
                .collect::<Vec<_>>()
        });
        let clean = judged.filter(|all| all.iter().all(JobResult::is_good));
        if clean.is_some() {
            let _ = fs::remove_dir_all(&folder);
        } else if !self.session.cancel.is_cancelled() {
            self.session.note(format!(
                "batch of {} jobs did not pass ({folder}); rerunning each job in its own VM",
                jobs.len()
            ));
        }
        clean
    }

    pub(crate) fn self_check_results(
        &self,
        builds: &[Build],
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        match self.cache {
            Some(cache) => cache.self_checks(builds, &self.self_checks, self.session),
            None if self.options.no_self_check => {
                self.session.note("self-check was skipped");
                Ok(Vec::new())
            }
            None => self.self_checks.results(builds, &self.executor),
        }
    }
}

/// Returns whether an error is the end of an interrupted step, not its cause.
fn is_interrupted(error: &anyhow::Error) -> bool {
    exit_for(error) == Exit::Interrupted || error.to_string() == INTERRUPTED
}
