// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario says of itself as a whole.

use super::{Checked, Checker};
use crate::input::Place;
use crate::klog::SplatClass;
use crate::scenario::names::bad_scenario_name;
use crate::scenario::raw::{RawScenario, RawSplat};
use crate::scenario::{BOOT_TIMEOUT_SECS, ExpectedSplat, Scenario};
use crate::yaml::At;

impl Checker<'_> {
    pub(super) fn name(&self, name: &At<String>) -> Checked<()> {
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
            let hint = Some("name the file after the scenario".to_owned());
            return Err(self.wrong(name.place, message, hint));
        }
        Ok(())
    }

    pub(super) fn one_line(&self, text: &At<String>) -> Checked<()> {
        if text.value.trim().is_empty() || text.value.contains('\n') || text.value.len() > 90 {
            let message = "the title is one line of at most 90 characters";
            return Err(self.wrong(text.place, message, None));
        }
        Ok(())
    }

    pub(super) fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
        match timeout {
            None => Ok(BOOT_TIMEOUT_SECS),
            Some(secs) if (1..=3600).contains(&secs.value) => Ok(secs.value),
            Some(secs) => {
                Err(self.wrong(secs.place, "a boot takes between 1 and 3600 seconds", None))
            }
        }
    }

    /// A kexec leaves no guest as it was, nor does a report of its kernel.
    pub(super) fn leaves_no_trace(&self, raw: &RawScenario) -> Checked<bool> {
        let Some(said) = raw.leaves_no_trace.as_ref().filter(|said| said.value) else {
            return Ok(false);
        };
        let why = match (raw.boots.len(), raw.splats.is_empty()) {
            (1, true) => return Ok(true),
            (1, false) => "a kernel that complained is not as it was before",
            _ => "a kexec leaves another kernel behind",
        };
        let hint = Some("leave `leaves_no_trace` out".to_owned());
        Err(self.wrong(said.place, why, hint))
    }

    /// A scenario that must fail somewhere says at which step, and no other does.
    pub(super) fn fails_first(&self, scenario: &Scenario, name: Place) -> Checked<()> {
        let fails_first = scenario.steps().find(|step| step.fails_first);
        match (scenario.fails_without.is_empty(), fails_first) {
            (true, Some(step)) => Err(self.wrong(
                step.place,
                "a step has fails_first, but nothing is said to be without the series",
                Some("name the series in `fails_without`".to_owned()),
            )),
            (false, None) => Err(self.wrong(
                name,
                "it must fail without a series, but no step has fails_first",
                Some("say `fails_first: true` at the step that goes wrong first then".to_owned()),
            )),
            _ => Ok(()),
        }
    }

    /// A finding, like what brought a fault, is about a series that fixes it.
    pub(super) fn finding(&self, raw: &RawScenario) -> Checked<()> {
        if !raw.fails_without.is_empty() {
            return Ok(());
        }
        let hint = Some("name the series that fixes it in `fails_without`".to_owned());
        if let Some(text) = &raw.known_finding {
            return Err(self.wrong(text.place, "a finding that nothing is said to fix", hint));
        }
        if let Some(first) = raw.fails_since.first() {
            return Err(self.wrong(first.place, "a fault that nothing is said to fix", hint));
        }
        Ok(())
    }

    pub(super) fn fails_with(&self, raw: &RawScenario) -> Checked<Vec<SplatClass>> {
        match raw.fails_with.first() {
            Some(first) if raw.fails_without.is_empty() => Err(self.wrong(
                first.place,
                "a report may come, but nothing is said to be without the series",
                Some("name the series in `fails_without`, or use `splats`".to_owned()),
            )),
            _ => raw.fails_with.iter().map(|word| self.class(word)).collect(),
        }
    }

    pub(super) fn splats(&self, raw: &[RawSplat], boots: usize) -> Checked<Vec<ExpectedSplat>> {
        let mut splats = Vec::new();
        for splat in raw {
            let checked = self.splat(splat, boots)?;
            if self.is_when(&splat.when)? {
                splats.push(checked);
            }
        }
        Ok(splats)
    }

    fn splat(&self, raw: &RawSplat, boots: usize) -> Checked<ExpectedSplat> {
        let class = self.class(&raw.class)?;
        let boot = raw.boot.as_ref().map_or(1, |boot| boot.value);
        if let Some(at) = raw
            .boot
            .as_ref()
            .filter(|boot| boot.value == 0 || boot.value > boots)
        {
            let message = format!("unknown boot {}: there are {boots}", at.value);
            let hint = Some("boots are counted from 1, in the order of `boots`".to_owned());
            return Err(self.wrong(at.place, message, hint));
        }
        if raw.text.value.is_empty() {
            return Err(self.wrong(raw.text.place, "an empty text would match any splat", None));
        }
        Ok(ExpectedSplat {
            class,
            text: raw.text.value.clone(),
            count: self.bounds(raw.count, raw.min, raw.max, raw.text.place)?,
            boot,
            because: raw.because.clone(),
        })
    }

    fn class(&self, word: &At<String>) -> Checked<SplatClass> {
        SplatClass::from_word(&word.value).ok_or_else(|| {
            let known = SplatClass::ALL.iter().map(|class| class.word());
            self.unknown("class of splats", word, known)
        })
    }
}
