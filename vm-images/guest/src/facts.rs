// SPDX-License-Identifier: GPL-2.0-only
//! What the guest says about itself, read from /proc.

use std::fs;

use testbed_protocol::STAGE_PARAMETER;

/// Stage, boot and kernel, as they stay for the life of this kernel.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) stage: u32,
    pub(crate) boot_id: String,
    pub(crate) release: String,
}

impl Facts {
    /// Returns the facts; what cannot be read is empty, or 0.
    pub(crate) fn gather() -> Self {
        Self {
            stage: stage_of(&read("/proc/cmdline")),
            boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        }
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

/// Returns the last stage that a command line names, 0 when it names none.
fn stage_of(cmdline: &str) -> u32 {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(STAGE_PARAMETER)?.parse().ok())
        .next_back()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_named_counts() {
        assert_eq!(stage_of("console=ttyS0 testbed.stage=2 panic=-1\n"), 2);
        assert_eq!(stage_of("testbed.stage=1 testbed.stage=3"), 3);
        assert_eq!(stage_of("testbed.stage=x quiet"), 0);
        assert_eq!(stage_of(""), 0);
    }
}
