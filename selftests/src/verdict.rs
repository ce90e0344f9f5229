// SPDX-License-Identifier: GPL-2.0-only
//! An outcome held against what a scenario says should happen on a stack. A stack
//! is known here only by the series that it contains.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::outcome::{Judgement, Outcome, Subject};

/// What should happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The scenario should pass.
    Pass,
    /// The scenario should fail: the stack lacks a series that it needs.
    Fail,
    /// The scenario may do what it does without a series or what it does with it: the
    /// stack has some of its patches.
    Either,
}

/// Which series a stack has.
#[derive(Debug, Clone, Copy)]
pub struct Has<'a> {
    /// Names of those that are in it whole.
    pub whole: &'a BTreeSet<String>,
    /// Names of those of which some patches are in it.
    pub partly: &'a BTreeSet<String>,
}

/// Whether it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As expected.
    Ok,
    /// A finding.
    Unexpected,
}

/// Returns what should happen to a scenario on a stack that has these series.
/// A test of the tree's own should pass on every stack.
pub fn expected<'a>(subject: impl Into<Subject<'a>>, has: Has<'_>) -> Expected {
    let subject = subject.into();
    let passes = |is_in: &dyn Fn(&String) -> bool| {
        subject.fails_without().iter().all(is_in) || !subject.fails_since().iter().all(is_in)
    };
    let without = passes(&|name| has.whole.contains(name));
    let with = passes(&|name| has.whole.contains(name) || has.partly.contains(name));
    match (without, with) {
        (true, true) => Expected::Pass,
        (false, false) => Expected::Fail,
        _ => Expected::Either,
    }
}

/// Returns whether a run came to what was expected. An expected failure is met by
/// a failure or a crash while the program was at work, at a step with teeth, without
/// a complaint that the scenario does not name, and by nothing else.
#[must_use]
pub fn verdict(expected: Expected, judgement: &Judgement) -> Verdict {
    let passes = judgement.outcome == Outcome::Pass;
    let bites = matches!(judgement.outcome, Outcome::Fail | Outcome::Crash)
        && judgement.in_time
        && judgement.at_teeth
        && judgement.foreign_splat.is_none();
    let met = match expected {
        Expected::Pass => passes,
        Expected::Fail => bites,
        Expected::Either => passes || bites,
    };
    if met {
        Verdict::Ok
    } else {
        Verdict::Unexpected
    }
}

/// Returns what is surprising about a run, as one sentence.
#[must_use]
pub fn surprise<'a>(
    subject: impl Into<Subject<'a>>,
    expected: Expected,
    judgement: &Judgement,
) -> Option<String> {
    if verdict(expected, judgement) == Verdict::Ok {
        return None;
    }
    let reason = &judgement.reason;
    Some(match (expected, judgement.outcome) {
        (Expected::Fail, Outcome::Pass) => {
            let needed = subject.into().fails_without().join(", ");
            format!("passes without {needed}")
        }
        (Expected::Fail | Expected::Either, Outcome::Fail | Outcome::Crash) => {
            match &judgement.foreign_splat {
                Some(splat) if judgement.at_teeth => {
                    format!("fails, but with a complaint that `fails_with` does not name: {splat}")
                }
                _ => format!("fails, but not at a step that has teeth: {reason}"),
            }
        }
        _ => reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn judgement(outcome: Outcome, in_time: bool, at_teeth: bool) -> Judgement {
        Judgement {
            outcome,
            reason: "so it is".to_owned(),
            blame: None,
            in_time,
            at_teeth,
            foreign_splat: None,
        }
    }

    fn scenario() -> Scenario {
        let text = "name: small\ntitle: small\nwhy: because\nfails_without: [flb-refcount]\n\
            stages: [{steps: [{rescan: pci, teeth: true}]}]\n";
        Scenario::parse(text, "small.yaml").unwrap()
    }

    #[test]
    fn only_a_failure_at_work_is_the_expected_one() {
        use Outcome::{Crash, Error, Fail, Hang, Pass, Skip};
        for outcome in [Pass, Fail, Crash, Hang, Skip, Error] {
            for (in_time, at_teeth) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut seen = judgement(outcome, in_time, at_teeth);
                let bad = verdict(Expected::Fail, &seen) == Verdict::Ok;
                assert_eq!(
                    bad,
                    matches!(outcome, Fail | Crash) && in_time && at_teeth,
                    "{outcome} {in_time} {at_teeth}"
                );
                let either = verdict(Expected::Either, &seen) == Verdict::Ok;
                assert_eq!(either, bad || outcome == Pass, "{outcome}");
                let good = verdict(Expected::Pass, &seen) == Verdict::Ok;
                assert_eq!(good, outcome == Pass, "{outcome} {in_time} {at_teeth}");
                seen.foreign_splat = Some("lockdep during stage 1: x".to_owned());
                let foreign = verdict(Expected::Fail, &seen) == Verdict::Ok;
                assert!(!foreign, "{outcome} {in_time} {at_teeth}");
            }
        }
    }

    #[test]
    fn a_base_that_passes_is_the_surprise() {
        let scenario = scenario();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = |whole: &[&str], partly: &[&str]| {
            let (whole, partly) = (set(whole), set(partly));
            let has = Has {
                whole: &whole,
                partly: &partly,
            };
            expected(&scenario, has)
        };
        assert_eq!(expected(&["pci-liveupdate"], &[]), Expected::Fail);
        let whole = ["flb-refcount", "pci-liveupdate"];
        assert_eq!(expected(&whole, &[]), Expected::Pass);
        assert_eq!(expected(&[], &["flb-refcount"]), Expected::Either);
        let said = surprise(
            &scenario,
            Expected::Fail,
            &judgement(Outcome::Pass, true, true),
        );
        assert_eq!(said.as_deref(), Some("passes without flb-refcount"));
    }
}
