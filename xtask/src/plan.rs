// SPDX-License-Identifier: GPL-2.0-only
//! The plan: which jobs a run consists of, as a pure value.
//!
//! Made from arguments and the project's own data alone; no tree is opened, no
//! kernel built. What is expected of a job depends on what its checkout contains
//! and is worked out later. Of the tree's own tests, a plan has what is asked for;
//! their jobs are added when the tree has said which tests there are.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path};
use kernel_patches::kselftest::Wanted;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;
use serde::{Deserialize, Serialize};

/// One VM run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct JobPlan {
    /// The scenario's name, or `TARGET:TEST` for a test of the tree's own.
    pub(crate) test: String,
    pub(crate) config: String,
    pub(crate) checkout: String,
    pub(crate) machine: String,
    /// From 1.
    pub(crate) repetition: u32,
}

impl JobPlan {
    /// Returns TARGET and TEST, if it is a test of the tree's own.
    pub(crate) fn kselftest(&self) -> Option<(&str, &str)> {
        // No scenario's name has a colon.
        self.test.split_once(':')
    }

    /// Returns the job's folder below the run folder. Names of tests have no `~`,
    /// so that no two jobs share a folder, and none is in another's.
    pub(crate) fn folder(&self) -> String {
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

    /// Returns what of the job's names would lead out of its folder's place.
    fn stray(&self) -> Option<String> {
        let (target, test) = self.kselftest().unwrap_or(("kselftest", &self.test));
        let parts = [
            &self.config,
            &self.checkout,
            &target.replace('/', "~"),
            test,
        ];
        let stray = parts.into_iter().find(|part| !is_plain_name(part));
        stray.map(str::to_owned)
    }

    /// Returns the job's name for people.
    pub(crate) fn label(&self) -> String {
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

/// Makes sure that each job has a folder of its own below the run folder.
///
/// # Errors
/// Says which job has none.
pub(crate) fn check_jobs<'a>(jobs: impl IntoIterator<Item = &'a JobPlan>) -> Result<(), String> {
    let mut folders = BTreeSet::new();
    for (index, job) in jobs.into_iter().enumerate() {
        if let Some(part) = job.stray() {
            return Err(format!("`jobs[{index}]`: `{part}` is no plain name"));
        }
        if !folders.insert(job.folder()) {
            let label = job.label();
            return Err(format!("`jobs[{index}]`: {label} is there twice"));
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
    pub(crate) checkouts: Vec<String>,
    pub(crate) configs: Vec<String>,
    /// The machine for all jobs; none, when each scenario has its own.
    pub(crate) machine: Option<String>,
    pub(crate) repeat: u32,
    pub(crate) check_snapshots: bool,
    /// Options beyond scenario, checkout and config that make the same run again, word by
    /// word.
    pub(crate) again: Vec<String>,
    /// The tree's own tests that are asked for.
    #[serde(default)]
    pub(crate) kselftests: Vec<Wanted>,
    /// Words for the mutants that are asked for: `mutants`, or `mutant-NAME`.
    #[serde(default)]
    pub(crate) mutants: Vec<String>,
    pub(crate) jobs: Vec<JobPlan>,
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub(crate) struct PlanRequest {
    pub(crate) tree: TreeRequest,
    pub(crate) series: String,
    pub(crate) prerequisites: Vec<String>,
    pub(crate) checkouts: Vec<String>,
    pub(crate) configs: Vec<String>,
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
    /// Returns the plan for what is wished: every scenario on every checkout with
    /// every config, as often as asked.
    pub(crate) fn new(plan_request: PlanRequest) -> Self {
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
            again,
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
            again,
            kselftests,
            mutants,
            jobs: Vec::new(),
        };
        plan.with_jobs_of(&scenarios)
    }

    /// Returns the options that make the same run again, as they are typed in a shell behind
    /// a command.
    pub(crate) fn options(&self) -> String {
        let words = self.again.iter().map(|word| format!(" {}", quote(word)));
        words.collect()
    }

    /// Returns the plan with jobs for these names too, and the machines they name:
    /// scenarios, or tests of the tree's own as `TARGET:TEST`.
    pub(crate) fn with_jobs_of(mut self, names: &[(String, String)]) -> Self {
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
    use crate::render;

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
            again: Vec::new(),
            kselftests: Vec::new(),
            mutants: Vec::new(),
        }
    }

    /// A plan of four jobs.
    pub(crate) fn plan() -> Plan {
        Plan::new(plan_request())
    }

    #[test]
    fn the_printed_plan() {
        insta::assert_snapshot!(render::plan::text(&Plan::new(plan_request())), @r"
        tree:      the newest linux-source-7.x that Debian offers
        checkout:     base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:     series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:  fast
        machine:   the one that each scenario names
        snapshots: checked
        jobs:     4
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
            render::plan::text(&Plan::new(PlanRequest {
                mutants,
                ..plan_request()
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
    fn each_job_has_a_folder_of_its_own_below_the_run() {
        let jobs = Plan::new(plan_request()).jobs;
        assert_eq!(check_jobs(&jobs), Ok(()));
        let twice = [&jobs[0], &jobs[1], &jobs[0]];
        assert_eq!(
            check_jobs(twice).unwrap_err(),
            "`jobs[2]`: live-update-kexec on base (fast) is there twice"
        );
        for stray in ["", ".", "..", "/tmp/x", "../x", "a/../..", "a/", "a\0"] {
            let name = stray.to_owned();
            let [mut config, mut checkout, mut test] = [(); 3].map(|()| jobs[0].clone());
            (config.config, checkout.checkout, test.test) = (name.clone(), name.clone(), name);
            let mut of_tree = jobs[0].clone();
            of_tree.test = format!("net:{stray}");
            for job in [config, checkout, test, of_tree] {
                let error = check_jobs([&job]).unwrap_err();
                assert!(error.ends_with("is no plain name"), "{job:?}: {error}");
            }
        }
        for (test, fits) in [("net/mptcp:a.sh", true), ("..:a", false), ("a:b:c", true)] {
            let mut job = jobs[0].clone();
            test.clone_into(&mut job.test);
            assert_eq!(check_jobs([&job]).is_ok(), fits, "{test}");
        }
    }

    #[test]
    fn no_option_is_more_than_a_word_to_a_shell() {
        let again = ["--tree", "K", "; touch /tmp/x"]
            .map(str::to_owned)
            .to_vec();
        let plan = Plan::new(PlanRequest {
            again,
            ..plan_request()
        });
        assert_eq!(plan.options(), " --tree K '; touch /tmp/x'");
        assert_eq!(super::tests::plan().options(), "");
    }

    #[test]
    fn repetitions_are_jobs_of_their_own() {
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
    fn the_tree_s_own_tests_are_wishes_until_the_tree_has_been_asked() {
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
        insta::assert_snapshot!(render::plan::text(&plan), @"
        tree:      the newest linux-source-7.x that Debian offers
        checkout:     base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:     series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:  fast
        machine:   the one that each scenario names
        snapshots: ignored
        selftest:  liveupdate:luo_kexec_simple of the tree
        selftest:  filesystems/epoll of the tree: its tests are known when the tree has been read
        jobs:     0 and those of the tree's selftests
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
