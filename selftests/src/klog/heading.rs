// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first lines of the kernel's reports, and how each kind of report ends. Looks at one
//! line at a time. The words must be at the start of the line: `BUG:` in the middle of a
//! line is prose or a quote.

use super::class::SplatClass;

/// The first line of `WARN()`, `BUG()` and UBSAN reports.
pub(super) const CUT_HERE: &str = "------------[ cut here ]------------";
/// Prefixes that some subsystems print before the words of a report.
const SUBSYSTEMS: [&str; 3] = ["rcu: ", "watchdog: ", "traps: "];

/// How a splat ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// `---[ end trace`, as for WARN, BUG and Oops.
    Trace,
    /// A line of `=`, as for KASAN.
    DoubleRule,
    /// The end of the first stack trace.
    Stack,
    /// A report of SLUB: a stack trace, or a WARN that prints the stack trace.
    Slab,
    /// The WARN of a SLUB report, followed by a `FIX` line.
    SlabTrace,
    /// The last lines of a panic.
    Panic,
    /// A list of locks.
    Locks,
    /// The report has only one line.
    Line,
    /// One line, which a WARN may follow directly.
    LineAndCut,
    /// A stack trace if it follows soon; otherwise the report has only one line.
    OptionalTrace,
    /// A stack trace if it follows soon; otherwise the line is not a report.
    OnlyWithTrace,
}

/// The first line of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) class: SplatClass,
    pub(super) end: End,
}

/// Returns the class and end of the report that begins with this line.
pub(super) fn heading(text: &str) -> Option<Heading> {
    if is_about_program(text) {
        return None;
    }
    if is_cut(text) {
        return Some(Heading {
            class: SplatClass::Warn,
            end: End::Trace,
        });
    }
    let words = SUBSYSTEMS.iter().find_map(|name| text.strip_prefix(name));
    let words = words.unwrap_or(text);
    let matches = |(start, inside, ..): &&Row| words.starts_with(start) && words.contains(inside);
    let (.., class, end) = ROWS.iter().find(matches).or_else(|| with_command(words))?;
    Some(Heading {
        class: *class,
        end: *end,
    })
}

/// Returns whether a line is about a user program. Such a line contains the name of the
/// program, which can be any text.
fn is_about_program(text: &str) -> bool {
    const MESSAGES: [&str; 5] = [
        "]: segfault at ",
        "] general protection fault ip:",
        "] trap ",
        "]: bad frame in ",
        "): drop_caches: ",
    ];
    MESSAGES.iter().any(|message| text.contains(message))
}

/// Finds a report that begins with the name of a task.
fn with_command(text: &str) -> Option<&'static Row> {
    WITH_COMMAND
        .iter()
        .find(|(_, inside, ..)| text.contains(inside))
}

/// Returns whether this is the first line of a WARN, BUG or UBSAN report.
pub(super) fn is_cut(text: &str) -> bool {
    text.starts_with(CUT_HERE)
}

/// Returns the kind of a report that began with "cut here", if this line contains it.
pub(super) fn kind(text: &str) -> Option<SplatClass> {
    let kinds = [
        ("WARNING: ", "at ", SplatClass::Warn),
        ("UBSAN: ", " in ", SplatClass::Ubsan),
        ("kernel BUG at ", "", SplatClass::Bug),
    ];
    let matches =
        |(start, inside, _): &(&str, &str, _)| text.starts_with(start) && text.contains(inside);
    kinds.into_iter().find(matches).map(|(.., class)| class)
}

/// Returns the part of an oops that a heading begins: 0 for the fault (`BUG: ...`), 1 for
/// `Oops:`, 2 for the panic.
pub(super) fn oops_part(heading: Heading, text: &str) -> Option<u8> {
    let is_oops = text.starts_with("Oops: ") || text.starts_with("general protection");
    match heading.class {
        _ if is_oops => Some(1),
        SplatClass::Bug if is_cut(text) || text.starts_with("kernel BUG at ") => Some(0),
        SplatClass::Oops | SplatClass::Gpf | SplatClass::DoubleFault => Some(0),
        SplatClass::Panic => Some(2),
        _ => None,
    }
}

/// The start of a line, another text in it, and the class and end of the report. The first
/// matching row applies.
type Row = (&'static str, &'static str, SplatClass, End);

const WITH_COMMAND: &[Row] = &[
    (
        "",
        ": page allocation failure: order:",
        SplatClass::PageAllocation,
        End::Stack,
    ),
    (
        "",
        ": vmalloc error: size ",
        SplatClass::PageAllocation,
        End::Stack,
    ),
];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Sanitizers.
    ("BUG: KASAN: ", "", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KFENCE: ", "", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KMSAN: ", "", SplatClass::Kasan, End::DoubleRule),
    ("BUG: KCSAN: ", "", SplatClass::Kasan, End::DoubleRule),
    ("UBSAN: ", " in ", SplatClass::Ubsan, End::Trace),
    // Faults.
    ("BUG: kernel NULL pointer dereference", "", SplatClass::Oops, End::Trace),
    ("BUG: unable to handle ", "", SplatClass::Oops, End::Trace),
    ("BUG: ", " stack guard page was hit at ", SplatClass::DoubleFault, End::Trace),
    ("PANIC: double fault", "", SplatClass::DoubleFault, End::Trace),
    ("PANIC: early exception", "", SplatClass::Panic, End::OptionalTrace),
    ("Oops: double fault", " [#", SplatClass::DoubleFault, End::Trace),
    ("Oops: stack guard page", " [#", SplatClass::DoubleFault, End::Trace),
    ("Oops: ", "general protection fault", SplatClass::Gpf, End::Trace),
    ("general protection fault", " [#", SplatClass::Gpf, End::Trace),
    ("Oops: ", " [#", SplatClass::Oops, End::Trace),
    ("kernel BUG at ", "", SplatClass::Bug, End::Trace),
    ("Kernel panic - not syncing", "", SplatClass::Panic, End::Panic),
    // The lock validator.
    ("WARNING: possible circular locking dependency", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: possible recursive locking", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: possible irq lock inversion", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: inconsistent lock state", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: ", "-unsafe lock order detected", SplatClass::Lockdep, End::Stack),
    ("WARNING: suspicious RCU usage", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: bad unlock balance", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: bad contention", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: held lock freed", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: Nested lock was not taken", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: chain_key collision", "", SplatClass::Lockdep, End::Stack),
    ("WARNING: ", " still has locks held!", SplatClass::Lockdep, End::Stack),
    ("WARNING: lock held when returning", "", SplatClass::Lockdep, End::Locks),
    ("[ BUG: Invalid wait context ]", "", SplatClass::Lockdep, End::Stack),
    ("BUG: MAX_", " too low!", SplatClass::Lockdep, End::OptionalTrace),
    ("BUG: key ", " has not been registered!", SplatClass::Lockdep, End::LineAndCut),
    ("INFO: trying to register non-static key", "", SplatClass::Lockdep, End::Stack),
    // Stalls and lockups.
    ("BUG: soft lockup", "", SplatClass::Lockup, End::Stack),
    ("CPU", ": Watchdog detected hard LOCKUP on cpu ", SplatClass::HardLockup, End::Stack),
    ("Watchdog detected hard LOCKUP on cpu ", "", SplatClass::HardLockup, End::Stack),
    ("BUG: workqueue lockup", "", SplatClass::WorkqueueLockup, End::Line),
    ("INFO: ", "detected stalls on CPUs/tasks", SplatClass::RcuStall, End::Stack),
    ("INFO: ", "self-detected stall on CPU", SplatClass::RcuStall, End::Stack),
    ("INFO: ", "detected expedited stalls on CPUs/tasks", SplatClass::RcuStall, End::Stack),
    ("INFO: ", "rcu_tasks detected stalls on tasks", SplatClass::RcuStall, End::Stack),
    ("INFO: ", "stall, but suppressed full report", SplatClass::RcuStall, End::Line),
    ("INFO: ", "stalls, but suppressed full report", SplatClass::RcuStall, End::Line),
    ("INFO: task ", " for more than ", SplatClass::HungTask, End::Stack),
    // Sleeping.
    ("BUG: sleeping function called from invalid context", "", SplatClass::AtomicSleep, End::Stack),
    ("BUG: scheduling ", "", SplatClass::AtomicSleep, End::Stack),
    // Objects and memory.
    ("refcount_t: ", "", SplatClass::Refcount, End::Line),
    ("list_add corruption", "", SplatClass::ListCorruption, End::LineAndCut),
    ("list_add double add", "", SplatClass::ListCorruption, End::LineAndCut),
    ("list_del corruption", "", SplatClass::ListCorruption, End::LineAndCut),
    ("ODEBUG: object ", " annotated.", SplatClass::ObjectDebug, End::LineAndCut),
    ("kmemleak: ", " new suspected memory leaks", SplatClass::Kmemleak, End::Line),
    ("BUG: Bad rss-counter state", "", SplatClass::Bug, End::Line),
    ("BUG: non-zero pgtables_bytes", "", SplatClass::Bug, End::Line),
    ("BUG: Bad page", " messages suppressed", SplatClass::Bug, End::Line),
    // `BUG kmalloc-64 (Not tainted): Poison overwritten`.
    ("BUG ", "): ", SplatClass::Bug, End::Slab),
    ("unchecked MSR access error: ", "", SplatClass::Warn, End::Stack),
    ("sysfs: cannot create duplicate filename", "", SplatClass::Warn, End::Stack),
    // A WARN whose "cut here" is lost, and warnings printed without `WARN()`.
    ("WARNING: ", "+0x", SplatClass::Warn, End::Trace),
    ("WARNING: kernel stack ", "", SplatClass::Warn, End::Line),
    ("WARNING: ", "", SplatClass::Warn, End::OnlyWithTrace),
    ("BUG: ", "", SplatClass::Bug, End::OptionalTrace),
    ("BUG at ", ":", SplatClass::Bug, End::OptionalTrace),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heading_ignores_prose() {
        for text in [
            "DEBUG: KASAN: on",
            "a warning: BUG: KASAN: in prose",
            "the old log said: Kernel panic - not syncing: gone",
            "test: WARNING: CPU: 0 PID: 7 at a.c:7 f+0x1/0x2",
            "---[ end Kernel panic - not syncing: gone ]---",
            "---[ end trace 0000000000000000 ]---",
            "Oops: no such luck",
            "BUG reports go to the list",
            "kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
            "INFO: task test:7 is blocked on a mutex likely owned by task other:8.",
            "lockdep: refcount_t: in prose",
            "[Firmware Bug]: TSC is odd",
            "UBSAN: initialised",
            "BUG: x[37]: segfault at 8 ip 00000000004017f2 sp 00007ffee52b3e10 error 6 in init",
            " ------------[ cut here ]------------",
        ] {
            assert_eq!(heading(text), None, "{text}");
        }
    }

    #[test]
    fn heading_uses_the_first_matching_row() {
        for (text, class, end) in [
            (
                "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
                SplatClass::HardLockup,
                End::Stack,
            ),
            (
                "traps: PANIC: double fault, error_code: 0x0",
                SplatClass::DoubleFault,
                End::Trace,
            ),
            (
                "BUG: TASK stack guard page was hit at 1 (stack is 2..3)",
                SplatClass::DoubleFault,
                End::Trace,
            ),
            (
                "Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP",
                SplatClass::Gpf,
                End::Trace,
            ),
            (
                "Oops: divide error: 0000 [#1] SMP",
                SplatClass::Oops,
                End::Trace,
            ),
            (
                "a b: page allocation failure: order:10, mode:0xdc0(GFP_KERNEL)",
                SplatClass::PageAllocation,
                End::Stack,
            ),
            (
                "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
                SplatClass::Lockdep,
                End::Stack,
            ),
            (
                "WARNING: at f+0x1/0x2, CPU#1: a/7",
                SplatClass::Warn,
                End::Trace,
            ),
            (
                "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                SplatClass::RcuStall,
                End::Stack,
            ),
        ] {
            assert_eq!(heading(text), Some(Heading { class, end }), "{text}");
        }
    }
}
