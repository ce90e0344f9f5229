// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of most reports: registers, stack traces, and the lines at which a report
//! ends or continues. Looks at one line at a time.

use super::class::SplatClass;
use super::heading::End;

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
pub(super) fn is_register(text: &str) -> bool {
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
