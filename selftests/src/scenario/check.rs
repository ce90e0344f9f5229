// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a parsed scenario and converts it: all names are defined before use, every step
//! has one action, and all bounds can be met.

mod arguments;
mod checker;
mod expect;
mod steps;

use std::collections::BTreeMap;

use checker::{Checked, Checker};

use super::model::{BOOT_TIMEOUT_SECS, Boot, ExpectedSplat, NextKernel, Scenario};
use super::names::bad_scenario_name;
use super::parameters::Values;
use super::raw::{RawBoot, RawScenario, RawSplat};
use crate::catalogue::Catalogue;
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
    catalogue: &Catalogue,
) -> Checked<Scenario> {
    let mut checker = Checker {
        text,
        file,
        language: &catalogue.language,
        machines: &catalogue.machines,
        values,
        parameters: raw
            .parameters
            .iter()
            .map(|(name, values)| (name.clone(), words(values)))
            .collect(),
        machine: (String::new(), Vec::new()),
        devices: Vec::new(),
        boot: 1,
        objects: BTreeMap::new(),
        in_boot: Vec::new(),
        closed: Vec::new(),
        tokens: Vec::new(),
    };
    checker.name(&raw.name)?;
    checker.title(&raw.title)?;
    let default = At {
        value: catalogue.machine().to_owned(),
        place: raw.name.place,
    };
    checker.machine(raw.machine.as_ref().unwrap_or(&default))?;
    for device in &raw.devices {
        checker.declare_device(device)?;
    }
    let topic = checker.topic(&raw, catalogue)?;
    let boots = checker.boots(&raw)?;
    let splats = checker.splats(&raw.splats, boots.len())?;
    checker.needs_fails_without(&raw)?;
    let fails_with = raw.fails_with.iter().map(|word| checker.class(word));
    let fails_with = fails_with.collect::<Checked<_>>()?;
    let leaves_no_trace = checker.leaves_no_trace(&raw)?;
    let scenario = Scenario {
        name: checker.full_name(&raw.name.value),
        topic,
        test: raw.name.value.replace('-', "_"),
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
        has_own_timeout: raw.timeout_secs.is_some(),
        leaves_no_trace,
        splats,
        boots,
    };
    checker.fails_first(&scenario, raw.name.place)?;
    let message = format!("too many functions in `calls` and `order`: maximum {PROBES_MAX}");
    let probes = scenario.probed_functions().len();
    checker.require(probes <= PROBES_MAX, raw.name.place, message)?;
    Ok(scenario)
}

fn words(all: &[At<String>]) -> Vec<String> {
    all.iter().map(|word| word.value.clone()).collect()
}

impl Checker<'_> {
    fn machine(&mut self, name: &At<String>) -> Checked<()> {
        let machines = self.machines;
        let unknown = || self.unknown("machine", name, machines.names());
        let slots = machines.slots(&name.value).ok_or_else(unknown)?;
        self.machine = (name.value.clone(), slots);
        Ok(())
    }

    /// The topic of the scenario; without the key, that of the catalogue.
    fn topic(&self, raw: &RawScenario, catalogue: &Catalogue) -> Checked<String> {
        let manifest = &catalogue.manifest;
        match &raw.topic {
            Some(topic) if !manifest.topics.contains_key(&topic.value) => {
                let known = manifest.topics.keys().map(String::as_str);
                Err(self.unknown("topic", topic, known))
            }
            Some(topic) => Ok(topic.value.clone()),
            None => Ok(manifest.kselftest().to_owned()),
        }
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
        let (message, hint) = ("the scenario has no boots", "add the list `boots`");
        self.require_or(!raw.boots.is_empty(), raw.name.place, message, hint)?;
        let boots = (1..).zip(&raw.boots);
        boots
            .map(|(number, boot)| self.boot(number, boot, raw))
            .collect()
    }

    fn boot(&mut self, number: usize, raw: &RawBoot, scenario: &RawScenario) -> Checked<Boot> {
        self.boot = number;
        self.in_boot.clear();
        let kernel = self.next_kernel(raw, number)?;
        let mut steps = match number {
            1 => self.setup(&scenario.setup)?,
            _ => Vec::new(),
        };
        let mut numbers = steps.len() + 1;
        for step in &raw.steps {
            steps.extend(self.steps(&mut numbers, step)?);
        }
        let message = format!("boot {number} has no steps");
        self.require(!steps.is_empty(), scenario.name.place, message)?;
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
        let message = "`kernel` is invalid in the first boot";
        let hint = "the first boot always runs the tested kernel";
        self.require_or(number > 1, word.place, message, hint)?;
        Ok(match word.value.as_str() {
            "same" => NextKernel::Same,
            "base" => NextKernel::Base,
            "series" => NextKernel::Series,
            _ => return Err(self.unknown("kernel", word, ["same", "base", "series"])),
        })
    }

    fn name(&self, name: &At<String>) -> Checked<()> {
        let At { value: name, place } = name;
        self.fit(*place, bad_scenario_name(name))?;
        let stem = self.file.rsplit('/').next().unwrap_or(self.file);
        let stem = stem.strip_suffix(".yaml").unwrap_or(stem);
        let message = format!("the name `{name}` differs from the file name `{stem}.yaml`");
        self.require(stem == name, *place, message)
    }

    fn title(&self, title: &At<String>) -> Checked<()> {
        let text = &title.value;
        let is_line = !text.trim().is_empty() && !text.contains('\n') && text.len() <= 90;
        let message = "invalid title: use one line of at most 90 characters";
        self.require(is_line, title.place, message)
    }

    fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
        let Some(At { value: secs, place }) = timeout else {
            return Ok(BOOT_TIMEOUT_SECS);
        };
        let message = "`timeout_secs` is out of range: use 1 to 3600";
        self.require((1..=3600).contains(secs), *place, message)?;
        Ok(*secs)
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
        let is_fixed = !scenario.fails_without.is_empty();
        if let Some(step) = fails_first {
            let message = "`fails_first` needs `fails_without`";
            let hint = "add the required series to `fails_without`";
            return self.require_or(is_fixed, step.place, message, hint);
        }
        let message = "`fails_without` needs a step with `fails_first: true`";
        let hint = "add it to the first step that fails without the series";
        self.require_or(!is_fixed, name, message, hint)
    }

    /// Keys about a failure need the series without which it happens.
    fn needs_fails_without(&self, raw: &RawScenario) -> Checked<()> {
        let fix = "add the series that fixes the bug to `fails_without`";
        let first = |words: &[At<String>]| words.first().map(|word| word.place);
        let finding = raw.known_finding.as_ref().map(|text| text.place);
        let keys = [
            (
                "fails_with",
                first(&raw.fails_with),
                "add the series to `fails_without`, or use `splats`",
            ),
            ("known_finding", finding, fix),
            ("fails_since", first(&raw.fails_since), fix),
        ];
        for (key, place, hint) in keys {
            if let Some(place) = place {
                let message = format!("`{key}` needs `fails_without`");
                self.require_or(!raw.fails_without.is_empty(), place, &message, hint)?;
            }
        }
        Ok(())
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
        if let Some(At { value: boot, place }) = &raw.boot {
            let message = format!("unknown boot {boot}: use 1 to {boots}");
            self.require((1..=boots).contains(boot), *place, message)?;
        }
        let message = "empty `text`: it would match any splat";
        self.require(!raw.text.value.is_empty(), raw.text.place, message)?;
        Ok(ExpectedSplat {
            class,
            text: raw.text.value.clone(),
            count: self.bounds(raw.count, raw.min, raw.max, raw.text.place)?,
            boot: raw.boot.as_ref().map_or(1, |boot| boot.value),
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
