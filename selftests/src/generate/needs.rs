// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario's test cannot do without, and is skipped for where it lacks.

use super::c::{Node, line};
use crate::scenario::{Action, Boot, Flb, KernelPath, Removal, Scenario};

/// Things that a test may need, by the names of the helpers' fields.
const THINGS: [&str; 13] = [
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

/// What one scenario needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    devices: usize,
    /// Tasks at once, each on a processor of its own.
    tasks: usize,
    things: Vec<&'static str>,
}

impl Needs {
    /// Returns what a scenario needs.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let devices = scenario.devices.iter().map(|device| device.index + 1).max();
        let actions = scenario.actions();
        let needs = |thing: &&&str| match **thing {
            "log" => scenario.steps().any(|step| !step.log.is_empty()),
            "vfs" => uses_functions(scenario, &actions),
            "no_live_update" => asks_at_first(scenario),
            "order" => scenario.steps().any(|step| !step.order.is_empty()),
            thing => actions.iter().any(|action| thing_of(action) == Some(thing)),
        };
        let races = |action: &&&Action| matches!(action, Action::Race { .. });
        Self {
            devices: devices.unwrap_or(0),
            tasks: 2 * actions.iter().filter(races).count().min(1),
            things: THINGS.iter().filter(needs).copied().collect(),
        }
    }

    /// Returns the fields that hold for all variants.
    pub(super) fn fields(all: &[Self], probes: bool, holds: bool) -> Vec<Node> {
        let devices = all.iter().map(|needs| needs.devices).max().unwrap_or(0);
        let mut fields = vec![line(format!(".devices = {devices},"))];
        let tasks = all.iter().map(|needs| needs.tasks).max().unwrap_or(0);
        if tasks > 0 {
            fields.push(line(format!(".cpus = {tasks},")));
        }
        let common = THINGS
            .iter()
            .filter(|thing| all.iter().all(|needs| needs.things.contains(thing)));
        fields.extend(common.map(|thing| line(format!(".{thing} = true,"))));
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

    /// Returns what some of the variants need and others do not, and which.
    pub(super) fn of_some(all: &[Self]) -> Vec<(&'static str, Vec<usize>)> {
        let members = |thing: &&'static str| {
            let has = |&index: &usize| all[index].things.contains(thing);
            let members: Vec<usize> = (0..all.len()).filter(has).collect();
            (*thing, members)
        };
        THINGS
            .iter()
            .map(members)
            .filter(|(_, members)| !members.is_empty() && members.len() < all.len())
            .collect()
    }
}

/// Whether the first kernel is asked for what was handed over to it: nothing, which a
/// kernel that came by a live update answers in another way.
fn asks_at_first(scenario: &Scenario) -> bool {
    let first = scenario.boots.first();
    let mut steps = first.into_iter().flat_map(Boot::all_steps);
    steps.any(|step| match &step.action {
        Action::User { flb, .. } => *flb != Flb::Outgoing,
        _ => false,
    })
}

/// Whether virtual functions are switched on or used.
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

const fn thing_of(action: &Action) -> Option<&'static str> {
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
