// SPDX-License-Identifier: MIT OR Apache-2.0
//! Evaluates the mutants of a config as they are built.

use std::time::{Duration, Instant};

use fs_err as fs;
use kernel_patches::checkout::MUTANT_PREFIX;
use kernel_patches::kernel::MutantBuild;
use kernel_patches::mutant::Mutant;
use patchbed_host::events::{Activity, Event};
use selftests::scenario::Scenario;

use super::MutationRun;
use super::baseline::Baseline;
use super::builder::{BuiltMutant, MutantBuilder};
use super::evaluation::{Differences, Evaluation};
use super::priority::TestPriority;
use crate::engine::history::History;
use crate::engine::plan::Plan;
use crate::engine::prepare::{self, Build};
use crate::result::{MutantResult, MutantStatus};

/// Evaluates the mutants of a config.
pub(super) struct Worker<'a> {
    pub(super) mutation_run: &'a MutationRun<'a>,
    pub(super) plan: Plan,
    pub(super) build: &'a Build,
    /// The scenarios in the baseline.
    pub(super) scenarios: Vec<&'a Scenario>,
    pub(super) baseline: Baseline,
    pub(super) priority: TestPriority,
    pub(super) history: History,
}

impl Worker<'_> {
    /// Returns the results of all mutants.
    ///
    /// # Errors
    /// When the host fails, or the user interrupted the run.
    pub(super) fn run(&mut self) -> anyhow::Result<Vec<MutantResult>> {
        let MutationRun {
            sources, session, ..
        } = *self.mutation_run;
        let mutants = &sources.mutants;
        let total = Some(mutants.len() as u64);
        let activity = Activity::start(&*session.observer, "testing mutants", total);
        let mutant_builder = MutantBuilder {
            mutation_run: self.mutation_run,
            build: self.build,
        };
        let mut results = Vec::new();
        self.drop_flaky_scenarios()?;
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::sync_channel(1);
            let builder = scope.spawn(move || mutant_builder.build_all(&send));
            for BuiltMutant {
                mutant,
                mutant_build,
                took,
            } in receive
            {
                let result = self.judge(mutant, mutant_build, took)?;
                // Saved after each mutant, because the run may be interrupted.
                self.priority.save();
                activity.advance(results.len() as u64 + 1, &result.name);
                let text = format!("{}: {}", result.name, result.reason);
                session.observer.event(Event::Note { text });
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
        let build = prepare::panic_on_oops(self.build);
        let evaluation = Evaluation {
            mutation_run: self.mutation_run,
            plan: &self.plan,
            baseline: &self.baseline,
            build: &build,
        };
        for name in evaluation.flaky(failing)? {
            let text =
                format!("`{name}` is not used for mutants: its failure on the series is flaky");
            let progress = &*self.mutation_run.session.observer;
            progress.event(Event::Note { text });
            self.baseline.remove(&name);
            self.scenarios.retain(|scenario| scenario.name != name);
        }
        Ok(())
    }

    fn judge(
        &mut self,
        mutant: &Mutant,
        mutant_build: MutantBuild,
        took: Duration,
    ) -> anyhow::Result<MutantResult> {
        let begun = Instant::now();
        let (status, caught_by, reason) = match mutant_build {
            MutantBuild::Unviable { why } => (MutantStatus::Unviable, Vec::new(), why),
            MutantBuild::SameCode { same_as } => (
                MutantStatus::SameCode,
                Vec::new(),
                format!("compiles to the same code as {same_as}"),
            ),
            MutantBuild::Kernel(kernel, modules) => {
                let dir = kernel.dir.clone();
                let checkout = format!("{MUTANT_PREFIX}{}", mutant.name);
                let modules = modules.as_deref();
                let environment = &self.mutation_run.context.environment;
                let build = prepare::mutant(self.build, checkout, *kernel, modules, environment)?;
                let reason = self.mutation_run.sources.equivalent.get(&mutant.name);
                let reason = reason.filter(|reason| reason.holds_in(&self.build.config));
                let why = reason.map(|reason| reason.why.as_str());
                let differences = self.evaluate(mutant, &build, why.is_some())?;
                let (status, caught_by, reason) = self.outcome(mutant, &differences, why);
                // The kernel of a finding is kept for a manual boot.
                if status == MutantStatus::Caught
                    || (status == MutantStatus::Equivalent && caught_by.is_empty())
                {
                    let _ = fs::remove_dir_all(dir);
                }
                (status, caught_by, reason)
            }
        };
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
            duration_ms: u64::try_from((took + begun.elapsed()).as_millis()).unwrap_or(u64::MAX),
        })
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
            return (MutantStatus::Equivalent, Vec::new(), why.trim().to_owned());
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
        let scenarios: Vec<&Scenario> = self
            .scenarios
            .iter()
            .filter(|scenario| !is_equivalent || self.priority.is_likely(mutant, scenario))
            .copied()
            .collect();
        let evaluation = Evaluation {
            mutation_run: self.mutation_run,
            plan: &self.plan,
            baseline: &self.baseline,
            build,
        };
        let order = self.priority.order(mutant, &scenarios, |scenario| {
            self.history.estimate(&evaluation.job_plan(scenario, 1))
        });
        evaluation.run(order)
    }
}
