// SPDX-License-Identifier: GPL-2.0-only
//! Names of checkouts: as the user types them, and in the order of the table. Knows how
//! many patches the series has, and nothing else of it.

use kernel_patches::checkout::{MUTANT_PREFIX, prefix_name};

use crate::exit::bad_input;

/// The tree and the prerequisites, without the series.
pub(crate) const BASE: &str = "base";
/// The same with the whole series.
pub(crate) const SERIES: &str = "series";
/// After every patch of the series.
const EACH: &str = "each";

/// The series with one mistake each.
pub(crate) const MUTANTS: &str = "mutants";

/// Which mutants of the series are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum MutantsWanted {
    #[default]
    None,
    /// Those with these names.
    Named(Vec<String>),
    All,
}

impl MutantsWanted {
    /// Returns the mutants that the words stand for, and the other words.
    pub(crate) fn take_from(words: &[String]) -> (Self, Vec<String>) {
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

    /// Returns the words that stand for them.
    pub(crate) fn words(&self) -> Vec<String> {
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

/// A word as typed.
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
                // No `patch-01`, which would be another name for the same.
                (prefix_name(number) == other).then_some(Self::Prefix(number))
            }
        }
    }
}

/// Makes sure that each is a word for checkouts, whatever the series is.
///
/// # Errors
/// When one is none.
pub(crate) fn check(words: &[String]) -> anyhow::Result<()> {
    for word in MutantsWanted::take_from(words).1 {
        if Word::parse(&word).is_none() {
            return Err(bad_input(
                format!("there is no checkout `{word}`"),
                "checkouts are: base, series, each (after every patch of the series), patch-N \
                 (after its first N patches), mutants (the series with a mistake put into \
                 it, each in its turn), or mutant-NAME",
            ));
        }
    }
    Ok(())
}

/// Returns the names of the checkouts that the words stand for, each once, in the order
/// in which the patches are applied; what has all patches is `series`.
///
/// # Errors
/// When a word is none, or the series has no so many patches.
pub(crate) fn names(words: &[String], patches: usize) -> anyhow::Result<Vec<String>> {
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
                    format!("there is no checkout `{}`", prefix_name(number)),
                    format!("the series has {patches} patches; without any, it is `base`"),
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
    fn checkouts_come_in_the_order_of_the_patches_each_once() {
        let typed = ["series", "patch-2", "each", "base"];
        let got = expand(&typed, 4).unwrap();
        assert_eq!(got, ["base", "patch-1", "patch-2", "patch-3", "series"]);
        assert_eq!(expand(&["each"], 1).unwrap(), ["series"]);
        assert_eq!(expand(&["patch-2"], 2).unwrap(), ["series"]);
    }

    #[test]
    fn mutants_are_told_from_other_checkouts() {
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
    fn what_is_no_checkout_is_refused() {
        for word in ["bases", "patch-", "patch-01", "patch--1", "Patch-1", ""] {
            let error = expand(&[word], 2).unwrap_err();
            assert!(error.contains("there is no checkout"), "{word}: {error}");
        }
        let error = expand(&["patch-3"], 2).unwrap_err();
        assert!(error.contains("the series has 2 patches"), "{error}");
        assert!(expand(&["patch-0"], 2).is_err());
    }
}
