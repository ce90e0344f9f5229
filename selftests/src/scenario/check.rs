// SPDX-License-Identifier: GPL-2.0-only
//! From a scenario as written to a checked one: every name is known where it is
//! used, every step does one thing, every number can be met.

mod action;
mod objects;

use std::collections::BTreeMap;

use objects::Kind;

use super::names::{ERRNOS, bad_scenario_name, is_kernel_function};
use super::raw::{RawLog, RawScenario, RawSplat, RawStage, RawStep};
use super::{
    Action, ExpectedLog, ExpectedSplat, Returns, STAGE_TIMEOUT_SECS, Scenario, Slot, Stage, Step,
};
use crate::input::{InputError, Place, closest};
use crate::klog::SplatClass;
use crate::yaml::At;

/// Kernel functions whose calls one program can count.
const PROBES_MAX: usize = 16;

/// What is known while the steps are read in order.
struct Checker<'a> {
    text: &'a str,
    file: &'a str,
    slots: Vec<Slot>,
    /// Every object of the scenario, over all stages, and what it is.
    objects: BTreeMap<String, Kind>,
    /// The objects that this stage can use.
    in_stage: Vec<String>,
    tokens: Vec<String>,
}

type Checked<T> = Result<T, InputError>;

pub(super) fn scenario(raw: RawScenario, text: &str, file: &str) -> Checked<Scenario> {
    let mut checker = Checker {
        text,
        file,
        slots: Vec::new(),
        objects: BTreeMap::new(),
        in_stage: Vec::new(),
        tokens: Vec::new(),
    };
    checker.name(&raw.name)?;
    checker.one_line(&raw.title)?;
    for slot in &raw.devices {
        let slot = checker.declare_slot(slot)?;
        checker.slots.push(slot);
    }
    if raw.stages.is_empty() {
        return Err(checker.wrong(raw.name.place, "a scenario has at least one stage", None));
    }
    let stages = raw
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| checker.stage(index + 1, stage))
        .collect::<Checked<Vec<_>>>()?;
    let splats = raw
        .splats
        .iter()
        .map(|splat| checker.splat(splat, stages.len()))
        .collect::<Checked<Vec<_>>>()?;
    let fails_with = checker.fails_with(&raw)?;
    let leaves_no_trace = checker.leaves_no_trace(&raw)?;
    let scenario = Scenario {
        fails_with,
        why: raw.why.value.trim().to_owned(),
        title: raw.title.value,
        fails_without: raw
            .fails_without
            .into_iter()
            .map(|series| series.value)
            .collect(),
        devices: checker.slots.clone(),
        timeout_secs: checker.timeout(raw.timeout_secs.as_ref())?,
        leaves_no_trace,
        name: raw.name.value,
        splats,
        stages,
    };
    checker.teeth(&scenario, raw.name.place)?;
    if scenario.probed_functions().len() > PROBES_MAX {
        let message = format!("calls of more than {PROBES_MAX} functions are counted");
        return Err(checker.wrong(raw.name.place, message, None));
    }
    Ok(scenario)
}

impl Checker<'_> {
    fn wrong(&self, place: Place, message: impl Into<String>, hint: Option<String>) -> InputError {
        InputError::new(self.file, self.text, place, message, hint)
    }

    fn unknown<'k>(
        &self,
        what: &str,
        name: &At<String>,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> InputError {
        let hint = closest(&name.value, known.clone())
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| {
                let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
                (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
            });
        self.wrong(name.place, format!("unknown {what} `{}`", name.value), hint)
    }

    fn name(&self, name: &At<String>) -> Checked<()> {
        if let Some(reason) = bad_scenario_name(&name.value) {
            return Err(self.wrong(name.place, reason, None));
        }
        let stem = self
            .file
            .rsplit('/')
            .next()
            .unwrap_or(self.file)
            .trim_end_matches(".yaml");
        if stem != name.value {
            let message = format!(
                "the scenario `{}` is in a file named `{stem}.yaml`",
                name.value
            );
            return Err(self.wrong(
                name.place,
                message,
                Some("name the file after the scenario".to_owned()),
            ));
        }
        Ok(())
    }

    /// A kexec leaves no guest as it was, nor does a complaint of its kernel.
    fn leaves_no_trace(&self, raw: &RawScenario) -> Checked<bool> {
        let Some(said) = raw.leaves_no_trace.as_ref().filter(|said| said.value) else {
            return Ok(false);
        };
        let why = match (raw.stages.len(), raw.splats.is_empty()) {
            (1, true) => return Ok(true),
            (1, false) => "a kernel that complained is not as it was before",
            _ => "a kexec leaves another kernel behind",
        };
        Err(self.wrong(
            said.place,
            why,
            Some("leave `leaves_no_trace` out".to_owned()),
        ))
    }

    /// A scenario that must fail somewhere says at which step, and no other does.
    fn teeth(&self, scenario: &Scenario, name: Place) -> Checked<()> {
        let bites = scenario.steps().find(|step| step.teeth);
        match (scenario.fails_without.is_empty(), bites) {
            (true, Some(step)) => Err(self.wrong(
                step.place,
                "a step has teeth, but nothing is said to be without the series",
                Some("name the series in `fails_without`".to_owned()),
            )),
            (false, None) => Err(self.wrong(
                name,
                "it must fail without a series, but no step has teeth",
                Some("say `teeth: true` at the step that goes wrong first then".to_owned()),
            )),
            _ => Ok(()),
        }
    }

    fn one_line(&self, text: &At<String>) -> Checked<()> {
        if text.value.trim().is_empty() || text.value.contains('\n') || text.value.len() > 90 {
            return Err(self.wrong(
                text.place,
                "the title is one line of at most 90 characters",
                None,
            ));
        }
        Ok(())
    }

    fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
        match timeout {
            None => Ok(STAGE_TIMEOUT_SECS),
            Some(secs) if (1..=3600).contains(&secs.value) => Ok(secs.value),
            Some(secs) => {
                Err(self.wrong(secs.place, "a stage takes between 1 and 3600 seconds", None))
            }
        }
    }

    fn class(&self, word: &At<String>) -> Checked<SplatClass> {
        SplatClass::from_word(&word.value).ok_or_else(|| {
            let known = SplatClass::ALL.iter().map(|class| class.word());
            self.unknown("class of splats", word, known)
        })
    }

    fn fails_with(&self, raw: &RawScenario) -> Checked<Vec<SplatClass>> {
        match raw.fails_with.first() {
            Some(first) if raw.fails_without.is_empty() => Err(self.wrong(
                first.place,
                "a complaint may come, but nothing is said to be without the series",
                Some("name the series in `fails_without`, or use `splats`".to_owned()),
            )),
            _ => raw.fails_with.iter().map(|word| self.class(word)).collect(),
        }
    }

    fn splat(&self, raw: &RawSplat, stages: usize) -> Checked<ExpectedSplat> {
        let class = self.class(&raw.class)?;
        let stage = raw.stage.as_ref().map_or(1, |stage| stage.value);
        if let Some(at) = raw
            .stage
            .as_ref()
            .filter(|stage| stage.value == 0 || stage.value > stages)
        {
            let message = format!("unknown stage {}: there are {stages}", at.value);
            return Err(self.wrong(at.place, message, None));
        }
        if raw.text.value.is_empty() {
            return Err(self.wrong(raw.text.place, "an empty text would match any splat", None));
        }
        Ok(ExpectedSplat {
            class,
            text: raw.text.value.clone(),
            count: raw.count,
            stage,
            because: raw.because.clone(),
        })
    }

    fn stage(&mut self, number: usize, raw: &RawStage) -> Checked<Stage> {
        self.in_stage.clear();
        let steps = raw
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| self.step(index + 1, number, step))
            .collect::<Checked<Vec<_>>>()?;
        if steps.is_empty() {
            let message = format!("stage {number} has no step");
            return Err(self.wrong(Place { line: 1, column: 1 }, message, None));
        }
        Ok(Stage { number, steps })
    }

    fn step(&mut self, number: usize, stage: usize, raw: &At<RawStep>) -> Checked<Step> {
        let mut rest = raw.value.clone();
        let action = self.action(&mut rest, raw.place, stage)?;
        let calls = std::mem::take(&mut rest.calls)
            .into_iter()
            .map(|(function, count)| {
                if !is_kernel_function(&function) {
                    let message = format!("`{function}` is no name of a kernel function");
                    return Err(self.wrong(count.place, message, None));
                }
                Ok((function, count.value))
            })
            .collect::<Checked<Vec<_>>>()?;
        let log = rest
            .log
            .iter()
            .map(|log| self.log(log))
            .collect::<Checked<Vec<_>>>()?;
        let returns = self.returns(rest.returns.as_ref())?;
        self.nothing_left(&rest, &action)?;
        if matches!(action, Action::Observe { .. }) && calls.is_empty() && log.is_empty() {
            let hint = Some("give `calls` or `log`".to_owned());
            return Err(self.wrong(raw.place, "an observation that expects nothing", hint));
        }
        Ok(Step {
            number,
            action,
            returns,
            calls,
            log,
            teeth: rest.teeth,
            because: rest.because,
            place: raw.place,
        })
    }

    fn returns(&self, returns: Option<&At<String>>) -> Checked<Returns> {
        match returns {
            None => Ok(Returns::Ok),
            Some(word) if word.value == "ok" || word.value == "0" => Ok(Returns::Ok),
            Some(word) if ERRNOS.contains(&word.value.as_str()) => {
                Ok(Returns::Errno(word.value.clone()))
            }
            Some(word) => Err(self.unknown(
                "result",
                word,
                ["ok"].into_iter().chain(ERRNOS.iter().copied()),
            )),
        }
    }

    fn log(&self, raw: &RawLog) -> Checked<ExpectedLog> {
        let text = raw.text.value.clone();
        let (min, max) = match (raw.count, raw.min, raw.max) {
            (Some(count), None, None) => (count, Some(count)),
            (None, None, None) => {
                let hint = Some("give `count`, or `min` and `max`".to_owned());
                return Err(self.wrong(raw.text.place, "how many lines are expected?", hint));
            }
            (None, min, max) => (min.unwrap_or(0), max),
            _ => {
                return Err(self.wrong(
                    raw.text.place,
                    "`count` stands alone, without `min` or `max`",
                    None,
                ));
            }
        };
        if text.is_empty() || max.is_some_and(|max| max < min) {
            return Err(self.wrong(raw.text.place, "no kernel log can meet this", None));
        }
        Ok(ExpectedLog { text, min, max })
    }

    /// Every key that the action does not use must be absent.
    fn nothing_left(&self, rest: &RawStep, action: &Action) -> Checked<()> {
        let texts = [
            ("as", &rest.name),
            ("into", &rest.into),
            ("from", &rest.from),
            ("contents", &rest.contents),
        ];
        let numbers = [("at", &rest.at), ("value", &rest.value)];
        let stray = texts
            .iter()
            .find_map(|(key, value)| value.as_ref().map(|value| (*key, value.place)))
            .or_else(|| {
                numbers
                    .iter()
                    .find_map(|(key, value)| value.as_ref().map(|value| (*key, value.place)))
            });
        match stray {
            None => Ok(()),
            Some((key, place)) => Err(self.wrong(
                place,
                format!("`{key}` means nothing for the step \"{action}\""),
                None,
            )),
        }
    }

    fn need<T>(&self, value: Option<T>, place: Place, key: &str) -> Checked<T> {
        value.ok_or_else(|| self.wrong(place, format!("the step needs `{key}`"), None))
    }
}

#[cfg(test)]
mod tests;
