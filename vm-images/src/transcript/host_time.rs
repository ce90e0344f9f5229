// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processor time that a host gave to a guest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The processor time that the host gave to the guest, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostTime {
    /// Whether the host reports how long QEMU waited for a processor. If not, `withheld_ms`
    /// is 0.
    pub is_known: bool,
    /// Time since the start of QEMU.
    pub wall_ms: u64,
    /// Part of it in which the guest was runnable, but the host did not run it.
    pub withheld_ms: u64,
    /// Length of the windows that `worst_ms` refers to.
    pub window_ms: u64,
    /// Maximum time withheld in one window.
    pub worst_ms: u64,
}

impl HostTime {
    /// Returns the time in which the guest could run.
    #[must_use]
    pub const fn given_ms(&self) -> u64 {
        self.wall_ms.saturating_sub(self.withheld_ms)
    }
}

impl fmt::Display for HostTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| (ms + 500) / 1000;
        let (given, wall) = (seconds(self.given_ms()), seconds(self.wall_ms));
        write!(f, "the host gave the guest {given} s of {wall} s")
    }
}
