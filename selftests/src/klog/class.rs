// SPDX-License-Identifier: MIT OR Apache-2.0
//! The classes of kernel reports, and their names.

use serde::{Deserialize, Serialize};

/// Defines the classes with their names in scenarios and reports.
macro_rules! classes {
    ($($(#[doc = $doc:literal])* $class:ident = $word:literal,)*) => {
        /// The class of a kernel report. It is stored as its name.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum SplatClass {
            $($(#[doc = $doc])* #[serde(rename = $word)] $class,)*
        }

        impl SplatClass {
            /// All classes.
            pub const ALL: [Self; 20] = [$(Self::$class,)*];

            /// Returns the name of the class in scenarios and reports.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$class => $word,)*
                }
            }
        }
    };
}

classes! {
    /// `WARN()` and variants.
    Warn = "WARN",
    /// `BUG()`, and other lines that begin with `BUG:`.
    Bug = "BUG",
    /// A bad memory access by the kernel.
    Oops = "Oops",
    /// A general protection fault.
    Gpf = "GPF",
    /// A fault while another fault was being handled, such as a stack overflow.
    DoubleFault = "double fault",
    /// KASAN, KFENCE, KMSAN or KCSAN.
    Kasan = "KASAN",
    /// UBSAN.
    Ubsan = "UBSAN",
    /// The lock validator, including suspicious RCU usage.
    Lockdep = "lockdep",
    /// An overflow or underflow of a `refcount_t`.
    Refcount = "refcount_t",
    /// A list with inconsistent links.
    ListCorruption = "list corruption",
    /// `ODEBUG`: invalid use of an object with a lifetime, such as a timer.
    ObjectDebug = "ODEBUG",
    /// A memory leak.
    Kmemleak = "kmemleak",
    /// A failed page or vmalloc allocation.
    PageAllocation = "page allocation failure",
    /// A task that is blocked for a long time.
    HungTask = "hung task",
    /// A soft lockup: a CPU that does not schedule.
    Lockup = "lockup",
    /// A hard lockup: a CPU that does not take interrupts.
    HardLockup = "hard lockup",
    /// A worker pool without progress.
    WorkqueueLockup = "workqueue lockup",
    /// An RCU grace period that does not end.
    RcuStall = "RCU stall",
    /// Sleeping or scheduling in atomic context.
    AtomicSleep = "atomic sleep",
    /// A kernel panic.
    Panic = "panic",
}

impl SplatClass {
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
        matches!(
            self,
            Self::HungTask
                | Self::Lockup
                | Self::HardLockup
                | Self::WorkqueueLockup
                | Self::RcuStall
        )
    }

    /// Returns the class with the given name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
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

    #[test]
    fn classes_are_stored_as_their_names() {
        for class in SplatClass::ALL {
            let json = serde_json::to_value(class).unwrap();
            assert_eq!(json, class.word());
            assert_eq!(serde_json::from_value::<SplatClass>(json).unwrap(), class);
        }
    }
}
