// SPDX-License-Identifier: MIT OR Apache-2.0
//! The expectations of a step as checks of the test harness.

use super::c::{Call, Head, Message, Node, string};
use super::call::{LU, RET, seal_mask};
use crate::scenario::{Action, Bounds, ExpectedLog, Returns, Step};

/// The prefix of the message of a check that fails if the requested interleaving did not
/// happen. Such a failure is no evidence against the kernel.
pub(crate) const INTERLEAVING: &str = "interleaving: ";

/// A check of the harness with a message.
pub(super) fn check(
    macro_name: &str,
    expected: &str,
    seen: &str,
    message: impl Into<Message>,
) -> Node {
    Node::Block {
        head: Head::Call(Call::new(macro_name, [expected, seen])),
        body: vec![Node::Log(message.into())],
        tail: "",
    }
}

/// A check of a condition.
pub(super) fn check_true(macro_name: &str, condition: &str, message: impl Into<Message>) -> Node {
    Node::Block {
        head: Head::Call(Call::new(macro_name, [condition])),
        body: vec![Node::Log(message.into())],
        tail: "",
    }
}

/// The text of a message about a step. The line of the step names the action.
pub(super) fn message(step: &Step, text: &str) -> String {
    format!("step {}: {text}", step.number)
}

/// Checks the result of a step.
pub(super) fn result(step: &Step, target: &str, kind: &str) -> Node {
    returned(&step.returns, target, kind, &|text| message(step, text))
}

/// Checks that `target` is the expected result; `text` completes the message.
pub(super) fn returned(
    returns: &Returns,
    target: &str,
    kind: &str,
    text: &dyn Fn(&str) -> String,
) -> Node {
    let makes_descriptor = target.starts_with("self->");
    let expected = match returns {
        Returns::Ok => "success".to_owned(),
        Returns::Errno(errno) => format!("-{errno}"),
        Returns::AnyOf(all) => {
            let word = |returns: &Returns| match returns {
                Returns::Errno(errno) => format!("-{errno}"),
                _ => "ok".to_owned(),
            };
            all.iter().map(word).collect::<Vec<_>>().join(" or ")
        }
    };
    let message = Message::with_result(&text(&format!("expected {expected}")), target);
    match returns {
        Returns::Ok if makes_descriptor => check(&format!("{kind}_LE"), "0", target, message),
        Returns::Ok => check(&format!("{kind}_EQ"), "0", target, message),
        Returns::Errno(_) => check(&format!("{kind}_EQ"), &expected, target, message),
        Returns::AnyOf(all) => {
            let condition = |returns: &Returns| match returns {
                Returns::Errno(errno) => format!("{target} == -{errno}"),
                _ if makes_descriptor => format!("{target} >= 0"),
                _ => format!("!{target}"),
            };
            let conditions: Vec<String> = all.iter().map(condition).collect();
            check_true(&format!("{kind}_TRUE"), &conditions.join(" || "), message)
        }
    }
}

/// Checks the value that a step has read.
pub(super) fn value(step: &Step) -> Option<Node> {
    let seen = |expected: &str, format: &str, value: &str| {
        let text = message(step, &format!("expected {expected}"));
        Message::with_value(&text, format, value)
    };
    let text = |expected: &str, text: &str| {
        check(
            "EXPECT_STREQ",
            &string(expected),
            "contents",
            message(step, text),
        )
    };
    Some(match &step.action {
        Action::ReadRegister {
            value: Some(value), ..
        } => check(
            "EXPECT_EQ",
            &format!("(__u64){value:#x}"),
            "value",
            seen(
                &format!("{value:#x}"),
                "0x%llx",
                "(unsigned long long)value",
            ),
        ),
        Action::ReadFile { contents, .. } => text(contents, "unexpected file contents"),
        Action::ReadPath { contents, .. } => text(contents, "unexpected file contents"),
        Action::SessionName { name, .. } => text(name, "unexpected session name"),
        Action::FileSize { size, .. } => check(
            "EXPECT_EQ",
            &size.to_string(),
            RET,
            seen(&format!("a size of {size} bytes"), "%d", RET),
        ),
        Action::ReadSeals { seals, .. } => {
            let mask = seal_mask(seals);
            let message = seen(&format!("seals {mask}"), "0x%x", RET);
            check("EXPECT_EQ", &mask, RET, message)
        }
        _ => return None,
    })
}

/// Checks the number of leaks. Without kmemleak, the line of the step reports a skip.
pub(super) fn no_leaks(step: &Step) -> Node {
    let condition = format!("!{RET} || {RET} == LU_NO_KMEMLEAK");
    let text = message(step, "expected no leaks");
    let message = Message::with_value(&text, "%d", RET);
    check_true("EXPECT_TRUE", &condition, message)
}

/// Checks the counts of calls and log lines. First, an assertion checks that the counts
/// can be read; its message names no step, since the failure is not caused by the step.
pub(super) fn counts(step: &Step) -> Vec<Node> {
    let mut nodes = Vec::new();
    if let Some((function, _)) = step.calls.first() {
        let seen = Call::new("lu_calls", [LU, &string(function)]).text();
        nodes.push(check(
            "ASSERT_LE",
            "0",
            &seen,
            "cannot read the call counts",
        ));
    }
    if let Some(log) = step.log.first() {
        let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
        nodes.push(check("ASSERT_LE", "0", &seen, "cannot read the kernel log"));
    }
    for (function, count) in &step.calls {
        nodes.extend(calls(step, function, *count));
    }
    nodes.extend(order(step));
    nodes.extend(step.log.iter().flat_map(|log| lines(step, log)));
    nodes
}

fn order(step: &Step) -> Vec<Node> {
    if step.order.is_empty() {
        return Vec::new();
    }
    let seen = Call::new("lu_calls_in_order", [LU, &string(&step.order.join(","))]);
    let text = format!("expected calls in the order {}", step.order.join(", "));
    let message = Message::with_result(&message(step, &text), RET);
    vec![
        seen.assigned_to(RET).into(),
        check("EXPECT_EQ", "0", RET, message),
    ]
}

fn calls(step: &Step, function: &str, count: Bounds) -> Vec<Node> {
    let seen = Call::new("lu_calls", [LU, &string(function)]).text();
    bounded(step, &seen, count, &|bound, number| {
        let calls = if number == 1 { "call" } else { "calls" };
        format!("expected {bound}{number} {calls} of {function} in this boot")
    })
}

fn lines(step: &Step, log: &ExpectedLog) -> Vec<Node> {
    let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
    bounded(step, &seen, log.count, &|bound, number| {
        let lines = if number == 1 { "line" } else { "lines" };
        format!("expected {bound}{number} kernel log {lines} with this text in this boot")
    })
}

fn bounded(
    step: &Step,
    seen: &str,
    count: Bounds,
    text: &dyn Fn(&str, u64) -> String,
) -> Vec<Node> {
    let compare = |macro_name: &str, bound: &str, number: u64| {
        let message = message(step, &text(bound, number));
        check(macro_name, &number.to_string(), seen, message)
    };
    if let Some(number) = count.exactly() {
        return vec![compare("EXPECT_EQ", "", number)];
    }
    let mut nodes = vec![compare("EXPECT_LE", "at least ", count.min)];
    nodes.extend(count.max.map(|max| compare("EXPECT_GE", "at most ", max)));
    nodes
}
