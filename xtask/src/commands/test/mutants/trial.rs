// SPDX-License-Identifier: GPL-2.0-only
//! The mutants of one profile: each is built, heard and judged.

use std::time::{Duration, Instant};

use fs_err as fs;
use kernel_patches::kernel::Birth;
use kernel_patches::mutant::Mutant;
use kernel_patches::stack::MUTANT_PREFIX;
use patchbed_host::events::{Activity, Event, Observer};
use selftests::scenario::Scenario;

use super::Court;
use super::births::{Birthplace, Born};
use super::hearing::{Hearing, Notice};
use super::known::Known;
use super::order::Noticers;
use crate::commands::test::history::History;
use crate::commands::test::prepare::{self, Ground};
use crate::plan::Plan;
use crate::result::{Fate, MutantResult};

/// The mutants of one profile.
pub(super) struct Trial<'a> {
    pub(super) court: &'a Court<'a>,
    pub(super) plan: Plan,
    pub(super) ground: &'a Ground,
    /// Those that came to what they must on the series.
    pub(super) scenarios: Vec<&'a Scenario>,
    pub(super) known: Known,
    pub(super) noticers: Noticers,
    pub(super) history: History,
}

impl Trial<'_> {
    /// Returns what came of each mutant.
    ///
    /// # Errors
    /// When the host fails, or the user asked to stop.
    pub(super) fn all(&mut self) -> anyhow::Result<Vec<MutantResult>> {
        let Court {
            sources, session, ..
        } = *self.court;
        let mutants = &sources.mutants;
        let total = Some(mutants.len() as u64);
        let activity = Activity::start(&session.progress, "judging mutants", total);
        let place = Birthplace {
            court: self.court,
            ground: self.ground,
        };
        let mut results = Vec::new();
        self.confirm()?;
        std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::sync_channel(1);
            let builder = scope.spawn(move || place.build_all(&send));
            for Born {
                mutant,
                birth,
                took,
            } in receive
            {
                let result = self.judge(mutant, birth, took)?;
                // A run that is ended early has learnt something, too.
                self.noticers.save();
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

    /// What a scenario that fails on the series comes to must not be chance: it runs
    /// there once more, as on a mutant, and is left out if it comes to something else.
    fn confirm(&mut self) -> anyhow::Result<()> {
        let mut failing = self.scenarios.clone();
        failing.retain(|one| self.known.fails(one));
        let ground = prepare::short_lived(self.ground);
        let hearing = Hearing {
            court: self.court,
            plan: &self.plan,
            known: &self.known,
            ground: &ground,
        };
        for name in hearing.fickle(failing)? {
            let text = format!("`{name}` fails on the series in more than one way");
            let progress = &self.court.session.progress;
            progress.event(Event::Note { text });
            self.known.forget(&name);
            self.scenarios.retain(|one| one.name != name);
        }
        Ok(())
    }

    fn judge(
        &mut self,
        mutant: &Mutant,
        birth: Birth,
        took: Duration,
    ) -> anyhow::Result<MutantResult> {
        let begun = Instant::now();
        let (fate, noticed_by, reason) = match birth {
            Birth::NotBuilt { why } => (Fate::NotBuilt, Vec::new(), why),
            Birth::SameCode { as_what } => (
                Fate::SameObject,
                Vec::new(),
                format!("the same code as {as_what}"),
            ),
            Birth::Kernel(kernel, modules) => {
                let dir = kernel.dir.clone();
                let stack = format!("{MUTANT_PREFIX}{}", mutant.name);
                let modules = modules.as_deref();
                let rig = &self.court.ready.rig;
                let ground = prepare::mutated(self.ground, stack, *kernel, modules, rig)?;
                let reason = self.court.sources.equivalent.get(&mutant.name);
                let reason = reason.filter(|one| one.holds_in(&self.ground.profile));
                let why = reason.map(|one| one.why.as_str());
                let notice = self.notice(mutant, &ground, why.is_some())?;
                let said = self.verdict(mutant, &notice, why);
                if said.0 == Fate::Noticed || (said.0 == Fate::Equivalent && said.1.is_empty()) {
                    // Nobody wants to boot it again.
                    let _ = fs::remove_dir_all(dir);
                }
                said
            }
        };
        Ok(MutantResult {
            name: mutant.name.clone(),
            profile: self.ground.profile.clone(),
            title: mutant.title.clone(),
            patch: mutant.patch,
            file: mutant.file.to_string(),
            line: mutant.line,
            diff: mutant.diff.clone(),
            fate,
            noticed_by,
            reason,
            duration_ms: u64::try_from((took + begun.elapsed()).as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Returns what came of a mutant, the scenarios that noticed it, and how; `why` says
    /// why nobody should.
    fn verdict(
        &mut self,
        mutant: &Mutant,
        notice: &Notice,
        why: Option<&str>,
    ) -> (Fate, Vec<String>, String) {
        let mut names: Vec<String> = notice
            .bad
            .iter()
            .map(|cell| cell.scenario.clone())
            .collect();
        names.sort();
        names.dedup();
        if let Some(first) = notice.bad.first().filter(|_| notice.is_sure()) {
            self.noticers.learn(mutant, &first.scenario);
            let reason = format!("`{}`: {} ({})", first.scenario, first.outcome, first.reason);
            let fate = match why {
                Some(_) => Fate::Equivalent,
                None => Fate::Noticed,
            };
            return (fate, names, reason);
        }
        if let Some(why) = why.filter(|_| notice.is_proven()) {
            return (Fate::Equivalent, Vec::new(), why.trim().to_owned());
        }
        let mut reason = format!(
            "{} scenarios come to what they do on the series",
            notice.same
        );
        for cell in &notice.bad {
            reason += &format!(
                ", `{}` came to {} once ({}), and then did not",
                cell.scenario, cell.outcome, cell.reason
            );
        }
        for cell in &notice.void {
            reason += &format!(
                ", `{}` came to {} ({})",
                cell.scenario, cell.outcome, cell.reason
            );
        }
        let fate = if notice.is_proven() {
            Fate::Unnoticed
        } else {
            Fate::Unproven
        };
        (fate, Vec::new(), reason)
    }

    /// Has scenarios run on a mutant; where nobody is to notice, those that are likely to.
    fn notice(
        &self,
        mutant: &Mutant,
        ground: &Ground,
        is_equivalent: bool,
    ) -> anyhow::Result<Notice> {
        let scenarios: Vec<&Scenario> = self
            .scenarios
            .iter()
            .filter(|one| !is_equivalent || self.noticers.is_likely(mutant, one))
            .copied()
            .collect();
        let hearing = Hearing {
            court: self.court,
            plan: &self.plan,
            known: &self.known,
            ground,
        };
        let order = self.noticers.order(mutant, &scenarios, |scenario| {
            self.history.estimate(&hearing.cell_plan(scenario, 1))
        });
        hearing.hear(order)
    }
}
