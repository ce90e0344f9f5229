// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a parsed scenario and converts it: all names are defined before use, every step
//! has one action, and all bounds can be met.

mod action;
mod expect;
mod head;
mod objects;
mod step;

use std::collections::BTreeMap;

use objects::Kind;

use super::machines::{DEFAULT, Machines};
use super::parameters::Values;
use super::raw::{RawBoot, RawScenario, RawValues};
use super::reference::about;
use super::{Boot, Device, NextKernel, Scenario};
use crate::input::{InputError, Place, closest};
use crate::yaml::At;

/// Maximal number of kernel functions whose calls a program counts.
const PROBES_MAX: usize = 16;

/// The state of the check while the steps are processed in order.
struct Checker<'a> {
    text: &'a str,
    file: &'a str,
    /// The value of each parameter.
    values: Values,
    machines: &'a Machines,
    /// All possible values of each parameter.
    parameters: BTreeMap<String, Vec<String>>,
    /// Name and slots of the machine.
    machine: (String, Vec<String>),
    devices: Vec<Device>,
    /// All objects of the scenario in all boots, with their kinds.
    objects: BTreeMap<String, Kind>,
    /// The objects that are usable in this boot.
    in_boot: Vec<String>,
    /// Closed objects, whose names can be reused.
    closed: Vec<String>,
    tokens: Vec<String>,
}

type Checked<T> = Result<T, InputError>;

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
    fn wrong(&self, place: Place, message: impl Into<String>, hint: Option<String>) -> InputError {
        InputError::new(self.file, self.text, place, message, hint)
    }

    fn unknown<'k>(
        &self,
        noun: &str,
        name: &At<String>,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> InputError {
        let hint = closest(&name.value, known.clone())
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| {
                let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
                (!known.is_empty()).then(|| format!("valid here: {}", known.join(", ")))
            });
        self.wrong(name.place, format!("unknown {noun} `{}`", name.value), hint)
    }

    fn need<T>(&self, value: Option<T>, place: Place, key: &str) -> Checked<T> {
        value.ok_or_else(|| {
            let hint = format!("`{key}`: {}", about(key));
            self.wrong(place, format!("missing key `{key}`"), Some(hint))
        })
    }

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

    /// Whether a `when` holds for the parameter values of this variant.
    fn is_when(&self, when: &BTreeMap<String, At<RawValues>>) -> Checked<bool> {
        let mut holds = true;
        for (name, wanted) in when {
            let (place, wanted) = (wanted.place, &wanted.value);
            let Some((_, value)) = self.values.iter().find(|(known, _)| known == name) else {
                let known = self.values.iter().map(|(known, _)| known.as_str());
                let name = At {
                    value: name.clone(),
                    place,
                };
                return Err(self.unknown("parameter", &name, known));
            };
            let known = self.parameters.get(name).map_or(&[][..], Vec::as_slice);
            let mut all = wanted.all().into_iter();
            if let Some(value) = all.find(|value| !known.contains(value)) {
                let value = At { value, place };
                let known = known.iter().map(String::as_str);
                return Err(self.unknown(
                    &format!("value of the parameter `{name}`:"),
                    &value,
                    known,
                ));
            }
            holds &= wanted.contains(value);
        }
        Ok(holds)
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
}

#[cfg(test)]
mod tests;
