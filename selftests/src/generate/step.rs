// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C code of one step: a comment with its reason, the call, its line in the
//! diagnostics, and the checks of its expectations.

use super::c::{Call, Head, Message, Node, line, string};
use super::call::{LU, RET, call, function, functions, made, own, target};
use super::expect::{
    INTERLEAVING, check, check_true, counts, message, no_leaks, result, returned, value,
};
use crate::scenario::{Action, Boot, Returns, Step};

/// The C code of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// The functions that its threads run.
    pub(super) functions: Vec<Node>,
    /// The code in the body of the test.
    pub(super) body: Vec<Node>,
}

/// The position of a step, from which the names of its functions are made.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) fixture: &'a str,
    pub(super) boot: &'a Boot,
    /// The suffix of the functions of this variant, or an empty string.
    pub(super) suffix: &'a str,
}

impl Place<'_> {
    fn function(&self, step: usize, more: &str) -> String {
        let Self { boot, suffix, .. } = self;
        format!("boot_{}_step_{step}{more}{suffix}", boot.number)
    }
}

/// The comment of a step.
fn reason(step: &Step) -> Option<String> {
    let fails_first = step
        .fails_first
        .then(|| "A kernel without the fix fails here.".to_owned());
    let because = step.because.iter().map(|text| text.trim().to_owned());
    let sentences: Vec<String> = because.chain(fails_first).collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// The action, its line in the diagnostics, and the checks of its expectations.
pub(super) fn paragraph(place: &Place<'_>, step: &Step) -> Paragraph {
    let mut paragraph = Paragraph::default();
    paragraph.body.extend(reason(step).map(Node::Comment));
    match &step.action {
        Action::Hold { action, at } => {
            let name = place.function(step.number, "");
            let held = Call::new("lu_hold", [LU, &string(&at.to_string()), &name, "self"]);
            paragraph.functions = function(place.fixture, &name, action);
            let missed = format!("{INTERLEAVING}step {} did not reach {at}", step.number);
            paragraph.body.extend([
                held.assigned_to(RET).into(),
                report(step, RET),
                check("ASSERT_EQ", "0", RET, Message::with_result(&missed, RET)),
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
                    let expected = message(step, "expected success");
                    check("ASSERT_LE", "0", RET, Message::with_result(&expected, RET))
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

/// The line of the step in the diagnostics.
fn report(step: &Step, target: &str) -> Node {
    let label = string(&format!("{}: {}", step.number, step.action));
    let helper = match step.action {
        Action::CheckLeaks => "lu_step_leaks",
        _ => "lu_step",
    };
    Call::new(helper, [LU, &label, target]).into()
}

/// The call, with the assignment of its result.
fn statement(step: &Step) -> Option<Node> {
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
    nodes.extend(statement(step));
    // Skip only if the first step of a later boot finds no session. A session that is
    // missing later, or after a failed step, is a failure.
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
            "\tSKIP(return, \"needs a live update from the previous boot\");",
        ));
    }
    nodes.push(report(step, target.as_deref().unwrap_or("0")));
    nodes.extend(checks(step, target.as_deref(), kind(step)));
    nodes
}

/// The checks of the result of a step.
fn checks(step: &Step, target: Option<&str>, kind: &str) -> Vec<Node> {
    match (&step.action, target) {
        (Action::CheckLeaks, _) => vec![no_leaks(step)],
        (Action::ReadSeals { .. } | Action::FileSize { .. }, _) => {
            value(step).into_iter().collect()
        }
        (_, Some(target)) => {
            let mut nodes = vec![result(step, target, kind)];
            // After an expected error, there is no value to compare.
            nodes.extend(value(step).filter(|_| step.returns == Returns::Ok));
            nodes
        }
        _ => Vec::new(),
    }
}

/// The kind of the check: `ASSERT` if later steps depend on the success of this step.
fn kind(step: &Step) -> &'static str {
    let is_prerequisite = matches!(
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
    if is_prerequisite && step.returns == Returns::Ok {
        "ASSERT"
    } else {
        "EXPECT"
    }
}

/// Starts a step that must wait. If it neither waits nor ends, the interleaving was missed.
fn wait(step: &Step, name: &str, functions: &[String]) -> Vec<Node> {
    let waits = Call::new("lu_wait", [LU, &string(&functions.join("|")), name, "self"]);
    let missed = format!(
        "{INTERLEAVING}step {} neither waited nor ended",
        step.number
    );
    let missed = Message::with_result(&missed, RET);
    let expected = format!("expected to wait in {}", functions.join(" or "));
    let expected = Message::with_result(&message(step, &expected), RET);
    vec![
        waits.assigned_to(RET).into(),
        report(step, RET),
        check_true("ASSERT_TRUE", "!ret || ret == -EALREADY", missed),
        check("EXPECT_EQ", "0", RET, expected),
    ]
}

fn release(step: &Step) -> Vec<Node> {
    let released = Call::new("lu_release", [LU, "&ret"]).text();
    let missed = format!(
        "{INTERLEAVING}the thread was not held until step {}",
        step.number
    );
    vec![
        check("ASSERT_EQ", "0", &released, missed),
        report(step, RET),
        ends(step),
        result(step, RET, "EXPECT"),
    ]
}

/// Checks that a thread has ended: a thread that has not may block all later steps.
fn ends(step: &Step) -> Node {
    let expected = message(step, "expected the thread to end, got a timeout");
    check("ASSERT_NE", "-EDEADLK", RET, expected)
}

/// A loop. Its steps print no line of their own.
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
            body.extend(statement(repeated));
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
        let missed = format!("{INTERLEAVING}step {} ran in one order only", race.number);
        nodes.push(check("ASSERT_EQ", "0", &seen, missed));
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
    let missed = format!("{INTERLEAVING}step {} could not start", step.number);
    let second = |expected: &str| message(step, &format!("second step: {expected}"));
    vec![
        check("ASSERT_EQ", "0", &seen, missed),
        result(step, RET, "ASSERT"),
        returned(against, "against", "ASSERT", &second),
    ]
}
