// SPDX-License-Identifier: MIT OR Apache-2.0
//! The identity of a job: test, config, checkout, machine and repetition.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path};
use serde::{Deserialize, Serialize};

/// The checkout of the tree and the prerequisites, without the series.
pub const BASE: &str = "base";
/// The checkout of the base with the whole series.
pub const SERIES: &str = "series";

/// One VM run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobPlan {
    /// The scenario's name, or `TARGET:TEST` for a kselftest of the tree.
    pub test: String,
    /// The config's name.
    pub config: String,
    /// The checkout's name.
    pub checkout: String,
    /// The machine's name.
    pub machine: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn job(checkout: &str) -> JobPlan {
        JobPlan {
            test: "live-update-kexec".to_owned(),
            config: "fast".to_owned(),
            checkout: checkout.to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    #[test]
    fn check_jobs_rejects_duplicates_and_names_that_are_paths() {
        let jobs = [job("base"), job("series")];
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
}
