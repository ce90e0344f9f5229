// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes put into a series on purpose, and whether the scenarios notice them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MutantStatus {
    /// At least two jobs came to something else than on the series: those of two
    /// scenarios, or one twice.
    Caught,
    /// All scenarios came to what they do on the series: a hole in the tests, and a finding.
    Missed,
    /// Nobody caught it, and some scenarios came to nothing on it.
    Inconclusive,
    /// Nobody could notice it: why is written down beside the series. A finding where a
    /// scenario notices it all the same.
    Equivalent,
    /// It compiles to what the series, or another mutant, compiles to.
    SameCode,
    /// It does not compile.
    Unviable,
}

/// One mutant under one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MutantResult {
    /// Its name, which is also that of its checkout behind `mutant-`.
    pub(crate) name: String,
    /// The config's name.
    pub(crate) config: String,
    /// What was done, in a sentence: "the call of `f` is left out".
    pub(crate) title: String,
    /// The number of the patch, from 1, whose change is mutated; none where it is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) patch: Option<usize>,
    /// The file, relative to the tree.
    pub(crate) file: String,
    /// The line in the file with the whole series applied, from 1.
    pub(crate) line: usize,
    /// Its difference from the series, as a unified diff.
    pub(crate) diff: String,
    /// What came of it.
    pub(crate) status: MutantStatus,
    /// The scenarios that caught it.
    pub(crate) caught_by: Vec<String>,
    /// How it was caught, or why it was not run, in a sentence.
    pub(crate) reason: String,
    /// From turning the source to the verdict, in milliseconds.
    pub(crate) duration_ms: u64,
}

impl MutantResult {
    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        match self.status {
            MutantStatus::Missed | MutantStatus::Inconclusive => true,
            MutantStatus::Equivalent => !self.caught_by.is_empty(),
            MutantStatus::Caught | MutantStatus::SameCode | MutantStatus::Unviable => false,
        }
    }
}

/// How many mutants came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) caught: usize,
    pub(crate) missed: usize,
    pub(crate) inconclusive: usize,
    /// Those that are written down as equivalent, caught or not.
    pub(crate) equivalent: usize,
    /// Those of them that are caught all the same.
    pub(crate) disproved: usize,
    pub(crate) same_code: usize,
    pub(crate) unviable: usize,
}

impl Tally {
    /// Counts mutants.
    pub(crate) fn of<'a>(mutants: impl IntoIterator<Item = &'a MutantResult>) -> Self {
        let mut tally = Self::default();
        for mutant in mutants {
            let count = match mutant.status {
                MutantStatus::Caught => &mut tally.caught,
                MutantStatus::Missed => &mut tally.missed,
                MutantStatus::Inconclusive => &mut tally.inconclusive,
                MutantStatus::Equivalent => &mut tally.equivalent,
                MutantStatus::SameCode => &mut tally.same_code,
                MutantStatus::Unviable => &mut tally.unviable,
            };
            *count += 1;
            if mutant.status == MutantStatus::Equivalent && mutant.is_finding() {
                tally.disproved += 1;
            }
        }
        tally
    }

    /// Returns how many could be caught, as far as is known.
    pub(crate) const fn testable(&self) -> usize {
        self.caught + self.missed
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
            reason: "3 scenarios come to what they do on the series".to_owned(),
            duration_ms: 9000,
        }
    }

    /// Returns one of each status that comes of a host that does not fail, and one that is caught though written down as equivalent.
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
    fn what_cannot_be_noticed_is_not_counted_among_what_can() {
        let tally = Tally::of(&one_of_each());
        assert_eq!((tally.caught, tally.testable()), (1, 2));
        assert_eq!((tally.equivalent, tally.disproved), (2, 1));
        assert_eq!((tally.same_code, tally.unviable), (1, 1));
        let findings = one_of_each();
        let findings = findings.iter().filter(|one| one.is_finding()).count();
        assert_eq!(tally.missed + tally.disproved, findings);
        let tally = Tally::of(&[mutant("a", MutantStatus::Inconclusive)]);
        assert_eq!((tally.inconclusive, tally.testable()), (1, 0));
    }
}
