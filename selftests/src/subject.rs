// SPDX-License-Identifier: MIT OR Apache-2.0
//! The test that a run is judged by. A scenario lists all expected kernel messages; a
//! kselftest of the tree has only its exit code and its results.

use crate::klog::{Phase, Splat, SplatClass};
use crate::kselftest::KselftestBoots;
use crate::scenario::{ExpectedSplat, Scenario};

/// The test of a run.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// The generated test of a scenario.
    Scenario(&'a Scenario),
    /// A kselftest of the tree.
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
    fn scenario(self) -> Option<&'a Scenario> {
        match self {
            Self::Scenario(scenario) => Some(scenario),
            Self::Kselftest(_) => None,
        }
    }

    /// Returns the number of boots of the test.
    #[must_use]
    pub fn boot_count(self) -> usize {
        match self {
            Self::Scenario(scenario) => scenario.boots.len(),
            Self::Kselftest(test) => test.boots.len(),
        }
    }

    /// Returns the series that the test fails without.
    #[must_use]
    pub fn fails_without(self) -> &'a [String] {
        self.scenario()
            .map_or(&[], |scenario| &scenario.fails_without)
    }

    /// Returns the series that introduced the bug which those series fix.
    #[must_use]
    pub fn fails_since(self) -> &'a [String] {
        self.scenario()
            .map_or(&[], |scenario| &scenario.fails_since)
    }

    pub(crate) fn splats(self) -> &'a [ExpectedSplat] {
        self.scenario().map_or(&[], |scenario| &scenario.splats)
    }

    pub(crate) fn fails_with(self) -> &'a [SplatClass] {
        self.scenario().map_or(&[], |scenario| &scenario.fails_with)
    }

    /// Returns whether the test provokes this kernel report.
    pub(crate) fn expects(self, splat: &Splat) -> bool {
        self.splats().iter().any(|expected| expected.covers(splat))
    }

    /// Returns whether the test provokes this kernel line at level error on purpose.
    pub(crate) fn tolerates(self, line: &str) -> bool {
        let Self::Kselftest(test) = self else {
            return false;
        };
        let mut tolerated = test.tolerates.iter();
        tolerated.any(|tolerated| line.contains(&tolerated.text))
    }
}

impl ExpectedSplat {
    /// Returns whether this splat matches the expectation.
    #[must_use]
    pub fn covers(&self, splat: &Splat) -> bool {
        splat.class == self.class
            && splat.boot == self.boot
            && splat.phase == Phase::During
            && splat.mentions(&self.text)
    }
}
