// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requirements of a test, which is skipped if one of them is not met.

use super::c::{Call, Node, string};
use crate::scenario::{Action, Boot, Operation, Scenario, Step, Value, unique};

/// Returns the call that checks the requirements of a boot. In the first boot, these are the
/// requirements of the whole test, so that it is skipped before a kexec.
pub(super) fn needs(scenario: &Scenario, boot: &Boot, known: &[String]) -> Node {
    let mut fields = vec!["return".to_owned()];
    if scenario.boots.len() > 1 {
        fields.push(format!(".boot = {}", boot.number));
        fields.push(format!(".boots = {}", scenario.boots.len()));
    }
    let mut number = |field: &str, value: usize| {
        fields.extend((value > 0).then(|| format!(".{field} = {value}")));
    };
    let devices = scenario.devices.iter().map(|device| device.index + 1).max();
    number("devices", devices.unwrap_or(0));
    let races = |step: &Step| matches!(step.action, Action::Race { .. });
    number("cpus", if scenario.steps().any(races) { 2 } else { 0 });
    let found = requirements(scenario);
    let set = known.iter().filter(|field| found.contains(&field.as_str()));
    fields.extend(set.map(|field| format!(".{field} = true")));
    let steps: Vec<&Step> = match boot.number {
        1 => scenario.steps().collect(),
        _ => boot.all_steps().collect(),
    };
    fields.extend(list("calls", &Scenario::probed(steps.iter().copied())));
    let points = steps.iter().filter_map(|step| match &step.action {
        Action::Hold { at, .. } => Some(at.to_string()),
        _ => None,
    });
    fields.extend(list("sync_points", &unique(points)));
    Call::new("NEEDS", fields).into()
}

/// An array of names, unless it would be empty.
fn list(field: &str, names: &[impl AsRef<str>]) -> Option<String> {
    let names: Vec<String> = names.iter().map(|name| string(name.as_ref())).collect();
    (!names.is_empty()).then(|| format!(".{field} = {{ {} }}", names.join(", ")))
}

/// Returns the fields of `struct kt_needs` that are set.
fn requirements(scenario: &Scenario) -> Vec<&str> {
    let mut found: Vec<&str> = scenario.operations().filter_map(Operation::needs).collect();
    let first = scenario.boots.first();
    let in_first = first.into_iter().flat_map(Boot::all_steps);
    let in_first = in_first.filter_map(|step| step.action.plain());
    found.extend(in_first.filter_map(|it| it.verb.needs_in_first_boot.as_deref()));
    for step in scenario.steps() {
        found.extend((!step.log.is_empty()).then_some("log"));
        found.extend((!step.order.is_empty()).then_some("order"));
        found.extend(match step.action {
            Action::Hold { .. } => Some("hold"),
            Action::Wait { .. } => Some("wait"),
            Action::FailAllocations { .. } => Some("fail_nth"),
            _ => None,
        });
        let operation = step.action.plain();
        found.extend(
            operation
                .filter(|it| it.verb.counts_leaks())
                .map(|_| "leaks"),
        );
    }
    let mut splats = scenario.splats.iter();
    found.extend(
        splats
            .any(|splat| splat.count.max != Some(0))
            .then_some("warns"),
    );
    found.extend(uses_functions(scenario).then_some("vfs"));
    found
}

/// Whether virtual functions are enabled or used.
fn uses_functions(scenario: &Scenario) -> bool {
    let switches = |value: &Value| match value {
        Value::OfDevice { attribute, .. } => attribute.starts_with("sriov_"),
        _ => false,
    };
    let mut devices = scenario.devices.iter();
    devices.any(|device| device.function.is_some())
        || scenario.operations().any(|it| it.values().any(switches))
}
