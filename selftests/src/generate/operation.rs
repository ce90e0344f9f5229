// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C call of an operation, its checks, and the functions that threads run.

use super::c::{Call, Head, Node, block, line, string};
use crate::scenario::{CArgument, Device, Operation, Outcome, Returns, Value, unique};

/// The variable of a result that is checked more than once.
pub(super) const RET: &str = "ret";

/// How C code refers to the objects of a test.
#[derive(Debug, Clone, Copy)]
pub(super) enum Objects<'a> {
    /// Local variables.
    Local,
    /// Pointers to these variables, in the array `fd`.
    Pointers(&'a [String]),
}

impl Objects<'_> {
    fn value(self, object: &str) -> String {
        match self {
            Self::Local => object.to_owned(),
            Self::Pointers(_) => format!("*{}", self.address(object)),
        }
    }

    fn address(self, object: &str) -> String {
        match self {
            Self::Local => format!("&{object}"),
            Self::Pointers(names) => {
                let at = names.iter().position(|name| name == object);
                format!(
                    "fd[{}]",
                    at.expect("the array has all objects of its functions")
                )
            }
        }
    }
}

/// Returns the objects whose variables the code of an operation uses.
pub(super) fn objects(operation: &Operation) -> Vec<String> {
    let arguments = operation.call().arguments.iter();
    let used = arguments.flat_map(|argument| match argument {
        CArgument::Address(key) => vec![operation.text(key)],
        CArgument::Value(key) => match operation.value(key) {
            Some(Value::Object(name)) => vec![name.clone()],
            Some(Value::Objects(names)) => names.clone(),
            _ => Vec::new(),
        },
        CArgument::Quoted(_) | CArgument::Code(_) => Vec::new(),
    });
    unique(used.chain(operation.made().map(str::to_owned)))
}

/// Returns the objects whose variables are set to -1 before the operation, which opens them.
pub(super) fn opened(operation: &Operation) -> Option<&str> {
    let opens = matches!(operation.verb.kind, crate::scenario::Kind::Opened(_));
    operation.object(&operation.verb.key).filter(|_| opens)
}

/// Returns the call of an operation.
pub(super) fn call(operation: &Operation, objects: Objects<'_>) -> Call {
    let call = operation.call();
    let arguments = call.arguments.iter().flat_map(|argument| match argument {
        CArgument::Value(key) => operation
            .value(key)
            .map_or_else(Vec::new, |value| expressions(value, objects)),
        CArgument::Quoted(key) => vec![string(&operation.text(key))],
        CArgument::Address(key) => vec![objects.address(&operation.text(key))],
        CArgument::Code(code) => vec![code.clone()],
    });
    Call::new(&call.function, arguments)
}

/// Returns the C arguments of a value. Lists and paths of devices have two.
fn expressions(value: &Value, objects: Objects<'_>) -> Vec<String> {
    match value {
        Value::Object(name) => vec![objects.value(name)],
        Value::Objects(names) => vec![pointers(names, objects), names.len().to_string()],
        Value::Device(device) => vec![index(device)],
        Value::OfDevice { device, attribute } => vec![index(device), string(attribute)],
        Value::Word { c, .. } => vec![c.clone()],
        other => vec![other.to_string()],
    }
}

/// Returns an array of pointers to the variables of objects.
fn pointers(names: &[String], objects: Objects<'_>) -> String {
    let pointers: Vec<String> = names.iter().map(|name| objects.address(name)).collect();
    format!("(int *[]){{ {} }}", pointers.join(", "))
}

/// The device argument of a helper.
fn index(device: &Device) -> String {
    match device.function {
        None => device.index.to_string(),
        Some(function) => format!("KT_VF({}, {function})", device.index),
    }
}

/// Returns the code of an operation with the check of its result; `kind` is `ASSERT` or
/// `EXPECT`.
pub(super) fn checked(operation: &Operation, returns: &Returns, kind: &str) -> Vec<Node> {
    let call = call(operation, Objects::Local);
    let equal =
        |suffix: &str, expected: &str| call.clone().within(&format!("{kind}{suffix}"), expected);
    let check = match (operation.result(), returns) {
        (Outcome::Nothing, _) => call,
        (Outcome::Text(key), Returns::Ok) => equal("_STREQ", &string(&operation.text(key))),
        (Outcome::Text(_), _) => equal("_STREQ", &string(&format!("-{returns}"))),
        (Outcome::Number(key), Returns::Ok) => match operation.value(key) {
            Some(expected) => equal("_EQ", &expected_number(expected)),
            None => equal("_LE", "0"),
        },
        // A step that must fail creates no object, and must not overwrite one.
        (Outcome::Descriptor(key), Returns::Ok | Returns::AnyOf(_)) => {
            let object = operation.text(key);
            let assigned = call.assigned_to(&object);
            if *returns == Returns::Ok {
                return vec![expect(kind, &assigned.text(), true, returns)];
            }
            let check = expect(kind, &object, true, returns);
            return vec![assigned.into(), check];
        }
        _ => return vec![expect(kind, &call.text(), false, returns)],
    };
    vec![check.into()]
}

fn expected_number(value: &Value) -> String {
    match value {
        Value::Word { c, .. } => c.clone(),
        other => other.to_string(),
    }
}

/// Checks a result. Success is 0, or if `is_counted`, 0 or more.
pub(super) fn expect(kind: &str, seen: &str, is_counted: bool, returns: &Returns) -> Node {
    let check = |suffix: &str, expected: &str, seen: &str| {
        Call::new(&format!("{kind}{suffix}"), [expected, seen]).into()
    };
    match returns {
        Returns::Ok if is_counted => check("_LE", "0", seen),
        Returns::Ok => check("_EQ", "0", seen),
        Returns::Errno(errno) => check("_EQ", &format!("-{errno}"), seen),
        Returns::AnyOf(all) => {
            let number = |returns: &Returns| match returns {
                Returns::Errno(errno) => format!("-{errno}"),
                _ => "0".to_owned(),
            };
            let seen = match is_counted {
                true => format!("{seen} < 0 ? {seen} : 0"),
                false => seen.to_owned(),
            };
            let all: Vec<String> = all.iter().map(number).collect();
            let seen = format!("ONE_OF({seen}, {})", all.join(", "));
            check("_EQ", "0", &seen)
        }
    }
}

/// A function that a thread runs, and that gets pointers to the variables of its objects.
pub(super) fn function(name: &str, operations: &[Operation], objects: &[String]) -> Vec<Node> {
    let uses = |operation: &Operation| !self::objects(operation).is_empty();
    let last = operations.len().saturating_sub(1);
    let has_ret = operations[..last]
        .iter()
        .any(|operation| operation.made().is_none() && *operation.result() != Outcome::Nothing);
    let mut body = Vec::new();
    match operations.iter().any(uses) {
        true => body.push(line("int **fd = data;")),
        false if has_ret => {}
        false => body.push(line("(void)data;")),
    }
    if has_ret {
        body.push(line("int ret;"));
    }
    if operations.iter().any(uses) || has_ret {
        body.push(Node::Blank);
    }
    for (at, operation) in operations.iter().enumerate() {
        body.extend(statements(
            operation,
            Objects::Pointers(objects),
            at == last,
        ));
    }
    vec![
        block(Head::Own(format!("static int {name}(void *data)")), body),
        Node::Blank,
    ]
}

/// Returns the argument with the pointers to these objects.
pub(super) fn data(objects: &[String]) -> String {
    match objects {
        [] => "NULL".to_owned(),
        names => pointers(names, Objects::Local),
    }
}

/// The statements of one operation; the last operation returns its result.
fn statements(operation: &Operation, objects: Objects<'_>, is_last: bool) -> Vec<Node> {
    let stop = |condition: String, value: &str| {
        let branch = line(format!("\treturn {value};"));
        vec![line(format!("if ({condition})")), branch]
    };
    let call = call(operation, objects);
    let mut nodes = Vec::new();
    if let Some(object) = operation.made() {
        let object = objects.value(object);
        nodes.push(call.assigned_to(&object).into());
        match is_last {
            true => nodes.push(line(format!("return {object};"))),
            false => nodes.extend(stop(format!("{object} < 0"), &object)),
        }
    } else if *operation.result() == Outcome::Nothing {
        nodes.push(call.into());
        nodes.extend(is_last.then(|| line("return 0;")));
    } else if is_last {
        nodes.push(call.returned().into());
    } else {
        nodes.push(call.assigned_to(RET).into());
        nodes.extend(stop(RET.to_owned(), RET));
    }
    nodes
}
