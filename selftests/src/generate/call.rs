// SPDX-License-Identifier: MIT OR Apache-2.0
//! The helper call of an action, and the variable of its result.

use super::c::{Call, Head, Node, line, string};
use crate::scenario::{Action, Answer, Device, KernelPath, Removal, Returns, Seal, Step};

/// The argument by which helpers get the state of the test.
pub(super) const LU: &str = "&self->lu";

/// The variable of a result that is not an object.
pub(super) const RET: &str = "ret";

/// The variable of a step's result; `None` for actions that always succeed.
pub(super) fn target(step: &Step) -> Option<String> {
    match &step.action {
        Action::Close { .. } | Action::Observe { .. } | Action::Repeat { .. } => None,
        action => match made(action) {
            // A step that must fail creates no object, and must not overwrite one.
            Some(object) if !matches!(step.returns, Returns::Errno(_)) => Some(own(object)),
            _ => Some(RET.to_owned()),
        },
    }
}

/// The object whose descriptor an action returns.
pub(super) fn made(action: &Action) -> Option<&str> {
    match action {
        Action::OpenDevice { file, .. }
        | Action::OpenFile { file, .. }
        | Action::OpenAgain { file, .. }
        | Action::CreateMemfd { file, .. }
        | Action::Retrieve { file, .. } => Some(file),
        Action::CreateSession { session } | Action::RetrieveSession { session, .. } => {
            Some(session)
        }
        _ => None,
    }
}

/// The field of the fixture that holds an object.
pub(super) fn own(object: &str) -> String {
    format!("self->{object}")
}

/// A C function that runs one action and returns its result.
pub(super) fn function(fixture: &str, name: &str, action: &Action) -> Vec<Node> {
    functions(fixture, name, std::slice::from_ref(action))
}

/// A C function that runs several actions up to the first failure.
pub(super) fn functions(fixture: &str, name: &str, actions: &[Action]) -> Vec<Node> {
    let last = actions.len().saturating_sub(1);
    let statements: Vec<Node> = actions
        .iter()
        .enumerate()
        .flat_map(|(index, action)| statements(action, index == last))
        .collect();
    let text = super::c::print(&statements);
    let mut body = Vec::new();
    if text.contains("self->") {
        let test = format!("struct _test_data_{fixture} *self = data;");
        body.push(line(test));
    }
    if text.contains("ret = ") {
        body.push(line("int ret;"));
    }
    if !body.is_empty() {
        body.push(Node::Blank);
    }
    if !text.contains("self->") {
        body.push(line("(void)data;"));
    }
    body.extend(statements);
    vec![
        Node::Block {
            head: Head::Own(format!("static int {name}(void *data)")),
            body,
            tail: "",
        },
        Node::Blank,
    ]
}

/// The statements of one action; the last action returns its result.
fn statements(action: &Action, is_last: bool) -> Vec<Node> {
    let mut nodes = Vec::new();
    match (made(action), call(action)) {
        (Some(object), Some(call)) => {
            nodes.push(call.assigned_to(&own(object)).into());
            let end = format!("return {};", own(object));
            if is_last {
                nodes.push(line(end));
            } else {
                nodes.push(line(format!("if ({} < 0)", own(object))));
                nodes.push(line(format!("\t{end}")));
            }
        }
        (None, Some(call)) if is_last => nodes.push(call.returned().into()),
        (None, Some(call)) => {
            nodes.push(call.assigned_to(RET).into());
            nodes.push(line("if (ret)"));
            nodes.push(line("\treturn ret;"));
        }
        (_, None) => {
            if let Action::Close { object } = action {
                nodes.push(Call::new("lu_close", [format!("&{}", own(object))]).into());
            }
            if is_last {
                nodes.push(line("return 0;"));
            }
        }
    }
    nodes
}

/// The call of an action; `None` if the action is not exactly one call.
pub(super) fn call(action: &Action) -> Option<Call> {
    session_call(action)
        .or_else(|| device_call(action))
        .or_else(|| file_call(action))
        .or_else(|| control_call(action))
}

fn session_call(action: &Action) -> Option<Call> {
    let lu = LU.to_owned();
    Some(match action {
        Action::CreateSession { session } => Call::new("lu_create_session", [lu, string(session)]),
        Action::CreateSessions { name, times } => {
            Call::new("lu_create_sessions", [lu, string(name), times.to_string()])
        }
        Action::RetrieveSession { session, answer } => match answer {
            Answer::Taken => Call::new("lu_retrieve_session", [lu, string(session)]),
            Answer::Unwritable => Call::new("lu_retrieve_unanswered", [lu, string(session)]),
        },
        Action::SessionName { session, .. } => read("lu_session_name", own(session)),
        Action::Preserve {
            file,
            session,
            token,
        } => Call::new("lu_preserve", [own(session), own(file), token.to_string()]),
        Action::Retrieve { session, token, .. } => {
            Call::new("lu_retrieve", [own(session), token.to_string()])
        }
        Action::Finish { session } => Call::new("lu_finish", [own(session)]),
        _ => return None,
    })
}

fn device_call(action: &Action) -> Option<Call> {
    let of = |function, device| Call::new(function, [LU.to_owned(), index(device)]);
    Some(match action {
        Action::OpenDevice { device, .. } => of("lu_open_device", device),
        Action::RemoveDevice { device, how } => {
            let function = match how {
                Removal::Sysfs => "lu_remove_device",
                Removal::SlotPower => "lu_power_off_slot",
                Removal::Unplug => "lu_unplug_device",
                Removal::Surprise => "lu_surprise_device",
            };
            of(function, device)
        }
        Action::RemoveBridge { device, levels } => Call::new(
            "lu_remove_bridge",
            [LU.to_owned(), index(device), levels.to_string()],
        ),
        Action::PlugDevice { device } => of("lu_plug_device", device),
        Action::Rescan => Call::new("lu_rescan", [""; 0]),
        Action::UnbindDriver { device } => of("lu_unbind", device),
        Action::BindDriver { device, driver } => {
            Call::new("lu_bind", [LU.to_owned(), index(device), string(driver)])
        }
        Action::ExpectDevice { device, state } => Call::new(
            "lu_wait_device",
            [LU.to_owned(), index(device), string(state.word())],
        ),
        Action::WriteRegister { file, at, value } => Call::new(
            "lu_write_register",
            [own(file), format!("{at:#x}"), format!("{value:#x}")],
        ),
        Action::ReadRegister { file, at, .. } => Call::new(
            "lu_read_register",
            [own(file), format!("{at:#x}"), "&value".to_owned()],
        ),
        _ => return None,
    })
}

/// The device argument of a helper.
fn index(device: &Device) -> String {
    match device.function {
        None => device.index.to_string(),
        Some(function) => format!("{} | LU_VF({function})", device.index),
    }
}

fn file_call(action: &Action) -> Option<Call> {
    let lu = LU.to_owned();
    Some(match action {
        Action::OpenFile { path, .. } => {
            Call::new("lu_open_file", [string(path), "O_RDWR".to_owned()])
        }
        Action::OpenAgain { of, access, .. } => {
            Call::new("lu_open_again", [own(of), access.flag().to_owned()])
        }
        Action::CreateMemfd {
            file,
            contents,
            executable,
        } => {
            let flags = if *executable {
                "MFD_ALLOW_SEALING"
            } else {
                "MFD_NOEXEC_SEAL"
            };
            let arguments = [string(file), flags.to_owned(), string(contents)];
            Call::new("lu_create_memfd", arguments)
        }
        Action::FileSize { file, .. } => Call::new("lu_size", [own(file)]),
        Action::WriteFile { file, at, contents } => Call::new(
            "lu_write_file",
            [own(file), at.to_string(), string(contents)],
        ),
        Action::ReadFile { file, .. } => read("lu_read_file", own(file)),
        Action::CheckMapping { file, contents } => {
            Call::new("lu_check_mapping", [own(file), string(contents)])
        }
        Action::Truncate { file, size } => Call::new("lu_truncate", [own(file), size.to_string()]),
        Action::Seal { file, seals } => Call::new("lu_seal", [own(file), seal_mask(seals)]),
        Action::ReadSeals { file, .. } => Call::new("lu_seals", [own(file)]),
        Action::WritePath { path, contents } => match path {
            KernelPath::Plain(path) => Call::new("lu_write_path", [string(path), string(contents)]),
            KernelPath::OfDevice { device, attribute } => Call::new(
                "lu_write_device_path",
                [lu, index(device), string(attribute), string(contents)],
            ),
        },
        Action::ReadPath { path, .. } => match path {
            KernelPath::Plain(path) => read("lu_read_path", string(path)),
            KernelPath::OfDevice { device, attribute } => Call::new(
                "lu_read_device_path",
                [
                    lu,
                    index(device),
                    string(attribute),
                    "contents".to_owned(),
                    "sizeof(contents)".to_owned(),
                ],
            ),
        },
        _ => return None,
    })
}

/// A call that reads into the buffer of the test.
fn read(function: &str, from: String) -> Call {
    Call::new(
        function,
        [from, "contents".to_owned(), "sizeof(contents)".to_owned()],
    )
}

/// The C expression of a set of seals.
pub(super) fn seal_mask(seals: &[Seal]) -> String {
    if seals.is_empty() {
        return "0".to_owned();
    }
    let names: Vec<String> = seals
        .iter()
        .map(|seal| format!("F_SEAL_{}", seal.word().to_uppercase()))
        .collect();
    names.join(" | ")
}

fn control_call(action: &Action) -> Option<Call> {
    let lu = LU.to_owned();
    Some(match action {
        Action::User { user, act, flb } => Call::new(
            "lu_user",
            [
                format!("&{}", own(user)),
                string(flb.file()),
                string(act.word()),
            ],
        ),
        Action::FailNext {
            callback,
            errno,
            times,
        } => Call::new(
            "lu_fail",
            [string(callback), errno.clone(), times.to_string()],
        ),
        Action::StartProcess { process, takes } => {
            let taken: Vec<String> = takes
                .iter()
                .map(|object| format!("&{}", own(object)))
                .collect();
            Call::new(
                "lu_start_process",
                [
                    lu,
                    format!("&{}", own(process)),
                    format!("(int *[]){{ {} }}", taken.join(", ")),
                    takes.len().to_string(),
                ],
            )
        }
        Action::KillProcess { process } => {
            Call::new("lu_kill_process", [format!("&{}", own(process))])
        }
        Action::TryKexec => Call::new("lu_kexec", [lu]),
        Action::CheckLeaks => Call::new("lu_leaks", [lu]),
        _ => return None,
    })
}
