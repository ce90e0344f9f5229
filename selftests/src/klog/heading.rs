// SPDX-License-Identifier: GPL-2.0-only
//! The words that the kernel begins its complaints with, and how each kind comes
//! to its end. Looks at lines only, and makes nothing of them.

use super::line::Line;
use super::splat::SplatClass;

/// What `WARN()` and `BUG()` begin with.
pub(super) const CUT_HERE: &str = "------------[ cut here ]------------";

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
    AT_START
        .iter()
        .find(|(words, ..)| text.starts_with(words))
        .map(|(_, class, end)| (*class, *end))
}

/// After "cut here" come WARN, BUG, UBSAN; which, is in one of the next lines.
fn after_cut(lines: &[Line], index: usize) -> (SplatClass, End) {
    for line in lines.iter().skip(index + 1).take(8) {
        if line.text.starts_with("UBSAN: ") {
            return (SplatClass::Ubsan, End::Trace);
        }
        if line.text.starts_with("kernel BUG at ") {
            return (SplatClass::Bug, End::Trace);
        }
    }
    (SplatClass::Warn, End::Trace)
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
    ("kmemleak: ", SplatClass::Kmemleak, End::Line),
    ("INFO: task ", SplatClass::HungTask, End::Stack),
];
