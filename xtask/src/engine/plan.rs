// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of a run: its jobs, as a value.
//!
//! It is made from the arguments and the project's data; no tree is opened and no kernel is
//! built. The expected status of a job depends on the patches in its checkout and is computed
//! later. For kselftests of the tree, the plan has the arguments; their jobs are added after
//! the list of tests has been read from the tree.

use camino::Utf8PathBuf;
use kernel_patches::kselftest::Wanted;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;
use serde::{Deserialize, Serialize};

use crate::engine::layout::DEFAULT_CATALOGUE;
use crate::job_plan::JobPlan;

/// The planned run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) checkouts: Vec<String>,
    pub(crate) configs: Vec<String>,
    /// The machine for all jobs; `None` if each scenario has its own.
    pub machine: Option<String>,
    /// The catalogue of the scenarios: a name, or an absolute path.
    #[serde(default = "default_catalogue")]
    pub catalogue: Utf8PathBuf,
    pub(crate) repeat: u32,
    /// Whether results are compared with snapshots.
    pub check_snapshots: bool,
    /// Options beyond test, checkout and config that reproduce the run, word by word.
    #[serde(rename = "again")]
    pub rerun_options: Vec<String>,
    /// The requested kselftests of the tree.
    #[serde(default)]
    pub kselftests: Vec<Wanted>,
    /// The requested mutants: `mutants`, or `mutant-NAME`.
    #[serde(default)]
    pub mutants: Vec<String>,
    /// The jobs, in order.
    pub jobs: Vec<JobPlan>,
}

/// The input of a plan.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) checkouts: Vec<String>,
    pub(crate) configs: Vec<String>,
    pub(crate) machine: Option<String>,
    /// Scenarios and the machines that they name.
    pub scenarios: Vec<(String, String)>,
    pub(crate) catalogue: Utf8PathBuf,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    pub(crate) rerun_options: Vec<String>,
    pub(crate) kselftests: Vec<Wanted>,
    pub(crate) mutants: Vec<String>,
}

/// The catalogue of runs that do not name it.
fn default_catalogue() -> Utf8PathBuf {
    DEFAULT_CATALOGUE.into()
}

impl Plan {
    /// Returns the plan: every scenario on every checkout with every config, `repeat` times.
    pub fn new(plan_request: PlanRequest) -> Self {
        let PlanRequest {
            tree,
            series,
            prerequisites,
            checkouts,
            configs,
            machine,
            catalogue,
            scenarios,
            repeat,
            check_snapshots,
            rerun_options,
            kselftests,
            mutants,
        } = plan_request;
        let plan = Self {
            tree,
            series,
            prerequisites,
            checkouts,
            configs,
            machine,
            catalogue,
            repeat,
            check_snapshots,
            rerun_options,
            kselftests,
            mutants,
            jobs: Vec::new(),
        };
        plan.with_jobs_of(&scenarios)
    }

    /// Returns the options that reproduce the run, quoted for a shell, each with a leading
    /// blank.
    pub fn options(&self) -> String {
        let words = self
            .rerun_options
            .iter()
            .map(|word| format!(" {}", quote(word)));
        words.collect()
    }

    /// Adds jobs for these names, each with its machine: scenarios, or kselftests of the tree
    /// as `TARGET:TEST`.
    pub fn with_jobs_of(mut self, names: &[(String, String)]) -> Self {
        for config in &self.configs {
            for (name, machine) in names {
                for checkout in &self.checkouts {
                    for repetition in 1..=self.repeat {
                        self.jobs.push(JobPlan {
                            test: name.clone(),
                            config: config.clone(),
                            checkout: checkout.clone(),
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

    pub(crate) fn plan_request() -> PlanRequest {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PlanRequest {
            tree: TreeRequest::Default,
            series: "flb-refcount".to_owned(),
            prerequisites: owned(&["pci-liveupdate", "liveupdate-test-driver"]),
            checkouts: owned(&["base", "series"]),
            configs: owned(&["fast"]),
            machine: None,
            catalogue: default_catalogue(),
            scenarios: ["live-update-kexec", "sysfs-remove-while-preserved"]
                .map(|name| (name.to_owned(), "edu-pair".to_owned()))
                .to_vec(),
            repeat: 1,
            check_snapshots: true,
            rerun_options: Vec::new(),
            kselftests: Vec::new(),
            mutants: Vec::new(),
        }
    }

    /// A plan of four jobs.
    pub(crate) fn plan() -> Plan {
        Plan::new(plan_request())
    }

    #[test]
    fn options_are_quoted_for_a_shell() {
        let rerun_options = ["--tree", "K", "; touch /tmp/x"]
            .map(str::to_owned)
            .to_vec();
        let plan = Plan::new(PlanRequest {
            rerun_options,
            ..plan_request()
        });
        assert_eq!(plan.options(), " --tree K '; touch /tmp/x'");
        assert_eq!(super::tests::plan().options(), "");
    }

    #[test]
    fn repetitions_have_separate_folders() {
        let plan = Plan::new(PlanRequest {
            repeat: 3,
            ..plan_request()
        });
        assert_eq!(plan.jobs.len(), 12);
        let folders: std::collections::BTreeSet<_> =
            plan.jobs.iter().map(JobPlan::folder).collect();
        assert_eq!(folders.len(), 12);
    }

    #[test]
    fn plan_has_no_jobs_for_kselftests_before_the_tree_is_read() {
        let plan = Plan::new(PlanRequest {
            scenarios: Vec::new(),
            kselftests: vec![
                Wanted::parse("liveupdate:luo_kexec_simple").unwrap(),
                Wanted::parse("filesystems/epoll").unwrap(),
            ],
            check_snapshots: false,
            repeat: 2,
            ..plan_request()
        });
        let plan =
            plan.with_jobs_of(&[("filesystems/epoll:a.b".to_owned(), "edu-pair".to_owned())]);
        let folders: Vec<String> = plan.jobs.iter().map(JobPlan::folder).collect();
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
