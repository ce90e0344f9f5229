// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first functions of a splat's stack, without the functions that print reports.

use super::class::SplatClass;
use super::trace::CALL_TRACE;
use crate::frame::Frame;

/// The start of a KFENCE report.
const KFENCE: &str = "BUG: KFENCE: ";
/// Largest number of functions of a splat.
const FRAMES_MAX: usize = 4;

/// Functions that print reports or check for errors of their callers.
const REPORTING: &[&str] = &[
    // Printing of stacks.
    "dump_stack",
    "dump_stack_lvl",
    "show_stack",
    "panic",
    "vpanic",
    "report_bug",
    "handle_bug",
    "exc_invalid_op",
    "asm_exc_invalid_op",
    // The sanitizers.
    "print_report",
    "print_address_description",
    "check_region_inline",
    "end_report",
    "ubsan_epilogue",
    "ubsan_type_mismatch_common",
    "handle_overflow",
    // The lock validator.
    "print_circular_bug",
    "print_deadlock_bug",
    "print_usage_bug",
    "print_bad_irq_dependency",
    "print_irq_inversion_bug",
    "print_unlock_imbalance_bug",
    "print_lock_invalid_wait_context",
    "print_freed_lock_bug",
    "print_held_locks_bug",
    "check_deadlock",
    "check_noncircular",
    "check_irq_usage",
    "check_prev_add",
    "check_prevs_add",
    "check_wait_context",
    "check_usage_forwards",
    "check_usage_backwards",
    "validate_chain",
    "valid_state",
    "mark_lock",
    "mark_lock_irq",
    "mark_usage",
    "mark_held_locks",
    "assign_lock_key",
    "register_lock_class",
    "__lock_acquire",
    "lock_acquire",
    "__lock_release",
    "lock_release",
    "debug_check_no_locks_freed",
    "debug_check_no_locks_held",
    "debug_locks_off",
    // The scheduler.
    "__schedule",
    "schedule",
    "schedule_preempt_disabled",
    "preempt_schedule",
    "preempt_schedule_common",
    "preempt_schedule_thunk",
    "preempt_schedule_irq",
    "context_switch",
    // Memory.
    "warn_alloc",
    "object_err",
    "slab_err",
    "slab_pad_check",
    "alloc_debug_processing",
    "free_debug_processing",
    "free_consistency_checks",
    "bad_page",
    "debug_print_object",
    "debug_check_no_obj_freed",
    "spin_dump",
    "spin_bug",
    "rwlock_bug",
    "check_preemption_disabled",
    "debug_smp_processor_id",
    "mem_dump_obj",
];

/// Prefixes of the names of other such functions.
const REPORTING_PREFIXES: &[&str] = &[
    "__warn",
    "warn_slowpath",
    "__report_bug",
    "kasan_",
    "__kasan_",
    "__asan_",
    "kfence_",
    "kcsan_",
    "__tsan_",
    "__ubsan_handle_",
    "__refcount_warn",
    "refcount_warn",
    "__list_add_valid",
    "__list_del_entry_valid",
    "lockdep_",
    "__might_",
    "__schedule_bug",
    "__cant_",
    "debug_object_",
    "__debug_object",
    "__debug_check_no_obj",
    "check_object",
    "check_bytes_and_report",
    "check_slab",
    "__slab_err",
    "__alloc_pages_slowpath",
    "__alloc_frozen_pages",
    "__alloc_pages",
    "alloc_pages",
    "sysfs_warn_dup",
    "schedule_timeout",
    "nmi_",
    "trigger_",
    "arch_trigger_",
    // Entry of interrupts.
    "asm_sysvec_",
];

/// Returns the first frames of the first stack, innermost first.
pub(super) fn frames(class: SplatClass, texts: &[&str]) -> Vec<Frame> {
    let mut all = stack(class, texts);
    // The function in RIP may be repeated as the first frame of the trace.
    all.dedup_by(|second, first| second.name() == first.name());
    let others = all
        .into_iter()
        .skip_while(|frame| is_reporting(frame.name()));
    others.take(FRAMES_MAX).collect()
}

/// Returns the frame in RIP, followed by the frames of the first trace.
fn stack(class: SplatClass, texts: &[&str]) -> Vec<Frame> {
    let mut frames = Vec::new();
    // Stacks of KFENCE have no `Call Trace:` line, and end with an empty line.
    let is_kfence = texts.first().is_some_and(|text| text.starts_with(KFENCE));
    let mut is_in_trace = is_kfence;
    let mut is_in_interrupt = false;
    for text in texts {
        match text.trim() {
            "</TASK>" if is_in_trace => break,
            "" if is_kfence && !frames.is_empty() => break,
            "<IRQ>" | "<NMI>" => is_in_interrupt = true,
            "</IRQ>" | "</NMI>" => is_in_interrupt = false,
            trimmed if trimmed.starts_with(CALL_TRACE) => is_in_trace = true,
            _ if is_in_interrupt && is_reported_by_interrupt(class) => {}
            _ => frames.extend(frame(text, is_in_trace)),
        }
    }
    frames
}

fn frame(text: &str, is_in_trace: bool) -> Option<Frame> {
    let may_be_frame = text.starts_with("RIP: ") || is_in_trace && text.starts_with(' ');
    let frame = may_be_frame.then(|| Frame::in_line(text)).flatten()?;
    frame.is_reliable.then_some(frame)
}

/// Returns whether reports of a class are printed by an interrupt of the stuck code, so that
/// the functions of the interrupt are not its callees.
fn is_reported_by_interrupt(class: SplatClass) -> bool {
    matches!(
        class,
        SplatClass::RcuStall
            | SplatClass::Lockup
            | SplatClass::HardLockup
            | SplatClass::WorkqueueLockup
    )
}

fn is_reporting(name: &str) -> bool {
    REPORTING.contains(&name)
        || REPORTING_PREFIXES
            .iter()
            .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(class: SplatClass, texts: &[&str]) -> Vec<String> {
        let frames = frames(class, texts);
        frames.iter().map(|frame| frame.name().to_owned()).collect()
    }

    #[test]
    fn frames_skips_reporting_functions_and_unreliable_entries() {
        let texts = [
            "BUG: KASAN: slab-use-after-free in use.isra.0+0x1/0x2 [fault]",
            "Call Trace:",
            " <TASK>",
            " dump_stack_lvl+0x1/0x2",
            " print_report+0x1/0x2",
            " kasan_report+0x1/0x2",
            " ? left_over+0x1/0x2",
            " use.isra.0+0x1/0x2 [fault]",
            " kasan_like_a_name+0x1/0x2",
            " </TASK>",
            "Freed by task 7:",
            " other+0x1/0x2",
        ];
        assert_eq!(
            names(SplatClass::Kasan, &texts),
            ["use", "kasan_like_a_name"]
        );
    }

    #[test]
    fn frames_reads_a_kfence_stack_without_a_call_trace_line() {
        let texts = [
            "BUG: KFENCE: use-after-free read in use+0x1/0x2",
            "",
            "Use-after-free read at 0x000000000bccbd3e (in kfence-#177):",
            " use+0x1/0x2",
            " caller+0x1/0x2",
            "",
            "freed by task 7 on cpu 1 at 28.423213s (0.030125s ago):",
            " other+0x1/0x2",
        ];
        assert_eq!(names(SplatClass::Kasan, &texts), ["use", "caller"]);
    }

    #[test]
    fn frames_puts_the_registers_before_the_trace() {
        let texts = [
            "WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1",
            "RIP: 0010:f+0x1/0x2",
            "Call Trace:",
            " <TASK>",
            " g+0x1/0x2",
            "RIP: 0033:0x4475b0",
            " </TASK>",
        ];
        assert_eq!(names(SplatClass::Warn, &texts), ["f", "g"]);
    }

    #[test]
    fn frames_skips_the_watchdog_interrupt_of_a_stall() {
        let texts = [
            "Call Trace:",
            " <IRQ>",
            " tick+0x1/0x2",
            " </IRQ>",
            " <TASK>",
            " asm_sysvec_apic_timer_interrupt+0x1/0x2",
            "RIP: 0010:spin.cold+0x1/0x2",
            " caller+0x1/0x2",
            " </TASK>",
        ];
        assert_eq!(names(SplatClass::RcuStall, &texts), ["spin", "caller"]);
        assert_eq!(names(SplatClass::Warn, &texts)[0], "tick");
    }
}
