// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with constructed logs.

mod hostile;
mod interleaved;
mod kinds;

use super::{Log, is_clean_boot_message, is_environment_noise, is_tsc_calibration_warning};

/// Parses a log of a kernel that prints no prefixes.
fn bare(text: &str) -> Log {
    Log::parse(format!("Linux version 7.3.4\n{text}").as_bytes())
}

/// Returns class and title of each splat.
fn titles(text: &str) -> Vec<String> {
    let splats = bare(text).splats;
    let titles = splats.iter();
    titles
        .map(|splat| format!("{}: {}", splat.class.word(), splat.title))
        .collect()
}

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
