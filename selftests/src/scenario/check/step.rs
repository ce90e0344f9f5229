// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts parsed steps to steps in the order of execution. A race with a sync point
//! becomes several steps: the held step, the steps of `meanwhile`, and the release.

use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::raw::{RawSetup, RawStep};
use crate::scenario::reference::owners;
use crate::scenario::{Action, Returns, Step, SyncPoint};
use crate::yaml::At;

/// Maximal number of repetitions.
const TIMES_MAX: u64 = 10_000;

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

impl Checker<'_> {
    /// The steps that create the objects of the setup.
    pub(super) fn setup(&mut self, setup: &RawSetup) -> Checked<Vec<Step>> {
        let mut raw_steps = Vec::new();
        for session in &setup.sessions {
            let step = RawStep {
                create_session: Some(session.clone()),
                ..RawStep::default()
            };
            raw_steps.push((session.place, step));
        }
        for (name, file) in &setup.files {
            let (place, file) = (file.place, &file.value);
            let name = Some(At {
                value: name.clone(),
                place,
            });
            let kinds = [&file.device, &file.memfd, &file.path];
            if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
                let message = "a file needs exactly one of `device`, `memfd` and `path`";
                return Err(self.wrong(place, message, None));
            }
            let memfd = name.clone().filter(|_| !file.seals.is_empty());
            raw_steps.push((
                place,
                RawStep {
                    open_device: file.device.clone(),
                    create_memfd: file.memfd.clone(),
                    open_file: file.path.clone(),
                    name,
                    ..RawStep::default()
                },
            ));
            if memfd.is_some() {
                let seals = Some(At {
                    value: file.seals.clone(),
                    place,
                });
                raw_steps.push((
                    place,
                    RawStep {
                        seal: memfd,
                        seals,
                        ..RawStep::default()
                    },
                ));
            }
        }
        let mut steps = Vec::new();
        for (place, value) in raw_steps {
            let step = At { value, place };
            steps.push(self.step(steps.len() + 1, 1, &step, Part::Boot)?);
        }
        Ok(steps)
    }

    /// Converts a step, which may become several. `number` is the number of the first one,
    /// and is advanced to the next free number even if this variant leaves the step out.
    pub(super) fn steps(
        &mut self,
        number: &mut usize,
        boot: usize,
        raw: &At<RawStep>,
    ) -> Checked<Vec<Step>> {
        let begin = *number;
        let step = &raw.value;
        let within = step.meanwhile.as_ref().map_or(0, |steps| {
            let waiting = steps
                .value
                .iter()
                .filter(|step| step.value.waits_in.is_some());
            steps.value.len() + 1 + waiting.count()
        }) + step.steps.as_ref().map_or(0, |steps| steps.value.len());
        *number += 1 + within;
        if !self.is_when(&step.when)? {
            return Ok(Vec::new());
        }
        match (&step.race, &step.sync_point) {
            (Some(race), Some(at)) => self.held_race(begin, boot, raw, race, at),
            _ => Ok(vec![self.step(begin, boot, raw, Part::Boot)?]),
        }
    }

    /// Converts one step with its expectations.
    pub(super) fn step(
        &mut self,
        number: usize,
        boot: usize,
        raw: &At<RawStep>,
        part: Part,
    ) -> Checked<Step> {
        let mut rest = raw.value.clone();
        let calls = self.calls(&rest)?;
        let order = self.order(&rest)?;
        let log = self.log(&rest)?;
        let has_counts = !(calls.is_empty() && order.is_empty() && log.is_empty());
        if part == Part::Repeat && has_counts {
            let hint = Some("move them to the `repeat` step or to a later step".to_owned());
            let message = "`calls`, `order` and `log` are invalid within `repeat`";
            return Err(self.wrong(raw.place, message, hint));
        }
        self.one_return(&rest)?;
        let mut returns = self.returns(rest.returns.as_ref())?;
        let action = self.action(&mut rest, raw.place, number, boot, &returns, part)?;
        if let (Action::Race { .. }, Some(race)) = (&action, &raw.value.race) {
            returns = self.returns(race.value.returns.as_ref())?;
        }
        self.no_stray_key(&rest, &action)?;
        if let Some(word) = &rest.returns
            && returns != Returns::Ok
            && !action.can_fail()
        {
            let message = format!("the step \"{action}\" cannot return an error");
            return Err(self.wrong(word.place, message, None));
        }
        if matches!(action, Action::Observe { .. }) && !has_counts {
            let message = "`observe` needs `calls`, `order` or `log`";
            return Err(self.wrong(raw.place, message, None));
        }
        Ok(Step {
            number,
            action,
            returns,
            calls,
            order,
            log,
            fails_first: rest.fails_first,
            because: rest.because,
            place: raw.place,
        })
    }

    /// A race whose first step is held until the others have run.
    fn held_race(
        &mut self,
        number: usize,
        boot: usize,
        raw: &At<RawStep>,
        race: &At<Box<RawStep>>,
        at: &At<String>,
    ) -> Checked<Vec<Step>> {
        self.one_return(&raw.value)?;
        let returns = self.returns(race.value.returns.as_ref())?;
        let action = self.inner(race, boot)?;
        let hold = Step {
            number,
            action: Action::Hold {
                action: Box::new(action.clone()),
                at: self.sync_point(at)?,
            },
            returns: Returns::Ok,
            calls: Vec::new(),
            order: Vec::new(),
            log: Vec::new(),
            fails_first: false,
            because: raw.value.because.clone(),
            place: raw.place,
        };
        let given = raw.value.meanwhile.as_ref();
        let Some(given) = given.filter(|steps| !steps.value.is_empty()) else {
            let message = "`sync_point` needs steps in `meanwhile`";
            return Err(self.wrong(race.place, message, None));
        };
        let (meanwhile, waiting) = self.meanwhile(number + 1, boot, &given.value)?;
        let last = number + 1 + given.value.len();
        let release = self.release(last, raw, action, returns)?;
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
        boot: usize,
        given: &[At<RawStep>],
    ) -> Checked<(Vec<Step>, Option<Step>)> {
        let mut steps = Vec::new();
        let mut waiting = None;
        for (number, step) in (number..).zip(given) {
            if !self.is_when(&step.value.when)? {
                continue;
            }
            let Some(functions) = &step.value.waits_in else {
                steps.push(self.step(number, boot, step, Part::Meanwhile)?);
                continue;
            };
            if waiting.is_some() {
                let message = "only one step of `meanwhile` can have `waits_in`";
                return Err(self.wrong(functions.place, message, None));
            }
            let (wait, end) = self.wait(number, boot, step, functions)?;
            steps.push(wait);
            waiting = Some(end);
        }
        Ok((steps, waiting))
    }

    /// The release of the held step, with the expectations of the race.
    fn release(
        &self,
        number: usize,
        raw: &At<RawStep>,
        action: Action,
        returns: Returns,
    ) -> Checked<Step> {
        let mut end = RawStep {
            observe: Some(At {
                value: action.to_string().chars().take(50).collect(),
                place: raw.place,
            }),
            ..raw.value.clone()
        };
        (end.race, end.sync_point, end.meanwhile) = (None, None, None);
        let calls = self.calls(&end)?;
        let order = self.order(&end)?;
        let log = self.log(&end)?;
        self.no_stray_key(&end, &action)?;
        Ok(Step {
            number,
            action: Action::Release {
                action: Box::new(action),
            },
            returns,
            calls,
            order,
            log,
            fails_first: end.fails_first,
            because: None,
            place: raw.place,
        })
    }

    /// A step that must wait for the held step, and its completion.
    fn wait(
        &mut self,
        number: usize,
        boot: usize,
        raw: &At<RawStep>,
        functions: &At<String>,
    ) -> Checked<(Step, Step)> {
        let mut inner = raw.value.clone();
        inner.waits_in = None;
        let calls = self.calls(&inner)?;
        let order = self.order(&inner)?;
        let log = self.log(&inner)?;
        let returns = self.returns(inner.returns.as_ref())?;
        (inner.calls, inner.order, inner.log) = Default::default();
        let fails_first = std::mem::take(&mut inner.fails_first);
        let because = inner.because.take();
        inner.when.clear();
        let inner = At {
            value: Box::new(inner),
            place: raw.place,
        };
        let action = Box::new(self.inner(&inner, boot)?);
        let functions: Vec<String> = functions
            .value
            .split('|')
            .map(|name| {
                self.kernel_function(name, functions.place)
                    .map(|()| name.to_owned())
            })
            .collect::<Checked<_>>()?;
        let wait = Step {
            number,
            action: Action::Wait {
                action: action.clone(),
                functions,
            },
            returns: Returns::Ok,
            calls,
            order,
            log,
            fails_first,
            because,
            place: raw.place,
        };
        let end = Step {
            action: Action::EndWait { action },
            returns,
            calls: Vec::new(),
            order: Vec::new(),
            log: Vec::new(),
            fails_first: false,
            because: None,
            ..wait.clone()
        };
        Ok((wait, end))
    }

    /// `returns` belongs to the steps of a race, not to the race.
    fn one_return(&self, raw: &RawStep) -> Checked<()> {
        match (&raw.race, &raw.returns) {
            (Some(_), Some(returns)) => {
                let hint = Some("move it inside: `race: {close: vm, returns: ok}`".to_owned());
                let message = "`returns` is invalid next to `race`";
                Err(self.wrong(returns.place, message, hint))
            }
            _ => Ok(()),
        }
    }

    fn sync_point(&self, at: &At<String>) -> Checked<SyncPoint> {
        let (function, at_return) = match at.value.strip_suffix("%return") {
            Some(function) => (function, true),
            None => (at.value.as_str(), false),
        };
        self.kernel_function(function, at.place)?;
        Ok(SyncPoint {
            function: function.to_owned(),
            at_return,
        })
    }

    /// A repetition. Its steps are checked each time.
    pub(super) fn repeat(
        &mut self,
        raw: &mut RawStep,
        times: &At<u64>,
        number: usize,
        boot: usize,
    ) -> Checked<Action> {
        if !(2..=TIMES_MAX).contains(&times.value) {
            let message = format!("`repeat` is out of range: use 2 to {TIMES_MAX}");
            return Err(self.wrong(times.place, message, None));
        }
        let given = self.need(raw.steps.take(), times.place, "steps")?;
        let mut steps = Vec::new();
        for (index, step) in given.value.iter().enumerate() {
            if !self.is_when(&step.value.when)? {
                continue;
            }
            steps.push(self.step(number + 1 + index, boot, step, Part::Repeat)?);
        }
        if steps.is_empty() {
            return Err(self.wrong(given.place, "`steps` is empty", None));
        }
        Ok(Action::Repeat {
            times: times.value,
            steps,
        })
    }

    /// A nested step, which has an action but no expectations except its result.
    pub(super) fn inner(&mut self, raw: &At<Box<RawStep>>, boot: usize) -> Checked<Action> {
        let mut rest = (*raw.value).clone();
        let returns = self.returns(rest.returns.as_ref())?;
        let action = self.action(&mut rest, raw.place, 0, boot, &returns, Part::Meanwhile)?;
        self.no_stray_key(&rest, &action)?;
        if !action.can_be_nested() {
            let message = format!("the step \"{action}\" cannot be nested in another step");
            return Err(self.wrong(raw.place, message, None));
        }
        if rest.fails_first || rest.because.is_some() || !rest.when.is_empty() {
            let hint = Some("move them to the outer step".to_owned());
            let message = "`fails_first`, `because` and `when` are invalid in a nested step";
            return Err(self.wrong(raw.place, message, hint));
        }
        if !(rest.calls.is_empty() && rest.order.is_empty() && rest.log.is_empty()) {
            let hint = Some("move them to the outer step".to_owned());
            let message = "`calls`, `order` and `log` are invalid in a nested step";
            return Err(self.wrong(raw.place, message, hint));
        }
        Ok(action)
    }

    /// Rejects keys that the action does not use.
    fn no_stray_key(&self, rest: &RawStep, action: &Action) -> Checked<()> {
        let Some((key, place)) = stray(rest) else {
            return Ok(());
        };
        let message = format!("`{key}` is invalid for the step \"{action}\"");
        let owners: Vec<_> = owners(key).iter().map(|key| format!("`{key}`")).collect();
        let hint = match key {
            "waits_in" => "`waits_in` is for steps of `meanwhile`".to_owned(),
            _ => format!("`{key}` is for {}", owners.join(", ")),
        };
        Err(self.wrong(place, message, Some(hint)))
    }
}

/// The first argument that the action has not consumed.
fn stray(rest: &RawStep) -> Option<(&'static str, Place)> {
    fn at<T>(key: &'static str, value: Option<&At<T>>) -> Option<(&'static str, Place)> {
        value.map(|value| (key, value.place))
    }
    [
        at("as", rest.name.as_ref()),
        at("into", rest.into.as_ref()),
        at("from", rest.from.as_ref()),
        at("token", rest.token.as_ref()),
        at("how", rest.how.as_ref()),
        at("levels", rest.levels.as_ref()),
        at("driver", rest.driver.as_ref()),
        at("state", rest.state.as_ref()),
        at("flb", rest.flb.as_ref()),
        at("at", rest.at.as_ref()),
        at("value", rest.value.as_ref()),
        at("size", rest.size.as_ref()),
        at("mode", rest.mode.as_ref()),
        at("executable", rest.executable.as_ref()),
        at("answer", rest.answer.as_ref()),
        at("contents", rest.contents.as_ref()),
        at("seals", rest.seals.as_ref()),
        at("with", rest.error.as_ref()),
        at("times", rest.times.as_ref()),
        at("takes", rest.takes.as_ref()),
        at("sync_point", rest.sync_point.as_ref()),
        at("meanwhile", rest.meanwhile.as_ref()),
        at("waits_in", rest.waits_in.as_ref()),
        at("against", rest.against.as_ref()),
        at("undo", rest.undo.as_ref()),
        at("steps", rest.steps.as_ref()),
    ]
    .into_iter()
    .flatten()
    .next()
}

impl Action {
    /// Whether the action returns a result that can be an error.
    fn can_fail(&self) -> bool {
        !matches!(
            self,
            Self::Close { .. }
                | Self::FileSize { .. }
                | Self::ReadSeals { .. }
                | Self::CheckLeaks
                | Self::Observe { .. }
                | Self::Repeat { .. }
        )
    }

    /// Whether the action is a single call without a value to compare.
    fn can_be_nested(&self) -> bool {
        !matches!(
            self,
            Self::SessionName { .. }
                | Self::ReadFile { .. }
                | Self::ReadPath { .. }
                | Self::ReadRegister { .. }
                | Self::ReadSeals { .. }
                | Self::FileSize { .. }
                | Self::ExpectDevice { .. }
                | Self::FailAllocations { .. }
                | Self::StartProcess { .. }
                | Self::TryKexec
                | Self::Hold { .. }
                | Self::Wait { .. }
                | Self::Release { .. }
                | Self::EndWait { .. }
                | Self::Race { .. }
                | Self::Repeat { .. }
                | Self::CheckLeaks
                | Self::Observe { .. }
        )
    }
}
