// SPDX-License-Identifier: GPL-2.0-only
//! Lines of a kernel that say nothing about the kernel under test, each with the
//! reason. What is not named here counts; stalls of RCU never belong here, because
//! a lost wakeup looks just like a busy host.

/// What a line contains, and why it is no report.
type Excuse = (&'static str, &'static str);

/// Warnings of a guest whose processors the host let wait.
const HOST_NOISE: &[Excuse] = &[
    (
        "hrtimer: interrupt took ",
        "a virtual processor that does not run makes its timers late",
    ),
    (
        "perf: interrupt took too long",
        "the same, seen by the sampling of events",
    ),
    (
        "clocksource: ",
        "a watchdog that compares two clocks sees the wait between the readings",
    ),
    (
        "TSC found unstable",
        "what the kernel makes of such a comparison",
    ),
    (
        "Marking TSC unstable",
        "what the kernel makes of such a comparison",
    ),
    (
        "sched_clock: Marking unstable",
        "what the kernel makes of such a comparison",
    ),
    (
        "sched: DL replenish lagged too much",
        "a deadline passed while the virtual processor did not run",
    ),
];

/// Warnings that a test brings about by what it loads, and not by what it tests.
const OWN_NOISE: &[Excuse] = &[(
    "sync_point: loading out-of-tree module taints kernel.",
    "the module by which a test lets a task stand still",
)];

/// Lines at level error or worse of every clean boot or shutdown.
const CLEAN_BOOT: &[Excuse] = &[(
    "reboot: Power down",
    "the order to switch off, logged as an emergency so that it is always seen",
)];

/// Returns whether a busy host, or a test by what it loads, makes a guest write this.
pub(super) fn is_of_surroundings(text: &str) -> bool {
    // The name of a work's function stands in the middle.
    let hogged = text.starts_with("workqueue: ") && text.contains(" hogged CPU for ");
    hogged || starts_with_one_of(text, HOST_NOISE) || starts_with_one_of(text, OWN_NOISE)
}

/// Returns whether a kernel measured its time stamp counter in two ways and got two
/// results: one was taken while the host kept it waiting.
pub(super) fn doubts_clock(text: &str) -> bool {
    text.starts_with("tsc: PIT calibration deviates from ")
}

/// Returns whether every clean boot says this, however loud.
pub(super) fn is_of_clean_boot(text: &str) -> bool {
    starts_with_one_of(text, CLEAN_BOOT)
}

/// Returns whether a line stands around splats, and says nothing by itself.
pub(super) fn is_decoration(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'=' | b'-' | b' '))
        || text == "Disabling lock debugging due to kernel taint"
}

fn starts_with_one_of(text: &str, excuses: &[Excuse]) -> bool {
    excuses.iter().any(|(words, _)| text.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_noise() {
        assert!(is_of_surroundings("hrtimer: interrupt took 7381923 ns"));
        assert!(is_of_surroundings(
            "workqueue: fb_flashcursor hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND"
        ));
        for told in [
            "rcu: rcu_preempt kthread starved for 2101 jiffies!",
            "workqueue: cannot make a worker",
            "pci 1: clocksource: odd",
            "reboot: Power down",
        ] {
            assert!(!is_of_surroundings(told), "{told}");
        }
        assert!(doubts_clock(
            "tsc: PIT calibration deviates from HPET: 867594 2595322"
        ));
        assert!(!doubts_clock("tsc: Detected 2595.163 MHz processor"));
        assert!(is_of_clean_boot("reboot: Power down"));
        assert!(!is_of_clean_boot("luo: cannot reboot: Power down"));
    }
}
