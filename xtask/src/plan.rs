// SPDX-License-Identifier: GPL-2.0-only
//! The plan: which cells a run consists of, as a pure value.
//!
//! Made from arguments and the project's own data alone; no tree is opened, no
//! kernel built. What is expected of a cell depends on what its stack contains
//! and is worked out later. Of the tree's own tests, a plan has what is asked for;
//! their cells are added when the tree has said which tests there are.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path};
use kernel_patches::kselftest::Wanted;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;
use serde::{Deserialize, Serialize};

/// One VM run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CellPlan {
    /// The scenario's name, or `TARGET:TEST` for a test of the tree's own.
    pub(crate) scenario: String,
    pub(crate) profile: String,
    pub(crate) stack: String,
    pub(crate) machine: String,
    /// From 1.
    pub(crate) repetition: u32,
}

impl CellPlan {
    /// Returns TARGET and TEST, if it is a test of the tree's own.
    pub(crate) fn kselftest(&self) -> Option<(&str, &str)> {
        // No scenario's name has a colon.
        self.scenario.split_once(':')
    }

    /// Returns the cell's folder below the run folder. Names of tests have no `~`,
    /// so that no two cells share a folder, and none is in another's.
    pub(crate) fn folder(&self) -> String {
        let Self {
            scenario,
            profile,
            stack,
            repetition,
            ..
        } = self;
        if let Some((target, test)) = self.kselftest() {
            let target = target.replace('/', "~");
            let place = format!("{profile}/{stack}/kselftest/{target}/{test}");
            return match repetition {
                1 => place,
                more => format!("{place}~{more}"),
            };
        }
        match repetition {
            1 => format!("{profile}/{stack}/{scenario}"),
            more => format!("{profile}/{stack}/{scenario}.{more}"),
        }
    }

    /// Returns what of the cell's names would lead out of its folder's place.
    fn stray(&self) -> Option<String> {
        let (target, test) = self.kselftest().unwrap_or(("kselftest", &self.scenario));
        let parts = [&self.profile, &self.stack, &target.replace('/', "~"), test];
        let stray = parts.into_iter().find(|part| !is_plain_name(part));
        stray.map(str::to_owned)
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

/// Makes sure that each cell has a folder of its own below the run folder.
///
/// # Errors
/// Says which cell has none.
pub(crate) fn check_cells<'a>(cells: impl IntoIterator<Item = &'a CellPlan>) -> Result<(), String> {
    let mut folders = BTreeSet::new();
    for (index, cell) in cells.into_iter().enumerate() {
        if let Some(part) = cell.stray() {
            return Err(format!("`cells[{index}]`: `{part}` is no plain name"));
        }
        if !folders.insert(cell.folder()) {
            let label = cell.label();
            return Err(format!("`cells[{index}]`: {label} is there twice"));
        }
    }
    Ok(())
}

/// Returns whether a word is one part of a path, which leads nowhere else.
fn is_plain_name(word: &str) -> bool {
    let mut parts = Utf8Path::new(word).components();
    let is_one = parts.next() == Some(Utf8Component::Normal(word)) && parts.next().is_none();
    is_one && !word.contains(char::is_control)
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) stacks: Vec<String>,
    pub(crate) profiles: Vec<String>,
    /// The machine for all cells; none, when each scenario has its own.
    pub(crate) machine: Option<String>,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    /// Options beyond scenario, stack and profile that make the same run again, word by
    /// word.
    pub(crate) again: Vec<String>,
    /// The tree's own tests that are asked for.
    #[serde(default)]
    pub(crate) kselftests: Vec<Wanted>,
    /// Words for the mutants that are asked for: `mutants`, or `mutant-NAME`.
    #[serde(default)]
    pub(crate) mutants: Vec<String>,
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
    pub(crate) machine: Option<String>,
    /// Scenarios and the machines that they name.
    pub(crate) scenarios: Vec<(String, String)>,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    pub(crate) again: Vec<String>,
    pub(crate) kselftests: Vec<Wanted>,
    pub(crate) mutants: Vec<String>,
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
            scenarios,
            repeat,
            check_snapshots,
            again,
            kselftests,
            mutants,
        } = wishes;
        let plan = Self {
            tree,
            series,
            prerequisites,
            stacks,
            profiles,
            machine,
            repeat,
            check_snapshots,
            again,
            kselftests,
            mutants,
            cells: Vec::new(),
        };
        plan.with_cells_of(&scenarios)
    }

    /// Returns the options that make the same run again, as they are typed in a shell behind
    /// a command.
    pub(crate) fn options(&self) -> String {
        let words = self.again.iter().map(|word| format!(" {}", quote(word)));
        words.collect()
    }

    /// Returns the plan with cells for these names too, and the machines they name:
    /// scenarios, or tests of the tree's own as `TARGET:TEST`.
    pub(crate) fn with_cells_of(mut self, names: &[(String, String)]) -> Self {
        for profile in &self.profiles {
            for (name, machine) in names {
                for stack in &self.stacks {
                    for repetition in 1..=self.repeat {
                        self.cells.push(CellPlan {
                            scenario: name.clone(),
                            profile: profile.clone(),
                            stack: stack.clone(),
                            machine: self.machine.as_ref().unwrap_or(machine).clone(),
                            repetition,
                        });
                    }
                }
            }
        }
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
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
            machine: None,
            scenarios: ["live-update-kexec", "sysfs-remove-while-preserved"]
                .map(|name| (name.to_owned(), "edu-pair".to_owned()))
                .to_vec(),
            repeat: 1,
            check_snapshots: true,
            again: Vec::new(),
            kselftests: Vec::new(),
            mutants: Vec::new(),
        }
    }

    /// A plan of four cells.
    pub(crate) fn plan() -> Plan {
        Plan::new(wishes())
    }

    #[test]
    fn the_printed_plan() {
        insta::assert_snapshot!(render::plan::text(&Plan::new(wishes())), @r"
        tree:      the newest linux-source-7.x that Debian offers
        stack:     base = tree + pci-liveupdate + liveupdate-test-driver
        stack:     series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        profiles:  fast
        machine:   the one that each scenario names
        snapshots: checked
        cells:     4
          live-update-kexec on base (fast)
          live-update-kexec on series (fast)
          sysfs-remove-while-preserved on base (fast)
          sysfs-remove-while-preserved on series (fast)
        ");
    }

    #[test]
    fn mutants_are_known_by_name_only_before_the_tree_has_been_read() {
        let text = |words: &[&str]| {
            let mutants = words.iter().map(|word| (*word).to_owned()).collect();
            render::plan::text(&Plan::new(Wishes {
                mutants,
                ..wishes()
            }))
        };
        let all = "mutants:   of flb-refcount, one after the other: which there are is known when the tree has been read\n";
        assert!(text(&["mutants"]).contains(all));
        assert!(
            text(&["mutant-a-1", "mutant-b-2"]).contains("mutants:   mutant-a-1, mutant-b-2\n")
        );
        assert!(!text(&[]).contains("mutant"));
    }

    #[test]
    fn each_cell_has_a_folder_of_its_own_below_the_run() {
        let cells = Plan::new(wishes()).cells;
        assert_eq!(check_cells(&cells), Ok(()));
        let twice = [&cells[0], &cells[1], &cells[0]];
        assert_eq!(
            check_cells(twice).unwrap_err(),
            "`cells[2]`: live-update-kexec on base (fast) is there twice"
        );
        for stray in ["", ".", "..", "/tmp/x", "../x", "a/../..", "a/", "a\0"] {
            let name = stray.to_owned();
            let [mut profile, mut stack, mut test] = [(); 3].map(|()| cells[0].clone());
            (profile.profile, stack.stack, test.scenario) = (name.clone(), name.clone(), name);
            let mut of_tree = cells[0].clone();
            of_tree.scenario = format!("net:{stray}");
            for cell in [profile, stack, test, of_tree] {
                let error = check_cells([&cell]).unwrap_err();
                assert!(error.ends_with("is no plain name"), "{cell:?}: {error}");
            }
        }
        for (test, fits) in [("net/mptcp:a.sh", true), ("..:a", false), ("a:b:c", true)] {
            let mut cell = cells[0].clone();
            test.clone_into(&mut cell.scenario);
            assert_eq!(check_cells([&cell]).is_ok(), fits, "{test}");
        }
    }

    #[test]
    fn no_option_is_more_than_a_word_to_a_shell() {
        let again = ["--kernel", "K", "; touch /tmp/x"]
            .map(str::to_owned)
            .to_vec();
        let plan = Plan::new(Wishes { again, ..wishes() });
        assert_eq!(plan.options(), " --kernel K '; touch /tmp/x'");
        assert_eq!(super::tests::plan().options(), "");
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

    #[test]
    fn the_tree_s_own_tests_are_wishes_until_the_tree_has_been_asked() {
        let plan = Plan::new(Wishes {
            scenarios: Vec::new(),
            kselftests: vec![
                Wanted::parse("liveupdate:luo_kexec_simple").unwrap(),
                Wanted::parse("filesystems/epoll").unwrap(),
            ],
            check_snapshots: false,
            repeat: 2,
            ..wishes()
        });
        insta::assert_snapshot!(render::plan::text(&plan), @"
        tree:      the newest linux-source-7.x that Debian offers
        stack:     base = tree + pci-liveupdate + liveupdate-test-driver
        stack:     series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        profiles:  fast
        machine:   the one that each scenario names
        snapshots: ignored
        selftest:  liveupdate:luo_kexec_simple of the tree
        selftest:  filesystems/epoll of the tree: its tests are known when the tree has been read
        cells:     0 and those of the tree's selftests
        ");
        let plan =
            plan.with_cells_of(&[("filesystems/epoll:a.b".to_owned(), "edu-pair".to_owned())]);
        let folders: Vec<String> = plan.cells.iter().map(CellPlan::folder).collect();
        assert_eq!(
            folders,
            [
                "fast/base/kselftest/filesystems~epoll/a.b",
                "fast/base/kselftest/filesystems~epoll/a.b~2",
                "fast/series/kselftest/filesystems~epoll/a.b",
                "fast/series/kselftest/filesystems~epoll/a.b~2",
            ]
        );
    }
}
