// SPDX-License-Identifier: GPL-2.0-only
//! The plan: which cells a run consists of, as a pure value.
//!
//! Made from arguments and the project's own data alone; no tree is opened, no
//! kernel built. What is expected of a cell depends on what its stack contains
//! and is worked out later.

use kernel_patches::tree::TreeRequest;
use serde::{Deserialize, Serialize};

use crate::result::{CellResult, RunResult};

/// One VM run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CellPlan {
    pub(crate) scenario: String,
    pub(crate) profile: String,
    pub(crate) stack: String,
    pub(crate) machine: String,
    /// From 1.
    pub(crate) repetition: u32,
}

impl CellPlan {
    /// Returns the cell's folder below the run folder.
    pub(crate) fn folder(&self) -> String {
        let Self {
            scenario,
            profile,
            stack,
            repetition,
            ..
        } = self;
        match repetition {
            1 => format!("{profile}/{stack}/{scenario}"),
            more => format!("{profile}/{stack}/{scenario}.{more}"),
        }
    }

    /// Returns the cell's name for people.
    pub(crate) fn label(&self) -> String {
        let Self {
            scenario,
            profile,
            stack,
            repetition,
            ..
        } = self;
        match repetition {
            1 => format!("{scenario} on {stack} ({profile})"),
            more => format!("{scenario} on {stack} ({profile}, repetition {more})"),
        }
    }
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) stacks: Vec<String>,
    pub(crate) profiles: Vec<String>,
    pub(crate) machine: String,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    /// Options beyond scenario, stack and profile that make the same run again.
    pub(crate) again: String,
    pub(crate) cells: Vec<CellPlan>,
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) stacks: Vec<String>,
    pub(crate) profiles: Vec<String>,
    pub(crate) machine: String,
    pub(crate) scenarios: Vec<String>,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    pub(crate) again: String,
}

impl Plan {
    /// Returns the plan for what is wished: every scenario on every stack with
    /// every profile, as often as asked.
    pub(crate) fn new(wishes: Wishes) -> Self {
        let Wishes {
            tree,
            series,
            prerequisites,
            stacks,
            profiles,
            machine,
            ..
        } = wishes;
        let mut cells = Vec::new();
        for profile in &profiles {
            for scenario in &wishes.scenarios {
                for stack in &stacks {
                    for repetition in 1..=wishes.repeat {
                        cells.push(CellPlan {
                            scenario: scenario.clone(),
                            profile: profile.clone(),
                            stack: stack.clone(),
                            machine: machine.clone(),
                            repetition,
                        });
                    }
                }
            }
        }
        Self {
            tree,
            series,
            prerequisites,
            stacks,
            profiles,
            machine,
            repeat: wishes.repeat,
            check_snapshots: wishes.check_snapshots,
            again: wishes.again,
            cells,
        }
    }

    /// Returns what the run came to, from the results of its cells.
    pub(crate) fn result(&self, tree: String, cells: Vec<CellResult>) -> RunResult {
        let prerequisites = self.prerequisites.clone();
        RunResult::new(tree, self.series.clone(), prerequisites, cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;

    fn wishes() -> Wishes {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Wishes {
            tree: TreeRequest::Default,
            series: "flb-refcount".to_owned(),
            prerequisites: owned(&["pci-liveupdate", "liveupdate-test-driver"]),
            stacks: owned(&["base", "series"]),
            profiles: owned(&["fast"]),
            machine: "edu-pair".to_owned(),
            scenarios: owned(&["live-update-kexec", "sysfs-remove-while-preserved"]),
            repeat: 1,
            check_snapshots: true,
            again: String::new(),
        }
    }

    #[test]
    fn the_printed_plan() {
        insta::assert_snapshot!(render::plan::text(&Plan::new(wishes())), @r"
        tree:      the newest linux-source-7.x that Debian offers
        stack:     base = tree + pci-liveupdate + liveupdate-test-driver
        stack:     series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        profiles:  fast
        machine:   edu-pair
        snapshots: checked
        cells:     4
          live-update-kexec on base (fast)
          live-update-kexec on series (fast)
          sysfs-remove-while-preserved on base (fast)
          sysfs-remove-while-preserved on series (fast)
        ");
    }

    #[test]
    fn repetitions_are_cells_of_their_own() {
        let plan = Plan::new(Wishes {
            repeat: 3,
            ..wishes()
        });
        assert_eq!(plan.cells.len(), 12);
        let folders: std::collections::BTreeSet<_> =
            plan.cells.iter().map(CellPlan::folder).collect();
        assert_eq!(folders.len(), 12);
    }
}
