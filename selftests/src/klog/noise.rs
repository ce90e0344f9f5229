// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel warnings that the kernel under test does not cause, each with the reason. All
//! other warnings are findings. RCU stalls must not be listed here, because a lost wakeup
//! cannot be distinguished from a busy host.

/// The start of a line, and why it is not a finding.
type Excuse = (&'static str, &'static str);

/// Warnings of a guest whose virtual CPUs the host did not run for some time.
const HOST_NOISE: &[Excuse] = &[
    (
        "hrtimer: interrupt took ",
        "timers of a virtual CPU that does not run are late",
    ),
    (
        "perf: interrupt took too long",
        "the same, reported by event sampling",
    ),
    (
        "clocksource: ",
        "the clocksource watchdog measures the wait between its two readings",
    ),
    ("TSC found unstable", "printed after such a comparison"),
    ("Marking TSC unstable", "printed after such a comparison"),
    (
        "sched_clock: Marking unstable",
        "printed after such a comparison",
    ),
    (
        "sched: DL replenish lagged too much",
        "a deadline passed while the virtual CPU did not run",
    ),
];

/// Warnings caused by modules that tests load.
const MODULE_NOISE: &[Excuse] = &[(
    "sync_point: loading out-of-tree module taints kernel.",
    "the module that holds tasks at sync points",
)];

/// Lines at level error or worse of every clean boot or shutdown.
const CLEAN_BOOT: &[Excuse] = &[(
    "reboot: Power down",
    "printed at level emergency at every power-off",
)];

/// Returns whether a busy host, or a module that a test loads, causes this line.
pub(super) fn is_environment_noise(text: &str) -> bool {
    // The name of the work function is in the middle of the line.
    let hogged = text.starts_with("workqueue: ") && text.contains(" hogged CPU for ");
    hogged || starts_with_any(text, HOST_NOISE) || starts_with_any(text, MODULE_NOISE)
}

/// Returns whether two calibrations of the time stamp counter gave different results.
/// The host stopped the guest during one of them.
pub(super) fn is_tsc_calibration_warning(text: &str) -> bool {
    text.starts_with("tsc: PIT calibration deviates from ")
}

/// Returns whether every clean boot or shutdown prints this line at level error or worse.
pub(super) fn is_clean_boot_message(text: &str) -> bool {
    starts_with_any(text, CLEAN_BOOT)
}

/// Returns whether a line only surrounds splats.
pub(super) fn is_separator(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'=' | b'-' | b' '))
        || text == "Disabling lock debugging due to kernel taint"
}

fn starts_with_any(text: &str, excuses: &[Excuse]) -> bool {
    excuses.iter().any(|(start, _)| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_matches_only_the_listed_lines() {
        assert!(is_environment_noise("hrtimer: interrupt took 7381923 ns"));
        assert!(is_environment_noise(
            "workqueue: fb_flashcursor hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND"
        ));
        for finding in [
            "rcu: rcu_preempt kthread starved for 2101 jiffies!",
            "workqueue: cannot make a worker",
            "pci 1: clocksource: odd",
            "reboot: Power down",
        ] {
            assert!(!is_environment_noise(finding), "{finding}");
        }
        assert!(is_tsc_calibration_warning(
            "tsc: PIT calibration deviates from HPET: 867594 2595322"
        ));
        assert!(!is_tsc_calibration_warning(
            "tsc: Detected 2595.163 MHz processor"
        ));
        assert!(is_clean_boot_message("reboot: Power down"));
        assert!(!is_clean_boot_message("luo: cannot reboot: Power down"));
    }
}
