// SPDX-License-Identifier: GPL-2.0-only
//! The tests of a family's program, one a stage: its variables, one paragraph a step,
//! and what is kept for the next kernel.

use super::super::c::{Call, Head, Node, line};
use super::super::call::{LU, target};
use super::super::expect::check;
use super::super::step::{Paragraph, Place, paragraph};
use super::super::variants::{grouped, only_for};
use super::super::{harness_timeout_secs, test_name};
use crate::scenario::{Action, Family, Returns, Stage, Step};

/// One stage: the functions of its threads, and its test.
pub(super) fn test(family: &Family, index: usize) -> Vec<Node> {
    let first = family.first();
    let fixture = first.identifier();
    let stage = &first.stages[index];
    let (mut functions, mut steps) = (Vec::new(), Vec::new());
    for number in numbers(family, index) {
        let (more, body) = paragraphs(family, index, number, &fixture);
        functions.extend(more);
        steps.push(Node::Blank);
        steps.extend(body);
    }
    let mut body = declarations(family, index);
    let begins_anew = |one: &Stage| {
        let retrieves = |step: &Step| {
            matches!(step.action, Action::RetrieveSession { .. }) && step.returns == Returns::Ok
        };
        one.number > 1 && !one.steps.first().is_some_and(retrieves)
    };
    let mut stages = family.variants.iter().map(|one| &one.stages[index]);
    if stages.any(begins_anew) {
        body.extend([
            Node::Blank,
            line("if (lu_is_first_kernel())"),
            line("\tSKIP(return, \"nothing was handed over to this kernel\");"),
        ]);
    }
    let looks_for_leaks = |step: &Step| matches!(step.action, Action::CheckLeaks);
    let mut stages = family.variants.iter().map(|one| &one.stages[index]);
    if stages.any(|stage| stage.steps.iter().any(looks_for_leaks)) {
        body.extend([Node::Blank, Call::new("lu_leaks_begin", [LU]).into()]);
    }
    body.extend(steps);
    if stage.number < first.stages.len() {
        body.extend(kept_for_the_next());
    }
    let head = format!(
        "TEST_F_TIMEOUT({fixture}, {}, {})",
        test_name(stage.number),
        harness_timeout_secs(family)
    );
    functions.push(Node::Block {
        head: Head::Own(head),
        body,
        tail: "",
    });
    functions
}

fn numbers(family: &Family, index: usize) -> Vec<usize> {
    let stages = family.variants.iter().map(|one| &one.stages[index]);
    let mut numbers: Vec<usize> = stages
        .flat_map(|stage| stage.steps.iter().map(|step| step.number))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// What the step of this number is, in all variants.
fn paragraphs(
    family: &Family,
    index: usize,
    number: usize,
    fixture: &str,
) -> (Vec<Node>, Vec<Node>) {
    let of_variant = |stage: &Stage| -> Option<Step> {
        stage
            .steps
            .iter()
            .find(|step| step.number == number)
            .cloned()
    };
    let stages = family.variants.iter().map(|one| &one.stages[index]);
    let groups = grouped(stages.map(of_variant).collect());
    let (mut functions, mut body) = (Vec::new(), Vec::new());
    for (at, (step, members)) in groups.iter().enumerate() {
        let suffix = if groups.len() > 1 {
            format!("_{}", at + 1)
        } else {
            String::new()
        };
        let place = Place {
            fixture,
            stage: &family.variants[members[0]].stages[index],
            suffix: &suffix,
        };
        let Paragraph {
            functions: more,
            body: nodes,
        } = paragraph(&place, step);
        functions.extend(more);
        body.extend(only_for(family, members, nodes));
    }
    (functions, body)
}

fn kept_for_the_next() -> Vec<Node> {
    vec![
        Node::Blank,
        Node::Comment(
            "The next stage runs in another kernel: hold all that is open until then, \
             if one follows."
                .to_owned(),
        ),
        Call::new("lu_keep_until_kexec", [LU])
            .assigned_to("ret")
            .into(),
        check(
            "ASSERT_EQ",
            "0",
            "ret",
            "a process must hold the session until the kexec",
        ),
    ]
}

/// The variables that the stage's steps use, in any variant.
fn declarations(family: &Family, index: usize) -> Vec<Node> {
    let stages: Vec<&Stage> = family
        .variants
        .iter()
        .map(|one| &one.stages[index])
        .collect();
    let any = |fits: &dyn Fn(&Step) -> bool| stages.iter().any(|stage| stage.all_steps().any(fits));
    let reads_text = |step: &Step| {
        matches!(
            step.action,
            Action::ReadFile { .. } | Action::ReadPath { .. } | Action::SessionName { .. }
        )
    };
    let uses_ret = |step: &Step| target(step).is_some_and(|target| target == "ret");
    let follows = index + 1 < family.first().stages.len();
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
