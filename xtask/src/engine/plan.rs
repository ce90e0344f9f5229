// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of a run: its jobs, as a value.
//!
//! It is made from the arguments and the project's data; no tree is opened and no kernel is
//! built. The expected status of a job depends on the patches in its checkout and is computed
//! later. For kselftests of the tree, the plan has the arguments; their jobs are added after
//! the list of tests has been read from the tree.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path};
use kernel_patches::kselftest::Wanted;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;
use serde::{Deserialize, Serialize};

/// One VM run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobPlan {
    /// The scenario's name, or `TARGET:TEST` for a kselftest of the tree.
    pub test: String,
    pub(crate) config: String,
    pub(crate) checkout: String,
    pub(crate) machine: String,
    /// From 1.
    pub repetition: u32,
}

impl JobPlan {
    /// Returns TARGET and TEST, if it is a kselftest of the tree.
    pub fn kselftest(&self) -> Option<(&str, &str)> {
        // Names of scenarios do not contain a colon.
        self.test.split_once(':')
    }

    /// Returns the job's folder below the run folder. Names of tests do not contain `~`, so
    /// folders of different jobs are different and not nested.
    pub fn folder(&self) -> String {
        let Self {
            test,
            config,
            checkout,
            repetition,
            ..
        } = self;
        if let Some((target, name)) = self.kselftest() {
            let target = target.replace('/', "~");
            let place = format!("{config}/{checkout}/kselftest/{target}/{name}");
            return match repetition {
                1 => place,
                more => format!("{place}~{more}"),
            };
        }
        match repetition {
            1 => format!("{config}/{checkout}/{test}"),
            more => format!("{config}/{checkout}/{test}.{more}"),
        }
    }

    /// Returns a name of the job that is not a plain file name.
    fn bad_name(&self) -> Option<String> {
        let (target, test) = self.kselftest().unwrap_or(("kselftest", &self.test));
        let parts = [
            &self.config,
            &self.checkout,
            &target.replace('/', "~"),
            test,
        ];
        let bad = parts.into_iter().find(|part| !is_plain_name(part));
        bad.map(str::to_owned)
    }

    /// Returns the job's name as printed.
    pub fn label(&self) -> String {
        let Self {
            test,
            config,
            checkout,
            repetition,
            ..
        } = self;
        match repetition {
            1 => format!("{test} on {checkout} ({config})"),
            more => format!("{test} on {checkout} ({config}, repetition {more})"),
        }
    }
}

/// Checks that each job has its own folder below the run folder.
///
/// # Errors
/// Names the first job without its own folder.
pub fn check_jobs<'a>(jobs: impl IntoIterator<Item = &'a JobPlan>) -> Result<(), String> {
    let mut folders = BTreeSet::new();
    for (index, job) in jobs.into_iter().enumerate() {
        if let Some(part) = job.bad_name() {
            return Err(format!("`jobs[{index}]`: invalid name `{part}`"));
        }
        if !folders.insert(job.folder()) {
            let label = job.label();
            return Err(format!("`jobs[{index}]`: duplicate job {label}"));
        }
    }
    Ok(())
}

/// Returns whether a word is a single normal component of a path.
fn is_plain_name(word: &str) -> bool {
    let mut parts = Utf8Path::new(word).components();
    let is_single = parts.next() == Some(Utf8Component::Normal(word)) && parts.next().is_none();
    is_single && !word.contains(char::is_control)
}

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
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    pub(crate) rerun_options: Vec<String>,
    pub(crate) kselftests: Vec<Wanted>,
    pub(crate) mutants: Vec<String>,
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
    use crate::report;

    fn plan_request() -> PlanRequest {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PlanRequest {
            tree: TreeRequest::Default,
            series: "flb-refcount".to_owned(),
            prerequisites: owned(&["pci-liveupdate", "liveupdate-test-driver"]),
            checkouts: owned(&["base", "series"]),
            configs: owned(&["fast"]),
            machine: None,
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
    fn text_of_a_plan_lists_checkouts_and_jobs() {
        insta::assert_snapshot!(report::plan::text(&Plan::new(plan_request())), @"
        tree:      newest linux-source-7.x of Debian
        checkout:  base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:  series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:   fast
        machine:   as named by each scenario
        snapshots: checked
        jobs:      4
          live-update-kexec on base (fast)
          live-update-kexec on series (fast)
          sysfs-remove-while-preserved on base (fast)
          sysfs-remove-while-preserved on series (fast)
        ");
    }

    #[test]
    fn text_of_a_plan_lists_mutants_by_name() {
        let text = |words: &[&str]| {
            let mutants = words.iter().map(|word| (*word).to_owned()).collect();
            report::plan::text(&Plan::new(PlanRequest {
                mutants,
                ..plan_request()
            }))
        };
        let all = "mutants:   all of flb-refcount (listed after the tree has been read)\n";
        assert!(text(&["mutants"]).contains(all));
        assert!(
            text(&["mutant-a-1", "mutant-b-2"]).contains("mutants:   mutant-a-1, mutant-b-2\n")
        );
        assert!(!text(&[]).contains("mutant"));
    }

    #[test]
    fn check_jobs_rejects_duplicates_and_names_that_are_paths() {
        let jobs = Plan::new(plan_request()).jobs;
        assert_eq!(check_jobs(&jobs), Ok(()));
        let twice = [&jobs[0], &jobs[1], &jobs[0]];
        assert_eq!(
            check_jobs(twice).unwrap_err(),
            "`jobs[2]`: duplicate job live-update-kexec on base (fast)"
        );
        for bad in ["", ".", "..", "/tmp/x", "../x", "a/../..", "a/", "a\0"] {
            let name = bad.to_owned();
            let [mut config, mut checkout, mut test] = [(); 3].map(|()| jobs[0].clone());
            (config.config, checkout.checkout, test.test) = (name.clone(), name.clone(), name);
            let mut of_tree = jobs[0].clone();
            of_tree.test = format!("net:{bad}");
            for job in [config, checkout, test, of_tree] {
                let error = check_jobs([&job]).unwrap_err();
                assert!(error.contains("invalid name"), "{job:?}: {error}");
            }
        }
        for (test, fits) in [("net/mptcp:a.sh", true), ("..:a", false), ("a:b:c", true)] {
            let mut job = jobs[0].clone();
            test.clone_into(&mut job.test);
            assert_eq!(check_jobs([&job]).is_ok(), fits, "{test}");
        }
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
        insta::assert_snapshot!(report::plan::text(&plan), @"
        tree:      newest linux-source-7.x of Debian
        checkout:  base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:  series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:   fast
        machine:   as named by each scenario
        snapshots: ignored
        kselftest: liveupdate:luo_kexec_simple
        kselftest: filesystems/epoll (tests listed after the tree has been read)
        jobs:      0 and the kselftests of the tree
        ");
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
