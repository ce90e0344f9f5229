// SPDX-License-Identifier: GPL-2.0-only
//! What a host gave a guest of its time. Who is to cause for what, others decide.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the host gave the guest of its time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostTime {
    /// Whether the host tells at all how long QEMU waited for it. Where it does not,
    /// nothing is known to have been withheld.
    pub is_known: bool,
    /// Since QEMU was started.
    pub wall_ms: u64,
    /// Of it, the part in which the guest wanted to go on and the host did not let it.
    pub withheld_ms: u64,
    /// The length of the stretches of which the worst is told.
    pub window_ms: u64,
    /// The most that was withheld in one such stretch.
    pub worst_ms: u64,
}

impl HostTime {
    /// Returns what the guest had.
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
