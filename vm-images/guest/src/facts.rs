// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about the guest, read from /proc.

use std::fs;

use patchbed_protocol::{BOOT_PARAMETER, FromGuest};

/// Returns the boot number of the kernel's command line, 0 if there is none.
pub(crate) fn boot() -> u32 {
    boot_of(&read("/proc/cmdline"))
}

/// Returns the `Ready` message; fields that cannot be read are empty. The kernel generates
/// its boot id on the first read, so this must follow the reseeding.
pub(crate) fn ready(boot: u32, missing: &[String]) -> FromGuest {
    FromGuest::Ready {
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

/// Returns the last boot number of a command line, 0 if there is none.
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
    fn boot_of_returns_the_last_number() {
        assert_eq!(boot_of("console=ttyS0 patchbed.boot=2 panic=-1\n"), 2);
        assert_eq!(boot_of("patchbed.boot=1 patchbed.boot=3"), 3);
        assert_eq!(boot_of("patchbed.boot=x quiet"), 0);
        assert_eq!(boot_of(""), 0);
    }
}
