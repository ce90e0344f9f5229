// SPDX-License-Identifier: GPL-2.0-only
//! One step of a scenario as a paragraph of C: its reason, its call, its line in
//! the diagnostics, and a check for each thing that must be seen after it.

use super::c::{Call, Head, Node, format_string, line, string};
use crate::scenario::{Action, ExpectedLog, Returns, Stage, Step};

/// What the helpers know a test by.
pub(super) const LU: &str = "&self->lu";

/// Why the step is there, and whether it is where a lesser kernel fails.
fn reason(step: &Step) -> Option<String> {
    let bites = step
        .teeth
        .then(|| "This is where a kernel without the series goes wrong.".to_owned());
    let because = step.because.iter().map(|text| text.trim().to_owned());
    let sentences: Vec<String> = because.chain(bites).collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// The action, its line in the diagnostics, and what must be seen after it.
pub(super) fn paragraph(stage: &Stage, step: &Step) -> Vec<Node> {
    let mut nodes = Vec::new();
    nodes.extend(reason(step).map(Node::Comment));
    let target = step.action.target();
    match &step.action {
        Action::Close { object } => {
            nodes.push(Call::new("lu_close", [format!("&self->{object}")]).into());
        }
        action => nodes.extend(
            call(action)
                .zip(target.as_deref())
                .map(|(call, to)| call.assigned_to(to).into()),
        ),
    }
    if stage.number > 1 && matches!(step.action, Action::RetrieveSession { .. }) {
        let lost = format!(
            "lu_nothing_handed_over({})",
            target.as_deref().unwrap_or("ret")
        );
        nodes.push(line(format!("if ({lost})")));
        nodes.push(line(
            "\tSKIP(return, \"nothing was handed over to this kernel\");",
        ));
    }
    let label = string(&format!("{}: {}", step.number, step.action));
    nodes.push(Call::new("lu_step", [LU, &label, target.as_deref().unwrap_or("0")]).into());
    if let Some(target) = &target {
        nodes.push(result_check(step, target));
    }
    nodes.extend(value_check(step));
    nodes.extend(countable(step));
    nodes.extend(
        step.calls
            .iter()
            .map(|(function, count)| calls_check(step, function, *count)),
    );
    nodes.extend(step.log.iter().flat_map(|log| log_checks(step, log)));
    nodes
}

impl Action {
    /// The variable that the action's result goes to.
    pub(super) fn target(&self) -> Option<String> {
        match self {
            Self::OpenDevice { file, .. }
            | Self::CreateMemfd { file, .. }
            | Self::Retrieve { file, .. } => Some(format!("self->{file}")),
            Self::CreateSession { session } | Self::RetrieveSession { session } => {
                Some(format!("self->{session}"))
            }
            Self::Close { .. } | Self::Observe { .. } => None,
            _ => Some("ret".to_owned()),
        }
    }

    /// Whether later steps make no sense when this one went wrong.
    const fn is_foundation(&self) -> bool {
        matches!(
            self,
            Self::OpenDevice { .. }
                | Self::CreateMemfd { .. }
                | Self::CreateSession { .. }
                | Self::Preserve { .. }
                | Self::RetrieveSession { .. }
                | Self::Retrieve { .. }
        )
    }
}

fn call(action: &Action) -> Option<Call> {
    let own = |name: &str| format!("self->{name}");
    let lu = LU.to_owned();
    Some(match action {
        Action::OpenDevice { slot, .. } => {
            Call::new("lu_open_device", [lu, slot.index.to_string()])
        }
        Action::CreateMemfd { file, contents } => {
            Call::new("lu_create_memfd", [string(file), string(contents)])
        }
        Action::CreateSession { session } => Call::new("lu_create_session", [lu, string(session)]),
        Action::Preserve {
            file,
            session,
            token,
        } => Call::new("lu_preserve", [own(session), own(file), token.to_string()]),
        Action::RetrieveSession { session } => {
            Call::new("lu_retrieve_session", [lu, string(session)])
        }
        Action::Retrieve { session, token, .. } => {
            Call::new("lu_retrieve", [own(session), token.to_string()])
        }
        Action::Finish { session } => Call::new("lu_finish", [own(session)]),
        Action::RemoveDevice { slot } => {
            Call::new("lu_remove_device", [lu, slot.index.to_string()])
        }
        Action::Rescan => Call::new("lu_rescan", [""; 0]),
        Action::User { user, act } => {
            Call::new("lu_user", [format!("&self->{user}"), string(act.word())])
        }
        Action::WriteRegister { file, at, value } => Call::new(
            "lu_write_register",
            [own(file), format!("{at:#x}"), format!("{value:#x}")],
        ),
        Action::ReadRegister { file, at, .. } => Call::new(
            "lu_read_register",
            [own(file), format!("{at:#x}"), "&value".to_owned()],
        ),
        Action::ReadFile { file, .. } => Call::new(
            "lu_read_file",
            [
                own(file),
                "contents".to_owned(),
                "sizeof(contents)".to_owned(),
            ],
        ),
        Action::Close { .. } | Action::Observe { .. } => return None,
    })
}

fn result_check(step: &Step, target: &str) -> Node {
    let makes_descriptor = target != "ret";
    let kind = if step.action.is_foundation() && step.returns == Returns::Ok {
        "ASSERT"
    } else {
        "EXPECT"
    };
    match &step.returns {
        Returns::Ok if makes_descriptor => check(
            &format!("{kind}_LE"),
            "0",
            target,
            &message(step, "must succeed"),
        ),
        Returns::Ok => check(
            &format!("{kind}_EQ"),
            "0",
            target,
            &message(step, "must succeed"),
        ),
        Returns::Errno(errno) => {
            let expected = format!("-{errno}");
            check(
                "EXPECT_EQ",
                &expected,
                target,
                &message(step, &format!("must fail with {errno}")),
            )
        }
    }
}

fn value_check(step: &Step) -> Option<Node> {
    match &step.action {
        Action::ReadRegister {
            value: Some(value), ..
        } => {
            let expected = format!("(__u64){value:#x}");
            Some(check(
                "EXPECT_EQ",
                &expected,
                "value",
                &message(step, &format!("must give {value:#x}")),
            ))
        }
        Action::ReadFile { contents, .. } => Some(check(
            "EXPECT_STREQ",
            &string(contents),
            "contents",
            &message(step, "must give what was written"),
        )),
        _ => None,
    }
}

/// That calls and lines can be counted at all: a count that could not be taken is no
/// finding of the step, so its message does not name one.
fn countable(step: &Step) -> Vec<Node> {
    let calls = step.calls.first().map(|(function, _)| {
        let seen = Call::new("lu_calls", [LU, &string(function)]).text();
        check("ASSERT_LE", "0", &seen, "calls cannot be counted")
    });
    let log = step.log.first().map(|log| {
        let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
        check("ASSERT_LE", "0", &seen, "the kernel log cannot be read")
    });
    calls.into_iter().chain(log).collect()
}

fn calls_check(step: &Step, function: &str, count: u64) -> Node {
    let seen = Call::new("lu_calls", [LU, &string(function)]).text();
    let said = match count {
        0 => format!("{function} must not have been called yet"),
        1 => format!("{function} must have been called once in all"),
        _ => format!("{function} must have been called {count} times in all"),
    };
    check(
        "EXPECT_EQ",
        &count.to_string(),
        &seen,
        &message(step, &said),
    )
}

fn log_checks(step: &Step, log: &ExpectedLog) -> Vec<Node> {
    let seen = Call::new("lu_log_lines", [LU, &string(&log.text)]).text();
    let one = |macro_name: &str, count: u64, how: &str| {
        let lines = if count == 1 { "line" } else { "lines" };
        let said = format!("{how} {count} {lines} of the kernel log must have this text");
        check(macro_name, &count.to_string(), &seen, &message(step, &said))
    };
    match (log.min, log.max) {
        (min, Some(max)) if min == max => vec![one("EXPECT_EQ", min, "exactly")],
        (min, None) => vec![one("EXPECT_LE", min, "at least")],
        (min, Some(max)) => vec![
            one("EXPECT_LE", min, "at least"),
            one("EXPECT_GE", max, "at most"),
        ],
    }
}

/// Short enough for a line; the step's own line says what the step does.
fn message(step: &Step, said: &str) -> String {
    format!("step {}: {said}", step.number)
}

pub(super) fn check(macro_name: &str, expected: &str, seen: &str, message: &str) -> Node {
    Node::Block {
        head: Head::Call(Call::new(macro_name, [expected, seen])),
        body: vec![Call::new("TH_LOG", [format_string(message)]).into()],
        tail: "",
    }
}
