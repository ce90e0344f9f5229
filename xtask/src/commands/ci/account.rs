// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outcomes of steps, their summary and the exit code.

use std::collections::BTreeMap;
use std::time::Duration;

use xtask::exit::Exit;

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// Passed, but some tests did not run: how many and why.
    PassedWithout(String),
    /// Why the step failed, and its exit code.
    Failed(String, Exit),
    /// Why the step was skipped.
    Skipped(String),
}

impl Outcome {
    /// Returns the outcome of a check with these findings.
    pub(super) fn of(findings: Vec<String>) -> Self {
        if findings.is_empty() {
            Self::Passed
        } else {
            Self::Failed(findings.join("\n"), Exit::Finding)
        }
    }
}

/// A step that has run.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) secs: u64,
}

/// Returns the exit code of all steps. An infrastructure error outranks a finding, because
/// results are missing.
pub(super) fn worst(steps: &[Step]) -> Exit {
    let exits = steps.iter().map(|step| match step.outcome {
        Outcome::Failed(_, exit) => exit,
        Outcome::Passed | Outcome::PassedWithout(_) | Outcome::Skipped(_) => Exit::Ok,
    });
    exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok)
}

/// Tests that `cargo test` did not run, counted by the reason that `#[ignore]` gives.
#[derive(Debug, Default)]
pub(super) struct Ignored(BTreeMap<String, usize>);

impl Ignored {
    /// Counts a test if this line of `cargo test` reports it as ignored.
    pub(super) fn read(&mut self, line: &str) {
        let Some((_, result)) = line.split_once(" ... ignored") else {
            return;
        };
        let reason = result.strip_prefix(", ").unwrap_or("no reason given");
        *self.0.entry(reason.to_owned()).or_default() += 1;
    }

    /// Returns the outcome of a step whose tests passed.
    pub(super) fn passed(&self) -> Outcome {
        let total: usize = self.0.values().sum();
        let tests = |count| if count == 1 { "test" } else { "tests" };
        let reasons: Vec<String> = self
            .0
            .iter()
            .map(|(reason, count)| format!("{count} {}: {reason}", tests(*count)))
            .collect();
        match total {
            0 => Outcome::Passed,
            _ => Outcome::PassedWithout(format!("{total} ignored ({})", reasons.join("; "))),
        }
    }
}

/// Returns a line for each step, and the totals.
pub(super) fn summary(steps: &[Step], took: Duration) -> String {
    let mut text = format!("\nci, {} s\n", took.as_secs());
    for step in steps {
        let (word, why) = match &step.outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::PassedWithout(which) => ("passed", format!(": {which}")),
            Outcome::Failed(..) => ("FAILED", " (see above)".to_owned()),
            Outcome::Skipped(why) => ("skipped", format!(": {why}")),
        };
        text += &format!("  {word:<8} {} ({} s){why}\n", step.name, step.secs);
    }
    let count =
        |test: fn(&Outcome) -> bool| steps.iter().filter(|step| test(&step.outcome)).count();
    text += &format!(
        "{} passed, {} failed, {} skipped\n",
        count(|outcome| matches!(outcome, Outcome::Passed | Outcome::PassedWithout(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(..))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lists_outcomes_with_reasons_and_totals() {
        let step = |name, outcome| Step {
            name,
            outcome,
            secs: 3,
        };
        let steps = [
            step("one", Outcome::Passed),
            step("tests", Outcome::PassedWithout("2 ignored".to_owned())),
            step("two", Outcome::Failed("because".to_owned(), Exit::Finding)),
            step("three", Outcome::Skipped("no time".to_owned())),
        ];
        insta::assert_snapshot!(summary(&steps, Duration::from_secs(9)), @r"

        ci, 9 s
          passed   one (3 s)
          passed   tests (3 s): 2 ignored
          FAILED   two (3 s) (see above)
          skipped  three (3 s): no time
        2 passed, 1 failed, 1 skipped
        ");
    }

    #[test]
    fn ignored_counts_tests_by_reason() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.passed(), Outcome::Passed);
        for line in [
            "running 5 tests",
            "test boots ... ignored, needs a kernel",
            "test reboots ... ignored, needs a kernel",
            "test parses ... ok",
            "test compiles ... ignored, needs ccache",
            "test result: ok. 1 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out",
        ] {
            ignored.read(line);
        }
        let which = "3 ignored (2 tests: needs a kernel; 1 test: needs ccache)";
        assert_eq!(ignored.passed(), Outcome::PassedWithout(which.to_owned()));
    }
}
