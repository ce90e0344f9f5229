// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cache of the results of earlier runs of this process, keyed by the content ids of jobs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::content::ContentId;

use crate::engine::build::Build;
use crate::engine::environment::Environment;
use crate::engine::job::{Job, RECORD};
use crate::engine::judge::Judge;
use crate::engine::program;
use crate::engine::run_folder::RunFolder;
use crate::engine::self_checks::SelfChecks;
use crate::engine::session::Session;
use crate::engine::snapshot;
use crate::job_plan::JobPlan;
use crate::result::{Cached, JobResult, RunResult, SelfCheckResult};

/// Limit of the cached results of a job. More than one, so that a reverted edit has its
/// result at once.
const RESULTS_MAX: usize = 8;

/// The content ids of jobs, by plan.
pub(crate) type Ids = BTreeMap<JobPlan, String>;

/// The result of a job, and the run that has its files.
#[derive(Clone, Debug)]
struct Entry {
    id: String,
    result: JobResult,
    run: RunFolder,
    at: String,
}

/// The results of all jobs since the process began.
#[derive(Debug, Default)]
pub struct ResultCache {
    results: Mutex<BTreeMap<JobPlan, VecDeque<Entry>>>,
    /// The jobs of the last printed result; `None` if an error was printed.
    printed: Mutex<Option<Ids>>,
    /// Whether the note about missing self-checks was printed.
    has_note: AtomicBool,
}

impl ResultCache {
    /// Returns the content id of a job, its expected result, and its snapshot.
    ///
    /// # Errors
    /// When a file of the job cannot be read.
    pub(crate) fn id(
        &self,
        job: &Job,
        judge: Judge<'_>,
        environment: &Environment,
    ) -> anyhow::Result<String> {
        let test = job.test(judge.scenarios);
        let own = test.map(|test| job.id(test)).transpose()?;
        let (accelerator, qemu) = (environment.accelerator(), &environment.qemu);
        let mut id = ContentId::new("result")
            .part(own.unwrap_or_default())
            .part(format!("{accelerator:?} {qemu:?}"));
        if judge.check_snapshots {
            let snapshot = snapshot::recorded(&judge.layout.snapshots(), &job.plan);
            id = id.part(snapshot.unwrap_or_default());
        }
        Ok(id.finish())
    }

    /// Adds the result of a job, unless its status is `error`: the cause may be temporary.
    pub(crate) fn insert(&self, result: &JobResult, id: &str, run: &RunFolder) {
        if result.is_inconclusive() {
            return;
        }
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = results.entry(result.plan()).or_default();
        entries.retain(|entry| entry.id != id);
        entries.truncate(RESULTS_MAX - 1);
        entries.push_front(Entry {
            id: id.to_owned(),
            result: result.clone(),
            run: run.clone(),
            at: now("%Y-%m-%dT%H:%M:%S%:z"),
        });
    }

    fn get(&self, plan: &JobPlan, id: &str) -> Option<Entry> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = results.get(plan)?.iter();
        all.find(|entry| entry.id == id).cloned()
    }

    /// Returns the cached result of a job, and links its files into the folder of the run. A job
    /// whose files are missing is run again.
    pub(crate) fn reuse(
        &self,
        plan: &JobPlan,
        id: &str,
        run: &RunFolder,
        session: &Session,
    ) -> Option<JobResult> {
        match self.get(plan, id)?.reuse(plan, run) {
            Ok(result) => Some(result),
            Err(why) => {
                session.note(format!("{} runs again: {why:#}", plan.label()));
                // The job must start with an empty folder.
                let _ = fs::remove_dir_all(run.path().join(plan.folder()));
                None
            }
        }
    }

    /// Returns whether the last printed result was of exactly these jobs.
    pub(crate) fn is_printed(&self, ids: &Ids) -> bool {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.as_ref() == Some(ids)
    }

    /// Records that a result is printed. A result with an error is not recorded, so that the
    /// next run prints again.
    pub(crate) fn printed(&self, result: &RunResult, ids: Ids) {
        let has_error = result.jobs.iter().any(JobResult::is_inconclusive);
        let printed = (!has_error).then_some(ids);
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) = printed;
    }

    /// Records that an error was printed instead of a result.
    pub fn printed_error(&self) {
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the cached results of self-checks, and prints a note once if some are missing.
    /// `watch` does not run self-checks: every edit makes a new kernel, and a self-check takes
    /// longer than an iteration.
    pub(crate) fn self_checks(
        &self,
        builds: &[Build],
        self_checks: &SelfChecks<'_>,
        session: &Session,
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        let known = self_checks.cached(builds)?;
        let is_unknown = |build: &&Build| {
            let is_of = |check: &SelfCheckResult| {
                check.checkout == build.checkout && check.config == build.config
            };
            !known.iter().any(is_of)
        };
        let unknown: Vec<String> = builds.iter().filter(is_unknown).map(Build::label).collect();
        if !unknown.is_empty() && !self.has_note.swap(true, Ordering::SeqCst) {
            session.note(format!(
                "no self-check result for {}; run `{} test` first",
                unknown.join(", "),
                program::name()
            ));
        }
        Ok(known)
    }
}

impl Entry {
    /// Links the job's files into its folder of another run, and returns the result, which
    /// names the run that it was taken from.
    fn reuse(&self, plan: &JobPlan, run: &RunFolder) -> anyhow::Result<JobResult> {
        let cached = Cached {
            run: self.run.name().to_owned(),
            at: self.at.clone(),
        };
        let mut job = Job::read(plan, &self.run)?;
        job.cached = Some(cached.clone());
        let folder = plan.folder();
        link_files(&self.run.path().join(&folder), &run.path().join(&folder))?;
        job.write(run)?;
        Ok(JobResult {
            cached: Some(cached),
            ..self.result.clone()
        })
    }
}

/// Makes hard links to the files of a job except its record. Files of a finished job are never
/// written again.
fn link_files(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != RECORD {
            fs::hard_link(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Returns the local time.
pub fn now(format: &str) -> String {
    jiff::Zoned::now().strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::job::tests::record;
    use crate::result::tests::job;

    fn run(place: &Utf8Path, name: &str) -> RunFolder {
        RunFolder::at(place.join(name))
    }

    #[test]
    fn get_returns_the_result_of_the_same_inputs_and_drops_the_oldest() {
        let cache = ResultCache::default();
        let folder = run(Utf8Path::new("/runs"), "1");
        let result = job("s", "base", "fail", "fail");
        for id in ["a", "b", "c"] {
            cache.insert(&result, id, &folder);
        }
        let plan = result.plan();
        assert!(cache.get(&plan, "a").is_some());
        assert!(cache.get(&plan, "d").is_none());
        let elsewhere = JobPlan {
            checkout: "series".to_owned(),
            ..plan.clone()
        };
        assert!(cache.get(&elsewhere, "a").is_none());
        for number in 0..RESULTS_MAX {
            cache.insert(&result, &number.to_string(), &folder);
        }
        assert!(cache.get(&plan, "c").is_none());
        assert!(cache.get(&plan, "0").is_some());
    }

    #[test]
    fn insert_ignores_results_with_status_error() {
        let cache = ResultCache::default();
        let failed = job("s", "base", "error", "fail");
        cache.insert(&failed, "a", &run(Utf8Path::new("/runs"), "1"));
        assert!(cache.get(&failed.plan(), "a").is_none());
    }

    #[test]
    fn is_printed_is_false_after_an_error() {
        let cache = ResultCache::default();
        let result = |status| {
            let jobs = vec![job("s", "base", status, "pass")];
            RunResult::new("t".into(), "s".into(), Vec::new(), jobs)
        };
        let ids = || Ids::from([(job("s", "base", "pass", "pass").plan(), "a".to_owned())]);
        cache.printed(&result("pass"), ids());
        assert!(cache.is_printed(&ids()));
        cache.printed(&result("error"), ids());
        assert!(!cache.is_printed(&ids()));
        cache.printed(&result("pass"), ids());
        cache.printed_error();
        assert!(!cache.is_printed(&ids()));
    }

    #[test]
    fn reuse_links_the_files_and_names_the_earlier_run() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap();
        let (first, second, third) = (run(place, "1"), run(place, "2"), run(place, "3"));
        let result = job("s", "base", "fail", "fail");
        let plan = result.plan();
        record(plan.clone()).write(&first).unwrap();
        let log = |run: &RunFolder| run.path().join(plan.folder()).join("serial.log");
        fs::write(log(&first), "console").unwrap();
        let cache = ResultCache::default();
        cache.insert(&result, "a", &first);
        let entry = cache.get(&plan, "a").unwrap();
        let cached = entry.reuse(&plan, &second).unwrap();
        assert_eq!(cached.cached.as_ref().unwrap().run, "1");
        assert_eq!(fs::read_to_string(log(&second)).unwrap(), "console");
        assert_eq!(Job::read(&plan, &second).unwrap().cached, cached.cached);
        // The record of the first run is unchanged. If the first run is removed, its links
        // remain, but its results cannot be reused.
        assert_eq!(Job::read(&plan, &first).unwrap().cached, None);
        fs::remove_dir_all(first.path()).unwrap();
        assert_eq!(fs::read_to_string(log(&second)).unwrap(), "console");
        assert!(entry.reuse(&plan, &third).is_err());
    }
}
