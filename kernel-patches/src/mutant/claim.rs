// SPDX-License-Identifier: MIT OR Apache-2.0
//! Claims that no test can catch a mutant, and the condition under which a claim holds.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::config::options;

/// The claim that a mutant is equivalent, or that the tests cannot reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The explanation.
    pub why: String,
    /// The configs to which it applies; empty for all.
    #[serde(default)]
    pub configs: Vec<String>,
    /// The condition under which the mutant is unreachable. When it does not hold, the claim
    /// has expired, and the mutant is treated like any other.
    #[serde(default)]
    pub unreachable_while: Option<Condition>,
}

/// The facts about a kernel that a claim may depend on.
#[derive(Clone, Copy, Debug)]
pub struct KernelFacts<'a> {
    /// The name of its config.
    pub config: &'a str,
    /// The names of the series that are applied.
    pub contains: &'a BTreeSet<String>,
    /// The text of its `.config`.
    pub dot_config: &'a str,
}

/// Whether a claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It holds, with the reason why no test can catch the mutant.
    Holds(String),
    /// Its condition does not hold, in a sentence.
    Expired(String),
}

impl Claim {
    /// Returns whether it holds for a kernel; `None` if it is about other configs.
    pub fn validity(&self, kernel: &KernelFacts<'_>) -> Option<Validity> {
        if !self.configs.is_empty() && !self.configs.iter().any(|name| name == kernel.config) {
            return None;
        }
        let why = self.why.trim();
        Some(match &self.unreachable_while {
            None => Validity::Holds(why.to_owned()),
            Some(condition) if condition.holds_for(kernel) => {
                Validity::Holds(format!("unreachable while {condition}: {why}"))
            }
            Some(condition) => Validity::Expired(format!(
                "the claim `unreachable while {condition}` has expired"
            )),
        })
    }
}

/// A condition like `flb-incoming-count is not applied` or `CONFIG_MODULES is not y`. Several
/// are joined by ` and `.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition(Vec<Fact>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    /// A series, or a config option.
    subject: String,
    /// The value of the option; `None` for a series.
    value: Option<String>,
    is_negated: bool,
}

const APPLIED: &str = "applied";

impl Condition {
    /// Returns whether all its parts hold.
    fn holds_for(&self, kernel: &KernelFacts<'_>) -> bool {
        self.0
            .iter()
            .all(|fact| fact.is_true(kernel) != fact.is_negated)
    }

    /// Returns the names of the series that it refers to.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        let series = self.0.iter().filter(|fact| fact.value.is_none());
        series.map(|fact| fact.subject.as_str())
    }
}

impl Fact {
    fn is_true(&self, kernel: &KernelFacts<'_>) -> bool {
        let Some(value) = &self.value else {
            return kernel.contains.contains(&self.subject);
        };
        let options = options(kernel.dot_config);
        options.get(self.subject.as_str()).copied().unwrap_or("n") == value
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (subject, is_negated, value) = match words.as_slice() {
            [subject, "is", "not", value] => (*subject, true, *value),
            [subject, "is", value] => (*subject, false, *value),
            _ => return None,
        };
        let is_option = subject.starts_with("CONFIG_");
        (is_option || value == APPLIED).then(|| Self {
            subject: subject.to_owned(),
            value: is_option.then(|| value.to_owned()),
            is_negated,
        })
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let facts: Option<Vec<Fact>> = text.split(" and ").map(Fact::parse).collect();
        facts.map(Self).ok_or_else(|| {
            format!(
                "invalid condition `{text}`: use `SERIES is [not] applied` or `CONFIG_X is [not] \
                 VALUE`, joined by `and`"
            )
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fact) in self.0.iter().enumerate() {
            let and = if index > 0 { " and " } else { "" };
            let not = if fact.is_negated { "not " } else { "" };
            let value = fact.value.as_deref().unwrap_or(APPLIED);
            write!(formatter, "{and}{} is {not}{value}", fact.subject)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        Condition::try_from(text.to_owned()).unwrap()
    }

    fn validity(claim: &Claim, contains: &[&str], dot_config: &str) -> Option<Validity> {
        let contains = contains.iter().map(|name| (*name).to_owned()).collect();
        claim.validity(&KernelFacts {
            config: "fast",
            contains: &contains,
            dot_config,
        })
    }

    fn holds(claim: &Claim, contains: &[&str], dot_config: &str) -> bool {
        matches!(
            validity(claim, contains, dot_config),
            Some(Validity::Holds(_))
        )
    }

    fn unreachable(text: &str) -> Claim {
        Claim {
            why: "It returns before.\n".to_owned(),
            unreachable_while: Some(condition(text)),
            ..Claim::default()
        }
    }

    #[test]
    fn claim_expires_when_the_series_is_applied() {
        let claim = unreachable("flb-incoming-count is not applied");
        assert_eq!(
            validity(&claim, &["flb-refcount"], ""),
            Some(Validity::Holds(
                "unreachable while flb-incoming-count is not applied: It returns before."
                    .to_owned()
            ))
        );
        assert_eq!(
            validity(&claim, &["flb-refcount", "flb-incoming-count"], ""),
            Some(Validity::Expired(
                "the claim `unreachable while flb-incoming-count is not applied` has expired"
                    .to_owned()
            ))
        );
        let claim = unreachable("a is applied");
        assert!(holds(&claim, &["a"], "") && !holds(&claim, &["b"], ""));
    }

    #[test]
    fn claim_expires_when_an_option_changes() {
        let claim = unreachable("CONFIG_A is not m");
        assert!(holds(&claim, &[], "CONFIG_A=y\n") && holds(&claim, &[], ""));
        assert!(!holds(&claim, &[], "CONFIG_A=m\n"));
        let claim = unreachable("CONFIG_A is n");
        assert!(holds(&claim, &[], "# CONFIG_A is not set\n"));
        assert!(!holds(&claim, &[], "CONFIG_A=y\n"));
    }

    #[test]
    fn claim_with_two_conditions_needs_both() {
        let claim = unreachable("a is applied and CONFIG_B is y");
        assert!(holds(&claim, &["a"], "CONFIG_B=y"));
        assert!(!holds(&claim, &["a"], "") && !holds(&claim, &[], "CONFIG_B=y"));
    }

    #[test]
    fn claim_about_other_configs_neither_holds_nor_expires() {
        let claim = |config: &str| Claim {
            configs: vec![config.to_owned()],
            ..unreachable("a is applied")
        };
        assert_eq!(validity(&claim("kasan"), &["a"], ""), None);
        assert_eq!(validity(&claim("kasan"), &[], ""), None);
        assert!(holds(&claim("fast"), &["a"], ""));
        let plain = Claim {
            why: "Both run under the lock.\n".to_owned(),
            ..Claim::default()
        };
        assert_eq!(
            validity(&plain, &[], ""),
            Some(Validity::Holds("Both run under the lock.".to_owned()))
        );
    }

    #[test]
    fn condition_prints_as_written_and_lists_its_series() {
        let text = "a-b is not applied and CONFIG_B is y and c is applied";
        let condition = condition(text);
        assert_eq!(condition.to_string(), text);
        assert_eq!(condition.series().collect::<Vec<_>>(), ["a-b", "c"]);
    }

    #[test]
    fn condition_rejects_other_texts() {
        for text in [
            "",
            "a",
            "a applied",
            "a is gone",
            "CONFIG_A is",
            "a is applied and",
        ] {
            let error = Condition::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains("invalid condition"), "{text}: {error}");
        }
    }
}
