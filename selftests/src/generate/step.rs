// SPDX-License-Identifier: GPL-2.0-only
//! One step of a scenario as a paragraph of C: its reason, its call, its line in
//! the diagnostics, and a check for each thing that must be seen after it.

use super::c::{Call, Head, Node, line, string};
use super::call::{LU, RET, call, function, functions, made, own, target};
use super::expect::{
    INTERLEAVING, check, check_true, counts, message, no_leaks, result, returned, value,
};
use crate::scenario::{Action, Boot, Returns, Step};

/// What a step comes to in C.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// The functions that its threads run.
    pub(super) functions: Vec<Node>,
    /// What stands in the test.
    pub(super) body: Vec<Node>,
}

/// Whom a step belongs to, for the names of its functions.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) fixture: &'a str,
    pub(super) boot: &'a Boot,
    /// What sets the functions of this variant apart, if there is such a thing.
    pub(super) suffix: &'a str,
}

impl Place<'_> {
    fn function(&self, step: usize, more: &str) -> String {
        let Self { boot, suffix, .. } = self;
        format!("boot_{}_step_{step}{more}{suffix}", boot.number)
    }
}

/// Why the step is there, and whether it is where a lesser kernel fails.
fn reason(step: &Step) -> Option<String> {
    let fails_first = step
        .fails_first
        .then(|| "This is where a kernel without the series goes wrong.".to_owned());
    let because = step.because.iter().map(|text| text.trim().to_owned());
    let sentences: Vec<String> = because.chain(fails_first).collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// The action, its line in the diagnostics, and what must be seen after it.
pub(super) fn paragraph(place: &Place<'_>, step: &Step) -> Paragraph {
    let mut paragraph = Paragraph::default();
    paragraph.body.extend(reason(step).map(Node::Comment));
    match &step.action {
        Action::Hold { action, at } => {
            let name = place.function(step.number, "");
            let held = Call::new("lu_hold", [LU, &string(&at.to_string()), &name, "self"]);
            paragraph.functions = function(place.fixture, &name, action);
            let said = format!("{INTERLEAVING}step {} did not come to {at}", step.number);
            paragraph.body.extend([
                held.assigned_to(RET).into(),
                report(step, RET),
                check("ASSERT_EQ", "0", RET, &said),
            ]);
        }
        Action::Wait { action, functions } => {
            let name = place.function(step.number, "");
            paragraph.functions = function(place.fixture, &name, action);
            paragraph.body.extend(wait(step, &name, functions));
        }
        Action::Release { .. } => paragraph.body.extend(release(step)),
        Action::EndWait { .. } => {
            let ended = Call::new("lu_end_wait", [LU]);
            paragraph.body.extend([
                ended.assigned_to(RET).into(),
                report(step, RET),
                ends(step),
                result(step, RET, "EXPECT"),
            ]);
        }
        Action::FailAllocations { action, undo } => {
            let names = ["", "_undo"].map(|more| place.function(step.number, more));
            paragraph.functions = function(place.fixture, &names[0], action);
            paragraph
                .functions
                .extend(functions(place.fixture, &names[1], undo));
            let each = Call::new("lu_fail_each", [LU, &names[0], &names[1], "self"]);
            paragraph.body.extend([
                each.assigned_to(RET).into(),
                report(step, RET),
                if made(action).is_some() {
                    check("ASSERT_LE", "0", RET, &message(step, "must succeed"))
                } else {
                    result(step, RET, "ASSERT")
                },
            ]);
        }
        Action::Repeat { times, steps } => {
            let (functions, body) = repetition(place, step, *times, steps);
            paragraph.functions = functions;
            paragraph.body.extend(body);
        }
        _ => paragraph.body.extend(plain(place.boot, step)),
    }
    paragraph.body.extend(counts(step));
    paragraph
}

/// The step's own line in the diagnostics.
fn report(step: &Step, target: &str) -> Node {
    let label = string(&format!("{}: {}", step.number, step.action));
    let helper = match step.action {
        Action::CheckLeaks => "lu_step_leaks",
        _ => "lu_step",
    };
    Call::new(helper, [LU, &label, target]).into()
}

/// The call, and where its result goes.
fn deed(step: &Step) -> Option<Node> {
    match (&step.action, target(step)) {
        (Action::Close { object }, _) => {
            Some(Call::new("lu_close", [format!("&{}", own(object))]).into())
        }
        (action, Some(target)) => Some(call(action)?.assigned_to(&target).into()),
        _ => None,
    }
}

fn plain(boot: &Boot, step: &Step) -> Vec<Node> {
    let target = target(step);
    let mut nodes = Vec::new();
    nodes.extend(deed(step));
    // One that is lost later on is lost, and nothing that failed before may be forgotten.
    let is_first = boot
        .steps
        .first()
        .is_some_and(|first| first.number == step.number);
    let is_session = is_first && matches!(step.action, Action::RetrieveSession { .. });
    if let Some(target) = target
        .as_deref()
        .filter(|_| boot.number > 1 && is_session && step.returns == Returns::Ok)
    {
        nodes.push(line(format!("if (lu_nothing_handed_over({target}))")));
        nodes.push(line(
            "\tSKIP(return, \"nothing was handed over to this kernel\");",
        ));
    }
    nodes.push(report(step, target.as_deref().unwrap_or("0")));
    nodes.extend(checks(step, target.as_deref(), kind(step)));
    nodes
}

/// What is compared after the step itself.
fn checks(step: &Step, target: Option<&str>, kind: &str) -> Vec<Node> {
    match (&step.action, target) {
        (Action::CheckLeaks, _) => vec![no_leaks(step)],
        (Action::ReadSeals { .. } | Action::FileSize { .. }, _) => {
            value(step).into_iter().collect()
        }
        (_, Some(target)) => {
            let mut nodes = vec![result(step, target, kind)];
            // What failed has read nothing.
            nodes.extend(value(step).filter(|_| step.returns == Returns::Ok));
            nodes
        }
        _ => Vec::new(),
    }
}

/// Later steps make no sense when a foundation of theirs went wrong.
fn kind(step: &Step) -> &'static str {
    let is_foundation = matches!(
        step.action,
        Action::OpenDevice { .. }
            | Action::OpenFile { .. }
            | Action::OpenAgain { .. }
            | Action::CreateMemfd { .. }
            | Action::CreateSession { .. }
            | Action::CreateSessions { .. }
            | Action::Preserve { .. }
            | Action::RetrieveSession { .. }
            | Action::Retrieve { .. }
            | Action::FailNext { .. }
            | Action::StartProcess { .. }
    );
    if is_foundation && step.returns == Returns::Ok {
        "ASSERT"
    } else {
        "EXPECT"
    }
}

/// That a step comes to wait, unless it can neither do that nor come to its end.
fn wait(step: &Step, name: &str, functions: &[String]) -> Vec<Node> {
    let waits = Call::new("lu_wait", [LU, &string(&functions.join("|")), name, "self"]);
    let said = format!(
        "{INTERLEAVING}step {} neither waited nor ended",
        step.number
    );
    let must = format!("must wait in {}", functions.join(" or "));
    vec![
        waits.assigned_to(RET).into(),
        report(step, RET),
        check_true("ASSERT_TRUE", "!ret || ret == -EALREADY", &said),
        check("EXPECT_EQ", "0", RET, &message(step, &must)),
    ]
}

fn release(step: &Step) -> Vec<Node> {
    let released = Call::new("lu_release", [LU, "&ret"]).text();
    let said = format!(
        "{INTERLEAVING}what was held did not stand still until step {}",
        step.number
    );
    vec![
        check("ASSERT_EQ", "0", &released, &said),
        report(step, RET),
        ends(step),
        result(step, RET, "EXPECT"),
    ]
}

/// That a thread came to its end: one that has not may stand in the way of all others.
fn ends(step: &Step) -> Node {
    check("ASSERT_NE", "-EDEADLK", RET, &message(step, "must end"))
}

/// A loop whose steps say nothing as long as they go well.
fn repetition(
    place: &Place<'_>,
    step: &Step,
    times: u64,
    steps: &[Step],
) -> (Vec<Node>, Vec<Node>) {
    let (mut functions, mut body, mut races) = (Vec::new(), Vec::new(), Vec::new());
    for (index, repeated) in steps.iter().enumerate() {
        if index > 0 {
            body.push(Node::Blank);
        }
        body.extend(reason(repeated).map(Node::Comment));
        if let Action::Race {
            action,
            against,
            against_returns,
        } = &repeated.action
        {
            let names = ["_a", "_b"].map(|more| place.function(repeated.number, more));
            functions.extend(function(place.fixture, &names[0], action));
            functions.extend(function(place.fixture, &names[1], against));
            body.extend(race(repeated, &names, against_returns));
            races.push((repeated, action.to_string(), against.to_string()));
        } else {
            body.extend(deed(repeated));
            body.extend(checks(repeated, target(repeated).as_deref(), "ASSERT"));
        }
    }
    let head = format!("for (round = 0; round < {times}; round++)");
    let mut nodes = vec![Node::Block {
        head: Head::Inline(head),
        body,
        tail: "",
    }];
    for (race, first, second) in races {
        let seen = Call::new("lu_race_report", [LU, &string(&first), &string(&second)]).text();
        let said = format!(
            "{INTERLEAVING}step {} never came in one of the orders",
            race.number
        );
        nodes.push(check("ASSERT_EQ", "0", &seen, &said));
    }
    nodes.push(report(step, "0"));
    (functions, nodes)
}

fn race(step: &Step, functions: &[String; 2], against: &Returns) -> Vec<Node> {
    let [first, second] = functions;
    let seen = Call::new(
        "lu_race",
        [LU, first, second, "self", "round", "&ret", "&against"],
    )
    .text();
    let said = format!("{INTERLEAVING}step {} could not begin", step.number);
    let second = |said: &str| message(step, &format!("the second {said}"));
    vec![
        check("ASSERT_EQ", "0", &seen, &said),
        result(step, RET, "ASSERT"),
        returned(against, "against", "ASSERT", &second),
    ]
}
