// SPDX-License-Identifier: MIT OR Apache-2.0
//! The accelerators of QEMU and the arguments that each needs. `probe` selects one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of the host that executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor, through the kernel's KVM.
    Kvm,
    /// QEMU's translator: works on every host, about ten times slower.
    Tcg,
}

impl Accelerator {
    /// Returns QEMU's name of the accelerator.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
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
