// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mutants of a series and the fault-injection self-checks of builds: how far a pass can
//! be relied on.
//!
//! In a self-check, a fault of each class is injected. If a build does not report an injected
//! fault, a pass on this build does not exclude faults of that class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Result of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MutantStatus {
    /// At least two jobs have another result than on the series (another status, or another
    /// timeline of a failure): jobs of two tests, or two runs of one test.
    Caught,
    /// No result on it differs repeatably from the result on the series: a gap in the tests,
    /// and a finding.
    Missed,
    /// No test caught it, and some tests have no result on it.
    Inconclusive,
    /// The series lists it as equivalent to the original code, or as unreachable under a
    /// condition that holds, with the reason. A finding if a test catches it.
    Equivalent,
    /// It compiles to the same code as the series or another mutant.
    SameCode,
    /// It does not compile.
    Unviable,
}

/// One mutant under one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MutantResult {
    /// Its name. Its checkout is called `mutant-NAME`.
    pub name: String,
    /// The config's name.
    pub config: String,
    /// The change, in a sentence: "the call of `f` is left out".
    pub title: String,
    /// The number of the patch, from 1, whose change is mutated; absent if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// The file, relative to the tree.
    pub file: String,
    /// The line in the file with the whole series applied, from 1.
    pub line: usize,
    /// Its difference from the series, as a unified diff.
    pub diff: String,
    /// Its result.
    pub status: MutantStatus,
    /// The tests that caught it.
    pub caught_by: Vec<String>,
    /// How it was caught, or the reason why it was not run, in a sentence.
    pub reason: String,
    /// From changing the source to the result, in milliseconds.
    pub duration_ms: u64,
}

impl MutantResult {
    /// Returns whether the result needs attention: it is a finding or inconclusive.
    pub fn needs_attention(&self) -> bool {
        self.is_finding() || self.is_inconclusive()
    }

    /// Returns the status as printed.
    pub fn word(&self) -> &'static str {
        match self.status {
            MutantStatus::Caught => "caught",
            MutantStatus::Missed => "MISSED",
            MutantStatus::Inconclusive => "inconclusive",
            MutantStatus::Equivalent if self.is_finding() => "CAUGHT although equivalent",
            MutantStatus::Equivalent => "equivalent",
            MutantStatus::SameCode => "same code",
            MutantStatus::Unviable => "unviable",
        }
    }

    /// Returns whether no test caught it, or a test caught an equivalent mutant.
    pub fn is_finding(&self) -> bool {
        match self.status {
            MutantStatus::Missed => true,
            MutantStatus::Equivalent => !self.caught_by.is_empty(),
            MutantStatus::Caught
            | MutantStatus::Inconclusive
            | MutantStatus::SameCode
            | MutantStatus::Unviable => false,
        }
    }

    /// Returns whether no test caught it and some tests have no result.
    pub fn is_inconclusive(&self) -> bool {
        self.status == MutantStatus::Inconclusive
    }
}

/// Counts mutants.
#[derive(Clone, Debug)]
pub struct Tally<'a>(Vec<&'a MutantResult>);

impl<'a> Tally<'a> {
    /// Takes the mutants to count.
    pub fn of(mutants: impl IntoIterator<Item = &'a MutantResult>) -> Self {
        Self(mutants.into_iter().collect())
    }

    /// Returns the number of mutants with a status.
    pub fn count(&self, status: MutantStatus) -> usize {
        self.0.iter().filter(|one| one.status == status).count()
    }

    /// Returns the number of mutants that are listed as equivalent, but caught.
    pub fn disproved(&self) -> usize {
        let equivalent = |one: &&&MutantResult| one.status == MutantStatus::Equivalent;
        let disproved = self.0.iter().filter(equivalent);
        disproved.filter(|one| one.is_finding()).count()
    }

    /// Returns the number of mutants that are either caught or missed.
    pub fn testable(&self) -> usize {
        self.count(MutantStatus::Caught) + self.count(MutantStatus::Missed)
    }
}

/// Whether faults of a class are detected on a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// A fault was injected and detected.
    Detected,
    /// A fault was injected and not detected: a finding.
    Missed,
    /// The guest gave no valid result, for example because the host was too slow.
    Inconclusive,
    /// The config cannot detect this class, so no fault was injected.
    NotConfigured,
}

impl Detection {
    /// Returns the detection as printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Missed => "MISSED",
            Self::Inconclusive => "inconclusive",
            Self::NotConfigured => "not configured",
        }
    }
}

/// The result for one fault class on one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfCheckResult {
    /// The fault class, such as `WARN`, `KASAN`, `kmemleak`, `silent death`.
    pub name: String,
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// Whether the fault was detected.
    pub detection: Detection,
    /// The title of the splat if detected, the status of the guest if missed or inconclusive,
    /// or the option that the config lacks.
    pub detail: String,
}

impl SelfCheckResult {
    /// Returns whether an injected fault was missed.
    pub fn is_finding(&self) -> bool {
        self.detection == Detection::Missed
    }

    /// Returns whether the guest gave no valid result.
    pub fn is_inconclusive(&self) -> bool {
        self.detection == Detection::Inconclusive
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a mutant of a line in `kernel/it.c`.
    pub(crate) fn mutant(name: &str, status: MutantStatus) -> MutantResult {
        MutantResult {
            name: name.to_owned(),
            config: "fast".to_owned(),
            title: "the call `put(it);` is left out".to_owned(),
            patch: Some(2),
            file: "kernel/it.c".to_owned(),
            line: 7,
            diff: "--- a/kernel/it.c\n+++ b/kernel/it.c\n@@ -7 +7 @@\n-\tput(it);\n+\t;\n"
                .to_owned(),
            status,
            caught_by: Vec::new(),
            reason: "3 tests have the same result as on the series".to_owned(),
            duration_ms: 9000,
        }
    }

    /// Returns a mutant of each status except inconclusive, and an equivalent mutant that is
    /// caught.
    pub(crate) fn one_of_each() -> Vec<MutantResult> {
        let disproved = MutantResult {
            caught_by: vec!["s".to_owned()],
            ..mutant("f", MutantStatus::Equivalent)
        };
        vec![
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Missed),
            mutant("c", MutantStatus::Equivalent),
            mutant("d", MutantStatus::SameCode),
            mutant("e", MutantStatus::Unviable),
            disproved,
        ]
    }

    #[test]
    fn testable_counts_caught_and_missed_mutants_only() {
        let all = one_of_each();
        let tally = Tally::of(&all);
        assert_eq!(
            (tally.count(MutantStatus::Caught), tally.testable()),
            (1, 2)
        );
        let equivalent = tally.count(MutantStatus::Equivalent);
        assert_eq!((equivalent, tally.disproved()), (2, 1));
        assert_eq!(tally.count(MutantStatus::SameCode), 1);
        assert_eq!(tally.count(MutantStatus::Unviable), 1);
        let findings = all.iter().filter(|one| one.is_finding()).count();
        let missed = tally.count(MutantStatus::Missed);
        assert_eq!(missed + tally.disproved(), findings);
        let inconclusive = [mutant("a", MutantStatus::Inconclusive)];
        let tally = Tally::of(&inconclusive);
        assert_eq!(tally.count(MutantStatus::Inconclusive), 1);
        assert_eq!(tally.testable(), 0);
    }
}
