// SPDX-License-Identifier: GPL-2.0-only
//! Steps: from what is written to what is done in order. A race with a sync point
//! becomes several: one that comes to stand still, those that are done meanwhile, and
//! the first one's end.

use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::raw::{RawSetup, RawStep};
use crate::scenario::reference::owners;
use crate::scenario::{Action, Returns, Step, SyncPoint};
use crate::yaml::At;

/// Most repetitions of a step.
const TIMES_MAX: u64 = 10_000;

/// What a step is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Of its boot.
    Boot,
    /// Of what is done while another stands still.
    Meanwhile,
    /// Of what is repeated.
    Repeat,
}

impl Checker<'_> {
    /// The steps that make what the setup names.
    pub(super) fn setup(&mut self, setup: &RawSetup) -> Checked<Vec<Step>> {
        let mut written = Vec::new();
        for session in &setup.sessions {
            let step = RawStep {
                create_session: Some(session.clone()),
                ..RawStep::default()
            };
            written.push((session.place, step));
        }
        for (name, file) in &setup.files {
            let (place, file) = (file.place, &file.value);
            let name = Some(At {
                value: name.clone(),
                place,
            });
            let kinds = [&file.device, &file.memfd, &file.path];
            if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
                let message = "a file is a `device`, a `memfd` or a `path`, one of them";
                return Err(self.wrong(place, message, None));
            }
            let memfd = name.clone().filter(|_| !file.seals.is_empty());
            written.push((
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
                written.push((
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
        for (place, value) in written {
            let step = At { value, place };
            steps.push(self.step(steps.len() + 1, 1, &step, Part::Boot)?);
        }
        Ok(steps)
    }

    /// The steps that one as written comes to; `number` is that of the first, and is
    /// the next one's afterwards, whether or not they are left out of this variant.
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

    /// One step, of which something must be seen.
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
        let sees = !(calls.is_empty() && order.is_empty() && log.is_empty());
        if part == Part::Repeat && sees {
            let hint = Some("say after the repetition what must have been seen by then".to_owned());
            let message = "within a repetition nothing is counted";
            return Err(self.wrong(raw.place, message, hint));
        }
        self.one_return(&rest)?;
        let mut returns = self.returns(rest.returns.as_ref())?;
        let action = self.action(&mut rest, raw.place, number, boot, &returns, part)?;
        if let (Action::Race { .. }, Some(race)) = (&action, &raw.value.race) {
            returns = self.returns(race.value.returns.as_ref())?;
        }
        self.nothing_left(&rest, &action)?;
        if let Some(word) = &rest.returns
            && returns != Returns::Ok
            && !action.can_fail()
        {
            let message = format!("\"{action}\" returns nothing that could be an error");
            return Err(self.wrong(word.place, message, None));
        }
        if matches!(action, Action::Observe { .. }) && !sees {
            let hint = Some("give `calls`, `order` or `log`".to_owned());
            return Err(self.wrong(raw.place, "an observation that expects nothing", hint));
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

    /// A race whose first step stands still until the others are done.
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
            let hint = Some("say in `meanwhile` what is done until then".to_owned());
            return Err(self.wrong(race.place, "a step that stands still for nothing", hint));
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

    /// What is done while another stands still, from `number` on, and the end of the one
    /// that comes to wait for it, if one does.
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
                let message = "a second step that waits for the one that stands still";
                return Err(self.wrong(functions.place, message, None));
            }
            let (wait, end) = self.wait(number, boot, step, functions)?;
            steps.push(wait);
            waiting = Some(end);
        }
        Ok((steps, waiting))
    }

    /// The end of the one that stood still, with what must be seen by then.
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
        self.nothing_left(&end, &action)?;
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

    /// A step that comes to wait for the one that stands still, and its end.
    fn wait(
        &mut self,
        number: usize,
        boot: usize,
        raw: &At<RawStep>,
        functions: &At<String>,
    ) -> Checked<(Step, Step)> {
        let mut deed = raw.value.clone();
        deed.waits_in = None;
        let calls = self.calls(&deed)?;
        let order = self.order(&deed)?;
        let log = self.log(&deed)?;
        let returns = self.returns(deed.returns.as_ref())?;
        (deed.calls, deed.order, deed.log) = Default::default();
        let (fails_first, because) = (std::mem::take(&mut deed.fails_first), deed.because.take());
        deed.when.clear();
        let deed = At {
            value: Box::new(deed),
            place: raw.place,
        };
        let action = Box::new(self.inner(&deed, boot)?);
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

    /// Each side of a race returns something of its own.
    fn one_return(&self, raw: &RawStep) -> Checked<()> {
        match (&raw.race, &raw.returns) {
            (Some(_), Some(returns)) => {
                let hint = Some("say it within: `race: {close: vm, returns: ok}`".to_owned());
                let message = "which step of the race returns this? Each returns something";
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

    /// What is repeated: steps that are checked each time.
    pub(super) fn repeat(
        &mut self,
        raw: &mut RawStep,
        times: &At<u64>,
        number: usize,
        boot: usize,
    ) -> Checked<Action> {
        if !(2..=TIMES_MAX).contains(&times.value) {
            let message = format!("a repetition is of 2 to {TIMES_MAX} times");
            return Err(self.wrong(times.place, message, None));
        }
        let written = self.need(raw.steps.take(), times.place, "steps")?;
        let mut steps = Vec::new();
        for (index, step) in written.value.iter().enumerate() {
            if !self.is_when(&step.value.when)? {
                continue;
            }
            steps.push(self.step(number + 1 + index, boot, step, Part::Repeat)?);
        }
        if steps.is_empty() {
            return Err(self.wrong(written.place, "a repetition of nothing", None));
        }
        Ok(Action::Repeat {
            times: times.value,
            steps,
        })
    }

    /// A step within another: something that is done, of which nothing is compared.
    pub(super) fn inner(&mut self, raw: &At<Box<RawStep>>, boot: usize) -> Checked<Action> {
        let mut rest = (*raw.value).clone();
        let returns = self.returns(rest.returns.as_ref())?;
        let action = self.action(&mut rest, raw.place, 0, boot, &returns, Part::Meanwhile)?;
        self.nothing_left(&rest, &action)?;
        if !action.is_deed() {
            let message = format!("\"{action}\" cannot be done in the middle of something else");
            return Err(self.wrong(raw.place, message, None));
        }
        if rest.fails_first || rest.because.is_some() || !rest.when.is_empty() {
            let hint = Some("say it of the step around it".to_owned());
            let message = "a step within another has no `fails_first`, `because` or `when`";
            return Err(self.wrong(raw.place, message, hint));
        }
        if !(rest.calls.is_empty() && rest.order.is_empty() && rest.log.is_empty()) {
            let hint = Some("say it of the step around it".to_owned());
            let message = "a step within another counts nothing";
            return Err(self.wrong(raw.place, message, hint));
        }
        Ok(action)
    }

    /// Every key that the action does not use must be absent.
    fn nothing_left(&self, rest: &RawStep, action: &Action) -> Checked<()> {
        let Some((key, place)) = stray(rest) else {
            return Ok(());
        };
        let message = format!("`{key}` means nothing for the step \"{action}\"");
        let owners: Vec<_> = owners(key).iter().map(|key| format!("`{key}`")).collect();
        let hint = match key {
            "waits_in" => "say it of a step in `meanwhile`".to_owned(),
            _ => format!("it belongs to {}", owners.join(", ")),
        };
        Err(self.wrong(place, message, Some(hint)))
    }
}

/// The first key that belongs to an action and was not taken by it.
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
    /// Whether there is anything that it returns, and that is no answer to compare.
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

    /// Whether it does something, once, and nothing is compared after it.
    fn is_deed(&self) -> bool {
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
