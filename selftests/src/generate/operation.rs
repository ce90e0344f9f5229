// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C call of an operation, and the variable of its result.

use super::c::{Call, Head, Node, block, line, string};
use crate::scenario::{
    Action, CArgument, Compare, Device, Operation, Outcome, Returns, Step, Value,
};

/// The argument by which helpers get the state of the test.
pub(super) const LU: &str = "&self->lu";
/// The variable of a result that is not an object.
pub(super) const RET: &str = "ret";

/// The variable of a step's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The action has no result.
    None,
    /// The variable `ret`.
    Ret,
    /// The field of the fixture for this object.
    Object(&'a str),
}

impl<'a> Target<'a> {
    /// Returns the variable of a step's result.
    pub(super) fn of(step: &'a Step) -> Self {
        match &step.action {
            Action::Observe(_) | Action::Repeat { .. } => Self::None,
            Action::Run(operation) => match operation.made() {
                // A step that must fail creates no object, and must not overwrite one.
                Some(object) if !matches!(step.returns, Returns::Errno(_)) => Self::Object(object),
                _ if *operation.result() == Outcome::Nothing => Self::None,
                _ => Self::Ret,
            },
            _ => Self::Ret,
        }
    }

    /// Returns the C expression of the result; 0 if the action has none.
    pub(super) fn text(self) -> String {
        match self {
            Self::None => "0".to_owned(),
            Self::Ret => RET.to_owned(),
            Self::Object(object) => own(object),
        }
    }
}

/// Returns the comparison of an operation, with the expected value.
pub(super) fn comparison(operation: &Operation) -> Option<(&Compare, &Value)> {
    let compare = operation.verb.compares.as_ref()?;
    Some((compare, operation.value(&compare.with)?))
}

/// Returns the field of the fixture that holds an object.
pub(super) fn own(object: &str) -> String {
    format!("self->{object}")
}

/// Returns the call of an operation.
pub(super) fn call(operation: &Operation) -> Call {
    let call = operation.call();
    let arguments = call.arguments.iter().flat_map(|argument| match argument {
        CArgument::Test => vec![LU.to_owned()],
        CArgument::Value(key) => operation.value(key).map_or_else(Vec::new, expressions),
        CArgument::Quoted(key) => vec![string(&operation.text(key))],
        CArgument::Address(key) => vec![format!("&{}", own(&operation.text(key)))],
        CArgument::Code(code) => vec![code.clone()],
    });
    Call::new(&call.function, arguments)
}

/// Returns the C arguments of a value. Lists and paths of devices have two.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(name) => vec![own(name)],
        Value::Objects(names) => {
            let taken: Vec<_> = names.iter().map(|name| format!("&{}", own(name))).collect();
            let list = format!("(int *[]){{ {} }}", taken.join(", "));
            vec![list, names.len().to_string()]
        }
        Value::Device(device) => vec![index(device)],
        Value::OfDevice { device, attribute } => vec![index(device), string(attribute)],
        Value::Word { c, .. } => vec![c.clone()],
        other => vec![other.to_string()],
    }
}

/// The device argument of a helper.
fn index(device: &Device) -> String {
    match device.function {
        None => device.index.to_string(),
        Some(function) => format!("{} | LU_VF({function})", device.index),
    }
}

/// Returns the statement of a step, with the assignment of its result.
pub(super) fn statement(operation: &Operation, target: Target<'_>) -> Node {
    match target {
        Target::None => call(operation).into(),
        target => call(operation).assigned_to(&target.text()).into(),
    }
}

/// Returns a C function that runs operations up to the first failure.
pub(super) fn function(fixture: &str, name: &str, operations: &[Operation]) -> Vec<Node> {
    let last = operations.len().saturating_sub(1);
    let has_ret = operations[..last]
        .iter()
        .any(|operation| operation.made().is_none() && *operation.result() != Outcome::Nothing);
    let has_self = operations.iter().any(uses_fixture);
    let mut body = Vec::new();
    if has_self {
        let test = format!("struct _test_data_{fixture} *self = data;");
        body.push(line(test));
    }
    if has_ret {
        body.push(line("int ret;"));
    }
    if !body.is_empty() {
        body.push(Node::Blank);
    }
    if !has_self {
        body.push(line("(void)data;"));
    }
    for (at, operation) in operations.iter().enumerate() {
        body.extend(statements(operation, at == last));
    }
    vec![
        block(Head::Own(format!("static int {name}(void *data)")), body),
        Node::Blank,
    ]
}

/// Whether the C code of an operation refers to the fixture.
fn uses_fixture(operation: &Operation) -> bool {
    let refers = |argument: &CArgument| match argument {
        CArgument::Test | CArgument::Address(_) => true,
        CArgument::Value(key) => {
            let value = operation.value(key);
            matches!(value, Some(Value::Object(_) | Value::Objects(_)))
        }
        CArgument::Quoted(_) | CArgument::Code(_) => false,
    };
    operation.made().is_some() || operation.call().arguments.iter().any(refers)
}

/// The statements of one operation; the last operation returns its result.
fn statements(operation: &Operation, is_last: bool) -> Vec<Node> {
    let stop = |condition: String, value: &str| {
        let branch = line(format!("\treturn {value};"));
        vec![line(format!("if ({condition})")), branch]
    };
    let mut nodes = Vec::new();
    if let Some(object) = operation.made() {
        let object = own(object);
        nodes.push(call(operation).assigned_to(&object).into());
        match is_last {
            true => nodes.push(line(format!("return {object};"))),
            false => nodes.extend(stop(format!("{object} < 0"), &object)),
        }
    } else if *operation.result() == Outcome::Nothing {
        nodes.push(call(operation).into());
        nodes.extend(is_last.then(|| line("return 0;")));
    } else if is_last {
        nodes.push(call(operation).returned().into());
    } else {
        nodes.push(call(operation).assigned_to(RET).into());
        nodes.extend(stop(RET.to_owned(), RET));
    }
    nodes
}
