// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts parsed steps to steps in the order of execution. A race with a sync point
//! becomes several steps: the held step, the steps of `meanwhile`, and the release.

use std::fmt;
use std::sync::Arc;

use super::arguments::Subject;
use super::checker::{Checked, Checker};
use crate::input::Place;
use crate::scenario::model::{Action, Returns, Step, SyncPoint};
use crate::scenario::operation::Operation;
use crate::scenario::raw::{EXPECTATIONS, RawKey, RawSetup, RawStep, RawValue};
use crate::scenario::verb::{Outcome, Verb};
use crate::yaml::At;

/// Maximal number of repetitions.
const TIMES_MAX: u64 = 10_000;
/// Maximal length of the text of `observe`.
const OBSERVATION_MAX: usize = 60;

/// The list that contains a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The steps of a boot.
    Boot,
    /// The steps of a race.
    Meanwhile,
    /// The steps of a repetition.
    Repeat,
}

/// A step without expectations except of its result.
const fn bare(number: usize, place: Place, action: Action, returns: Returns) -> Step {
    Step {
        number,
        action,
        returns,
        calls: Vec::new(),
        order: Vec::new(),
        log: Vec::new(),
        fails_first: false,
        because: None,
        place,
    }
}

impl<'a> Checker<'a> {
    /// The steps that create the objects of the setup.
    pub(super) fn setup(&mut self, setup: &RawSetup) -> Checked<Vec<Step>> {
        let text = |text: &At<String>| RawValue::Text(text.value.clone());
        let mut steps = Vec::new();
        for session in &setup.sessions {
            let step = RawStep::default().with("create_session", session.place, text(session));
            steps.push((session.place, step));
        }
        for (name, At { value: file, place }) in &setup.files {
            let place = *place;
            let kinds = [
                ("open_device", &file.device),
                ("create_memfd", &file.memfd),
                ("open_file", &file.path),
            ];
            let mut given = kinds
                .iter()
                .filter_map(|(key, value)| Some((*key, value.as_ref()?)));
            let (Some((key, value)), None) = (given.next(), given.next()) else {
                let message = "a file needs exactly one of `device`, `memfd` and `path`";
                return Err(self.wrong(place, message, None));
            };
            let name = RawValue::Text(name.clone());
            let step = RawStep::default().with(key, value.place, text(value));
            steps.push((place, step.with("as", place, name.clone())));
            if !file.seals.is_empty() {
                let seals = RawValue::List(file.seals.clone());
                let step = RawStep::default().with("seal", place, name);
                steps.push((place, step.with("seals", place, seals)));
            }
        }
        let steps = (1..).zip(steps).map(|(number, (place, value))| {
            let step = At { value, place };
            self.step(number, &step, Part::Boot)
        });
        steps.collect()
    }

    /// Converts a step, which may become several. `number` is the number of the first one,
    /// and is advanced to the next free number even if this variant leaves the step out.
    pub(super) fn steps(&mut self, number: &mut usize, raw: &At<RawStep>) -> Checked<Vec<Step>> {
        let begin = *number;
        let step = &raw.value;
        let meanwhile = step.get("meanwhile").map_or(0, |key| {
            let steps = key.steps();
            let waiting = steps.iter().filter(|step| step.value.waits_in.is_some());
            steps.len() + 1 + waiting.count()
        });
        *number += 1 + meanwhile + step.get("steps").map_or(0, |key| key.steps().len());
        if !self.is_when(&step.when)? {
            return Ok(Vec::new());
        }
        match (step.get("race"), step.get("sync_point")) {
            (Some(race), Some(at)) => self.held_race(begin, raw, race, at),
            _ => Ok(vec![self.step(begin, raw, Part::Boot)?]),
        }
    }

    /// Converts one step with its expectations.
    fn step(&mut self, number: usize, raw: &At<RawStep>, part: Part) -> Checked<Step> {
        let step = &raw.value;
        let has_counts = step.has_counts();
        let message = "`calls`, `order` and `log` are invalid within `repeat`";
        let hint = "move them to the `repeat` step or to a later step";
        let can_count = part != Part::Repeat || !has_counts;
        self.require_or(can_count, raw.place, message, hint)?;
        self.one_return(step)?;
        let mut returns = self.returns(step.returns.as_ref())?;
        let action = self.action(number, raw, &returns, part)?;
        if let (Action::Race { .. }, Some(race)) = (&action, step.get("race")) {
            returns = self.returns(self.step_of(race)?.returns.as_ref())?;
        }
        if let Some(word) = &step.returns {
            let message = format!("the step \"{action}\" cannot return an error");
            let is_possible = returns == Returns::Ok || can_fail(&action);
            self.require(is_possible, word.place, message)?;
        }
        let has_purpose = has_counts || !matches!(action, Action::Observe(_));
        let message = "`observe` needs `calls`, `order` or `log`";
        self.require(has_purpose, raw.place, message)?;
        self.expecting(raw, bare(number, raw.place, action, returns))
    }

    /// Adds the expectations of a parsed step to a step.
    fn expecting(&self, raw: &At<RawStep>, step: Step) -> Checked<Step> {
        Ok(Step {
            calls: self.calls(&raw.value)?,
            order: self.order(&raw.value)?,
            log: self.log(&raw.value)?,
            fails_first: raw.value.fails_first,
            because: raw.value.because.clone(),
            ..step
        })
    }

    /// Checks the verb of a step and its arguments.
    fn action(
        &mut self,
        number: usize,
        raw: &At<RawStep>,
        returns: &Returns,
        part: Part,
    ) -> Checked<Action> {
        let step = &raw.value;
        let (key, verb) = self.verb(raw)?;
        let action = match verb.key.as_str() {
            "fail_allocations" => self.fail_allocations(step, key, part)?,
            "repeat" => self.repeat(step, key, number, part)?,
            "race" => self.free_race(step, key, part)?,
            "observe" => self.observe(key)?,
            _ => {
                let message = format!("`{}` cannot be nested in another step", key.key);
                let is_possible = part == Part::Boot || !verb.counts_leaks();
                self.require(is_possible, key.place, message)?;
                Action::Run(self.operation(Subject {
                    verb,
                    key,
                    raw: step,
                    returns,
                })?)
            }
        };
        let is_race = matches!(action, Action::Race { .. });
        let is_used = |key: &str| match is_race {
            true => key == "against",
            false => verb.parameter(key).is_some(),
        };
        self.no_stray_key(step, &action, |key| {
            key == verb.key.as_str() || is_used(key)
        })?;
        Ok(action)
    }

    /// Returns the verb of a step. Rejects a step with two verbs, at the second one.
    fn verb<'r>(&self, raw: &'r At<RawStep>) -> Checked<(&'r RawKey, &'a Arc<Verb>)> {
        self.types(&raw.value)?;
        let keys = raw.value.keys.iter();
        let verbs = keys.filter_map(|key| Some((key, self.language.verb(&key.key)?)));
        let mut verbs: Vec<_> = verbs.collect();
        verbs.sort_by_key(|(key, _)| key.place);
        match verbs.as_slice() {
            [] => {
                let hint = Some("add an action such as `preserve: dev`, or `observe`".to_owned());
                Err(self.wrong(raw.place, "the step has no action", hint))
            }
            [verb] => Ok(*verb),
            [(first, _), (second, _), ..] => {
                let (first, at) = (&first.key, second.place.max(raw.place));
                let second = &second.key;
                let message = format!("the step has two actions: `{first}` and `{second}`");
                Err(self.wrong(at, message, Some("split the step".to_owned())))
            }
        }
    }

    /// Refuses unknown keys, and values of the wrong type.
    fn types(&self, raw: &RawStep) -> Checked<()> {
        for key in &raw.keys {
            let RawKey {
                key,
                key_place,
                place,
                value,
            } = key;
            let Some(wanted) = self.language.value_type(key) else {
                let known = self.language.keys().chain(EXPECTATIONS.iter().copied());
                let (value, place) = (key.clone(), *key_place);
                return Err(self.unknown("key", &At { value, place }, known));
            };
            let message = format!("expected {} in `{key}`", wanted.word());
            self.require_or(value.is(wanted), *place, &message, wanted.hint())?;
        }
        Ok(())
    }

    /// Returns the step in the value of a key.
    fn step_of<'r>(&self, key: &'r RawKey) -> Checked<&'r RawStep> {
        let message = || format!("expected a step in `{}`", key.key);
        let missing = || self.wrong(key.place, message(), None);
        key.step().ok_or_else(missing)
    }

    fn fail_allocations(&mut self, raw: &RawStep, key: &RawKey, part: Part) -> Checked<Action> {
        let message = "`fail_allocations` cannot be nested in another step";
        self.require(part == Part::Boot, key.place, message)?;
        let operation = self.inner(self.step_of(key)?, key.place)?;
        let undo = self.need(raw.get("undo"), key.place, "undo")?;
        // The last run succeeds and is not undone.
        let known = (self.in_boot.clone(), self.closed.clone());
        let undo = undo.steps().iter();
        let undo = undo.map(|step| self.inner(&step.value, step.place));
        let undo = undo.collect::<Checked<_>>()?;
        (self.in_boot, self.closed) = known;
        Ok(Action::FailAllocations { operation, undo })
    }

    /// A repetition. Its steps are checked each time.
    fn repeat(
        &mut self,
        raw: &RawStep,
        key: &RawKey,
        number: usize,
        part: Part,
    ) -> Checked<Action> {
        let message = "`repeat` cannot be nested in another step";
        self.require(part == Part::Boot, key.place, message)?;
        let times = key.number();
        let message = format!("`repeat` is out of range: use 2 to {TIMES_MAX}");
        self.require((2..=TIMES_MAX).contains(&times), key.place, message)?;
        let given = self.need(raw.get("steps"), key.place, "steps")?;
        let mut steps = Vec::new();
        for (number, step) in (number + 1..).zip(given.steps()) {
            if self.is_when(&step.value.when)? {
                steps.push(self.step(number, step, Part::Repeat)?);
            }
        }
        self.require(!steps.is_empty(), given.place, "`steps` is empty")?;
        Ok(Action::Repeat { times, steps })
    }

    /// Two steps that start at the same time and end in any order.
    fn free_race(&mut self, raw: &RawStep, race: &RawKey, part: Part) -> Checked<Action> {
        let message = "`race` cannot be nested in another step";
        self.require(part != Part::Meanwhile, race.place, message)?;
        if let Some(at) = raw.get("sync_point") {
            let hint = "use `against`, or move the race out of `repeat`";
            let message = "`sync_point` is invalid within `repeat`";
            return Err(self.wrong(at.place, message, Some(hint.to_owned())));
        }
        let Some(against) = raw.get("against") else {
            let message = "`race` needs `sync_point` and `meanwhile`, or `against`";
            return Err(self.wrong(race.place, message, None));
        };
        let message = "a race with `against` must be repeated";
        let hint = "move it into a `repeat`, or use `sync_point`";
        self.require_or(part == Part::Repeat, race.place, message, hint)?;
        let against_returns = self.returns(self.step_of(against)?.returns.as_ref())?;
        Ok(Action::Race {
            operation: self.inner(self.step_of(race)?, race.place)?,
            against: self.inner(self.step_of(against)?, against.place)?,
            against_returns,
        })
    }

    fn observe(&self, key: &RawKey) -> Checked<Action> {
        let text = key.text();
        let is_line = !text.trim().is_empty() && !text.contains('\n');
        let message = format!(
            "invalid text of `observe`: use one line of at most {OBSERVATION_MAX} characters"
        );
        self.require(is_line && text.len() <= OBSERVATION_MAX, key.place, message)?;
        Ok(Action::Observe(text.to_owned()))
    }

    /// A race whose first step is held until the others have run.
    fn held_race(
        &mut self,
        number: usize,
        raw: &At<RawStep>,
        race: &RawKey,
        at: &RawKey,
    ) -> Checked<Vec<Step>> {
        self.verb(raw)?;
        self.one_return(&raw.value)?;
        let place = raw.place;
        let returns = self.returns(self.step_of(race)?.returns.as_ref())?;
        let operation = self.inner(self.step_of(race)?, race.place)?;
        let hold = Action::Hold {
            operation: operation.clone(),
            at: self.sync_point(at)?,
        };
        let hold = Step {
            because: raw.value.because.clone(),
            ..bare(number, place, hold, Returns::Ok)
        };
        let given = raw.value.get("meanwhile").map_or(&[][..], RawKey::steps);
        let message = "`sync_point` needs steps in `meanwhile`";
        self.require(!given.is_empty(), race.place, message)?;
        let (meanwhile, waiting) = self.meanwhile(number + 1, given)?;
        let last = number + 1 + given.len();
        let is_used = |key: &str| ["race", "sync_point", "meanwhile"].contains(&key);
        self.no_stray_key(&raw.value, &operation, is_used)?;
        let release = bare(last, place, Action::Release(operation), returns);
        let release = Step {
            because: None,
            ..self.expecting(raw, release)?
        };
        let end = waiting.map(|end| Step {
            number: last + 1,
            ..end
        });
        let steps = [hold].into_iter().chain(meanwhile);
        Ok(steps.chain([release]).chain(end).collect())
    }

    /// The steps of `meanwhile`, numbered from `number` on, and the completion of the step
    /// with `waits_in`, if any.
    fn meanwhile(
        &mut self,
        number: usize,
        given: &[At<RawStep>],
    ) -> Checked<(Vec<Step>, Option<Step>)> {
        let mut steps = Vec::new();
        let mut waiting = None;
        for (number, step) in (number..).zip(given) {
            if !self.is_when(&step.value.when)? {
                continue;
            }
            let Some(functions) = &step.value.waits_in else {
                steps.push(self.step(number, step, Part::Meanwhile)?);
                continue;
            };
            let message = "only one step of `meanwhile` can have `waits_in`";
            self.require(waiting.is_none(), functions.place, message)?;
            let (wait, end) = self.wait(number, step, functions)?;
            steps.push(wait);
            waiting = Some(end);
        }
        Ok((steps, waiting))
    }

    /// A step that must wait for the held step, and its completion.
    fn wait(
        &mut self,
        number: usize,
        raw: &At<RawStep>,
        functions: &At<String>,
    ) -> Checked<(Step, Step)> {
        let (step, place) = (&raw.value, raw.place);
        let returns = self.returns(step.returns.as_ref())?;
        let inner = RawStep {
            keys: step.keys.clone(),
            returns: step.returns.clone(),
            ..RawStep::default()
        };
        let operation = self.inner(&inner, place)?;
        let names = functions.value.split('|');
        for name in names.clone() {
            self.kernel_function(name, functions.place)?;
        }
        let wait = Action::Wait {
            operation: operation.clone(),
            functions: names.map(str::to_owned).collect(),
        };
        let wait = self.expecting(raw, bare(number, place, wait, Returns::Ok))?;
        let end = Action::EndWait(operation);
        Ok((wait, bare(number, place, end, returns)))
    }

    /// `returns` belongs to the steps of a race, not to the race.
    fn one_return(&self, raw: &RawStep) -> Checked<()> {
        let Some(returns) = &raw.returns else {
            return Ok(());
        };
        let message = "`returns` is invalid next to `race`";
        let hint = "move it inside: `race: {close: vm, returns: ok}`";
        self.require_or(raw.get("race").is_none(), returns.place, message, hint)
    }

    fn sync_point(&self, at: &RawKey) -> Checked<SyncPoint> {
        let (function, at_return) = match at.text().strip_suffix("%return") {
            Some(function) => (function, true),
            None => (at.text(), false),
        };
        self.kernel_function(function, at.place)?;
        Ok(SyncPoint {
            function: function.to_owned(),
            at_return,
        })
    }

    /// A nested step, which has an operation but no expectations except its result.
    fn inner(&mut self, raw: &RawStep, place: Place) -> Checked<Operation> {
        let returns = self.returns(raw.returns.as_ref())?;
        let step = At {
            value: raw.clone(),
            place,
        };
        let operation = match self.action(0, &step, &returns, Part::Meanwhile)? {
            Action::Run(operation) if operation.verb.can_be_nested() => operation,
            action => {
                let message = format!("the step \"{action}\" cannot be nested in another step");
                return Err(self.wrong(place, message, None));
            }
        };
        let hint = "move them to the outer step";
        let is_bare = !raw.fails_first && raw.because.is_none() && raw.when.is_empty();
        let message = "`fails_first`, `because` and `when` are invalid in a nested step";
        self.require_or(is_bare, place, message, hint)?;
        let message = "`calls`, `order` and `log` are invalid in a nested step";
        self.require_or(!raw.has_counts(), place, message, hint)?;
        Ok(operation)
    }

    /// Rejects keys that the action does not use.
    fn no_stray_key(
        &self,
        raw: &RawStep,
        action: &dyn fmt::Display,
        is_used: impl Fn(&str) -> bool,
    ) -> Checked<()> {
        let waits_in = raw.waits_in.as_ref().map(|at| ("waits_in", at.place));
        let keys = raw.keys.iter().map(|key| (key.key.as_str(), key.place));
        let mut stray = keys.chain(waits_in).filter(|(key, _)| !is_used(key));
        let Some((key, place)) = stray.next() else {
            return Ok(());
        };
        let message = format!("`{key}` is invalid for the step \"{action}\"");
        let owners = self.language.owners(key);
        let owners: Vec<_> = owners.iter().map(|key| format!("`{key}`")).collect();
        let hint = match key {
            "waits_in" => "`waits_in` is for steps of `meanwhile`".to_owned(),
            _ => format!("`{key}` is for {}", owners.join(", ")),
        };
        Err(self.wrong(place, message, Some(hint)))
    }
}

/// Whether the action returns a result that can be an error.
fn can_fail(action: &Action) -> bool {
    match action {
        Action::Observe(_) | Action::Repeat { .. } => false,
        Action::Run(operation) => {
            let result = operation.result();
            !matches!(result, Outcome::Leaks | Outcome::Nothing)
        }
        _ => true,
    }
}
