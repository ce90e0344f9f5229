// SPDX-License-Identifier: GPL-2.0-only
//! An status held against what a scenario says should happen on a checkout. A checkout
//! is known here only by the series that it contains.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::status::{Judgement, Status, Subject};

/// What should happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The scenario should pass.
    Pass,
    /// The scenario should fail: the checkout lacks a series that it needs.
    Fail,
    /// The scenario may do what it does without a series or what it does with it: the
    /// checkout has some of its patches.
    Either,
}

/// Which series a checkout has.
#[derive(Debug, Clone, Copy)]
pub struct Has<'a> {
    /// Names of those that are in it whole.
    pub whole: &'a BTreeSet<String>,
    /// Names of those of which some patches are in it.
    pub partly: &'a BTreeSet<String>,
}

/// Returns what should happen to a scenario on a checkout that has these series.
/// A test of the tree's own should pass on every checkout.
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
/// a failure or a crash while the program was at work, at a step with fails_first, without
/// a report that the scenario does not name, and by nothing else.
#[must_use]
pub fn is_expected(expected: Expected, judgement: &Judgement) -> bool {
    let passes = judgement.status == Status::Pass;
    let fails_first = matches!(judgement.status, Status::Fail | Status::Crash)
        && judgement.in_time
        && judgement.at_first_failure
        && judgement.unnamed_splat.is_none();
    match expected {
        Expected::Pass => passes,
        Expected::Fail => fails_first,
        Expected::Either => passes || fails_first,
    }
}

/// Returns what is surprising about a run, as one sentence.
#[must_use]
pub fn surprise<'a>(
    subject: impl Into<Subject<'a>>,
    expected: Expected,
    judgement: &Judgement,
) -> Option<String> {
    if is_expected(expected, judgement) {
        return None;
    }
    let reason = &judgement.reason;
    Some(match (expected, judgement.status) {
        (Expected::Fail, Status::Pass) => {
            let needed = subject.into().fails_without().join(", ");
            format!("passes without {needed}")
        }
        (Expected::Fail | Expected::Either, Status::Fail | Status::Crash) => {
            match &judgement.unnamed_splat {
                Some(splat) if judgement.at_first_failure => {
                    format!("fails, but with a report that `fails_with` does not name: {splat}")
                }
                _ => format!("fails, but not at a step that has fails_first: {reason}"),
            }
        }
        _ => reason.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn judgement(status: Status, in_time: bool, at_first_failure: bool) -> Judgement {
        Judgement {
            status,
            reason: "so it is".to_owned(),
            cause: None,
            in_time,
            at_first_failure,
            unnamed_splat: None,
        }
    }

    fn scenario() -> Scenario {
        let text = "name: small\ntitle: small\nwhy: because\nfails_without: [flb-refcount]\n\
            boots: [{steps: [{rescan: pci, fails_first: true}]}]\n";
        Scenario::parse(text, "small.yaml").unwrap()
    }

    #[test]
    fn only_a_failure_at_work_is_the_expected_one() {
        use Status::{Crash, Error, Fail, Hang, Pass, Skip};
        for status in [Pass, Fail, Crash, Hang, Skip, Error] {
            for (in_time, at_first_failure) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut seen = judgement(status, in_time, at_first_failure);
                let bad = is_expected(Expected::Fail, &seen);
                assert_eq!(
                    bad,
                    matches!(status, Fail | Crash) && in_time && at_first_failure,
                    "{status} {in_time} {at_first_failure}"
                );
                let either = is_expected(Expected::Either, &seen);
                assert_eq!(either, bad || status == Pass, "{status}");
                let good = is_expected(Expected::Pass, &seen);
                assert_eq!(
                    good,
                    status == Pass,
                    "{status} {in_time} {at_first_failure}"
                );
                seen.unnamed_splat = Some("lockdep during boot 1: x".to_owned());
                let kselftest = is_expected(Expected::Fail, &seen);
                assert!(!kselftest, "{status} {in_time} {at_first_failure}");
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
            &judgement(Status::Pass, true, true),
        );
        assert_eq!(said.as_deref(), Some("passes without flb-refcount"));
    }
}
