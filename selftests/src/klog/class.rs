// SPDX-License-Identifier: GPL-2.0-only
//! The kinds of reports that are told apart, and the words for them.

/// What kind of report a splat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SplatClass {
    /// `WARN()` and its like.
    Warn,
    /// `BUG()`, and other lines that begin with `BUG:`.
    Bug,
    /// A bad access of the kernel.
    Oops,
    /// A general protection fault.
    Gpf,
    /// A fault while a fault was being told, as when a stack overflows.
    DoubleFault,
    /// The address sanitizer, and its relatives KFENCE, KMSAN and KCSAN.
    Kasan,
    /// The undefined behaviour sanitizer.
    Ubsan,
    /// The lock validator, suspicious RCU usage included.
    Lockdep,
    /// A reference count that over- or underflowed.
    Refcount,
    /// A list whose links do not fit.
    ListCorruption,
    /// An object with a life of its own, such as a timer, that is used against it.
    ObjectDebug,
    /// Memory that nobody points to.
    Kmemleak,
    /// Memory that could not be had.
    PageAllocation,
    /// A task that is blocked for long.
    HungTask,
    /// A processor that schedules nobody else: a soft lockup.
    Lockup,
    /// A processor that does not even take interrupts.
    HardLockup,
    /// A pool of workers that makes no progress.
    WorkqueueLockup,
    /// A grace period that does not end.
    RcuStall,
    /// Sleeping where it is forbidden.
    AtomicSleep,
    /// The end.
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

    /// Returns whether the kernel does not work any more as it should after it: a task
    /// died in the middle of something, or memory is not what it was.
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

    /// Returns whether the kernel complains of nothing but of having waited too long, which
    /// it measures with the wall's clock.
    #[must_use]
    pub const fn is_of_lateness(self) -> bool {
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

    /// Returns the word for the class in scenarios and reports.
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

    /// Returns the class that the word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_word_of_its_own() {
        for class in SplatClass::ALL {
            assert_eq!(SplatClass::from_word(class.word()), Some(class));
        }
        assert_eq!(SplatClass::from_word("Kasan"), None);
    }
}
