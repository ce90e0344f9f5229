// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C code of one step: a comment with its reason, the call, its line in the
//! diagnostics, and the checks of its expectations.

use std::slice;

use super::c::{Call, Head, Message, Node, block, line, string};
use super::operation::{LU, RET, Target, comparison, function, statement};
use crate::scenario::{Action, Boot, Bounds, Observed, Operation, Returns, Step};

/// The prefix of the message of a check that fails if the requested interleaving did not
/// happen. Such a failure is no evidence against the kernel.
pub(crate) const INTERLEAVING: &str = "interleaving: ";

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
    let mut functions = Vec::new();
    let mut body: Vec<Node> = reason(step).map(Node::Comment).into_iter().collect();
    // A function that runs operations, and its name.
    let mut run = |more: &str, operations: &[Operation]| {
        let name = place.function(step.number, more);
        functions.extend(function(place.fixture, &name, operations));
        name
    };
    match &step.action {
        Action::Hold { operation, at } => {
            let name = run("", slice::from_ref(operation));
            let held = Call::new("lu_hold", [LU, &string(&at.to_string()), &name, "self"]);
            body.extend(helper(step, held));
            let missed = missed(step, &format!("did not reach {at}"));
            body.push(check_ret("ASSERT_EQ", "0", &missed));
        }
        Action::Wait {
            operation,
            functions: places,
        } => {
            let name = run("", slice::from_ref(operation));
            body.extend(wait(step, &name, places));
        }
        Action::Release(_) => {
            let released = Call::new("lu_release", [LU, "&ret"]).text();
            let number = step.number;
            let missed = format!("{INTERLEAVING}the thread was not held until step {number}");
            body.extend([
                check("ASSERT_EQ", "0", &released, missed),
                report(step, RET),
            ]);
            body.extend(ends(step));
        }
        Action::EndWait(_) => {
            body.extend(helper(step, Call::new("lu_end_wait", [LU])));
            body.extend(ends(step));
        }
        Action::FailAllocations { operation, undo } => {
            let name = run("", slice::from_ref(operation));
            let undo = run("_undo", undo);
            let each = Call::new("lu_fail_each", [LU, &name, &undo, "self"]);
            body.extend(helper(step, each));
            body.push(match operation.made() {
                Some(_) => check_ret("ASSERT_LE", "0", &message(step, "expected success")),
                None => result(step, Target::Ret, "ASSERT"),
            });
        }
        Action::Repeat { times, steps } => {
            let (more, nodes) = repetition(place, step, *times, steps);
            functions = more;
            body.extend(nodes);
        }
        Action::Run(operation) => body.extend(plain(place.boot, step, operation)),
        // A race is a step of a repetition.
        Action::Race { .. } | Action::Observe(_) => body.push(report(step, "0")),
    }
    body.extend(counts(step));
    Paragraph { functions, body }
}

/// A helper that does the step, and the line of the step.
fn helper(step: &Step, call: Call) -> [Node; 2] {
    [call.assigned_to(RET).into(), report(step, RET)]
}

/// The message of a step whose interleaving did not happen.
fn missed(step: &Step, text: &str) -> String {
    format!("{INTERLEAVING}step {} {text}", step.number)
}

/// The line of the step in the diagnostics.
fn report(step: &Step, target: &str) -> Node {
    let label = string(&format!("{}: {}", step.number, step.action));
    let helper = match &step.action {
        Action::Run(operation) if operation.verb.counts_leaks() => "lu_step_leaks",
        _ => "lu_step",
    };
    Call::new(helper, [LU, &label, target]).into()
}

/// A step with one operation.
fn plain(boot: &Boot, step: &Step, operation: &Operation) -> Vec<Node> {
    let target = Target::of(step);
    let mut nodes = vec![statement(operation, target)];
    // Skip only if the first step of a later boot finds no session. A session that is
    // missing later, or after a failed step, is a failure.
    let first = boot.steps.first().map(|first| first.number);
    if boot.number > 1 && first == Some(step.number) && needs_handover(step) {
        let skip = "\tSKIP(return, \"needs a live update from the previous boot\");";
        let condition = format!("if (lu_nothing_handed_over({}))", target.text());
        nodes.extend([line(condition), line(skip)]);
    }
    // An assertion if later steps depend on the success of this step.
    let is_prerequisite = operation.verb.is_prerequisite || operation.made().is_some();
    let kind = match is_prerequisite && step.returns == Returns::Ok {
        true => "ASSERT",
        false => "EXPECT",
    };
    nodes.push(report(step, &target.text()));
    nodes.extend(checks(step, operation, kind));
    nodes
}

/// Returns whether the failure of a step shows that there was no previous boot.
pub(super) fn needs_handover(step: &Step) -> bool {
    let operation = step.action.plain();
    step.returns == Returns::Ok && operation.is_some_and(|it| it.verb.needs_handover)
}

/// The checks of the result of an operation.
fn checks(step: &Step, operation: &Operation, kind: &str) -> Vec<Node> {
    let target = Target::of(step);
    if operation.verb.counts_leaks() {
        return vec![no_leaks(step)];
    }
    let mut nodes = Vec::new();
    if target != Target::None && !operation.verb.returns_number() {
        nodes.push(result(step, target, kind));
    }
    // After an expected error, there is no value to compare.
    if step.returns == Returns::Ok {
        nodes.extend(value(step, operation));
    }
    nodes
}

/// Starts a step that must wait. If it neither waits nor ends, the interleaving was missed.
fn wait(step: &Step, name: &str, functions: &[String]) -> Vec<Node> {
    let waits = Call::new("lu_wait", [LU, &string(&functions.join("|")), name, "self"]);
    let missed = Message::with_result(&missed(step, "neither waited nor ended"), RET);
    let expected = format!("expected to wait in {}", functions.join(" or "));
    let mut nodes = helper(step, waits).to_vec();
    nodes.extend([
        check_true("ASSERT_TRUE", "!ret || ret == -EALREADY", missed),
        check_ret("EXPECT_EQ", "0", &message(step, &expected)),
    ]);
    nodes
}

/// Checks that a thread has ended, and its result: a thread that has not may block all later
/// steps.
fn ends(step: &Step) -> [Node; 2] {
    let expected = message(step, "expected the thread to end, got a timeout");
    let ended = check("ASSERT_NE", "-EDEADLK", RET, expected);
    [ended, result(step, Target::Ret, "EXPECT")]
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
        match &repeated.action {
            Action::Race {
                operation,
                against,
                against_returns,
            } => {
                let names = [("_a", operation), ("_b", against)].map(|(more, operation)| {
                    let name = place.function(repeated.number, more);
                    let operation = slice::from_ref(operation);
                    functions.extend(function(place.fixture, &name, operation));
                    name
                });
                body.extend(race(repeated, &names, against_returns));
                races.push((repeated, operation.to_string(), against.to_string()));
            }
            Action::Run(operation) => {
                body.push(statement(operation, Target::of(repeated)));
                body.extend(checks(repeated, operation, "ASSERT"));
            }
            // It has no code and no expectations within a repetition.
            Action::Observe(_) => {}
            Action::FailAllocations { .. }
            | Action::Hold { .. }
            | Action::Wait { .. }
            | Action::Release(_)
            | Action::EndWait(_)
            | Action::Repeat { .. } => unreachable!("the check refuses it in a repetition"),
        }
    }
    let head = format!("for (round = 0; round < {times}; round++)");
    let mut nodes = vec![block(Head::Inline(head), body)];
    for (race, first, second) in races {
        let seen = Call::new("lu_race_report", [LU, &string(&first), &string(&second)]).text();
        let missed = missed(race, "ran in one order only");
        nodes.push(check("ASSERT_EQ", "0", &seen, missed));
    }
    nodes.push(report(step, "0"));
    (functions, nodes)
}

fn race(step: &Step, functions: &[String; 2], against: &Returns) -> Vec<Node> {
    let [first, second] = functions;
    let arguments = [LU, first, second, "self", "round", "&ret", "&against"];
    let seen = Call::new("lu_race", arguments).text();
    let missed = missed(step, "could not start");
    let second = |expected: &str| message(step, &format!("second step: {expected}"));
    vec![
        check("ASSERT_EQ", "0", &seen, missed),
        result(step, Target::Ret, "ASSERT"),
        returned(against, "against", false, "ASSERT", &second),
    ]
}

/// A check of the harness with a message.
pub(super) fn check(
    macro_name: &str,
    expected: &str,
    seen: &str,
    message: impl Into<Message>,
) -> Node {
    let head = Head::Call(Call::new(macro_name, [expected, seen]));
    block(head, [Node::Log(message.into())])
}

/// A check of `ret`, with its value in the message.
fn check_ret(macro_name: &str, expected: &str, text: &str) -> Node {
    check(macro_name, expected, RET, Message::with_result(text, RET))
}

/// A check of a condition.
fn check_true(macro_name: &str, condition: &str, message: impl Into<Message>) -> Node {
    let head = Head::Call(Call::new(macro_name, [condition]));
    block(head, [Node::Log(message.into())])
}

/// The text of a message about a step. The line of the step names the action.
fn message(step: &Step, text: &str) -> String {
    format!("step {}: {text}", step.number)
}

/// Checks the result of a step.
fn result(step: &Step, target: Target<'_>, kind: &str) -> Node {
    let makes_descriptor = matches!(target, Target::Object(_));
    let text = |text: &str| message(step, text);
    returned(&step.returns, &target.text(), makes_descriptor, kind, &text)
}

/// Checks that `target` is the expected result; `text` completes the message.
fn returned(
    returns: &Returns,
    target: &str,
    makes_descriptor: bool,
    kind: &str,
    text: &dyn Fn(&str) -> String,
) -> Node {
    let alternatives = match returns {
        Returns::AnyOf(all) => all.as_slice(),
        one => slice::from_ref(one),
    };
    let word = |returns: &Returns| match returns {
        Returns::Errno(errno) => format!("-{errno}"),
        _ if alternatives.len() == 1 => "success".to_owned(),
        _ => "ok".to_owned(),
    };
    let words: Vec<String> = alternatives.iter().map(word).collect();
    let expected = words.join(" or ");
    let message = Message::with_result(&text(&format!("expected {expected}")), target);
    match returns {
        Returns::Ok if makes_descriptor => check(&format!("{kind}_LE"), "0", target, message),
        Returns::Ok => check(&format!("{kind}_EQ"), "0", target, message),
        Returns::Errno(_) => check(&format!("{kind}_EQ"), &expected, target, message),
        Returns::AnyOf(_) => {
            let condition = |returns: &Returns| match returns {
                Returns::Errno(errno) => format!("{target} == -{errno}"),
                _ if makes_descriptor => format!("{target} >= 0"),
                _ => format!("!{target}"),
            };
            let conditions: Vec<String> = alternatives.iter().map(condition).collect();
            check_true(&format!("{kind}_TRUE"), &conditions.join(" || "), message)
        }
    }
}

/// Checks the value that an operation has read.
fn value(step: &Step, operation: &Operation) -> Option<Node> {
    let (compare, expected) = comparison(operation)?;
    let text = compare.message.fill(|_| expected.to_string());
    let text = message(step, &text);
    let seen = |value: &str| Message::with_value(&text, &compare.format, value);
    let expected = expected.to_string();
    Some(match compare.seen {
        Observed::Text => check("EXPECT_STREQ", &string(&expected), "contents", text.clone()),
        Observed::Number => {
            let expected = format!("(__u64){expected}");
            let message = seen("(unsigned long long)value");
            check("EXPECT_EQ", &expected, "value", message)
        }
        Observed::Result => check("EXPECT_EQ", &expected, RET, seen(RET)),
    })
}

/// Checks the number of leaks. Without kmemleak, the line of the step reports a skip.
fn no_leaks(step: &Step) -> Node {
    let condition = format!("!{RET} || {RET} == LU_NO_KMEMLEAK");
    let text = message(step, "expected no leaks");
    let message = Message::with_value(&text, "%d", RET);
    check_true("EXPECT_TRUE", &condition, message)
}

/// A number that is counted since the start of the boot.
struct Count {
    /// The C expression.
    seen: String,
    bounds: Bounds,
    /// The noun for one, and for any other number.
    nouns: [String; 2],
}

/// Checks the counts of calls and log lines. First, an assertion checks that the counts
/// can be read; its message names no step, since the failure is not caused by the step.
fn counts(step: &Step) -> Vec<Node> {
    let count = |helper: &str, text: &str, bounds: Bounds, nouns: [String; 2]| Count {
        seen: Call::new(helper, [LU, &string(text)]).text(),
        bounds,
        nouns,
    };
    let calls = step.calls.iter().map(|(function, bounds)| {
        let nouns = ["call", "calls"].map(|noun| format!("{noun} of {function}"));
        count("lu_calls", function, *bounds, nouns)
    });
    let log = step.log.iter().map(|log| {
        let nouns = ["line", "lines"].map(|noun| format!("kernel log {noun} with this text"));
        count("lu_log_lines", &log.text, log.count, nouns)
    });
    let readable = [
        (calls.clone().next(), "cannot read the call counts"),
        (log.clone().next(), "cannot read the kernel log"),
    ];
    let readable = readable.into_iter().filter_map(|(first, message)| {
        let first = first?;
        Some(check("ASSERT_LE", "0", &first.seen, message))
    });
    let mut nodes: Vec<Node> = readable.collect();
    nodes.extend(calls.flat_map(|count| bounded(step, &count)));
    nodes.extend(order(step));
    nodes.extend(log.flat_map(|count| bounded(step, &count)));
    nodes
}

fn order(step: &Step) -> Vec<Node> {
    if step.order.is_empty() {
        return Vec::new();
    }
    let seen = Call::new("lu_calls_in_order", [LU, &string(&step.order.join(","))]);
    let text = format!("expected calls in the order {}", step.order.join(", "));
    let check = check_ret("EXPECT_EQ", "0", &message(step, &text));
    vec![seen.assigned_to(RET).into(), check]
}

fn bounded(step: &Step, count: &Count) -> Vec<Node> {
    let compare = |macro_name: &str, bound: &str, number: u64| {
        let noun = &count.nouns[usize::from(number != 1)];
        let text = format!("expected {bound}{number} {noun} in this boot");
        check(
            macro_name,
            &number.to_string(),
            &count.seen,
            message(step, &text),
        )
    };
    let Bounds { min, max } = count.bounds;
    if let Some(number) = count.bounds.exactly() {
        return vec![compare("EXPECT_EQ", "", number)];
    }
    let mut nodes = vec![compare("EXPECT_LE", "at least ", min)];
    nodes.extend(max.map(|max| compare("EXPECT_GE", "at most ", max)));
    nodes
}
