// SPDX-License-Identifier: GPL-2.0-only
//! What a run is judged by: a scenario of ours says all that must be seen, a test
//! of the tree's own only what its exit code and its results say.

use crate::klog::SplatClass;
use crate::kselftest::KselftestBoots;
use crate::scenario::{ExpectedSplat, Scenario};

/// What was run.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A scenario's generated test.
    Scenario(&'a Scenario),
    /// A test of the tree's own.
    Kselftest(&'a KselftestBoots),
}

impl<'a> From<&'a Scenario> for Subject<'a> {
    fn from(scenario: &'a Scenario) -> Self {
        Self::Scenario(scenario)
    }
}

impl<'a> From<&'a KselftestBoots> for Subject<'a> {
    fn from(test: &'a KselftestBoots) -> Self {
        Self::Kselftest(test)
    }
}

impl<'a> Subject<'a> {
    /// Returns how many kernels it takes.
    #[must_use]
    pub fn boot_count(self) -> usize {
        match self {
            Self::Scenario(scenario) => scenario.boots.len(),
            Self::Kselftest(test) => test.boots.len(),
        }
    }

    /// Returns the series without which it must fail.
    #[must_use]
    pub fn fails_without(self) -> &'a [String] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_without,
            Self::Kselftest(_) => &[],
        }
    }

    /// Returns the series that brought what those fix.
    #[must_use]
    pub fn fails_since(self) -> &'a [String] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_since,
            Self::Kselftest(_) => &[],
        }
    }

    pub(crate) fn splats(self) -> &'a [ExpectedSplat] {
        match self {
            Self::Scenario(scenario) => &scenario.splats,
            Self::Kselftest(_) => &[],
        }
    }

    pub(super) fn fails_with(self) -> &'a [SplatClass] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_with,
            Self::Kselftest(_) => &[],
        }
    }

    /// Whether a line at level error is one that is brought about on purpose.
    pub(super) fn tolerates(self, line: &str) -> bool {
        match self {
            Self::Scenario(_) => false,
            Self::Kselftest(test) => test.tolerates.iter().any(|one| line.contains(&one.text)),
        }
    }
}
