// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the keys at the top of a scenario.

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
                "the name `{}` differs from the file name `{stem}.yaml`",
                name.value
            );
            return Err(self.wrong(name.place, message, None));
        }
        Ok(())
    }

    pub(super) fn one_line(&self, text: &At<String>) -> Checked<()> {
        if text.value.trim().is_empty() || text.value.contains('\n') || text.value.len() > 90 {
            let message = "invalid title: use one line of at most 90 characters";
            return Err(self.wrong(text.place, message, None));
        }
        Ok(())
    }

    pub(super) fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
        match timeout {
            None => Ok(BOOT_TIMEOUT_SECS),
            Some(secs) if (1..=3600).contains(&secs.value) => Ok(secs.value),
            Some(secs) => {
                let message = "`timeout_secs` is out of range: use 1 to 3600";
                Err(self.wrong(secs.place, message, None))
            }
        }
    }

    /// A kexec and a kernel report (which taints the kernel) change the guest.
    pub(super) fn leaves_no_trace(&self, raw: &RawScenario) -> Checked<bool> {
        let Some(given) = raw.leaves_no_trace.as_ref().filter(|given| given.value) else {
            return Ok(false);
        };
        let message = match (raw.boots.len(), raw.splats.is_empty()) {
            (1, true) => return Ok(true),
            (1, false) => "`leaves_no_trace` is invalid with `splats`: a report taints the kernel",
            _ => "`leaves_no_trace` is invalid with several boots",
        };
        Err(self.wrong(given.place, message, None))
    }

    /// `fails_first` and `fails_without` require each other.
    pub(super) fn fails_first(&self, scenario: &Scenario, name: Place) -> Checked<()> {
        let fails_first = scenario.steps().find(|step| step.fails_first);
        match (scenario.fails_without.is_empty(), fails_first) {
            (true, Some(step)) => Err(self.wrong(
                step.place,
                "`fails_first` needs `fails_without`",
                Some("add the required series to `fails_without`".to_owned()),
            )),
            (false, None) => Err(self.wrong(
                name,
                "`fails_without` needs a step with `fails_first: true`",
                Some("add it to the first step that fails without the series".to_owned()),
            )),
            _ => Ok(()),
        }
    }

    /// `known_finding` and `fails_since` need the series that fixes the bug.
    pub(super) fn finding(&self, raw: &RawScenario) -> Checked<()> {
        if !raw.fails_without.is_empty() {
            return Ok(());
        }
        let hint = Some("add the series that fixes the bug to `fails_without`".to_owned());
        if let Some(text) = &raw.known_finding {
            return Err(self.wrong(text.place, "`known_finding` needs `fails_without`", hint));
        }
        if let Some(first) = raw.fails_since.first() {
            return Err(self.wrong(first.place, "`fails_since` needs `fails_without`", hint));
        }
        Ok(())
    }

    pub(super) fn fails_with(&self, raw: &RawScenario) -> Checked<Vec<SplatClass>> {
        match raw.fails_with.first() {
            Some(first) if raw.fails_without.is_empty() => Err(self.wrong(
                first.place,
                "`fails_with` needs `fails_without`",
                Some("add the series to `fails_without`, or use `splats`".to_owned()),
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
            let message = format!("unknown boot {}: use 1 to {boots}", at.value);
            return Err(self.wrong(at.place, message, None));
        }
        if raw.text.value.is_empty() {
            let message = "empty `text`: it would match any splat";
            return Err(self.wrong(raw.text.place, message, None));
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
            self.unknown("splat class", word, known)
        })
    }
}
