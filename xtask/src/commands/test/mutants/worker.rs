// SPDX-License-Identifier: GPL-2.0-only
//! The mutants of one config: each is built, heard and judged.

use std::time::{Duration, Instant};

use fs_err as fs;
use kernel_patches::checkout::MUTANT_PREFIX;
use kernel_patches::kernel::MutantBuild;
use kernel_patches::mutant::Mutant;
use patchbed_host::events::{Activity, Event, Observer};
use selftests::scenario::Scenario;

use super::MutationRun;
use super::builder::{BuiltMutant, MutantBuilder};
use super::evaluation::{Evaluation, Notice};
use super::known::Known;
use super::order::TestPriority;
use crate::commands::test::history::History;
use crate::commands::test::prepare::{self, Build};
use crate::plan::Plan;
use crate::result::{MutantResult, MutantStatus};

/// The mutants of one config.
pub(super) struct Worker<'a> {
    pub(super) mutation_run: &'a MutationRun<'a>,
    pub(super) plan: Plan,
    pub(super) build: &'a Build,
    /// Those that came to what they must on the series.
    pub(super) scenarios: Vec<&'a Scenario>,
    pub(super) known: Known,
    pub(super) priority: TestPriority,
    pub(super) history: History,
}

impl Worker<'_> {
    /// Returns what came of each mutant.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn all(&mut self) -> anyhow::Result<Vec<MutantResult>> {
        let MutationRun {
            sources, session, ..
        } = *self.mutation_run;
        let mutants = &sources.mutants;
        let total = Some(mutants.len() as u64);
        let activity = Activity::start(&session.progress, "judging mutants", total);
        let place = MutantBuilder {
            mutation_run: self.mutation_run,
            build: self.build,
        };
        let mut results = Vec::new();
        self.confirm()?;
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::sync_channel(1);
            let builder = scope.spawn(move || place.build_all(&send));
            for BuiltMutant {
                mutant,
                mutant_build,
                took,
            } in receive
            {
                let result = self.judge(mutant, mutant_build, took)?;
                // A run that is ended early has learnt something, too.
                self.priority.save();
                activity.advance(results.len() as u64 + 1, &result.name);
                let text = format!("{}: {}", result.name, result.reason);
                session.progress.event(Event::Note { text });
                results.push(result);
            }
            let built = builder.join();
            built.map_err(|_| anyhow::anyhow!("building mutants ended unexpectedly"))?
        })?;
        Ok(results)
    }

    /// What a scenario that fails on the series comes to must not be pass_rate: it runs
    /// there once more, as on a mutant, and is left out if it comes to something else.
    fn confirm(&mut self) -> anyhow::Result<()> {
        let mut failing = self.scenarios.clone();
        failing.retain(|one| self.known.fails(one));
        let build = prepare::short_lived(self.build);
        let evaluation = Evaluation {
            mutation_run: self.mutation_run,
            plan: &self.plan,
            known: &self.known,
            build: &build,
        };
        for name in evaluation.flaky(failing)? {
            let text = format!("`{name}` fails on the series in more than one way");
            let progress = &self.mutation_run.session.progress;
            progress.event(Event::Note { text });
            self.known.forget(&name);
            self.scenarios.retain(|one| one.name != name);
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
            MutantBuild::SameCode { as_what } => (
                MutantStatus::SameCode,
                Vec::new(),
                format!("the same code as {as_what}"),
            ),
            MutantBuild::Kernel(kernel, modules) => {
                let dir = kernel.dir.clone();
                let checkout = format!("{MUTANT_PREFIX}{}", mutant.name);
                let modules = modules.as_deref();
                let environment = &self.mutation_run.context.environment;
                let build = prepare::mutated(self.build, checkout, *kernel, modules, environment)?;
                let reason = self.mutation_run.sources.equivalent.get(&mutant.name);
                let reason = reason.filter(|one| one.holds_in(&self.build.config));
                let why = reason.map(|one| one.why.as_str());
                let notice = self.notice(mutant, &build, why.is_some())?;
                let said = self.verdict(mutant, &notice, why);
                if said.0 == MutantStatus::Caught
                    || (said.0 == MutantStatus::Equivalent && said.1.is_empty())
                {
                    // Nobody wants to boot it again.
                    let _ = fs::remove_dir_all(dir);
                }
                said
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

    /// Returns what came of a mutant, the scenarios that caught it, and how; `why` says
    /// why nobody should.
    fn verdict(
        &mut self,
        mutant: &Mutant,
        notice: &Notice,
        why: Option<&str>,
    ) -> (MutantStatus, Vec<String>, String) {
        let mut names: Vec<String> = notice.bad.iter().map(|job| job.test.clone()).collect();
        names.sort();
        names.dedup();
        if let Some(first) = notice.bad.first().filter(|_| notice.is_sure()) {
            self.priority.learn(mutant, &first.test);
            let reason = format!("`{}`: {} ({})", first.test, first.status, first.reason);
            let status = match why {
                Some(_) => MutantStatus::Equivalent,
                None => MutantStatus::Caught,
            };
            return (status, names, reason);
        }
        if let Some(why) = why.filter(|_| notice.is_proven()) {
            return (MutantStatus::Equivalent, Vec::new(), why.trim().to_owned());
        }
        let mut reason = format!(
            "{} scenarios come to what they do on the series",
            notice.same
        );
        for job in &notice.bad {
            reason += &format!(
                ", `{}` came to {} once ({}), and then did not",
                job.test, job.status, job.reason
            );
        }
        for job in &notice.void {
            reason += &format!(", `{}` came to {} ({})", job.test, job.status, job.reason);
        }
        let status = if notice.is_proven() {
            MutantStatus::Missed
        } else {
            MutantStatus::Inconclusive
        };
        (status, Vec::new(), reason)
    }

    /// Has scenarios run on a mutant; where nobody is to notice, those that are likely to.
    fn notice(
        &self,
        mutant: &Mutant,
        build: &Build,
        is_equivalent: bool,
    ) -> anyhow::Result<Notice> {
        let scenarios: Vec<&Scenario> = self
            .scenarios
            .iter()
            .filter(|one| !is_equivalent || self.priority.is_likely(mutant, one))
            .copied()
            .collect();
        let evaluation = Evaluation {
            mutation_run: self.mutation_run,
            plan: &self.plan,
            known: &self.known,
            build,
        };
        let order = self.priority.order(mutant, &scenarios, |scenario| {
            self.history.estimate(&evaluation.job_plan(scenario, 1))
        });
        evaluation.hear(order)
    }
}
