// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of checkouts: parses the words of the user, and sorts names in the order of the
//! table.

use kernel_patches::checkout::{MUTANT_PREFIX, prefix_name};

use crate::exit::bad_input;
use crate::job_plan::{BASE, SERIES};

/// After every patch of the series.
const EACH: &str = "each";

/// All mutants of the series.
pub const MUTANTS: &str = "mutants";

/// The requested mutants of the series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MutantsWanted {
    /// No mutants.
    #[default]
    None,
    /// The mutants with these names.
    Named(Vec<String>),
    /// All mutants.
    All,
}

impl MutantsWanted {
    /// Returns the mutants that the words request, and the other words.
    pub fn take_from(words: &[String]) -> (Self, Vec<String>) {
        let (mut wanted, mut rest, mut all) = (Vec::new(), Vec::new(), false);
        for word in words {
            match word.strip_prefix(MUTANT_PREFIX) {
                Some(name) => wanted.push(name.to_owned()),
                None if word == MUTANTS => all = true,
                None => rest.push(word.clone()),
            }
        }
        let wanted = match (all, wanted.is_empty()) {
            (true, _) => Self::All,
            (false, true) => Self::None,
            (false, false) => Self::Named(wanted),
        };
        (wanted, rest)
    }

    /// Returns the words that request these mutants.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Named(names) => names
                .iter()
                .map(|name| format!("{MUTANT_PREFIX}{name}"))
                .collect(),
            Self::All => vec![MUTANTS.to_owned()],
        }
    }
}

/// A word of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Base,
    Prefix(usize),
    Series,
    Each,
}

impl Word {
    fn parse(word: &str) -> Option<Self> {
        match word {
            BASE => Some(Self::Base),
            SERIES => Some(Self::Series),
            EACH => Some(Self::Each),
            other => {
                let number = other.strip_prefix("patch-")?.parse().ok()?;
                // `patch-01` would be a second name of `patch-1`.
                (prefix_name(number) == other).then_some(Self::Prefix(number))
            }
        }
    }
}

/// Checks the words without the number of patches.
///
/// # Errors
/// When a word does not name a checkout.
pub fn check(words: &[String]) -> anyhow::Result<()> {
    for word in MutantsWanted::take_from(words).1 {
        if Word::parse(&word).is_none() {
            return Err(bad_input(
                format!("unknown checkout `{word}`"),
                "use base, series, each (after every patch of the series), patch-N (after its \
                 first N patches), mutants (all mutants of the series), or mutant-NAME",
            ));
        }
    }
    Ok(())
}

/// Returns the names of the requested checkouts without duplicates, in the order in which the
/// patches are applied. The checkout with all patches is `series`.
///
/// # Errors
/// When a word does not name a checkout, or the series has fewer patches.
pub fn names(words: &[String], patches: usize) -> anyhow::Result<Vec<String>> {
    check(words)?;
    let mut wanted = Vec::new();
    for word in words.iter().filter_map(|word| Word::parse(word)) {
        match word {
            Word::Each => {
                wanted.extend((1..patches).map(Word::Prefix));
                wanted.push(Word::Series);
            }
            Word::Prefix(number) if number == patches => wanted.push(Word::Series),
            Word::Prefix(number) if number == 0 || number > patches => {
                return Err(bad_input(
                    format!("unknown checkout `{}`", prefix_name(number)),
                    format!("the series has {patches} patches; `base` is the tree without them"),
                ));
            }
            other => wanted.push(other),
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted.into_iter().map(name).collect())
}

fn name(word: Word) -> String {
    match word {
        Word::Base => BASE.to_owned(),
        Word::Prefix(number) => prefix_name(number),
        Word::Series => SERIES.to_owned(),
        Word::Each => EACH.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(words: &[&str], patches: usize) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        names(&words, patches).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn names_sorts_checkouts_and_removes_duplicates() {
        let typed = ["series", "patch-2", "each", "base"];
        let got = expand(&typed, 4).unwrap();
        assert_eq!(got, ["base", "patch-1", "patch-2", "patch-3", "series"]);
        assert_eq!(expand(&["each"], 1).unwrap(), ["series"]);
        assert_eq!(expand(&["patch-2"], 2).unwrap(), ["series"]);
    }

    #[test]
    fn take_from_separates_mutants_from_other_words() {
        let words = ["mutant-a-1", "base", "mutant-b-2"].map(str::to_owned);
        let (wanted, rest) = MutantsWanted::take_from(&words);
        assert_eq!(wanted.words(), ["mutant-a-1", "mutant-b-2"]);
        assert_eq!(rest, ["base"]);
        let words = ["mutant-a-1", "mutants"].map(str::to_owned);
        let (wanted, rest) = MutantsWanted::take_from(&words);
        assert_eq!((wanted, rest), (MutantsWanted::All, Vec::new()));
        assert!(check(&words).is_ok());
    }

    #[test]
    fn names_rejects_unknown_words_and_numbers() {
        for word in ["bases", "patch-", "patch-01", "patch--1", "Patch-1", ""] {
            let error = expand(&[word], 2).unwrap_err();
            assert!(error.contains("unknown checkout"), "{word}: {error}");
        }
        let error = expand(&["patch-3"], 2).unwrap_err();
        assert!(error.contains("the series has 2 patches"), "{error}");
        assert!(expand(&["patch-0"], 2).is_err());
    }
}
