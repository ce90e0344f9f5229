// SPDX-License-Identifier: GPL-2.0-only
//! What a run is judged by: a scenario of ours says all that must be seen, a test
//! of the tree's own only what its exit code and its results say.

use crate::intree::InTreeTest;
use crate::klog::SplatClass;
use crate::scenario::{ExpectedSplat, Scenario};

/// What was run.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A scenario's generated test.
    Scenario(&'a Scenario),
    /// A test of the tree's own.
    InTree(&'a InTreeTest),
}

impl<'a> From<&'a Scenario> for Subject<'a> {
    fn from(scenario: &'a Scenario) -> Self {
        Self::Scenario(scenario)
    }
}

impl<'a> From<&'a InTreeTest> for Subject<'a> {
    fn from(test: &'a InTreeTest) -> Self {
        Self::InTree(test)
    }
}

impl<'a> Subject<'a> {
    /// Returns how many kernels it takes.
    #[must_use]
    pub fn stage_count(self) -> usize {
        match self {
            Self::Scenario(scenario) => scenario.stages.len(),
            Self::InTree(test) => test.stages.len(),
        }
    }

    /// Returns the series without which it must fail.
    #[must_use]
    pub fn fails_without(self) -> &'a [String] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_without,
            Self::InTree(_) => &[],
        }
    }

    /// Returns the series that brought what those mend.
    #[must_use]
    pub fn fails_since(self) -> &'a [String] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_since,
            Self::InTree(_) => &[],
        }
    }

    pub(crate) fn splats(self) -> &'a [ExpectedSplat] {
        match self {
            Self::Scenario(scenario) => &scenario.splats,
            Self::InTree(_) => &[],
        }
    }

    pub(super) fn fails_with(self) -> &'a [SplatClass] {
        match self {
            Self::Scenario(scenario) => &scenario.fails_with,
            Self::InTree(_) => &[],
        }
    }

    /// Whether a line at level error is one that is brought about on purpose.
    pub(super) fn tolerates(self, line: &str) -> bool {
        match self {
            Self::Scenario(_) => false,
            Self::InTree(test) => test.tolerates.iter().any(|one| line.contains(&one.text)),
        }
    }
}
