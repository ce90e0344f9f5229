// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requirements of a test. It is skipped if one of them is not met.

use super::c::{Node, line};
use crate::scenario::{Action, Boot, Flb, KernelPath, Removal, Scenario};

/// Possible requirements, by the names of the fields of `struct lu_needs`.
const FIELDS: [&str; 13] = [
    "users",
    "incoming",
    "no_live_update",
    "fail",
    "log",
    "order",
    "machine",
    "slot_power",
    "vfs",
    "hold",
    "wait",
    "fail_nth",
    "kexec",
];

/// The requirements of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    devices: usize,
    /// The number of tasks that run concurrently, each on its own CPU.
    tasks: usize,
    set: Vec<&'static str>,
}

impl Needs {
    /// Returns the requirements of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let devices = scenario.devices.iter().map(|device| device.index + 1).max();
        let actions = scenario.actions();
        let needs = |field: &&&str| match **field {
            "log" => scenario.steps().any(|step| !step.log.is_empty()),
            "vfs" => uses_functions(scenario, &actions),
            "no_live_update" => gets_incoming_in_first_boot(scenario),
            "order" => scenario.steps().any(|step| !step.order.is_empty()),
            field => actions.iter().any(|action| field_of(action) == Some(field)),
        };
        let races = |action: &&&Action| matches!(action, Action::Race { .. });
        Self {
            devices: devices.unwrap_or(0),
            tasks: 2 * actions.iter().filter(races).count().min(1),
            set: FIELDS.iter().filter(needs).copied().collect(),
        }
    }

    /// Returns the initialisers of the fields that are set for all variants.
    pub(super) fn fields(all: &[Self], probes: bool, holds: bool) -> Vec<Node> {
        let devices = all.iter().map(|needs| needs.devices).max().unwrap_or(0);
        let mut fields = vec![line(format!(".devices = {devices},"))];
        let tasks = all.iter().map(|needs| needs.tasks).max().unwrap_or(0);
        if tasks > 0 {
            fields.push(line(format!(".cpus = {tasks},")));
        }
        let common = FIELDS
            .iter()
            .filter(|field| all.iter().all(|needs| needs.set.contains(field)));
        fields.extend(common.map(|field| line(format!(".{field} = true,"))));
        if probes {
            fields.push(line(".nr_probes = ARRAY_SIZE(probed),"));
            fields.push(line(".probe = probed,"));
        }
        if holds {
            fields.push(line(".nr_sync_points = ARRAY_SIZE(sync_points),"));
            fields.push(line(".sync_point = sync_points,"));
        }
        fields
    }

    /// Returns the fields that are set for some of the variants, with these variants.
    pub(super) fn of_some(all: &[Self]) -> Vec<(&'static str, Vec<usize>)> {
        let members = |field: &&'static str| {
            let has = |&index: &usize| all[index].set.contains(field);
            let members: Vec<usize> = (0..all.len()).filter(has).collect();
            (*field, members)
        };
        FIELDS
            .iter()
            .map(members)
            .filter(|(_, members)| !members.is_empty() && members.len() < all.len())
            .collect()
    }
}

/// Whether the first boot gets an incoming FLB. The error differs if the first kernel was
/// itself started by a live update.
fn gets_incoming_in_first_boot(scenario: &Scenario) -> bool {
    let first = scenario.boots.first();
    let mut steps = first.into_iter().flat_map(Boot::all_steps);
    steps.any(|step| match &step.action {
        Action::User { flb, .. } => *flb != Flb::Outgoing,
        _ => false,
    })
}

/// Whether virtual functions are enabled or used.
fn uses_functions(scenario: &Scenario, actions: &[&Action]) -> bool {
    let switches = |action: &&Action| match action {
        Action::WritePath {
            path: KernelPath::OfDevice { attribute, .. },
            ..
        } => attribute.starts_with("sriov_"),
        _ => false,
    };
    let mut devices = scenario.devices.iter();
    devices.any(|device| device.function.is_some()) || actions.iter().any(switches)
}

const fn field_of(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::User {
            flb: Flb::Outgoing, ..
        } => "users",
        Action::User { .. } => "incoming",
        Action::FailNext { .. } => "fail",
        Action::RemoveDevice {
            how: Removal::Unplug | Removal::Surprise,
            ..
        }
        | Action::PlugDevice { .. } => "machine",
        Action::RemoveDevice {
            how: Removal::SlotPower,
            ..
        } => "slot_power",
        Action::Hold { .. } | Action::Release { .. } => "hold",
        Action::Wait { .. } => "wait",
        Action::TryKexec => "kexec",
        Action::FailAllocations { .. } => "fail_nth",
        _ => return None,
    })
}
