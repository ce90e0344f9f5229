// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixture of a program: its data, variants, setup with requirements, and teardown.

use super::super::c::{Call, Head, Node, line, string};
use super::super::call::{LU, made, target};
use super::super::expect::{INTERLEAVING, check};
use super::super::needs::Needs;
use super::super::variants::only_for;
use crate::scenario::{Action, ScenarioFile};

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
    let names = names
        .iter()
        .map(|name| line(format!("{},", string(name.as_ref()))));
    vec![
        Node::Block {
            head: Head::Inline(format!("static const char *const {array}[] =")),
            body: names.collect(),
            tail: ";",
        },
        Node::Blank,
    ]
}

fn probed_functions(scenario_file: &ScenarioFile) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in scenario_file
        .variants
        .iter()
        .flat_map(|variant| variant.probed_functions())
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn sync_points(scenario_file: &ScenarioFile) -> Vec<String> {
    let mut points = Vec::new();
    for action in actions(scenario_file) {
        if let Action::Hold { at, .. } = action {
            let point = at.to_string();
            if !points.contains(&point) {
                points.push(point);
            }
        }
    }
    points
}

pub(super) fn fixture(scenario_file: &ScenarioFile) -> Vec<Node> {
    let fixture = scenario_file.first().identifier();
    let objects = objects(scenario_file);
    let mut fields = vec![line("struct lu_test lu;")];
    fields.extend(
        objects
            .iter()
            .map(|(object, _)| line(format!("int {object};"))),
    );
    let mut nodes = vec![
        Node::Block {
            head: Head::Own(format!("FIXTURE({fixture})")),
            body: fields,
            tail: ";",
        },
        Node::Blank,
    ];
    nodes.extend(fixture_variants(scenario_file, &fixture));
    let mut teardown = Vec::new();
    if actions(scenario_file).any(|action| matches!(action, Action::Hold { .. })) {
        // A held task may own a lock that close() needs. If the test ended early, this is
        // the only check that the task was held until then.
        let released = Call::new("lu_let_go", [LU]).text();
        let expired = format!("{INTERLEAVING}a held task was released by the time limit");
        teardown.push(check("EXPECT_EQ", "0", &released, expired));
    }
    // Close in reverse order of opening. lu_teardown() ends processes.
    let files = objects.iter().rev().filter(|(_, is_process)| !is_process);
    teardown.extend(
        files.map(|(object, _)| -> Node {
            Call::new("lu_close", [format!("&self->{object}")]).into()
        }),
    );
    teardown.push(Call::new("lu_teardown", [LU]).into());
    nodes.extend([
        Node::Block {
            head: Head::Own(format!("FIXTURE_SETUP({fixture})")),
            body: setup(scenario_file, &objects),
            tail: "",
        },
        Node::Blank,
        Node::Block {
            head: Head::Own(format!("FIXTURE_TEARDOWN({fixture})")),
            body: teardown,
            tail: "",
        },
    ]);
    nodes
}

fn setup(scenario_file: &ScenarioFile, objects: &[(&str, bool)]) -> Vec<Node> {
    let needs: Vec<Needs> = scenario_file.variants.iter().map(Needs::of).collect();
    let probes = !probed_functions(scenario_file).is_empty();
    let holds = !sync_points(scenario_file).is_empty();
    let mut body = vec![
        Node::Block {
            head: Head::Inline("struct lu_needs needs =".to_owned()),
            body: Needs::fields(&needs, probes, holds),
            tail: ";",
        },
        line("const char *lacking;"),
        Node::Blank,
    ];
    body.extend(
        objects
            .iter()
            .map(|(object, _)| line(format!("self->{object} = -1;"))),
    );
    for (only, members) in Needs::of_some(&needs) {
        let nodes = vec![line(format!("needs.{only} = true;"))];
        body.extend(only_for(scenario_file, &members, nodes));
    }
    body.push(
        Call::new("lu_setup", [LU, "&needs"])
            .assigned_to("lacking")
            .into(),
    );
    if scenario_file.first().boots.len() > 1 {
        // A requirement that was met before the kexec must be met after it.
        body.push(Node::Block {
            head: Head::Call(Call::new(
                "ASSERT_TRUE",
                ["!lacking || lu_is_first_kernel()"],
            )),
            body: vec![line("TH_LOG(\"missing after the kexec: %s\", lacking);")],
            tail: "",
        });
    }
    body.push(line("if (lacking)"));
    body.push(line("\tSKIP(return, \"%s\", lacking);"));
    body
}

fn fixture_variants(scenario_file: &ScenarioFile, fixture: &str) -> Vec<Node> {
    let parameters = &scenario_file.first().values;
    if parameters.is_empty() {
        return Vec::new();
    }
    let fields = parameters
        .iter()
        .map(|(name, _)| line(format!("const char *{name};")));
    let mut nodes = vec![
        Node::Block {
            head: Head::Own(format!("FIXTURE_VARIANT({fixture})")),
            body: fields.collect(),
            tail: ";",
        },
        Node::Blank,
    ];
    for variant in &scenario_file.variants {
        let name = variant.variant().unwrap_or_default().replace('-', "_");
        let values = variant.values.iter();
        let fields = values.map(|(name, value)| line(format!(".{name} = {},", string(value))));
        nodes.extend([
            Node::Block {
                head: Head::Inline(format!("FIXTURE_VARIANT_ADD({fixture}, {name})")),
                body: fields.collect(),
                tail: ";",
            },
            Node::Blank,
        ]);
    }
    nodes
}

fn actions(scenario_file: &ScenarioFile) -> impl Iterator<Item = &Action> {
    scenario_file
        .variants
        .iter()
        .flat_map(|variant| variant.actions())
}

/// All files, sessions, users and processes in the order of their creation, with a flag
/// for processes.
fn objects(scenario_file: &ScenarioFile) -> Vec<(&str, bool)> {
    let mut objects: Vec<(&str, bool)> = Vec::new();
    let variants = scenario_file.variants.iter();
    for step in variants.flat_map(|variant| variant.steps()) {
        // A step that must fail creates no object.
        let makes = target(step).is_some_and(|target| target.starts_with("self->"));
        let inner = match &step.action {
            Action::Hold { action, .. }
            | Action::Wait { action, .. }
            | Action::FailAllocations { action, .. } => vec![&**action],
            Action::Race {
                action, against, ..
            } => vec![&**action, &**against],
            _ => Vec::new(),
        };
        let own = makes.then_some(&step.action);
        let found = own.into_iter().chain(inner.iter().copied());
        let found = found.filter_map(made).map(|object| (object, false));
        let others = std::iter::once(&step.action).chain(inner.iter().copied());
        let others = others.filter_map(|action| match action {
            Action::User { user, .. } => Some((user.as_str(), false)),
            Action::StartProcess { process, .. } => Some((process.as_str(), true)),
            _ => None,
        });
        for object in found.chain(others) {
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
    }
    objects
}
