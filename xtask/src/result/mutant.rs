// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes put into a series on purpose, and whether the scenarios notice them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// At least two cells came to something else than on the series: those of two
    /// scenarios, or one twice.
    Noticed,
    /// All scenarios came to what they do on the series: a hole in the tests, and a finding.
    Unnoticed,
    /// Nobody noticed it, and some scenarios came to nothing on it.
    Unproven,
    /// Nobody could notice it: why is written down beside the series. A finding where a
    /// scenario notices it all the same.
    Equivalent,
    /// It compiles to what the series, or another mutant, compiles to.
    SameObject,
    /// It does not compile.
    NotBuilt,
}

/// One mutant under one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MutantResult {
    /// Its name, which is also that of its stack behind `mutant-`.
    pub(crate) name: String,
    /// The profile's name.
    pub(crate) profile: String,
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
    pub(crate) fate: Fate,
    /// The scenarios that noticed it.
    pub(crate) noticed_by: Vec<String>,
    /// How it was noticed, or why it was not run, in a sentence.
    pub(crate) reason: String,
    /// From turning the source to the verdict, in milliseconds.
    pub(crate) duration_ms: u64,
}

impl MutantResult {
    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        match self.fate {
            Fate::Unnoticed | Fate::Unproven => true,
            Fate::Equivalent => !self.noticed_by.is_empty(),
            Fate::Noticed | Fate::SameObject | Fate::NotBuilt => false,
        }
    }
}

/// How many mutants came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) noticed: usize,
    pub(crate) unnoticed: usize,
    pub(crate) unproven: usize,
    /// Those that are written down as equivalent, noticed or not.
    pub(crate) equivalent: usize,
    /// Those of them that are noticed all the same.
    pub(crate) disproved: usize,
    pub(crate) same_object: usize,
    pub(crate) not_built: usize,
}

impl Tally {
    /// Counts mutants.
    pub(crate) fn of<'a>(mutants: impl IntoIterator<Item = &'a MutantResult>) -> Self {
        let mut tally = Self::default();
        for mutant in mutants {
            let count = match mutant.fate {
                Fate::Noticed => &mut tally.noticed,
                Fate::Unnoticed => &mut tally.unnoticed,
                Fate::Unproven => &mut tally.unproven,
                Fate::Equivalent => &mut tally.equivalent,
                Fate::SameObject => &mut tally.same_object,
                Fate::NotBuilt => &mut tally.not_built,
            };
            *count += 1;
            if mutant.fate == Fate::Equivalent && mutant.is_finding() {
                tally.disproved += 1;
            }
        }
        tally
    }

    /// Returns how many could be noticed, as far as is known.
    pub(crate) const fn noticeable(&self) -> usize {
        self.noticed + self.unnoticed
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a mutant of a line in `kernel/it.c`.
    pub(crate) fn mutant(name: &str, fate: Fate) -> MutantResult {
        MutantResult {
            name: name.to_owned(),
            profile: "fast".to_owned(),
            title: "the call `put(it);` is left out".to_owned(),
            patch: Some(2),
            file: "kernel/it.c".to_owned(),
            line: 7,
            diff: "--- a/kernel/it.c\n+++ b/kernel/it.c\n@@ -7 +7 @@\n-\tput(it);\n+\t;\n"
                .to_owned(),
            fate,
            noticed_by: Vec::new(),
            reason: "3 scenarios come to what they do on the series".to_owned(),
            duration_ms: 9000,
        }
    }

    /// Returns one of each fate that comes of a host that does not fail, and one that is noticed though written down as equivalent.
    pub(crate) fn one_of_each() -> Vec<MutantResult> {
        let disproved = MutantResult {
            noticed_by: vec!["s".to_owned()],
            ..mutant("f", Fate::Equivalent)
        };
        vec![
            mutant("a", Fate::Noticed),
            mutant("b", Fate::Unnoticed),
            mutant("c", Fate::Equivalent),
            mutant("d", Fate::SameObject),
            mutant("e", Fate::NotBuilt),
            disproved,
        ]
    }

    #[test]
    fn what_cannot_be_noticed_is_not_counted_among_what_can() {
        let tally = Tally::of(&one_of_each());
        assert_eq!((tally.noticed, tally.noticeable()), (1, 2));
        assert_eq!((tally.equivalent, tally.disproved), (2, 1));
        assert_eq!((tally.same_object, tally.not_built), (1, 1));
        let findings = one_of_each();
        let findings = findings.iter().filter(|one| one.is_finding()).count();
        assert_eq!(tally.unnoticed + tally.disproved, findings);
        let tally = Tally::of(&[mutant("a", Fate::Unproven)]);
        assert_eq!((tally.unproven, tally.noticeable()), (1, 0));
    }
}
