// SPDX-License-Identifier: MIT OR Apache-2.0
//! The classes of kernel reports, and their names.

use serde::{Deserialize, Serialize};

/// The class of a kernel report. It is stored as its name in scenarios and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&str", try_from = "String")]
pub enum SplatClass {
    /// `WARN()` and variants.
    Warn,
    /// `BUG()`, and other lines that begin with `BUG:`.
    Bug,
    /// A bad memory access by the kernel.
    Oops,
    /// A general protection fault.
    Gpf,
    /// A fault while another fault was being handled, such as a stack overflow.
    DoubleFault,
    /// KASAN, KFENCE, KMSAN or KCSAN.
    Kasan,
    /// UBSAN.
    Ubsan,
    /// The lock validator, including suspicious RCU usage.
    Lockdep,
    /// An overflow or underflow of a `refcount_t`.
    Refcount,
    /// A list with inconsistent links.
    ListCorruption,
    /// `ODEBUG`: invalid use of an object with a lifetime, such as a timer.
    ObjectDebug,
    /// A memory leak.
    Kmemleak,
    /// A failed page or vmalloc allocation.
    PageAllocation,
    /// A task that is blocked for a long time.
    HungTask,
    /// A soft lockup: a CPU that does not schedule.
    Lockup,
    /// A hard lockup: a CPU that does not take interrupts.
    HardLockup,
    /// A worker pool without progress.
    WorkqueueLockup,
    /// An RCU grace period that does not end.
    RcuStall,
    /// Sleeping or scheduling in atomic context.
    AtomicSleep,
    /// A kernel panic.
    Panic,
}

impl SplatClass {
    /// All classes.
    pub const ALL: [Self; 20] = [
        Self::Warn,
        Self::Bug,
        Self::Oops,
        Self::Gpf,
        Self::DoubleFault,
        Self::Kasan,
        Self::Ubsan,
        Self::Lockdep,
        Self::Refcount,
        Self::ListCorruption,
        Self::ObjectDebug,
        Self::Kmemleak,
        Self::PageAllocation,
        Self::HungTask,
        Self::Lockup,
        Self::HardLockup,
        Self::WorkqueueLockup,
        Self::RcuStall,
        Self::AtomicSleep,
        Self::Panic,
    ];

    /// Returns whether the kernel may not work correctly after such a report: a task died
    /// while holding locks, or memory is corrupted.
    #[must_use]
    pub const fn breaks_the_kernel(self) -> bool {
        matches!(
            self,
            Self::Bug
                | Self::Oops
                | Self::Gpf
                | Self::DoubleFault
                | Self::Kasan
                | Self::ListCorruption
                | Self::Panic
        )
    }

    /// Returns whether the class reports only that a wait took too long. The kernel
    /// measures such waits in wall time.
    #[must_use]
    pub const fn is_stall(self) -> bool {
        match self {
            Self::HungTask
            | Self::Lockup
            | Self::HardLockup
            | Self::WorkqueueLockup
            | Self::RcuStall => true,
            Self::Warn
            | Self::Bug
            | Self::Oops
            | Self::Gpf
            | Self::DoubleFault
            | Self::Kasan
            | Self::Ubsan
            | Self::Lockdep
            | Self::Refcount
            | Self::ListCorruption
            | Self::ObjectDebug
            | Self::Kmemleak
            | Self::PageAllocation
            | Self::AtomicSleep
            | Self::Panic => false,
        }
    }

    /// Returns the name of the class in scenarios and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "WARN",
            Self::Bug => "BUG",
            Self::Oops => "Oops",
            Self::Gpf => "GPF",
            Self::DoubleFault => "double fault",
            Self::Kasan => "KASAN",
            Self::Ubsan => "UBSAN",
            Self::Lockdep => "lockdep",
            Self::Refcount => "refcount_t",
            Self::ListCorruption => "list corruption",
            Self::ObjectDebug => "ODEBUG",
            Self::Kmemleak => "kmemleak",
            Self::PageAllocation => "page allocation failure",
            Self::HungTask => "hung task",
            Self::Lockup => "lockup",
            Self::HardLockup => "hard lockup",
            Self::WorkqueueLockup => "workqueue lockup",
            Self::RcuStall => "RCU stall",
            Self::AtomicSleep => "atomic sleep",
            Self::Panic => "panic",
        }
    }

    /// Returns the class with the given name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

impl From<SplatClass> for &str {
    fn from(class: SplatClass) -> Self {
        class.word()
    }
}

impl TryFrom<String> for SplatClass {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Self::from_word(&word).ok_or_else(|| format!("unknown class of kernel reports: `{word}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_word_is_the_inverse_of_word() {
        for class in SplatClass::ALL {
            assert_eq!(SplatClass::from_word(class.word()), Some(class));
        }
        assert_eq!(SplatClass::from_word("Kasan"), None);
    }
}
