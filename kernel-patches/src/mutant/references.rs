// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators that replace a call that takes or drops a reference by its value on success, so
//! that only the count is wrong. The value comes from a list of kernel functions, or from the
//! type of a function of the same file.

use std::ops::Range;

use super::change::{Change, kebab};
use super::site::{Site, quote};
use super::syntax::{Kind, Returned, Source};

/// Functions that return true if they took the reference.
const TRUE: &str = "try_module_get kref_get_unless_zero refcount_inc_not_zero \
    refcount_add_not_zero refcount_dec_not_one atomic_inc_not_zero atomic_add_unless \
    atomic_long_inc_not_zero atomic64_inc_not_zero percpu_ref_tryget percpu_ref_tryget_live \
    percpu_ref_tryget_many folio_try_get get_page_unless_zero mmget_not_zero css_tryget \
    css_tryget_online";
/// Functions that return 0 on success, or false unless they dropped the last reference.
const ZERO: &str = "pm_runtime_get pm_runtime_get_sync pm_runtime_resume_and_get kref_put \
    kref_put_mutex kref_put_lock refcount_dec_and_test refcount_sub_and_test \
    refcount_dec_and_lock refcount_dec_and_lock_irqsave refcount_dec_and_mutex_lock \
    refcount_dec_if_one atomic_dec_and_test atomic_dec_and_lock atomic_long_dec_and_test \
    atomic64_dec_and_test put_page_testzero folio_put_testzero pm_runtime_put \
    pm_runtime_put_sync pm_runtime_put_autosuspend";
/// Functions that return their argument.
const ARGUMENT: &str = "get_device pci_dev_get kobject_get kobject_get_unless_zero get_file \
    of_node_get fwnode_handle_get get_task_struct get_pid get_cred get_net dget mntget \
    usb_get_dev usb_get_intf get_user_ns get_pid_ns";

/// Objects of functions whose `get` or `put` copies, looks up or reserves, such as `get_user`.
const NO_REFERENCE: &str = "user order drvdata private option options";
/// The first word of further objects, such as `put_unused_fd` and `get_unaligned_le32`.
const NO_REFERENCE_START: &str = "cpu unused unaligned random";
/// The word before `get` or `put` in such functions, such as `ktime_get` and `skb_put_data`.
const NO_REFERENCE_SUBJECT: &str = "ktime skb seq nla kfifo";

fn is_listed(list: &str, name: &[u8]) -> bool {
    list.split_ascii_whitespace()
        .any(|word| word.as_bytes() == name)
}

fn words(name: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    name.split(|&byte| byte == b'_')
}

/// Returns whether the name of a function says that it changes a reference count.
pub(super) fn is_reference(name: &[u8]) -> bool {
    let mut words = words(name);
    let mut subject: &[u8] = b"";
    while let Some(word) = words.next() {
        match word {
            b"kref" | b"refcount" => return true,
            b"get" | b"put" => {
                let first = words.next().unwrap_or_default();
                let is_copy = words.next().is_none() && is_listed(NO_REFERENCE, first)
                    || is_listed(NO_REFERENCE_START, first)
                    || is_listed(NO_REFERENCE_SUBJECT, subject);
                return !is_copy;
            }
            _ => subject = word,
        }
    }
    false
}

/// Returns the value of a call on success, or `None` if it is unknown.
fn success(site: &Site<'_>, name: &[u8], call: &Range<usize>) -> Option<Vec<u8>> {
    match name {
        _ if is_listed(TRUE, name) => Some(b"1".to_vec()),
        _ if is_listed(ZERO, name) => Some(b"0".to_vec()),
        _ if is_listed(ARGUMENT, name) => match site.arguments(call).as_slice() {
            [argument] => Some([b"(", *argument, b")"].concat()),
            _ => None,
        },
        _ if has_result(site, name, call) => None,
        _ => value_of_callee(site.source, name).map(|value| value.as_bytes().to_vec()),
    }
}

/// Returns whether the function may store a result in an argument. Without the call, the result
/// would not be set.
fn has_result(site: &Site<'_>, name: &[u8], call: &Range<usize>) -> bool {
    let arguments = site.arguments(call);
    let mut arguments = arguments.iter().skip(1);
    let has_address = arguments.any(|argument| argument.starts_with(b"&"));
    has_address || site.source.has_pointer_to_pointer(name)
}

/// Returns the value on success of a function that the file declares. An `int` is 0 or an
/// error code; `bool` is true for a reference that was taken, and false for a reference that
/// was dropped and was not the last.
fn value_of_callee(source: &Source<'_>, name: &[u8]) -> Option<&'static str> {
    let last = words(name).next_back()?;
    let is_put = last == b"put";
    let is_named = matches!(last, b"get" | b"put" | b"tryget" | b"ref");
    if !is_named && !is_reference(name) {
        return None;
    }
    let (returned, body) = source.callee(name)?;
    let is_counter = |at: usize| {
        let text = source.text(at);
        is_listed(TRUE, text) || is_listed(ZERO, text) || is_listed(ARGUMENT, text)
    };
    let counts = is_named || body.clone().any(is_counter);
    let is_error =
        |at: usize| source.text(at) == b"-" && source.text(at + 1).first() == Some(&b'E');
    match returned {
        _ if !counts => None,
        Returned::Bool if is_put => Some("0"),
        Returned::Bool => Some("1"),
        Returned::Int if body.is_empty() || body.clone().any(is_error) => Some("0"),
        Returned::Int | Returned::Void | Returned::Other => None,
    }
}

/// Replaces calls in a condition.
pub(super) fn in_condition(site: &Site<'_>, inner: Range<usize>) -> Vec<Change> {
    let calls = site.calls(inner, |_| true);
    let replace = |(name, call): (&[u8], Range<usize>)| {
        let value = success(site, name, &call)?;
        let quoted = site.quote(&call);
        let shown = String::from_utf8_lossy(&value).into_owned();
        let title = format!("replace reference count change {quoted} by {shown}");
        let operator = format!("drop-{}", kebab(name));
        Some(site.change(call.start, operator, title, &call, value))
    };
    calls.filter_map(replace).collect()
}

/// Replaces calls whose value is assigned or returned.
pub(super) fn in_value(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    let is_value = matches!(
        site.statement.kind,
        Kind::Return | Kind::Expression | Kind::Declaration
    );
    if !is_value {
        return Vec::new();
    }
    // A statement that is only a call is deleted as a whole by another operator.
    let inside = own.start + 1..own.end;
    let calls = site.calls(inside, |_| true);
    let replace = |(name, call): (&[u8], Range<usize>)| {
        let value = success(site, name, &call)?;
        let title = format!(
            "change no reference count: replace {} by {}",
            site.quote(&call),
            quote(&value)
        );
        let operator = format!("uncounted-{}", kebab(name));
        Some(site.change(call.start, operator, title, &call, value))
    };
    calls.filter_map(replace).collect()
}
