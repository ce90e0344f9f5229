// SPDX-License-Identifier: GPL-2.0-only
//! What QEMU's end says about the guest: a decision from values alone.

use std::process::ExitStatus;

use crate::transcript::{End, Phase};

/// What is known when QEMU has ended.
#[derive(Debug, Clone)]
pub(super) struct QemuEnd {
    /// QEMU's exit status.
    pub(super) status: ExitStatus,
    /// The reason of QEMU's last word on a shutdown, when it had one.
    pub(super) shutdown: Option<String>,
    /// Whether the guest said goodbye.
    pub(super) goodbye: bool,
    /// What was going on.
    pub(super) during: Phase,
    /// The last QEMU wrote to standard error.
    pub(super) stderr_tail: String,
}

impl QemuEnd {
    /// Returns nothing when the guest switched itself off in order, else what
    /// happened.
    pub(super) fn judge(self) -> Result<(), End> {
        let reason = self.shutdown.as_deref().unwrap_or("unknown");
        // A signal from elsewhere makes QEMU shut down politely, with status 0.
        let by_host = reason.starts_with("host-");
        if !self.status.success() || by_host {
            let shown = if by_host {
                format!("{}, `{reason}`", self.status)
            } else {
                self.status.to_string()
            };
            return Err(End::QemuDied {
                during: self.during,
                status: shown,
                stderr_tail: self.stderr_tail,
            });
        }
        if self.goodbye && reason != "guest-reset" && reason != "guest-panic" {
            return Ok(());
        }
        Err(End::GuestGone {
            during: self.during,
            reason: reason.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn judge(raw_status: i32, shutdown: Option<&str>, goodbye: bool) -> Result<(), End> {
        QemuEnd {
            status: ExitStatus::from_raw(raw_status),
            shutdown: shutdown.map(str::to_owned),
            goodbye,
            during: Phase::PowerOff,
            stderr_tail: String::new(),
        }
        .judge()
    }

    #[test]
    fn only_an_orderly_power_off_is_in_order() {
        assert_eq!(judge(0, Some("guest-shutdown"), true), Ok(()));
        for (shutdown, goodbye) in [
            (Some("guest-shutdown"), false),
            (Some("guest-reset"), true),
            (Some("guest-reset"), false),
            (Some("guest-panic"), true),
            (None, false),
        ] {
            let end = judge(0, shutdown, goodbye);
            assert!(matches!(end, Err(End::GuestGone { .. })), "{shutdown:?}");
        }
    }

    #[test]
    fn a_killed_or_failing_qemu_died_whatever_the_guest_said() {
        for (status, shutdown) in [
            (9, None),
            (1 << 8, None),
            (0, Some("host-signal")),
            (0, Some("host-qmp-quit")),
        ] {
            let end = judge(status, shutdown, true);
            assert!(matches!(end, Err(End::QemuDied { .. })), "{shutdown:?}");
        }
    }
}
