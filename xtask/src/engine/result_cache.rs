// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cache of the results of earlier iterations, keyed by the content of a job's inputs. Names
//! and times of files are not part of the key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use fs_err as fs;
use sha2::{Digest, Sha256};

use patchbed_host::events::Event;

use crate::engine::context::RunContext;
use crate::engine::environment::Environment;
use crate::engine::jobs::{Job, Test};
use crate::engine::options::TestOptions;
use crate::engine::plan::JobPlan;
use crate::engine::program;
use crate::engine::record::{FILE_NAME, Record};
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::engine::snapshot;
use crate::result::{Cached, JobResult, SelfCheckResult};

/// Limit of the cached results of a job. More than one, so that a reverted edit has its
/// result at once.
const RESULTS_MAX: usize = 8;

/// The hash of a job's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Vec<u8>);

/// The result of a job, and the run that has its files.
#[derive(Clone, Debug)]
pub struct Entry {
    identity: Identity,
    result: JobResult,
    run: RunFolder,
    at: String,
}

/// The results of all jobs since `watch` began.
#[derive(Debug, Default)]
pub struct ResultCache {
    results: Mutex<BTreeMap<JobPlan, VecDeque<Entry>>>,
    /// The jobs of the last printed result; empty if an error was printed.
    printed: Mutex<Vec<(JobPlan, Identity)>>,
    /// Whether the note about missing self-checks was printed.
    has_note: AtomicBool,
}

impl ResultCache {
    /// Adds a result, unless its status is `error`: the cause may be temporary.
    pub fn insert(&self, plan: &JobPlan, identity: Identity, result: &JobResult, run: &RunFolder) {
        if result.is_inconclusive() {
            return;
        }
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = results.entry(plan.clone()).or_default();
        entries.retain(|entry| entry.identity != identity);
        entries.truncate(RESULTS_MAX - 1);
        entries.push_front(Entry {
            identity,
            result: result.clone(),
            run: run.clone(),
            at: now("%Y-%m-%dT%H:%M:%S%:z"),
        });
    }

    /// Returns the entry of a job with these inputs.
    pub fn get(&self, plan: &JobPlan, identity: &Identity) -> Option<Entry> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = results.get(plan)?.iter();
        all.find(|entry| entry.identity == *identity).cloned()
    }

    /// Returns whether the last printed result was of exactly these jobs.
    pub fn is_printed(&self, jobs: &[(JobPlan, Identity)]) -> bool {
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) == jobs
    }

    /// Returns `true` at the first call, `false` later.
    pub fn is_first_note(&self) -> bool {
        !self.has_note.swap(true, Ordering::SeqCst)
    }

    /// Adds the result of a job that has ended.
    pub(crate) fn insert_of(
        &self,
        identities: &[(JobPlan, Identity)],
        plan: &JobPlan,
        result: &JobResult,
        run: &RunFolder,
        session: &Session,
    ) {
        let found = identities.iter().find(|(known, _)| known == plan);
        // The result of a cancelled job is incomplete.
        if let Some((plan, identity)) = found.filter(|_| !session.cancel.is_cancelled()) {
            self.insert(plan, identity.clone(), result, run);
        }
    }

    /// Returns the cached results of self-checks, and prints a note once if some are missing.
    /// `watch` does not run self-checks: every edit makes a new kernel, and a self-check takes
    /// longer than an iteration.
    pub(crate) fn self_checks(
        &self,
        context: &RunContext,
        args: &TestOptions,
        session: &Session,
    ) -> anyhow::Result<Vec<SelfCheckResult>> {
        let known = context.cached_self_checks(args, session)?;
        let kernels = context.builds.iter();
        let kernels: Vec<_> = kernels
            .map(|build| (build.checkout.as_str(), build.config.as_str()))
            .collect();
        let unknown = without_self_checks(&kernels, &known);
        if !unknown.is_empty() && self.is_first_note() {
            let text = format!(
                "no self-check result for {}; run `{} test` first",
                unknown.join(", "),
                program::name()
            );
            session.observer.event(Event::Note { text });
        }
        Ok(known)
    }

    /// Returns the cached results of jobs, and links their files into `folder`. A job whose files
    /// are missing is run again.
    pub(crate) fn reuse(
        &self,
        jobs: &[(JobPlan, Identity)],
        folder: &RunFolder,
        session: &Session,
    ) -> Vec<Option<JobResult>> {
        jobs.iter()
            .map(|(plan, identity)| {
                let entry = self.get(plan, identity)?;
                match entry.reuse(plan, folder) {
                    Ok(result) => Some(result),
                    Err(why) => {
                        let text = format!("{} runs again: {why:#}", plan.label());
                        session.observer.event(Event::Note { text });
                        // The job must start with an empty folder.
                        let _ = fs_err::remove_dir_all(folder.path().join(plan.folder()));
                        None
                    }
                }
            })
            .collect()
    }

    /// Sets the jobs of the last printed result.
    pub fn set_printed(&self, jobs: Vec<(JobPlan, Identity)>) {
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }
}

impl Entry {
    /// Links the job's files into its folder of another run, and returns the result, which
    /// names the run that it was taken from.
    ///
    /// # Errors
    /// When the files are missing or cannot be linked.
    pub fn reuse(&self, plan: &JobPlan, run: &RunFolder) -> anyhow::Result<JobResult> {
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

/// Makes hard links to the files of a folder, except `excluded`. Files of a finished job are
/// never written again.
fn link_files(from: &Utf8Path, to: &Utf8Path, excluded: &str) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != excluded {
            fs::hard_link(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Returns the kernels, by checkout and config, that have no self-check result.
fn without_self_checks(kernels: &[(&str, &str)], known: &[SelfCheckResult]) -> Vec<String> {
    let is_unknown = |(checkout, config): &&(&str, &str)| {
        let mut known = known.iter();
        !known.any(|check| check.checkout == *checkout && check.config == *config)
    };
    let unknown = kernels.iter().filter(is_unknown);
    unknown
        .map(|(checkout, config)| format!("{checkout} ({config})"))
        .collect()
}

/// Returns the hash of the inputs of each job.
///
/// # Errors
/// When a file of a job cannot be read.
pub(crate) fn identities(
    jobs: &[Job<'_>],
    context: &RunContext,
    session: &Session,
) -> anyhow::Result<Vec<(JobPlan, Identity)>> {
    let snapshots = session.layout.snapshots();
    let recorded = context.plan.check_snapshots.then_some(snapshots.as_path());
    jobs.iter()
        .map(|job| {
            let identity = identity(job, &context.environment, recorded)?;
            Ok((job.plan.clone(), identity))
        })
        .collect()
}

/// Returns the hash of a job's inputs: kernel, test program, guest, machine, expectations, and
/// the recorded result below `snapshots`.
///
/// # Errors
/// When a file of the job cannot be read.
pub fn identity(
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
    // The file name is the hash of the content.
    part(build.initramfs.as_str().as_bytes());
    part(format!("{:?} {:?} {:?}", build.guest, build.contains, build.partly).as_bytes());
    part(
        format!(
            "{:?} {:?} {:?}",
            job.machine, environment.accelerator, environment.qemu
        )
        .as_bytes(),
    );
    part(expectations(job.test).as_bytes());
    for boot in &job.vm_run.boots {
        let call = (
            &boot.program,
            &boot.args,
            &boot.env,
            &boot.timeout,
            &boot.kernel,
        );
        part(format!("{call:?}").as_bytes());
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

/// Returns all parts of a test that its result depends on: all but the texts for people.
fn expectations(test: Test<'_>) -> String {
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
pub fn now(format: &str) -> String {
    jiff::Zoned::now().strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use crate::result::{Detection, SelfCheckResult};

    use super::*;
    use crate::engine::record::Binaries;
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
    fn get_returns_the_result_of_the_same_inputs_and_drops_the_oldest() {
        let cache = ResultCache::default();
        let folder = run(Utf8Path::new("/runs"), "1");
        let results = ["a", "b", "c"].map(|name| (name, job("s", "base", "fail", "fail")));
        for (name, result) in &results {
            cache.insert(&plan(), identity(name), result, &folder);
        }
        assert!(cache.get(&plan(), &identity("a")).is_some());
        assert!(cache.get(&plan(), &identity("d")).is_none());
        let elsewhere = JobPlan {
            checkout: "series".to_owned(),
            ..plan()
        };
        assert!(cache.get(&elsewhere, &identity("a")).is_none());
        for number in 0..RESULTS_MAX {
            let result = &results[0].1;
            cache.insert(&plan(), identity(&number.to_string()), result, &folder);
        }
        assert!(cache.get(&plan(), &identity("c")).is_none());
        assert!(cache.get(&plan(), &identity("0")).is_some());
    }

    #[test]
    fn is_first_note_is_true_once() {
        let cache = ResultCache::default();
        assert!(cache.is_first_note());
        assert!(!cache.is_first_note());
    }

    #[test]
    fn insert_ignores_results_with_status_error() {
        let cache = ResultCache::default();
        let failed = job("s", "base", "error", "fail");
        cache.insert(
            &plan(),
            identity("a"),
            &failed,
            &run(Utf8Path::new("/runs"), "1"),
        );
        assert!(cache.get(&plan(), &identity("a")).is_none());
    }

    #[test]
    fn reuse_links_the_files_and_names_the_earlier_run() {
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
        let log = |run: &RunFolder| run.path().join(plan().folder()).join("serial.log");
        fs::write(log(&first), "console").unwrap();
        let cache = ResultCache::default();
        let result = job("s", "base", "fail", "fail");
        cache.insert(&plan(), identity("a"), &result, &first);
        let entry = cache.get(&plan(), &identity("a")).unwrap();
        let cached = entry.reuse(&plan(), &second).unwrap();
        assert_eq!(cached.cached.as_ref().unwrap().run, "1");
        assert_eq!(fs::read_to_string(log(&second)).unwrap(), "console");
        assert_eq!(
            Record::read(&plan(), &second).unwrap().cached,
            cached.cached
        );
        // The record of the first run is unchanged. If the first run is removed, its links
        // remain, but its results cannot be reused.
        assert_eq!(Record::read(&plan(), &first).unwrap().cached, None);
        fs::remove_dir_all(first.path()).unwrap();
        assert_eq!(fs::read_to_string(log(&second)).unwrap(), "console");
        assert!(entry.reuse(&plan(), &third).is_err());
    }

    #[test]
    fn without_self_checks_returns_kernels_without_a_result() {
        let known = [SelfCheckResult {
            name: "WARN".to_owned(),
            checkout: "base".to_owned(),
            config: "fast".to_owned(),
            detection: Detection::Detected,
            detail: String::new(),
        }];
        let kernels = [("base", "fast"), ("series", "fast"), ("base", "kasan")];
        let unknown = without_self_checks(&kernels, &known);
        assert_eq!(unknown, ["series (fast)", "base (kasan)"]);
    }
}
