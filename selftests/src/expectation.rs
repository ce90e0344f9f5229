// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the status of a run with the status that its test should have on a checkout.
//! A checkout is represented only by the series that it contains.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judgement::{Judgement, Status};
use crate::subject::Subject;

/// The result that a test should have on a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The test should pass.
    Pass,
    /// The test should fail: the checkout lacks a series that the test needs.
    Fail,
    /// Passing and failing are both expected: the checkout contains only some patches of
    /// a series that the test needs.
    #[serde(rename = "not-asserted")]
    Either,
}

impl Expected {
    /// Returns its name, which is the same in every output format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Either => "not-asserted",
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The series that a checkout contains.
#[derive(Debug, Clone, Copy)]
pub struct Has<'a> {
    /// Names of the series with all patches applied.
    pub whole: &'a BTreeSet<String>,
    /// Names of the series with only some patches applied.
    pub partly: &'a BTreeSet<String>,
}

/// Returns the expected result of a test on a checkout that contains these series.
/// A kselftest of the tree should pass on every checkout.
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

/// Returns whether the result of a run was expected. An expected failure must be a
/// failure or a crash while the program ran, at a step marked `fails_first`, without a
/// kernel report that the scenario does not list.
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

/// Returns why the result of a run was not expected, in one sentence.
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
                    format!(
                        "fails, but with a kernel report that `fails_with` does not list: {splat}"
                    )
                }
                _ => format!("fails, but not at a step marked `fails_first`: {reason}"),
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
            in_time,
            at_first_failure,
            ..Judgement::new(status, "some reason")
        }
    }

    fn scenario() -> Scenario {
        let text = "name: small\ntitle: small\nwhy: because\nfails_without: [flb-refcount]\n\
            boots: [{steps: [{rescan: pci, fails_first: true}]}]\n";
        Scenario::parse(text, "small.yaml").unwrap()
    }

    #[test]
    fn is_expected_accepts_as_expected_failure_only_a_failure_at_the_marked_step() {
        use Status::{Crash, Error, Fail, Hang, Pass, Skip};
        for status in [Pass, Fail, Crash, Hang, Skip, Error] {
            for (in_time, at_first_failure) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut judgement = judgement(status, in_time, at_first_failure);
                let fails = is_expected(Expected::Fail, &judgement);
                assert_eq!(
                    fails,
                    matches!(status, Fail | Crash) && in_time && at_first_failure,
                    "{status} {in_time} {at_first_failure}"
                );
                let either = is_expected(Expected::Either, &judgement);
                assert_eq!(either, fails || status == Pass, "{status}");
                let passes = is_expected(Expected::Pass, &judgement);
                assert_eq!(
                    passes,
                    status == Pass,
                    "{status} {in_time} {at_first_failure}"
                );
                judgement.unnamed_splat = Some("lockdep during boot 1: x".to_owned());
                let with_splat = is_expected(Expected::Fail, &judgement);
                assert!(!with_splat, "{status} {in_time} {at_first_failure}");
            }
        }
    }

    #[test]
    fn expected_follows_the_series_and_surprise_reports_a_pass_without_them() {
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
        let surprise = surprise(
            &scenario,
            Expected::Fail,
            &judgement(Status::Pass, true, true),
        );
        assert_eq!(surprise.as_deref(), Some("passes without flb-refcount"));
    }
}
