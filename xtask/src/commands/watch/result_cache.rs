// SPDX-License-Identifier: GPL-2.0-only
//! What jobs came to in earlier turns, and by what a job is the same again: the
//! content of all that it rests on, never the names or times of files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use fs_err as fs;
use sha2::{Digest, Sha256};

use crate::commands::environment::Environment;
use crate::commands::test::jobs::{Job, Test};
use crate::plan::JobPlan;
use crate::record::{FILE_NAME, Record};
use crate::result::{Cached, JobResult};
use crate::run_folder::RunFolder;
use crate::snapshot;

/// So many results are remembered of a job: who takes an edit back sees at once
/// what was seen before.
const RESULTS_KEPT: usize = 8;

/// A name for all that a job rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity(Vec<u8>);

/// What a job came to, and where what it left is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    identity: Identity,
    result: JobResult,
    run: RunFolder,
    at: String,
}

/// What all jobs came to since `watch` began.
#[derive(Debug, Default)]
pub(super) struct ResultCache {
    results: Mutex<BTreeMap<JobPlan, VecDeque<Known>>>,
    /// What the user saw a verdict on last; empty when they saw a mistake.
    seen: Mutex<Vec<(JobPlan, Identity)>>,
    /// Whether the user heard of kernels that did not show what they see.
    has_spoken: AtomicBool,
}

impl ResultCache {
    /// Remembers what a job came to. What the host failed at is no result.
    pub(super) fn remember(
        &self,
        plan: &JobPlan,
        identity: Identity,
        result: &JobResult,
        run: &RunFolder,
    ) {
        if result.status == "error" {
            return;
        }
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let known = results.entry(plan.clone()).or_default();
        known.retain(|one| one.identity != identity);
        known.truncate(RESULTS_KEPT - 1);
        known.push_front(Known {
            identity,
            result: result.clone(),
            run: run.clone(),
            at: now("%Y-%m-%dT%H:%M:%S%:z"),
        });
    }

    /// Returns what a job that rested on the same came to.
    pub(super) fn known(&self, plan: &JobPlan, identity: &Identity) -> Option<Known> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = results.get(plan)?.iter();
        all.find(|one| one.identity == *identity).cloned()
    }

    /// Returns whether the user's last verdict was on exactly these jobs.
    pub(super) fn is_seen(&self, jobs: &[(JobPlan, Identity)]) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == jobs
    }

    /// Returns whether this is the first time that it is asked for.
    pub(super) fn is_first_word(&self) -> bool {
        !self.has_spoken.swap(true, Ordering::SeqCst)
    }

    /// Notes what the user has a verdict on now.
    pub(super) fn see(&self, jobs: Vec<(JobPlan, Identity)>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }
}

impl Known {
    /// Puts what the job left into its folder in another run, which is whole
    /// then, and returns the result, which says whose it is.
    ///
    /// # Errors
    /// When it is not there any more, or cannot be put there.
    pub(super) fn keep(&self, plan: &JobPlan, run: &RunFolder) -> anyhow::Result<JobResult> {
        let cached = Cached {
            run: self.run.name().to_owned(),
            at: self.at.clone(),
        };
        let mut record = Record::read(plan, &self.run)?;
        record.cached = Some(cached.clone());
        let folder = plan.folder();
        link_files(
            &self.run.path().join(&folder),
            &run.path().join(&folder),
            FILE_NAME,
        )?;
        record.write(run)?;
        Ok(JobResult {
            cached: Some(cached),
            ..self.result.clone()
        })
    }
}

/// Gives the files of a folder a second name in another one, all but one of them.
/// Nothing writes to them any more.
fn link_files(from: &Utf8Path, to: &Utf8Path, but: &str) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != but {
            fs::hard_link(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Returns a name for all that a job rests on: kernel, program, guest, machine,
/// what is to be seen, and what was recorded of it below `snapshots`.
///
/// # Errors
/// When its program cannot be read.
pub(super) fn identity(
    job: &Job<'_>,
    environment: &Environment,
    snapshots: Option<&Utf8Path>,
) -> std::io::Result<Identity> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let build = job.build;
    part(build.kernel.id.as_bytes());
    // Its name is that of its content.
    part(build.initramfs.as_str().as_bytes());
    part(format!("{:?} {:?} {:?}", build.guest, build.contains, build.partly).as_bytes());
    part(
        format!(
            "{:?} {:?} {:?}",
            job.machine, environment.accelerator, environment.qemu
        )
        .as_bytes(),
    );
    part(what_must_be_seen(job.test).as_bytes());
    for boot in &job.vm_run.boots {
        let what = (
            &boot.program,
            &boot.args,
            &boot.env,
            &boot.timeout,
            &boot.kernel,
        );
        part(format!("{what:?}").as_bytes());
        for file in &boot.files {
            part(format!("{} {:o}", file.path, file.mode).as_bytes());
            part(&Sha256::digest(fs::read(&file.source)?));
        }
    }
    if let Some(folder) = snapshots {
        let recorded = snapshot::recorded(folder, job.plan).unwrap_or_default();
        part(recorded.as_bytes());
    }
    Ok(Identity(hash.finalize().to_vec()))
}

/// Returns all that decides about a test's result, without its words for people.
fn what_must_be_seen(test: Test<'_>) -> String {
    match test {
        Test::Scenario(scenario) => {
            let mut scenario = scenario.clone();
            scenario.title.clear();
            scenario.why.clear();
            format!("{scenario:?}")
        }
        Test::Kselftest(test) => format!("{test:?}"),
    }
}

/// Returns the local time.
pub(super) fn now(format: &str) -> String {
    jiff::Zoned::now().strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Binaries;
    use crate::result::tests::job;

    fn plan() -> JobPlan {
        JobPlan {
            test: "s".to_owned(),
            config: "fast".to_owned(),
            checkout: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    fn run(place: &Utf8Path, name: &str) -> RunFolder {
        RunFolder::at(place.join(name))
    }

    fn identity(text: &str) -> Identity {
        Identity(text.as_bytes().to_vec())
    }

    #[test]
    fn the_same_again_is_known_and_anything_else_is_not() {
        let result_cache = ResultCache::default();
        let folder = run(Utf8Path::new("/runs"), "1");
        let results = ["a", "b", "c"].map(|name| (name, job("s", "base", "fail", "fail")));
        for (name, result) in &results {
            result_cache.remember(&plan(), identity(name), result, &folder);
        }
        assert!(result_cache.known(&plan(), &identity("a")).is_some());
        assert!(result_cache.known(&plan(), &identity("d")).is_none());
        let elsewhere = JobPlan {
            checkout: "series".to_owned(),
            ..plan()
        };
        assert!(result_cache.known(&elsewhere, &identity("a")).is_none());
        for number in 0..RESULTS_KEPT {
            let result = &results[0].1;
            result_cache.remember(&plan(), identity(&number.to_string()), result, &folder);
        }
        assert!(result_cache.known(&plan(), &identity("c")).is_none());
        assert!(result_cache.known(&plan(), &identity("0")).is_some());
    }

    #[test]
    fn what_need_be_said_once_is() {
        let result_cache = ResultCache::default();
        assert!(result_cache.is_first_word());
        assert!(!result_cache.is_first_word());
    }

    #[test]
    fn what_the_host_failed_at_runs_again() {
        let result_cache = ResultCache::default();
        let failed = job("s", "base", "error", "fail");
        result_cache.remember(
            &plan(),
            identity("a"),
            &failed,
            &run(Utf8Path::new("/runs"), "1"),
        );
        assert!(result_cache.known(&plan(), &identity("a")).is_none());
    }

    #[test]
    fn what_is_kept_has_its_files_and_says_when_it_ran() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap();
        let (first, second, third) = (run(place, "1"), run(place, "2"), run(place, "3"));
        let record = Record {
            plan: plan(),
            contains: std::collections::BTreeSet::new(),
            partly: std::collections::BTreeSet::new(),
            binaries: Binaries {
                kernel_id: "k".to_owned(),
                image: "/k".into(),
                symbols: "/k".into(),
                boot_symbols: Vec::new(),
                initramfs: "/i".into(),
                program: "/tests/s".to_owned(),
            },
            kselftest: None,
            cached: None,
        };
        record.write(&first).unwrap();
        let left = |run: &RunFolder| run.path().join(plan().folder()).join("serial.log");
        fs::write(left(&first), "console").unwrap();
        let result_cache = ResultCache::default();
        let result = job("s", "base", "fail", "fail");
        result_cache.remember(&plan(), identity("a"), &result, &first);
        let known = result_cache.known(&plan(), &identity("a")).unwrap();
        let cached = known.keep(&plan(), &second).unwrap();
        assert_eq!(cached.cached.as_ref().unwrap().run, "1");
        assert_eq!(fs::read_to_string(left(&second)).unwrap(), "console");
        assert_eq!(
            Record::read(&plan(), &second).unwrap().cached,
            cached.cached
        );
        // Its own record is what it was, and an old run may go, but not be cached then.
        assert_eq!(Record::read(&plan(), &first).unwrap().cached, None);
        fs::remove_dir_all(first.path()).unwrap();
        assert_eq!(fs::read_to_string(left(&second)).unwrap(), "console");
        assert!(known.keep(&plan(), &third).is_err());
    }
}
