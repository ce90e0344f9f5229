// SPDX-License-Identifier: GPL-2.0-only
//! What the guest says about itself, read from /proc.

use std::fs;

use patchbed_protocol::{BOOT_PARAMETER, FromGuest};

/// Returns the boot that the kernel's command line names, 0 when it names none.
pub(crate) fn boot() -> u32 {
    boot_of(&read("/proc/cmdline"))
}

/// Returns what the guest says when it has begun; what cannot be read is empty.
/// The kernel makes up the name of its boot when it is first asked for it.
pub(crate) fn ready(boot: u32, missing: &[String]) -> FromGuest {
    FromGuest::RunContext {
        boot,
        boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        release: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        uptime_ms: uptime_ms(),
        missing: missing.to_vec(),
    }
}

/// Returns the time since the kernel started, in milliseconds.
pub(crate) fn uptime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn read(path: &str) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Returns the last boot that a command line names, 0 when it names none.
fn boot_of(cmdline: &str) -> u32 {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(BOOT_PARAMETER)?.parse().ok())
        .next_back()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_boot_named_counts() {
        assert_eq!(boot_of("console=ttyS0 patchbed.boot=2 panic=-1\n"), 2);
        assert_eq!(boot_of("patchbed.boot=1 patchbed.boot=3"), 3);
        assert_eq!(boot_of("patchbed.boot=x quiet"), 0);
        assert_eq!(boot_of(""), 0);
    }
}
