// SPDX-License-Identifier: GPL-2.0-only
//! What became of the steps, and what that comes to.

use std::time::Duration;

use crate::exit::Exit;

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Passed,
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
        Came::Passed | Came::Skipped(_) => Exit::Ok,
    });
    exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok)
}

/// Returns a line for each step, and the sums.
pub(super) fn summary(steps: &[Step], took: Duration) -> String {
    let mut text = format!("\nci, {} s\n", took.as_secs());
    for step in steps {
        let (word, why) = match &step.came {
            Came::Passed => ("passed", String::new()),
            Came::Failed(..) => ("FAILED", " (see above)".to_owned()),
            Came::Skipped(why) => ("skipped", format!(": {why}")),
        };
        text += &format!("  {word:<8} {} ({} s){why}\n", step.name, step.secs);
    }
    let count = |test: fn(&Came) -> bool| steps.iter().filter(|step| test(&step.came)).count();
    text += &format!(
        "{} passed, {} failed, {} skipped\n",
        count(|came| *came == Came::Passed),
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
            step("two", Came::Failed("because".to_owned(), Exit::Finding)),
            step("three", Came::Skipped("no time".to_owned())),
        ];
        insta::assert_snapshot!(summary(&steps, Duration::from_secs(9)), @r"

        ci, 9 s
          passed   one (3 s)
          FAILED   two (3 s) (see above)
          skipped  three (3 s): no time
        1 passed, 1 failed, 1 skipped
        ");
    }
}
