// SPDX-License-Identifier: GPL-2.0-only
//! What became of the steps, and what that comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit::Exit;

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Passed,
    /// Passed, but these tests did not run: how many and why.
    PassedWithout(String),
    /// What is wrong, and the exit code it leads to.
    Failed(String, Exit),
    /// Why it was not done.
    Skipped(String),
}

/// A step that was taken.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) came: Came,
    pub(super) secs: u64,
}

/// Returns what becomes of a step that complains of these.
pub(super) fn verdict(reports: Vec<String>) -> Came {
    if reports.is_empty() {
        Came::Passed
    } else {
        Came::Failed(reports.join("\n"), Exit::Finding)
    }
}

/// A host that failed leaves things inconclusive, which outranks a finding.
pub(super) fn worst(steps: &[Step]) -> Exit {
    let exits = steps.iter().map(|step| match step.came {
        Came::Failed(_, exit) => exit,
        Came::Passed | Came::PassedWithout(_) | Came::Skipped(_) => Exit::Ok,
    });
    exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok)
}

/// Tests that `cargo test` did not run, counted by the reason that `#[ignore]` gives.
#[derive(Debug, Default)]
pub(super) struct Ignored(BTreeMap<String, usize>);

impl Ignored {
    /// Counts a test, if this line of `cargo test` is the one of an ignored test.
    pub(super) fn read(&mut self, line: &str) {
        let Some((_, result)) = line.split_once(" ... ignored") else {
            return;
        };
        let reason = result.strip_prefix(", ").unwrap_or("no reason given");
        *self.0.entry(reason.to_owned()).or_default() += 1;
    }

    /// Returns the result of a step whose tests passed.
    pub(super) fn passed(&self) -> Came {
        let total: usize = self.0.values().sum();
        let tests = |count| if count == 1 { "test" } else { "tests" };
        let reasons: Vec<String> = self
            .0
            .iter()
            .map(|(reason, count)| format!("{count} {}: {reason}", tests(*count)))
            .collect();
        match total {
            0 => Came::Passed,
            _ => Came::PassedWithout(format!("{total} ignored ({})", reasons.join("; "))),
        }
    }
}

/// Returns a line for each step, and the sums.
pub(super) fn summary(steps: &[Step], took: Duration) -> String {
    let mut text = format!("\nci, {} s\n", took.as_secs());
    for step in steps {
        let (word, why) = match &step.came {
            Came::Passed => ("passed", String::new()),
            Came::PassedWithout(which) => ("passed", format!(": {which}")),
            Came::Failed(..) => ("FAILED", " (see above)".to_owned()),
            Came::Skipped(why) => ("skipped", format!(": {why}")),
        };
        text += &format!("  {word:<8} {} ({} s){why}\n", step.name, step.secs);
    }
    let count = |test: fn(&Came) -> bool| steps.iter().filter(|step| test(&step.came)).count();
    text += &format!(
        "{} passed, {} failed, {} skipped\n",
        count(|came| matches!(came, Came::Passed | Came::PassedWithout(_))),
        count(|came| matches!(came, Came::Failed(..))),
        count(|came| matches!(came, Came::Skipped(_))),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_says_why() {
        let step = |name, came| Step {
            name,
            came,
            secs: 3,
        };
        let steps = [
            step("one", Came::Passed),
            step("tests", Came::PassedWithout("2 ignored".to_owned())),
            step("two", Came::Failed("because".to_owned(), Exit::Finding)),
            step("three", Came::Skipped("no time".to_owned())),
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
    fn ignored_tests_are_counted_by_reason() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.passed(), Came::Passed);
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
        assert_eq!(ignored.passed(), Came::PassedWithout(which.to_owned()));
    }
}
