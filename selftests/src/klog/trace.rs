// SPDX-License-Identifier: GPL-2.0-only
//! The lines that most reports are made of: registers, stack traces, and what
//! says where a report ends or goes on. Looks at one text at a time.

use super::class::SplatClass;
use super::heading::End;

/// What a stack trace begins with.
pub(super) const CALL_TRACE: &str = "Call Trace:";

const REGISTERS: [&str; 14] = [
    "RIP: ", "Code: ", "RSP: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS: ", "CS: ",
    "CR2: ", "PKRU: ", "DR0: ", "DR3: ",
];

/// What stands around registers and traces.
const AROUND: [&str; 7] = [
    CALL_TRACE,
    "CPU: ",
    "Tainted: ",
    "Hardware name: ",
    "Workqueue: ",
    "Modules linked in:",
    "task:",
];

/// Whether a text shows registers. An oops shows them again after its end.
pub(super) fn is_register(text: &str) -> bool {
    begins_with_one_of(text, &REGISTERS)
}

/// Whether a text is of a stack trace, or of what stands around one.
pub(super) fn is_trace(text: &str) -> bool {
    is_frame(text) || is_register(text) || begins_with_one_of(text, &AROUND)
}

fn is_frame(text: &str) -> bool {
    text.starts_with(' ') && (text.contains("+0x") || text.trim_start().starts_with(['<', '?']))
}

/// Whether a text tells of what the next report is about: the object of a list, or
/// what SLUB found in one.
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

/// Whether a splat ends with this line.
pub(super) fn is_end(end: End, text: &str) -> bool {
    match end {
        End::Trace | End::SlabTrace => text.starts_with("---[ end trace") || is_last_words(text),
        End::DoubleRule => text.starts_with("======================="),
        End::Stack | End::Slab => {
            text.trim() == "</TASK>"
                || text.starts_with("NMI backtrace for cpu") && text.contains("skipped: idling")
        }
        End::Panic => is_last_words(text),
        End::Locks => is_lock(text),
        End::Line | End::LineAndCut | End::Perhaps | End::OnlyWithTrace => false,
    }
}

/// What comes when all has been said after a panic.
fn is_last_words(text: &str) -> bool {
    text.starts_with("---[ end Kernel panic")
        || text.starts_with("Kernel Offset: ")
        || text.starts_with("Rebooting in ")
}

/// ` #0: ffff888001234560 (&lock){+.+.}-{4:4}, at: function+0x1/0x2`
fn is_lock(text: &str) -> bool {
    let number = text
        .strip_prefix(" #")
        .and_then(|rest| rest.split(':').next());
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether a splat that has come to its end goes on with this line all the same.
pub(super) fn goes_on(class: SplatClass, end: End, text: &str) -> bool {
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
            "Injection all locks held",
            "Future hung task reports",
            "=============================================",
            "NMI backtrace for",
            "Sending NMI from",
        ],
        SplatClass::Lockup | SplatClass::HardLockup => &["Sending NMI from", "NMI backtrace for"],
        SplatClass::WorkqueueLockup => &[
            "Injection ",
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
    let is_memory = class == SplatClass::PageAllocation && is_of_memory(text);
    let has_locks = class == SplatClass::HungTask && (is_held(text) || text.is_empty());
    is_memory || has_locks || is_trace(text) || begins_with_one_of(text, words)
}

fn is_after(end: End, text: &str) -> bool {
    match end {
        End::Trace => is_register(text),
        End::Panic => is_last_words(text),
        End::Locks => is_lock(text),
        End::Slab => text.starts_with("FIX "),
        End::SlabTrace => text.starts_with("FIX ") || is_register(text),
        _ => false,
    }
}

/// `locks held by test/77: 2, on CPU#1:`, or as older kernels have it, `2 locks held
/// by test/77:`, and what follows that.
fn is_held(text: &str) -> bool {
    let is_list = text.contains("lock") && text.contains(" held by ");
    is_list && text.ends_with(':') || is_lock(text)
}

/// The kernel's account of its memory.
fn is_of_memory(text: &str) -> bool {
    const SAID: [&str; 6] = [
        " total pagecache pages",
        " pages RAM",
        " pages HighMem/MovableOnly",
        " pages reserved",
        " pages hwpoisoned",
        " pages cma reserved",
    ];
    let is_counted = text.starts_with(|first: char| first.is_ascii_digit());
    let is_of_zone = text.contains(" free:") && text.contains(" boost:")
        || text.contains("*4kB ") && text.ends_with("kB");
    is_of_zone
        || is_counted && SAID.iter().any(|said| text.ends_with(said))
        || begins_with_one_of(
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

fn begins_with_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|words| text.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_stack_is_known() {
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
    fn each_kind_goes_on_in_its_own_way() {
        let hung = |text| goes_on(SplatClass::HungTask, End::Stack, text);
        assert!(hung(
            "INFO: task a:7 is blocked on a mutex likely owned by task b:8."
        ));
        assert!(hung("locks held by khungtaskd/31: 1, last CPU#0:"));
        assert!(
            hung("1 lock held by khungtaskd/20:") && hung(" #0: ffff (x){....}, at: f+0x1/0x2")
        );
        assert!(!hung("pci 1: gone"));
        assert!(!goes_on(SplatClass::Lockdep, End::Stack, " f+0x1/0x2"));
        assert!(!goes_on(
            SplatClass::Kasan,
            End::DoubleRule,
            "RIP: 0010:f+0x1/0x2"
        ));
        assert!(goes_on(
            SplatClass::PageAllocation,
            End::Stack,
            "262014 pages RAM"
        ));
        assert!(!goes_on(
            SplatClass::PageAllocation,
            End::Stack,
            "pages RAM"
        ));
    }
}
