// SPDX-License-Identifier: GPL-2.0-only
//! What executes a guest's instructions, and what that means for QEMU's
//! arguments. Which one to use is for `probe` to find out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor, by the kernel's KVM.
    Kvm,
    /// QEMU's own translator: everywhere, and some ten times slower.
    Tcg,
}

impl Accelerator {
    /// Returns QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Returns the processor model with all that the accelerator offers, but for
    /// five-level page tables under TCG: an interrupt while the boot processor's
    /// features are read again sees them as absent, and KASAN then complains
    /// about a wild access in code that nobody is testing.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max,la57=off",
        }
    }

    /// Returns what a kernel must be told under this accelerator. The
    /// translator has one time for all processors, but a busy host makes the
    /// kernel's comparison with other clocks fail, with a warning in the log.
    pub(crate) fn cmdline(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Tcg => "tsc=reliable",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}
