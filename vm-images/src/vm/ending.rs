// SPDX-License-Identifier: MIT OR Apache-2.0
//! Derives the end of a run from the end of QEMU.

use std::process::ExitStatus;

use crate::transcript::{End, Phase};

/// The facts when QEMU has ended.
#[derive(Debug, Clone)]
pub(super) struct QemuEnd {
    /// QEMU's exit status.
    pub(super) status: ExitStatus,
    /// The reason of QEMU's last shutdown event, if any.
    pub(super) shutdown: Option<String>,
    /// Whether the guest sent its goodbye.
    pub(super) goodbye: bool,
    /// The phase.
    pub(super) during: Phase,
    /// The last lines of QEMU's standard error.
    pub(super) stderr_tail: String,
}

impl QemuEnd {
    /// Returns `Ok` if the guest powered off as ordered, else the end of the run.
    pub(super) fn evaluate(self) -> Result<(), End> {
        let reason = self.shutdown.as_deref().unwrap_or("unknown");
        // QEMU exits with status 0 after a signal from another process.
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

    fn evaluate(raw_status: i32, shutdown: Option<&str>, goodbye: bool) -> Result<(), End> {
        QemuEnd {
            status: ExitStatus::from_raw(raw_status),
            shutdown: shutdown.map(str::to_owned),
            goodbye,
            during: Phase::PowerOff,
            stderr_tail: String::new(),
        }
        .evaluate()
    }

    #[test]
    fn evaluate_accepts_only_a_shutdown_after_goodbye() {
        assert_eq!(evaluate(0, Some("guest-shutdown"), true), Ok(()));
        for (shutdown, goodbye) in [
            (Some("guest-shutdown"), false),
            (Some("guest-reset"), true),
            (Some("guest-reset"), false),
            (Some("guest-panic"), true),
            (None, false),
        ] {
            let end = evaluate(0, shutdown, goodbye);
            assert!(matches!(end, Err(End::GuestGone { .. })), "{shutdown:?}");
        }
    }

    #[test]
    fn evaluate_reports_a_killed_or_failed_qemu_even_after_goodbye() {
        for (status, shutdown) in [
            (9, None),
            (1 << 8, None),
            (0, Some("host-signal")),
            (0, Some("host-qmp-quit")),
        ] {
            let end = evaluate(status, shutdown, true);
            assert!(matches!(end, Err(End::QemuDied { .. })), "{shutdown:?}");
        }
    }
}
