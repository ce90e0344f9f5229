// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixture of a program: its data, variants, setup with requirements, and teardown.

use super::c::{Call, Head, Node, block, data, line, string};
use super::operation::{LU, Target};
use super::step::{INTERLEAVING, check};
use super::variants::only_for;
use crate::catalogue::Catalogue;
use crate::scenario::{Action, Boot, Kind, Operation, Scenario, ScenarioFile, Step, Value, unique};

/// The arrays of kernel functions that any variant uses: counted functions, sync points.
pub(super) fn kernel_functions(scenario_file: &ScenarioFile) -> Vec<Node> {
    let mut nodes = list("probed", &probed_functions(scenario_file));
    nodes.extend(list("sync_points", &sync_points(scenario_file)));
    nodes
}

/// An array of names, unless it would be empty.
fn list(array: &str, names: &[impl AsRef<str>]) -> Vec<Node> {
    if names.is_empty() {
        return Vec::new();
    }
    let lines = names.iter();
    let lines = lines.map(|name| line(format!("{},", string(name.as_ref()))));
    let head = format!("static const char *const {array}[] =");
    vec![data(Head::Inline(head), lines), Node::Blank]
}

fn probed_functions(scenario_file: &ScenarioFile) -> Vec<&str> {
    let variants = scenario_file.variants.iter();
    unique(variants.flat_map(Scenario::probed_functions))
}

fn sync_points(scenario_file: &ScenarioFile) -> Vec<String> {
    unique(scenario_file.steps().filter_map(|step| match &step.action {
        Action::Hold { at, .. } => Some(at.to_string()),
        _ => None,
    }))
}

/// The data, the variants, the setup and the teardown.
pub(super) fn fixture(catalogue: &Catalogue, scenario_file: &ScenarioFile) -> Vec<Node> {
    let fixture = scenario_file.first().identifier();
    let objects = objects(scenario_file);
    let fields = objects.iter();
    let fields = fields.map(|(object, _)| line(format!("int {object};")));
    let fields = [line("struct lu_test lu;")].into_iter().chain(fields);
    let mut nodes = vec![
        data(Head::Own(format!("FIXTURE({fixture})")), fields),
        Node::Blank,
    ];
    nodes.extend(fixture_variants(scenario_file, &fixture));
    let mut teardown = Vec::new();
    if !sync_points(scenario_file).is_empty() {
        // A held task may own a lock that close() needs. If the test ended early, this is
        // the only check that the task was held until then.
        let released = Call::new("lu_let_go", [LU]).text();
        let expired = format!("{INTERLEAVING}a held task was released by the time limit");
        teardown.push(check("EXPECT_EQ", "0", &released, expired));
    }
    // Close in reverse order of opening. lu_teardown() ends processes.
    let files = objects.iter().rev().filter(|(_, is_process)| !is_process);
    let close = |object: &str| Call::new("lu_close", [format!("&self->{object}")]);
    teardown.extend(files.map(|(object, _)| Node::from(close(object))));
    teardown.push(Call::new("lu_teardown", [LU]).into());
    let head = |part: &str| Head::Own(format!("FIXTURE_{part}({fixture})"));
    nodes.extend([
        block(head("SETUP"), setup(catalogue, scenario_file, &objects)),
        Node::Blank,
        block(head("TEARDOWN"), teardown),
    ]);
    nodes
}

fn setup(
    catalogue: &Catalogue,
    scenario_file: &ScenarioFile,
    objects: &[(&str, bool)],
) -> Vec<Node> {
    let fields = &catalogue.language.requirements;
    let variants = scenario_file.variants.iter();
    let needs: Vec<Needs<'_>> = variants.map(|variant| Needs::of(variant, fields)).collect();
    let probes = !probed_functions(scenario_file).is_empty();
    let holds = !sync_points(scenario_file).is_empty();
    let head = Head::Inline("struct lu_needs needs =".to_owned());
    let mut body = vec![
        data(head, Needs::fields(&needs, fields, probes, holds)),
        line("const char *lacking;"),
        Node::Blank,
    ];
    let objects = objects.iter();
    body.extend(objects.map(|(object, _)| line(format!("self->{object} = -1;"))));
    for (only, members) in Needs::of_some(&needs, fields) {
        let nodes = vec![line(format!("needs.{only} = true;"))];
        body.extend(only_for(scenario_file, &members, nodes));
    }
    let call = Call::new("lu_setup", [LU, "&needs"]);
    body.push(call.assigned_to("lacking").into());
    if scenario_file.first().boots.len() > 1 {
        // A requirement that was met before the kexec must be met after it.
        let check = Call::new("ASSERT_TRUE", ["!lacking || lu_is_first_kernel()"]);
        let log = line("TH_LOG(\"missing after the kexec: %s\", lacking);");
        body.push(block(Head::Call(check), [log]));
    }
    let skip = "\tSKIP(return, \"%s\", lacking);";
    body.extend([line("if (lacking)"), line(skip)]);
    body
}

fn fixture_variants(scenario_file: &ScenarioFile, fixture: &str) -> Vec<Node> {
    let parameters = &scenario_file.first().values;
    if parameters.is_empty() {
        return Vec::new();
    }
    let fields = parameters.iter();
    let fields = fields.map(|(name, _)| line(format!("const char *{name};")));
    let head = format!("FIXTURE_VARIANT({fixture})");
    let mut nodes = vec![data(Head::Own(head), fields), Node::Blank];
    for variant in &scenario_file.variants {
        let name = variant.variant().unwrap_or_default().replace('-', "_");
        let values = variant.values.iter();
        let fields = values.map(|(name, value)| line(format!(".{name} = {},", string(value))));
        let head = format!("FIXTURE_VARIANT_ADD({fixture}, {name})");
        nodes.extend([data(Head::Inline(head), fields), Node::Blank]);
    }
    nodes
}

/// All files, sessions, users and processes in the order of their creation, with a flag
/// for processes.
fn objects(scenario_file: &ScenarioFile) -> Vec<(&str, bool)> {
    unique(scenario_file.steps().flat_map(|step| {
        // A step that must fail creates no object.
        let is_made = step.action.plain().is_none() || Target::of(step) != Target::Ret;
        let started = step.action.started();
        let made = started.iter().filter(|_| is_made);
        let made = made.filter_map(|operation| Some((operation.made()?, false)));
        let others = started.iter().filter_map(|operation| {
            let is_process = match operation.verb.kind {
                Kind::Process => true,
                Kind::Opened(_) => false,
                _ => return None,
            };
            Some((operation.object(&operation.verb.key)?, is_process))
        });
        made.chain(others).collect::<Vec<_>>()
    }))
}

/// The requirements of one scenario. The test is skipped if one of them is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needs<'a> {
    devices: usize,
    /// The number of tasks that run concurrently, each on its own CPU.
    tasks: usize,
    /// Fields of `struct lu_needs`, in their order.
    set: Vec<&'a str>,
}

impl<'a> Needs<'a> {
    /// Returns the requirements of a scenario; `known` are all fields of `struct lu_needs`.
    fn of(scenario: &Scenario, known: &'a [String]) -> Self {
        let devices = scenario.devices.iter().map(|device| device.index + 1).max();
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
        }
        found.extend(uses_functions(scenario).then_some("vfs"));
        let races = |step: &Step| matches!(step.action, Action::Race { .. });
        Self {
            devices: devices.unwrap_or(0),
            tasks: if scenario.steps().any(races) { 2 } else { 0 },
            set: known
                .iter()
                .map(String::as_str)
                .filter(|field| found.contains(field))
                .collect(),
        }
    }

    /// Returns the initialisers of the fields that are set for all variants.
    fn fields(all: &[Self], known: &[String], probes: bool, holds: bool) -> Vec<Node> {
        let devices = all.iter().map(|needs| needs.devices).max().unwrap_or(0);
        let mut fields = vec![line(format!(".devices = {devices},"))];
        let tasks = all.iter().map(|needs| needs.tasks).max().unwrap_or(0);
        if tasks > 0 {
            fields.push(line(format!(".cpus = {tasks},")));
        }
        let has = |needs: &Self, field: &str| needs.set.contains(&field);
        let common = known.iter();
        let common = common.filter(|field| all.iter().all(|needs| has(needs, field)));
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
    fn of_some(all: &[Self], known: &'a [String]) -> Vec<(&'a str, Vec<usize>)> {
        let members = |field: &'a String| {
            let has = |&index: &usize| all[index].set.contains(&field.as_str());
            let members: Vec<usize> = (0..all.len()).filter(has).collect();
            (field.as_str(), members)
        };
        known
            .iter()
            .map(members)
            .filter(|(_, members)| !members.is_empty() && members.len() < all.len())
            .collect()
    }
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
