// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a parsed scenario and converts it: all names are defined before use, every step
//! has one action, and all bounds can be met.

mod arguments;
mod checker;
mod expect;
mod steps;

use std::collections::BTreeMap;

use checker::{Checked, Checker};

use super::machines::{DEFAULT, Machines};
use super::model::{BOOT_TIMEOUT_SECS, Boot, ExpectedSplat, NextKernel, Scenario};
use super::names::bad_scenario_name;
use super::parameters::Values;
use super::raw::{RawBoot, RawScenario, RawSplat};
use crate::input::Place;
use crate::klog::SplatClass;
use crate::yaml::At;

/// Maximal number of kernel functions whose calls a program counts.
const PROBES_MAX: usize = 16;

pub(super) fn scenario(
    raw: RawScenario,
    values: Values,
    text: &str,
    file: &str,
    machines: &Machines,
) -> Checked<Scenario> {
    let mut checker = Checker {
        text,
        file,
        values,
        machines,
        parameters: raw
            .parameters
            .iter()
            .map(|(name, values)| (name.clone(), words(values)))
            .collect(),
        machine: (String::new(), Vec::new()),
        devices: Vec::new(),
        objects: BTreeMap::new(),
        in_boot: Vec::new(),
        closed: Vec::new(),
        tokens: Vec::new(),
    };
    checker.name(&raw.name)?;
    checker.one_line(&raw.title)?;
    checker.machine(raw.machine.as_ref())?;
    for device in &raw.devices {
        checker.declare_device(device)?;
    }
    let boots = checker.boots(&raw)?;
    let splats = checker.splats(&raw.splats, boots.len())?;
    let fails_with = checker.fails_with(&raw)?;
    let leaves_no_trace = checker.leaves_no_trace(&raw)?;
    checker.finding(&raw)?;
    let scenario = Scenario {
        name: checker.full_name(&raw.name.value),
        scenario_file: raw.name.value,
        values: checker.values.clone(),
        title: raw.title.value,
        why: raw.why.value.trim().to_owned(),
        fails_without: words(&raw.fails_without),
        fails_since: words(&raw.fails_since),
        fails_with,
        known_finding: raw.known_finding.map(|text| text.value.trim().to_owned()),
        machine: checker.machine.0.clone(),
        devices: checker.devices.clone(),
        timeout_secs: checker.timeout(raw.timeout_secs.as_ref())?,
        leaves_no_trace,
        splats,
        boots,
    };
    checker.fails_first(&scenario, raw.name.place)?;
    if scenario.probed_functions().len() > PROBES_MAX {
        let message = format!("too many functions in `calls` and `order`: maximum {PROBES_MAX}");
        return Err(checker.wrong(raw.name.place, message, None));
    }
    Ok(scenario)
}

fn words(all: &[At<String>]) -> Vec<String> {
    all.iter().map(|word| word.value.clone()).collect()
}

impl Checker<'_> {
    fn machine(&mut self, name: Option<&At<String>>) -> Checked<()> {
        let machines = self.machines;
        let wanted = name.map_or(DEFAULT, |name| &name.value);
        match (machines.slots(wanted), name) {
            (Some(slots), _) => self.machine = (wanted.to_owned(), slots.to_vec()),
            (None, Some(name)) => return Err(self.unknown("machine", name, machines.names())),
            (None, None) => {
                let message = format!("unknown default machine `{DEFAULT}`");
                return Err(self.wrong(Place { line: 1, column: 1 }, message, None));
            }
        }
        Ok(())
    }

    /// The name of the scenario file with the parameter values of this variant.
    fn full_name(&self, scenario_file: &str) -> String {
        if self.values.is_empty() {
            return scenario_file.to_owned();
        }
        let values: Vec<&str> = self
            .values
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        format!("{scenario_file}.{}", values.join("-"))
    }

    fn boots(&mut self, raw: &RawScenario) -> Checked<Vec<Boot>> {
        if raw.boots.is_empty() {
            let hint = Some("add the list `boots`".to_owned());
            return Err(self.wrong(raw.name.place, "the scenario has no boots", hint));
        }
        let mut boots = Vec::new();
        for (index, boot) in raw.boots.iter().enumerate() {
            boots.push(self.boot(index + 1, boot, raw)?);
        }
        Ok(boots)
    }

    fn boot(&mut self, number: usize, raw: &RawBoot, scenario: &RawScenario) -> Checked<Boot> {
        self.in_boot.clear();
        let kernel = self.next_kernel(raw, number)?;
        let mut steps = match number {
            1 => self.setup(&scenario.setup)?,
            _ => Vec::new(),
        };
        let mut numbers = steps.len() + 1;
        for step in &raw.steps {
            steps.extend(self.steps(&mut numbers, number, step)?);
        }
        if steps.is_empty() {
            let message = format!("boot {number} has no steps");
            return Err(self.wrong(scenario.name.place, message, None));
        }
        Ok(Boot {
            number,
            kernel,
            steps,
        })
    }

    fn next_kernel(&self, raw: &RawBoot, number: usize) -> Checked<NextKernel> {
        let Some(word) = &raw.kernel else {
            return Ok(NextKernel::Same);
        };
        if number == 1 {
            let hint = Some("the first boot always runs the tested kernel".to_owned());
            return Err(self.wrong(word.place, "`kernel` is invalid in the first boot", hint));
        }
        Ok(match word.value.as_str() {
            "same" => NextKernel::Same,
            "base" => NextKernel::Base,
            "series" => NextKernel::Series,
            _ => return Err(self.unknown("kernel", word, ["same", "base", "series"])),
        })
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
                "the name `{}` differs from the file name `{stem}.yaml`",
                name.value
            );
            return Err(self.wrong(name.place, message, None));
        }
        Ok(())
    }

    fn one_line(&self, text: &At<String>) -> Checked<()> {
        if text.value.trim().is_empty() || text.value.contains('\n') || text.value.len() > 90 {
            let message = "invalid title: use one line of at most 90 characters";
            return Err(self.wrong(text.place, message, None));
        }
        Ok(())
    }

    fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
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
    fn leaves_no_trace(&self, raw: &RawScenario) -> Checked<bool> {
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
    fn fails_first(&self, scenario: &Scenario, name: Place) -> Checked<()> {
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
    fn finding(&self, raw: &RawScenario) -> Checked<()> {
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

    fn fails_with(&self, raw: &RawScenario) -> Checked<Vec<SplatClass>> {
        match raw.fails_with.first() {
            Some(first) if raw.fails_without.is_empty() => Err(self.wrong(
                first.place,
                "`fails_with` needs `fails_without`",
                Some("add the series to `fails_without`, or use `splats`".to_owned()),
            )),
            _ => raw.fails_with.iter().map(|word| self.class(word)).collect(),
        }
    }

    fn splats(&self, raw: &[RawSplat], boots: usize) -> Checked<Vec<ExpectedSplat>> {
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

#[cfg(test)]
mod tests;
