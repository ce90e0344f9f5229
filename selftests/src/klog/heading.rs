// SPDX-License-Identifier: GPL-2.0-only
//! The words that the kernel begins its complaints with, and how each kind comes
//! to its end. Looks at lines only, and makes nothing of them.

use super::line::Line;
use super::splat::SplatClass;

/// What `WARN()` and `BUG()` begin with.
pub(super) const CUT_HERE: &str = "------------[ cut here ]------------";

/// Lines from "cut here" to the one that names the kind of complaint.
const PROLOGUE_LINES_MAX: usize = 8;
/// Lines from a BUG to its Oops.
const OOPS_LINES_MAX: usize = 12;

/// How the end of a splat is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// `---[ end trace`, as after WARN, BUG and Oops.
    Trace,
    /// A line of `=`, as after KASAN.
    DoubleRule,
    /// The end of the first stack trace.
    Stack,
    /// The heading is all.
    Line,
}

/// Whether a splat begins at this line, of what class, and how it will end.
pub(super) fn heading(lines: &[Line], index: usize) -> Option<(SplatClass, End)> {
    let line = &lines[index];
    if line.from_userspace {
        return None;
    }
    let text = line.text.as_str();
    if text.contains(CUT_HERE) {
        return Some(after_cut(lines, index));
    }
    if text.contains("---[ end ") {
        return None;
    }
    // A torn line can have another in front; these words nobody else says.
    for (words, class, end) in ANYWHERE {
        if text.contains(words) {
            return Some((*class, *end));
        }
    }
    // SLUB: `BUG kmalloc-64 (Not tainted): Poison overwritten`.
    if text.starts_with("BUG ") && text.contains("): ") {
        return Some((SplatClass::Bug, End::Stack));
    }
    AT_START
        .iter()
        .find(|(words, ..)| text.starts_with(words))
        .map(|(_, class, end)| (*class, *end))
}

/// After "cut here" come WARN, BUG, UBSAN; which, is in one of the next lines, but
/// not behind another "cut here".
fn after_cut(lines: &[Line], index: usize) -> (SplatClass, End) {
    let class = prologue(lines, index)
        .last()
        .and_then(|line| names_kind(&line.text));
    (class.unwrap_or(SplatClass::Warn), End::Trace)
}

/// The lines behind a "cut here" up to the one that names the kind of complaint.
fn prologue(lines: &[Line], cut: usize) -> &[Line] {
    let rest = &lines[cut + 1..lines.len().min(cut + 1 + PROLOGUE_LINES_MAX)];
    let end = rest
        .iter()
        .position(|line| names_kind(&line.text).is_some() || line.text.contains(CUT_HERE));
    let is_named = |end: &usize| names_kind(&rest[*end].text).is_some();
    match end.filter(is_named) {
        Some(last) => &rest[..=last],
        None => &rest[..end.map_or(rest.len().min(1), |cut| cut.min(1))],
    }
}

fn names_kind(text: &str) -> Option<SplatClass> {
    let kinds = [
        ("WARNING: ", SplatClass::Warn),
        ("UBSAN: ", SplatClass::Ubsan),
        ("kernel BUG at ", SplatClass::Bug),
    ];
    kinds
        .into_iter()
        .find(|(words, _)| text.starts_with(words))
        .map(|(_, class)| class)
}

/// Whether the heading at `index` is another complaint than that which began at
/// `start`. Part of it are only what follows a "cut here" up to the line that names
/// the kind, and the stations of one oops: BUG, then Oops, then panic.
pub(super) fn is_foreign(lines: &[Line], start: usize, index: usize) -> bool {
    let Some((class, _)) = heading(lines, index) else {
        return false;
    };
    let text = lines[index].text.as_str();
    if lines[start].text.contains(CUT_HERE) && !text.contains(CUT_HERE) {
        let prologue = prologue(lines, start).len();
        let is_message = index == start + 1
            && matches!(class, SplatClass::Refcount | SplatClass::ListCorruption);
        let is_kind = index == start + prologue && names_kind(text).is_some();
        if is_message || is_kind {
            return false;
        }
    }
    let Some((first, _)) = heading(lines, start) else {
        return true;
    };
    match (station(first, &lines[start].text), station(class, text)) {
        // An Oops follows its BUG at once; a later one is of another processor.
        (Some(0), Some(1)) => index > start + OOPS_LINES_MAX,
        (Some(0 | 1), Some(2)) => false,
        _ => true,
    }
}

/// How far an oops has come with this heading.
fn station(class: SplatClass, text: &str) -> Option<u8> {
    match class {
        SplatClass::Bug => {
            (text.contains(CUT_HERE) || text.contains("kernel BUG at ")).then_some(0)
        }
        SplatClass::Oops if text.starts_with("BUG: ") => Some(0),
        SplatClass::Oops | SplatClass::Gpf => Some(1),
        SplatClass::Panic => Some(2),
        _ => None,
    }
}

const ANYWHERE: &[(&str, SplatClass, End)] = &[
    ("BUG: KASAN: ", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KFENCE: ", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KMSAN: ", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KCSAN: ", SplatClass::Kasan, End::DoubleRule),
    (
        "Kernel panic - not syncing: ",
        SplatClass::Panic,
        End::Trace,
    ),
    ("kernel BUG at ", SplatClass::Bug, End::Trace),
    ("UBSAN: ", SplatClass::Ubsan, End::Trace),
    ("general protection fault, ", SplatClass::Gpf, End::Trace),
    (
        "detected stalls on CPUs/tasks",
        SplatClass::RcuStall,
        End::Stack,
    ),
    (
        "self-detected stall on CPU",
        SplatClass::RcuStall,
        End::Stack,
    ),
    (
        "expedited stalls on CPUs/tasks",
        SplatClass::RcuStall,
        End::Stack,
    ),
    (
        " new suspected memory leaks",
        SplatClass::Kmemleak,
        End::Line,
    ),
    ("BUG: soft lockup", SplatClass::Lockup, End::Stack),
    ("BUG: workqueue lockup", SplatClass::Lockup, End::Line),
    ("hard LOCKUP", SplatClass::Lockup, End::Stack),
];

const AT_START: &[(&str, SplatClass, End)] = &[
    (
        "WARNING: possible circular locking dependency",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: possible recursive locking",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: possible irq lock inversion",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: inconsistent lock state",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: suspicious RCU usage",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: bad unlock balance",
        SplatClass::Lockdep,
        End::Stack,
    ),
    ("WARNING: bad contention", SplatClass::Lockdep, End::Stack),
    ("WARNING: held lock freed", SplatClass::Lockdep, End::Stack),
    (
        "WARNING: lock held when returning",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: Nested lock was not taken",
        SplatClass::Lockdep,
        End::Stack,
    ),
    (
        "WARNING: chain_key collision",
        SplatClass::Lockdep,
        End::Stack,
    ),
    ("WARNING: HARDIRQ-safe", SplatClass::Lockdep, End::Stack),
    ("WARNING: SOFTIRQ-safe", SplatClass::Lockdep, End::Stack),
    (
        "[ BUG: Invalid wait context ]",
        SplatClass::Lockdep,
        End::Stack,
    ),
    ("WARNING: kernel stack ", SplatClass::Warn, End::Line),
    ("WARNING: ", SplatClass::Warn, End::Trace),
    (
        "BUG: sleeping function called from invalid context",
        SplatClass::AtomicSleep,
        End::Stack,
    ),
    (
        "BUG: scheduling while atomic",
        SplatClass::AtomicSleep,
        End::Stack,
    ),
    (
        "BUG: unable to handle page fault",
        SplatClass::Oops,
        End::Trace,
    ),
    (
        "BUG: kernel NULL pointer dereference",
        SplatClass::Oops,
        End::Trace,
    ),
    ("BUG: ", SplatClass::Bug, End::Stack),
    ("PANIC: double fault", SplatClass::Panic, End::Trace),
    ("Oops: ", SplatClass::Oops, End::Trace),
    ("refcount_t: ", SplatClass::Refcount, End::Line),
    ("list_add corruption", SplatClass::ListCorruption, End::Line),
    ("list_del corruption", SplatClass::ListCorruption, End::Line),
    (
        "INFO: trying to register non-static key",
        SplatClass::Lockdep,
        End::Stack,
    ),
    ("INFO: task ", SplatClass::HungTask, End::Stack),
];
