// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of the kernel's reports: how each kind begins, ends and continues, and the
//! registers and stack traces in most of them. Looks at one line at a time. The words must
//! be at the start of the line: `BUG:` in the middle of a line is prose or a quote.

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
    let (.., class, end) = ROWS.iter().find(matches)?;
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
    // Reports that begin with the name of a task.
    ("", ": page allocation failure: order:", SplatClass::PageAllocation, End::Stack),
    ("", ": vmalloc error: size ", SplatClass::PageAllocation, End::Stack),
];

/// The first line of a stack trace.
pub(super) const CALL_TRACE: &str = "Call Trace:";

const REGISTERS: [&str; 14] = [
    "RIP: ", "Code: ", "RSP: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS: ", "CS: ",
    "CR2: ", "PKRU: ", "DR0: ", "DR3: ",
];

/// The start of lines before registers and traces.
const AROUND: [&str; 7] = [
    CALL_TRACE,
    "CPU: ",
    "Tainted: ",
    "Hardware name: ",
    "Workqueue: ",
    "Modules linked in:",
    "task:",
];

/// Returns whether a line shows registers. An oops shows them again after its end.
fn is_register(text: &str) -> bool {
    starts_with_any(text, &REGISTERS)
}

/// Returns whether a line belongs to a stack trace or its surroundings.
pub(super) fn is_trace(text: &str) -> bool {
    is_frame(text) || is_register(text) || starts_with_any(text, &AROUND)
}

fn is_frame(text: &str) -> bool {
    text.starts_with(' ') && (text.contains("+0x") || text.trim_start().starts_with(['<', '?']))
}

/// Returns whether a line describes the object of the next report: the memory of a list
/// entry, or the corruption that SLUB found.
pub(super) fn is_announcement(text: &str) -> bool {
    const OBJECTS: [&str; 7] = [
        "page vmalloc region starting at ",
        " vmalloc memory",
        " non-paged memory",
        " non-slab/vmalloc memory",
        " NULL pointer",
        " zero-size pointer",
        " slab",
    ];
    let is_object = text.starts_with(' ') && OBJECTS.iter().any(|words| text.contains(words));
    is_object || text.starts_with('[') && text.contains(" overwritten] 0x")
}

/// Returns whether a splat ends with this line.
pub(super) fn is_end(end: End, text: &str) -> bool {
    match end {
        End::Trace | End::SlabTrace => text.starts_with("---[ end trace") || is_after_panic(text),
        End::DoubleRule => text.starts_with("======================="),
        End::Stack | End::Slab => {
            text.trim() == "</TASK>"
                || text.starts_with("NMI backtrace for cpu") && text.contains("skipped: idling")
        }
        End::Panic => is_after_panic(text),
        End::Locks => is_lock(text),
        End::Line | End::LineAndCut | End::OptionalTrace | End::OnlyWithTrace => false,
    }
}

/// Returns whether this is one of the lines after a panic.
fn is_after_panic(text: &str) -> bool {
    text.starts_with("---[ end Kernel panic")
        || text.starts_with("Kernel Offset: ")
        || text.starts_with("Rebooting in ")
}

/// Matches ` #0: ffff888001234560 (&lock){+.+.}-{4:4}, at: function+0x1/0x2`.
fn is_lock(text: &str) -> bool {
    let number = text
        .strip_prefix(" #")
        .and_then(|rest| rest.split(':').next());
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Returns whether this line still belongs to a splat after its end.
pub(super) fn continues(class: SplatClass, end: End, text: &str) -> bool {
    let words: &[&str] = match class {
        SplatClass::RcuStall => &[
            "rcu: ",
            "Task dump for CPU",
            "Sending NMI from",
            "NMI backtrace for",
            "\t",
        ],
        SplatClass::HungTask => &[
            "INFO: task ",
            "INFO: lockdep is turned off",
            "Showing all locks held",
            "Future hung task reports",
            "=============================================",
            "NMI backtrace for",
            "Sending NMI from",
        ],
        SplatClass::Lockup | SplatClass::HardLockup => &["Sending NMI from", "NMI backtrace for"],
        SplatClass::WorkqueueLockup => &[
            "Showing ",
            "workqueue ",
            "  pwq ",
            "    in-flight:",
            "    pending:",
            "    inactive:",
            "pool ",
            "The pool might have trouble",
            "Backtrace of last woken worker",
            "Last woken worker empty",
            "Sending NMI from",
            "NMI backtrace for",
        ],
        SplatClass::PageAllocation => &["Mem-Info:", "Node ", "lowmem_reserve[]:", " "],
        _ => return is_after(end, text),
    };
    let is_memory = class == SplatClass::PageAllocation && is_memory_statistics(text);
    let has_locks = class == SplatClass::HungTask && (is_lock_list(text) || text.is_empty());
    is_memory || has_locks || is_trace(text) || starts_with_any(text, words)
}

fn is_after(end: End, text: &str) -> bool {
    match end {
        End::Trace => is_register(text),
        End::Panic => is_after_panic(text),
        End::Locks => is_lock(text),
        End::Slab => text.starts_with("FIX "),
        End::SlabTrace => text.starts_with("FIX ") || is_register(text),
        _ => false,
    }
}

/// Matches `locks held by test/77: 2, on CPU#1:` (older kernels: `2 locks held by
/// test/77:`) and the locks after it.
fn is_lock_list(text: &str) -> bool {
    let is_list = text.contains("lock") && text.contains(" held by ");
    is_list && text.ends_with(':') || is_lock(text)
}

/// Returns whether a line belongs to the memory statistics after a failed allocation.
fn is_memory_statistics(text: &str) -> bool {
    const COUNTERS: [&str; 6] = [
        " total pagecache pages",
        " pages RAM",
        " pages HighMem/MovableOnly",
        " pages reserved",
        " pages hwpoisoned",
        " pages cma reserved",
    ];
    let is_counted = text.starts_with(|first: char| first.is_ascii_digit());
    let is_zone_line = text.contains(" free:") && text.contains(" boost:")
        || text.contains("*4kB ") && text.ends_with("kB");
    is_zone_line
        || is_counted && COUNTERS.iter().any(|counter| text.ends_with(counter))
        || starts_with_any(
            text,
            &[
                "active_anon:",
                "Swap cache stats:",
                "Free swap",
                "Total swap",
                "pages in swap",
            ],
        )
        || text.ends_with(" pages in swap cache")
}

fn starts_with_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|words| text.starts_with(words))
}

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

    #[test]
    fn is_trace_accepts_lines_of_a_stack_trace() {
        for text in [
            " <TASK>",
            " </IRQ>",
            " f+0x1/0x2",
            " ? f+0x1/0x2 [fault]",
            "RIP: 0010:f+0x1/0x2",
            "Call Trace:",
        ] {
            assert!(is_trace(text), "{text}");
        }
        for text in ["", "f+0x1/0x2", " indented", "rcu: x", "CPU0: x"] {
            assert!(!is_trace(text), "{text}");
        }
    }

    #[test]
    fn continues_depends_on_class_and_end() {
        let hung = |text| continues(SplatClass::HungTask, End::Stack, text);
        assert!(hung(
            "INFO: task a:7 is blocked on a mutex likely owned by task b:8."
        ));
        assert!(hung("locks held by khungtaskd/31: 1, last CPU#0:"));
        assert!(
            hung("1 lock held by khungtaskd/20:") && hung(" #0: ffff (x){....}, at: f+0x1/0x2")
        );
        assert!(!hung("pci 1: gone"));
        assert!(!continues(SplatClass::Lockdep, End::Stack, " f+0x1/0x2"));
        assert!(!continues(
            SplatClass::Kasan,
            End::DoubleRule,
            "RIP: 0010:f+0x1/0x2"
        ));
        assert!(continues(
            SplatClass::PageAllocation,
            End::Stack,
            "262014 pages RAM"
        ));
        assert!(!continues(
            SplatClass::PageAllocation,
            End::Stack,
            "pages RAM"
        ));
    }
}
