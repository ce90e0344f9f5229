// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users inside the kernel, fault injection, processes, kexec, and nested steps.

use super::super::objects::{FILES, Kind};
use super::super::step::Part;
use super::super::{Checked, Checker};
use super::Verb;
use crate::input::Place;
use crate::scenario::machines::KMEMLEAK;
use crate::scenario::names::CALLBACKS;
use crate::scenario::raw::RawStep;
use crate::scenario::{Action, Flb, Returns, UserAct};
use crate::yaml::At;

/// Maximal length of the text of `observe`.
const OBSERVATION_MAX: usize = 60;
/// Maximal number of failing calls of a callback.
const TIMES_MAX: u64 = 1000;

impl Checker<'_> {
    /// An action with nested steps.
    pub(super) fn nesting(
        &mut self,
        raw: &mut RawStep,
        number: usize,
        boot: usize,
        part: Part,
    ) -> Checked<Option<Action>> {
        if let Some(step) = raw.fail_allocations.take() {
            let action = Box::new(self.inner(&step, boot)?);
            let undo = self.need(raw.undo.take(), step.place, "undo")?;
            // The last run succeeds and is not undone.
            let known = (self.in_boot.clone(), self.closed.clone());
            let undo = undo.value.iter().map(|step| self.inner(step, boot));
            let undo = undo.collect::<Checked<_>>()?;
            (self.in_boot, self.closed) = known;
            return Ok(Some(Action::FailAllocations { action, undo }));
        }
        if let Some(times) = raw.repeat.take() {
            if part != Part::Boot {
                let message = "`repeat` cannot be nested in another step";
                return Err(self.wrong(times.place, message, None));
            }
            return self.repeat(raw, &times, number, boot).map(Some);
        }
        match (raw.race.take(), &raw.sync_point) {
            (Some(race), _) if part == Part::Meanwhile => {
                let message = "`race` cannot be nested in another step";
                Err(self.wrong(race.place, message, None))
            }
            (Some(_), Some(at)) => {
                let hint = "use `against`, or move the race out of `repeat`";
                let message = "`sync_point` is invalid within `repeat`";
                Err(self.wrong(at.place, message, Some(hint.to_owned())))
            }
            (Some(race), None) => self.free_race(raw, &race, boot, part).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// Two steps that start at the same time and end in any order.
    fn free_race(
        &mut self,
        raw: &mut RawStep,
        race: &At<Box<RawStep>>,
        boot: usize,
        part: Part,
    ) -> Checked<Action> {
        let Some(against) = raw.against.take() else {
            let message = "`race` needs `sync_point` and `meanwhile`, or `against`";
            return Err(self.wrong(race.place, message, None));
        };
        if part != Part::Repeat {
            let hint = Some("move it into a `repeat`, or use `sync_point`".to_owned());
            let message = "a race with `against` must be repeated";
            return Err(self.wrong(race.place, message, hint));
        }
        let against_returns = self.returns(against.value.returns.as_ref())?;
        Ok(Action::Race {
            action: Box::new(self.inner(race, boot)?),
            against: Box::new(self.inner(&against, boot)?),
            against_returns,
        })
    }

    pub(super) fn control_action(
        &mut self,
        verb: &Verb<'_>,
        raw: &mut RawStep,
        part: Part,
    ) -> Checked<Action> {
        let (subject, place) = (&verb.subject, verb.place());
        Ok(match verb.key {
            "get_outgoing" => self.user(verb, UserAct::Get, Flb::Outgoing)?,
            "use_outgoing" => self.user(verb, UserAct::Use, Flb::Outgoing)?,
            "put_outgoing" => self.user(verb, UserAct::Put, Flb::Outgoing)?,
            "get_incoming" => {
                let flb = self.incoming(raw.flb.take().as_ref())?;
                self.user(verb, UserAct::Get, flb)?
            }
            "use_incoming" => self.user(verb, UserAct::Use, Flb::Incoming)?,
            "put_incoming" => self.user(verb, UserAct::Put, Flb::Incoming)?,
            "fail_next" => self.fail_next(verb, raw)?,
            "start_process" => {
                let takes = self.need(raw.takes.take(), place, "takes")?;
                self.start_process(subject, &takes)?
            }
            "kill_process" => {
                let process = self.object(subject, &[Kind::Process])?;
                self.give_away(&process);
                Action::KillProcess { process }
            }
            "try_kexec" if subject.value != "refused" => {
                return Err(self.unknown("value", subject, ["refused"]));
            }
            "try_kexec" if !matches!(verb.returns, Returns::Errno(_)) => {
                let hint = "add the expected error; a successful kexec is a new entry in `boots`";
                let message = "`try_kexec` needs an error in `returns`";
                return Err(self.wrong(place, message, Some(hint.to_owned())));
            }
            "try_kexec" => Action::TryKexec,
            "check_leaks" if subject.value != "kmemleak" => {
                return Err(self.unknown("leak checker", subject, ["kmemleak"]));
            }
            "check_leaks" if part != Part::Boot => {
                let message = "`check_leaks` cannot be nested in another step";
                return Err(self.wrong(place, message, None));
            }
            "check_leaks" => {
                self.needs_kmemleak(place)?;
                Action::CheckLeaks
            }
            _ => self.observe(subject)?,
        })
    }

    /// On a machine without kmemleak, the check would pass without checking.
    fn needs_kmemleak(&self, place: Place) -> Checked<()> {
        let machine = &self.machine.0;
        if self.machines.has_kmemleak(machine) {
            return Ok(());
        }
        let machines: Vec<String> = self
            .machines
            .with_kmemleak()
            .map(|name| format!("`machine: {name}`"))
            .collect();
        let hint = match machines.is_empty() {
            true => format!("add a machine with `kernel_arguments: {KMEMLEAK}`"),
            false => format!("use {}", machines.join(" or ")),
        };
        let message = format!("the machine `{machine}` does not enable kmemleak");
        Err(self.wrong(place, message, Some(hint)))
    }

    fn user(&mut self, verb: &Verb<'_>, act: UserAct, flb: Flb) -> Checked<Action> {
        let name = &verb.subject;
        let is_new = !self.objects.contains_key(&name.value) || self.closed.contains(&name.value);
        if is_new && act == UserAct::Get {
            self.make(Some(name.clone()), name.place, Kind::User, &Returns::Ok)?;
        }
        let user = self.object(name, &[Kind::User])?;
        Ok(Action::User { user, act, flb })
    }

    fn incoming(&self, word: Option<&At<String>>) -> Checked<Flb> {
        match word {
            None => Ok(Flb::Incoming),
            Some(word) if word.value == "other" => Ok(Flb::Other),
            Some(word) => Err(self.unknown("FLB", word, ["other"])),
        }
    }

    fn fail_next(&self, verb: &Verb<'_>, raw: &mut RawStep) -> Checked<Action> {
        let callback = &verb.subject;
        if !CALLBACKS.contains(&callback.value.as_str()) {
            return Err(self.unknown("callback", callback, CALLBACKS.iter().copied()));
        }
        let errno = self.errno(&self.need(raw.error.take(), verb.place(), "with")?)?;
        let times = raw.times.take();
        if let Some(times) = times
            .as_ref()
            .filter(|times| !(1..=TIMES_MAX).contains(&times.value))
        {
            let message = format!("`times` is out of range: use 1 to {TIMES_MAX}");
            return Err(self.wrong(times.place, message, None));
        }
        Ok(Action::FailNext {
            callback: verb.name(),
            errno,
            times: times.map_or(1, |times| times.value),
        })
    }

    fn start_process(&mut self, name: &At<String>, takes: &At<Vec<At<String>>>) -> Checked<Action> {
        let mut kinds = FILES.to_vec();
        kinds.extend([Kind::Session, Kind::User]);
        let mut taken = Vec::new();
        for object in &takes.value {
            let object = self.object(object, &kinds)?;
            self.give_away(&object);
            taken.push(object);
        }
        if taken.is_empty() {
            return Err(self.wrong(takes.place, "`takes` is empty", None));
        }
        let process = self.make(Some(name.clone()), name.place, Kind::Process, &Returns::Ok)?;
        Ok(Action::StartProcess {
            process,
            takes: taken,
        })
    }

    fn observe(&self, label: &At<String>) -> Checked<Action> {
        let text = &label.value;
        if text.trim().is_empty() || text.contains('\n') || text.len() > OBSERVATION_MAX {
            let message = format!(
                "invalid text of `observe`: use one line of at most {OBSERVATION_MAX} characters"
            );
            return Err(self.wrong(label.place, message, None));
        }
        Ok(Action::Observe { text: text.clone() })
    }
}
