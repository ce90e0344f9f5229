// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tests of a program, one per boot: variables, the code of each step, and the
//! background process that keeps files open until the kexec.

use super::super::c::{Call, Head, Message, Node, line};
use super::super::call::{LU, target};
use super::super::expect::check;
use super::super::step::{Paragraph, Place, paragraph};
use super::super::variants::{grouped, only_for};
use super::super::{harness_timeout_secs, test_name};
use crate::scenario::{Action, Boot, Returns, ScenarioFile, Step};

/// The test of one boot, preceded by the functions of its threads.
pub(super) fn test(scenario_file: &ScenarioFile, index: usize) -> Vec<Node> {
    let first = scenario_file.first();
    let fixture = first.identifier();
    let boot = &first.boots[index];
    let (mut functions, mut steps) = (Vec::new(), Vec::new());
    for number in numbers(scenario_file, index) {
        let (more, body) = paragraphs(scenario_file, index, number, &fixture);
        functions.extend(more);
        steps.push(Node::Blank);
        steps.extend(body);
    }
    let mut body = declarations(scenario_file, index);
    // A boot that begins with retrieving a session is skipped by that step.
    let needs_skip = |boot: &Boot| {
        let retrieves = |step: &Step| {
            matches!(step.action, Action::RetrieveSession { .. }) && step.returns == Returns::Ok
        };
        boot.number > 1 && !boot.steps.first().is_some_and(retrieves)
    };
    let boots = || {
        let variants = scenario_file.variants.iter();
        variants.map(|variant| &variant.boots[index])
    };
    if boots().any(needs_skip) {
        body.extend([
            Node::Blank,
            line("if (lu_is_first_kernel())"),
            line("\tSKIP(return, \"needs a live update from the previous boot\");"),
        ]);
    }
    let checks_leaks = |step: &Step| matches!(step.action, Action::CheckLeaks);
    if boots().any(|boot| boot.steps.iter().any(checks_leaks)) {
        body.extend([Node::Blank, Call::new("lu_leaks_begin", [LU]).into()]);
    }
    body.extend(steps);
    if boot.number < first.boots.len() {
        body.extend(keep_until_kexec());
    }
    let head = format!(
        "TEST_F_TIMEOUT({fixture}, {}, {})",
        test_name(boot.number),
        harness_timeout_secs(scenario_file)
    );
    functions.push(Node::Block {
        head: Head::Own(head),
        body,
        tail: "",
    });
    functions
}

fn numbers(scenario_file: &ScenarioFile, index: usize) -> Vec<usize> {
    let boots = scenario_file
        .variants
        .iter()
        .map(|variant| &variant.boots[index]);
    let mut numbers: Vec<usize> = boots
        .flat_map(|boot| boot.steps.iter().map(|step| step.number))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The code of the step with this number, for all variants.
fn paragraphs(
    scenario_file: &ScenarioFile,
    index: usize,
    number: usize,
    fixture: &str,
) -> (Vec<Node>, Vec<Node>) {
    let of_variant = |boot: &Boot| -> Option<Step> {
        boot.steps
            .iter()
            .find(|step| step.number == number)
            .cloned()
    };
    let boots = scenario_file
        .variants
        .iter()
        .map(|variant| &variant.boots[index]);
    let groups = grouped(boots.map(of_variant).collect());
    let (mut functions, mut body) = (Vec::new(), Vec::new());
    for (at, (step, members)) in groups.iter().enumerate() {
        let suffix = if groups.len() > 1 {
            format!("_{}", at + 1)
        } else {
            String::new()
        };
        let place = Place {
            fixture,
            boot: &scenario_file.variants[members[0]].boots[index],
            suffix: &suffix,
        };
        let Paragraph {
            functions: more,
            body: nodes,
        } = paragraph(&place, step);
        functions.extend(more);
        body.extend(only_for(scenario_file, members, nodes));
    }
    (functions, body)
}

fn keep_until_kexec() -> Vec<Node> {
    vec![
        Node::Blank,
        Node::Comment("Keep all files open until the kexec to the next kernel.".to_owned()),
        Call::new("lu_keep_until_kexec", [LU])
            .assigned_to("ret")
            .into(),
        check(
            "ASSERT_EQ",
            "0",
            "ret",
            Message::with_result("expected a process that keeps the session open", "ret"),
        ),
    ]
}

/// The variables that the steps of the boot use in any variant.
fn declarations(scenario_file: &ScenarioFile, index: usize) -> Vec<Node> {
    let boots: Vec<&Boot> = scenario_file
        .variants
        .iter()
        .map(|variant| &variant.boots[index])
        .collect();
    let any = |fits: &dyn Fn(&Step) -> bool| boots.iter().any(|boot| boot.all_steps().any(fits));
    let reads_text = |step: &Step| {
        matches!(
            step.action,
            Action::ReadFile { .. } | Action::ReadPath { .. } | Action::SessionName { .. }
        )
    };
    let uses_ret = |step: &Step| target(step).is_some_and(|target| target == "ret");
    let follows = index + 1 < scenario_file.first().boots.len();
    let mut nodes = Vec::new();
    if any(&reads_text) {
        nodes.push(line("char contents[1100];"));
    }
    if any(&|step| matches!(step.action, Action::ReadRegister { .. })) {
        nodes.push(line("__u64 value;"));
    }
    if any(&|step| matches!(step.action, Action::Repeat { .. })) {
        nodes.push(line("unsigned int round;"));
    }
    if any(&|step| matches!(step.action, Action::Race { .. })) {
        nodes.push(line("int against;"));
    }
    if follows || any(&uses_ret) || any(&|step| !step.order.is_empty()) {
        nodes.push(line("int ret;"));
    }
    nodes
}
