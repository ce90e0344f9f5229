// SPDX-License-Identifier: GPL-2.0-only
//! Compares the files that a series changes with the files of the kernels that were run.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, FileChange, RunKernel};

use super::prepare::Ground;
use crate::commands::sources::Sources;
use crate::result::{CellResult, Coverage};
use crate::stacks::BASE;

/// What is known before the first cell.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The files that each patch of the series changes.
    changes: Vec<Vec<FileChange>>,
    changes_below: Vec<(String, Vec<FileChange>)>,
    kernels: Vec<RunKernel>,
    /// The highest number of patches in a stack under test.
    wanted: usize,
}

impl Question {
    /// Reads the lists of the kernels; `judged` are the names of the stacks under test.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub(super) fn of(
        sources: &Sources,
        grounds: &[Ground],
        judged: &[String],
    ) -> anyhow::Result<Self> {
        let patches = |name: &str| {
            let mut stacks = sources.stacks.iter();
            stacks
                .find(|stack| stack.name == name)
                .map(|stack| stack.patches)
        };
        let kernel = |ground: &Ground| {
            Ok(RunKernel {
                profile: ground.profile.clone(),
                patches: patches(&ground.stack).unwrap_or(0),
                sources: ground.kernel.sources()?,
                code: ground.kernel.facts.code.clone(),
            })
        };
        Ok(Self {
            changes: sources.changes.clone(),
            changes_below: sources.changes_below.clone(),
            kernels: grounds.iter().map(kernel).collect::<anyhow::Result<_>>()?,
            wanted: judged
                .iter()
                .filter_map(|name| patches(name))
                .max()
                .unwrap_or(0),
        })
    }

    /// Returns the answer, given the cells that ran.
    pub(super) fn answer(&self, cells: &[CellResult]) -> Coverage {
        let targets: BTreeSet<&str> = cells.iter().filter_map(target).collect();
        let targets: Vec<&str> = targets.into_iter().collect();
        let series = coverage::judge(&self.changes, &self.kernels, self.wanted, &targets);
        // A prerequisite is in every kernel.
        let with_it = |kernel: &RunKernel| RunKernel {
            patches: 1,
            ..kernel.clone()
        };
        let kernels: Vec<RunKernel> = self.kernels.iter().map(with_it).collect();
        let below = self.changes_below.iter().map(|(name, changes)| {
            let changes = std::slice::from_ref(changes);
            (
                name.clone(),
                coverage::judge(changes, &kernels, 1, &targets),
            )
        });
        Coverage::of(&series, &below.collect::<Vec<_>>())
    }
}

/// Returns the kselftest target of a cell whose program ran and has the series in it.
fn target(cell: &CellResult) -> Option<&str> {
    let ran = cell.kselftest && cell.stack != BASE;
    let ran = ran && !["skip", "error"].contains(&cell.outcome.as_str());
    cell.scenario
        .split_once(':')
        .filter(|_| ran)
        .map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    #[test]
    fn target_is_that_of_a_kselftest_that_ran_with_the_series() {
        let of = |scenario: &str, stack: &str, outcome: &str| {
            target(&cell(scenario, stack, outcome, "pass")).map(str::to_owned)
        };
        assert_eq!(
            of("net/lib:a", "series", "fail").as_deref(),
            Some("net/lib")
        );
        assert_eq!(of("kvm:a", "base", "pass"), None);
        assert_eq!(of("kvm:a", "series", "skip"), None);
        assert_eq!(of("own", "series", "pass"), None);
    }
}
