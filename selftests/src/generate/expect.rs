// SPDX-License-Identifier: GPL-2.0-only
//! What must be seen after a step, as checks of the test harness.

use super::c::{Call, Head, Node, string};
use super::call::{LU, RET, seal_mask};
use crate::scenario::{Action, Bounds, ExpectedLog, Returns, Step};

/// What begins the message of a check that says nothing about the kernel: two tasks did
/// not meet as they were to.
pub(crate) const INTERLEAVING: &str = "interleaving: ";

/// A check of the harness with a message.
pub(super) fn check(macro_name: &str, expected: &str, seen: &str, message: &str) -> Node {
    Node::Block {
        head: Head::Call(Call::new(macro_name, [expected, seen])),
        body: vec![Node::Log(message.to_owned())],
        tail: "",
    }
}

/// A check that something holds.
pub(super) fn check_true(macro_name: &str, condition: &str, message: &str) -> Node {
    Node::Block {
        head: Head::Call(Call::new(macro_name, [condition])),
        body: vec![Node::Log(message.to_owned())],
        tail: "",
    }
}

/// Short enough for a line; the step's own line says what the step does.
pub(super) fn message(step: &Step, said: &str) -> String {
    format!("step {}: {said}", step.number)
}

/// That the step returned what it must.
pub(super) fn result(step: &Step, target: &str, kind: &str) -> Node {
    returned(&step.returns, target, kind, &|said| message(step, said))
}

/// That `target` is what is expected, in the words that `say` makes of it.
pub(super) fn returned(
    returns: &Returns,
    target: &str,
    kind: &str,
    say: &dyn Fn(&str) -> String,
) -> Node {
    let makes_descriptor = target.starts_with("self->");
    match returns {
        Returns::Ok if makes_descriptor => {
            check(&format!("{kind}_LE"), "0", target, &say("must succeed"))
        }
        Returns::Ok => check(&format!("{kind}_EQ"), "0", target, &say("must succeed")),
        Returns::Errno(errno) => {
            let said = say(&format!("must fail with {errno}"));
            check(&format!("{kind}_EQ"), &format!("-{errno}"), target, &said)
        }
        Returns::AnyOf(all) => {
            let one = |returns: &Returns| match returns {
                Returns::Errno(errno) => format!("{target} == -{errno}"),
                _ if makes_descriptor => format!("{target} >= 0"),
                _ => format!("!{target}"),
            };
            let conditions: Vec<String> = all.iter().map(one).collect();
            let said = say(&format!("must come to {returns}"));
            check_true(&format!("{kind}_TRUE"), &conditions.join(" || "), &said)
        }
    }
}

/// That what was read is what it must be.
pub(super) fn value(step: &Step) -> Option<Node> {
    let said = |said: &str| message(step, said);
    let text = |expected: &str, what: &str| {
        check("EXPECT_STREQ", &string(expected), "contents", &said(what))
    };
    Some(match &step.action {
        Action::ReadRegister {
            value: Some(value), ..
        } => check(
            "EXPECT_EQ",
            &format!("(__u64){value:#x}"),
            "value",
            &said(&format!("must give {value:#x}")),
        ),
        Action::ReadFile { contents, .. } => text(contents, "must give what was written"),
        Action::ReadPath { contents, .. } => text(contents, "must give what is expected"),
        Action::SessionName { name, .. } => text(name, "must give its name"),
        Action::FileSize { size, .. } => check(
            "EXPECT_EQ",
            &size.to_string(),
            RET,
            &said(&format!("must give {size} bytes")),
        ),
        Action::ReadSeals { seals, .. } => check(
            "EXPECT_EQ",
            &seal_mask(seals),
            RET,
            &said("must give its seals"),
        ),
        _ => return None,
    })
}

/// Lost memory; that it could not be looked for is said by the step's line.
pub(super) fn no_leaks(step: &Step) -> Node {
    let condition = format!("!{RET} || {RET} == LU_NO_KMEMLEAK");
    check_true(
        "EXPECT_TRUE",
        &condition,
        &message(step, "no memory may be lost"),
    )
}

/// What was counted, after that it can be counted at all: a count that could not be
/// taken is no finding of the step, so its message does not name one.
pub(super) fn counts(step: &Step) -> Vec<Node> {
    let mut nodes = Vec::new();
    if let Some((function, _)) = step.calls.first() {
        let seen = Call::new("lu_calls", [LU, &string(function)]).text();
        nodes.push(check("ASSERT_LE", "0", &seen, "calls cannot be counted"));
    }
    if let Some(log) = step.log.first() {
        let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
        nodes.push(check(
            "ASSERT_LE",
            "0",
            &seen,
            "the kernel log cannot be read",
        ));
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
    let said = format!(
        "must have been called in the order {}",
        step.order.join(", ")
    );
    vec![
        seen.assigned_to(RET).into(),
        check("EXPECT_EQ", "0", RET, &message(step, &said)),
    ]
}

fn calls(step: &Step, function: &str, count: Bounds) -> Vec<Node> {
    let seen = Call::new("lu_calls", [LU, &string(function)]).text();
    let times = |number: u64| match number {
        1 => "once".to_owned(),
        _ => format!("{number} times"),
    };
    let exactly = |number: u64| match number {
        0 => format!("{function} must not have been called yet"),
        _ => format!("{function} must have been called {} in all", times(number)),
    };
    bounded(step, &seen, count, &exactly, &|how, number| {
        format!(
            "{function} must have been called {how} {} in all",
            times(number)
        )
    })
}

fn lines(step: &Step, log: &ExpectedLog) -> Vec<Node> {
    let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
    let said = |how: &str, number: u64| {
        let lines = if number == 1 { "line" } else { "lines" };
        format!("{how} {number} {lines} of the kernel log must have this text")
    };
    let exactly = |number: u64| said("exactly", number);
    bounded(step, &seen, log.count, &exactly, &said)
}

fn bounded(
    step: &Step,
    seen: &str,
    count: Bounds,
    exactly: &dyn Fn(u64) -> String,
    said: &dyn Fn(&str, u64) -> String,
) -> Vec<Node> {
    let one = |macro_name: &str, number: u64, said: &str| {
        check(macro_name, &number.to_string(), seen, &message(step, said))
    };
    if let Some(number) = count.exactly() {
        return vec![one("EXPECT_EQ", number, &exactly(number))];
    }
    let mut nodes = vec![one("EXPECT_LE", count.min, &said("at least", count.min))];
    if let Some(max) = count.max {
        nodes.push(one("EXPECT_GE", max, &said("at most", max)));
    }
    nodes
}
