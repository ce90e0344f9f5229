// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C code of one step: a comment with its reason, the call, and the checks of its
//! expectations.

use std::collections::BTreeMap;
use std::slice;

use super::c::{Call, Head, Mark, Node, block, string};
use super::operation::{Objects, RET, call, checked, data, expect, function, objects};
use crate::scenario::{Action, Bounds, Operation, Outcome, Returns, Step, unique};

/// The prefix of the message of a check that fails if the requested interleaving did not
/// happen. Such a failure is no evidence against the kernel.
pub(crate) const INTERLEAVING: &str = "interleaving: ";

/// The C code of the steps of a program.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// The functions that the threads of a test run.
    pub(super) functions: Vec<Node>,
    /// The number of functions for each verb.
    names: BTreeMap<String, usize>,
}

impl Code {
    /// Adds a function that runs operations, and returns its name.
    fn run(&mut self, prefix: &str, operations: &[Operation], objects: &[String]) -> String {
        let verb = operations.first().map_or("nothing", |it| &it.verb.key);
        let verb = format!("{prefix}_{verb}");
        let count = self.names.entry(verb.clone()).or_default();
        *count += 1;
        let name = match count {
            1 => verb,
            count => format!("{verb}_{count}"),
        };
        self.functions.extend(function(&name, operations, objects));
        name
    }

    /// Returns the code of a step.
    pub(super) fn step(&mut self, step: &Step) -> Vec<Node> {
        let mut body = self.action(step);
        body.extend(counts(step));
        let mark = mark(step, Some(label(step)), 1);
        let code = Node::Step { mark, body };
        match reason(step) {
            Some(reason) => vec![Node::Blank, Node::Comment(reason), code],
            None => vec![code],
        }
    }

    fn action(&mut self, step: &Step) -> Vec<Node> {
        match &step.action {
            Action::Hold { operation, at } => {
                let call = self.threaded("kt_hold", &at.to_string(), operation);
                vec![interleaves(&call.text())]
            }
            Action::Wait {
                operation,
                functions,
            } => {
                let call = self.threaded("kt_wait", &functions.join("|"), operation);
                vec![
                    call.assigned_to(RET).into(),
                    interleaves("ret == -EALREADY ? 0 : ret"),
                    expect("EXPECT", RET, false, &Returns::Ok),
                ]
            }
            Action::Release(operation) => {
                let release = Call::new::<&str>("kt_release", []).assigned_to(RET);
                let mut nodes = vec![release.into(), interleaves("kt_expired()")];
                nodes.extend(ended(step, operation));
                nodes
            }
            Action::EndWait(operation) => {
                let end = Call::new::<&str>("kt_end_wait", []).assigned_to(RET);
                let mut nodes = vec![end.into()];
                nodes.extend(ended(step, operation));
                nodes
            }
            Action::FailAllocations { operation, undo } => {
                let used = unique(
                    objects(operation)
                        .into_iter()
                        .chain(undo.iter().flat_map(objects)),
                );
                let name = self.run("do", slice::from_ref(operation), &used);
                let undo = self.run("undo", undo, &used);
                let call = Call::new("kt_fail_each", [name, undo, data(&used)]);
                let is_counted = operation.made().is_some();
                vec![expect("ASSERT", &call.text(), is_counted, &step.returns)]
            }
            Action::Repeat { times, steps } => self.repetition(step, *times, steps),
            Action::Run(operation) => {
                // An assertion if later steps depend on the success of this step.
                let is_needed = operation.verb.is_prerequisite || operation.made().is_some();
                let kind = match is_needed && step.returns == Returns::Ok {
                    true => "ASSERT",
                    false => "EXPECT",
                };
                checked(operation, &step.returns, kind)
            }
            // A race is a step of a repetition.
            Action::Race { .. } | Action::Observe(_) => Vec::new(),
        }
    }

    /// A call that starts an operation in a thread.
    fn threaded(&mut self, starts: &str, at: &str, operation: &Operation) -> Call {
        let used = objects(operation);
        let name = self.run("do", slice::from_ref(operation), &used);
        Call::new(starts, [string(at), name, data(&used)])
    }

    /// A loop. The label of the step is printed after the last call of the loop.
    fn repetition(&mut self, step: &Step, times: u64, steps: &[Step]) -> Vec<Node> {
        let mut body = Vec::new();
        let is_code = |step: &&Step| !matches!(step.action, Action::Observe(_));
        let is_race = |step: &Step| matches!(step.action, Action::Race { .. });
        let last = steps.iter().rfind(is_code);
        let has_race = steps.iter().any(is_race);
        // The first call after the loop prints the label.
        let is_printed_after = has_race || !counts(step).is_empty();
        let is_only = steps.iter().filter(is_code).count() == 1;
        for repeated in steps.iter().filter(is_code) {
            body.extend(reason(repeated).map(Node::Comment));
            let is_last = last.is_some_and(|last| last.number == repeated.number);
            let label = (is_last && !is_printed_after).then(|| label(step));
            let code = Node::Step {
                mark: mark(repeated, label, times),
                body: self.repeated(repeated, is_only),
            };
            body.push(code);
        }
        let head = format!("for (i = 0; i < {times}; i++)");
        let mut nodes = vec![block(Head::Inline(head), body)];
        if has_race {
            nodes.push(interleaves("kt_both_orders()"));
        }
        nodes
    }

    fn repeated(&mut self, step: &Step, is_only: bool) -> Vec<Node> {
        match &step.action {
            Action::Race {
                operation,
                against,
                against_returns,
            } => {
                let used = unique(objects(operation).into_iter().chain(objects(against)));
                let names = [operation, against]
                    .map(|operation| self.run("do", slice::from_ref(operation), &used));
                let [first, second] = names;
                let results = ["&ret".to_owned(), "&against".to_owned()];
                let arguments = [first, second, data(&used)].into_iter().chain(results);
                let race = Call::new("kt_race", arguments);
                let is_counted = |operation: &Operation| operation.made().is_some();
                vec![
                    interleaves(&race.text()),
                    expect("ASSERT", RET, is_counted(operation), &step.returns),
                    expect("ASSERT", "against", is_counted(against), against_returns),
                ]
            }
            // The macros of the harness are more than one statement, so a loop needs braces.
            Action::Run(operation) if is_only && needs_ret(step) => vec![
                call(operation, Objects::Local).assigned_to(RET).into(),
                expect("ASSERT", RET, false, &step.returns),
            ],
            Action::Run(operation) => checked(operation, &step.returns, "ASSERT"),
            _ => unreachable!("the check refuses it in a repetition"),
        }
    }
}

/// Whether the result of a single repeated step is kept in a variable.
pub(super) fn needs_ret(step: &Step) -> bool {
    let must_fail = matches!(step.returns, Returns::Errno(_));
    let result = step.action.plain().map(Operation::result);
    match result {
        Some(Outcome::Status) => true,
        Some(Outcome::Descriptor(_)) => must_fail,
        _ => false,
    }
}

fn mark(step: &Step, label: Option<String>, times: u64) -> Mark {
    Mark {
        step: step.number,
        label,
        times,
    }
}

fn label(step: &Step) -> String {
    format!("{}: {}", step.number, step.action)
}

/// The comment of a step.
fn reason(step: &Step) -> Option<String> {
    step.because.as_ref().map(|text| text.trim().to_owned())
}

/// Ends the test if the requested interleaving did not happen.
fn interleaves(call: &str) -> Node {
    Call::new("INTERLEAVES", ["return", call]).into()
}

/// Checks that a thread has ended, and its result: a thread that has not may block all later
/// steps.
fn ended(step: &Step, operation: &Operation) -> [Node; 2] {
    let is_counted = operation.made().is_some();
    [
        Call::new("ASSERT_NE", ["-EDEADLK", RET]).into(),
        expect("EXPECT", RET, is_counted, &step.returns),
    ]
}

/// Checks the counts of calls and log lines, and the order of calls.
fn counts(step: &Step) -> Vec<Node> {
    let calls = step.calls.iter();
    let calls = calls.flat_map(|(function, bounds)| bounded("EXPECT_CALLS", function, *bounds));
    let order = (!step.order.is_empty())
        .then(|| Call::new("EXPECT_ORDER", step.order.iter().map(|name| string(name))).into());
    let log = step.log.iter();
    let log = log.flat_map(|log| bounded("EXPECT_LOG", &log.text, log.count));
    calls.chain(order).chain(log).collect()
}

fn bounded(macro_name: &str, text: &str, bounds: Bounds) -> Vec<Node> {
    let check = |suffix: &str, number: u64| {
        let arguments = [number.to_string(), string(text)];
        Call::new(&format!("{macro_name}{suffix}"), arguments).into()
    };
    match (bounds.exactly(), bounds.max) {
        (Some(number), _) => vec![check("", number)],
        (None, None) => vec![check("_MIN", bounds.min)],
        (None, Some(max)) => vec![check("_MIN", bounds.min), check("_MAX", max)],
    }
}
