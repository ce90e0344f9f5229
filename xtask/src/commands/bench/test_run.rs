// SPDX-License-Identifier: MIT OR Apache-2.0
//! A side that runs `test` of this program as a child process. The time is measured from the
//! start of the process to its end, and the result is checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::Utf8Path;
use patchbed_host::process::{Output, Tool, quote};
use vm_images::transcript::Transcript;

use super::case::{Outcome, Sample, Side};
use super::cost::{Peak, Sampler, disk_mib};
use super::leftovers;
use super::stats::spread;
use selftests::status::Status;
use vm_images::accel::Accelerator;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::result::{BootMode, JobResult, RunResult};

/// Limit for a run of 1000 jobs. Kernels are built in the warm-up run.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The boot mode of a guest whose checkpoint could not be restored.
/// The number of last lines that are printed of a failed command.
const LINES_SHOWN: usize = 30;

/// The number of a run that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Wall time of the whole process, in seconds.
    Wall,
    /// Wall time of the whole process divided by the number of jobs, in seconds.
    WallAJob,
    /// The median of the jobs' times, in seconds.
    MedianJob,
}

impl Figure {
    fn of(self, secs: f64, result: &RunResult) -> f64 {
        match self {
            Self::Wall => secs,
            Self::WallAJob => secs / result.jobs.len().max(1) as f64,
            Self::MedianJob => {
                let jobs = result.jobs.iter();
                let secs: Vec<f64> = jobs.map(|job| job.duration_ms as f64 / 1e3).collect();
                spread(&secs).map_or(0.0, |secs| secs.median)
            }
        }
    }
}

/// A call of `test` with some arguments.
#[derive(Debug)]
pub(crate) struct TestRun {
    name: String,
    words: Vec<String>,
    figure: Figure,
    /// The expected number of jobs. A run with fewer jobs is not comparable.
    jobs: usize,
    /// The required boot mode of all guests, if any.
    boot_mode: Option<BootMode>,
    /// The accelerators of all runs.
    accelerators: RefCell<BTreeSet<&'static str>>,
}

impl TestRun {
    /// Returns a side that runs `test` with `words`. The run must have `jobs` jobs, all with
    /// the expected result.
    pub(crate) fn new(name: &str, words: &[&str], jobs: usize, figure: Figure) -> Self {
        let words = std::iter::once(&"test").chain(words);
        Self {
            name: name.to_owned(),
            words: words.map(|word| (*word).to_owned()).collect(),
            figure,
            jobs,
            boot_mode: None,
            accelerators: RefCell::default(),
        }
    }

    /// Requires that all guests have this boot mode.
    pub(crate) fn starting(self, boot_mode: BootMode) -> Self {
        Self {
            boot_mode: Some(boot_mode),
            ..self
        }
    }

    /// Returns the last lines of output if the run ended with a finding.
    ///
    /// # Errors
    /// When the run ended without a result.
    fn finding(&self, output: &Output) -> anyhow::Result<Option<String>> {
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) => Ok(Some(last_lines(output))),
            _ => anyhow::bail!(
                "`{}` failed ({}); its last lines:\n{}",
                self.command(),
                output.status,
                last_lines(output)
            ),
        }
    }

    fn tool(&self, out: &Utf8Path, temp: &Utf8Path, session: &Session) -> anyhow::Result<Tool> {
        Ok(this_program(session)?
            .args(&self.words)
            .args(["--out", out.as_str()])
            .env("TMPDIR", temp)
            .env(leftovers::MARK, out)
            .deadline("measured command", LIMIT))
    }
}

/// Returns a call of this program, as a user types it.
///
/// # Errors
/// When the path of the program is unknown.
pub(crate) fn this_program(session: &Session) -> anyhow::Result<Tool> {
    let tool = match session.layout.own_checkout() {
        Some(root) => cargo_xtask().cwd(root),
        None => Tool::new(std::env::current_exe()?),
    };
    Ok(tool.args(session.layout.data_options()))
}

fn cargo_xtask() -> Tool {
    let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // `cargo run` sets these variables for this program. If the second cargo inherited them,
    // it would compile the program again.
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_of_the_package(&name.to_string_lossy()))
        .fold(cargo, |cargo, name| cargo.env_remove(name))
        .arg("xtask")
}

impl Side for TestRun {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        let words = self.words.iter().map(|word| quote(word));
        let words: Vec<_> = words.collect();
        format!("{} {}", program::name(), words.join(" "))
    }

    fn once(&self, folder: &Utf8Path, session: &Session) -> anyhow::Result<Outcome> {
        let out = folder.join("run");
        let temp = tempfile::tempdir()?;
        let temp = Utf8Path::from_path(temp.path())
            .context("the path of the folder for temporary files is not UTF-8")?;
        let tool = self.tool(&out, temp, session)?;
        let sampler = Sampler::start();
        let begun = Instant::now();
        let output = tool.run_unchecked(&session.cancel);
        let took = begun.elapsed().as_secs_f64();
        let peak = sampler.finish();
        let has_left_processes = leftovers::end(out.as_str());
        let output = output?;
        if let Some(finding) = self.finding(&output)? {
            return Ok(Outcome::Failed(finding));
        }
        let result = RunFolder::open(&out)?.result()?;
        let boots = boot_ids(&result, &out)?;
        let failure = failure(&result, self.jobs, self.boot_mode)
            .or_else(|| repeated(&boots).map(|id| format!("two kernels have the boot id {id}")))
            .or_else(|| has_left_processes.then(|| "the run left processes running".to_owned()))
            .or_else(|| has_entries(temp).then(|| "the run left temporary files".to_owned()));
        if let Some(why) = failure {
            return Ok(Outcome::Failed(why));
        }
        let accelerators = result.jobs.iter().filter_map(|job| job.accel);
        self.accelerators
            .borrow_mut()
            .extend(accelerators.map(Accelerator::qemu_name));
        Ok(Outcome::Passed(Sample {
            figure: self.figure.of(took, &result),
            facts: facts(&peak, &boots, &out),
        }))
    }

    fn notes(&self) -> Vec<String> {
        let accelerators: Vec<&str> = self.accelerators.borrow().iter().copied().collect();
        vec![format!(
            "{}: guests ran under {}",
            self.name,
            accelerators.join(", ")
        )]
    }
}

fn is_of_the_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|start| variable.starts_with(start))
}

fn facts(peak: &Peak, boots: &[String], out: &Utf8Path) -> BTreeMap<String, f64> {
    BTreeMap::from([
        ("memory of patchbed, MiB".to_owned(), peak.memory_mib),
        ("open files of patchbed".to_owned(), peak.files as f64),
        ("run folder on disk, MiB".to_owned(), disk_mib(out)),
        ("boots, each with its own id".to_owned(), boots.len() as f64),
    ])
}

/// Returns the boot ids that the guests of a run reported.
fn boot_ids(result: &RunResult, out: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for job in &result.jobs {
        let folder = out.join(&job.artifacts);
        let transcript = Transcript::load(&folder)
            .with_context(|| format!("reading the transcript in `{folder}`"))?;
        ids.extend(transcript.boots.into_iter().map(|boot| boot.boot_id));
    }
    Ok(ids)
}

fn repeated(ids: &[String]) -> Option<&String> {
    let mut unique = BTreeSet::new();
    ids.iter().find(|id| !unique.insert(*id))
}

fn has_entries(folder: &Utf8Path) -> bool {
    folder
        .read_dir_utf8()
        .is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns why a result is not comparable: an unexpected result, a guest with another boot
/// mode, or another number of jobs.
fn failure(result: &RunResult, jobs: usize, boot_mode: Option<BootMode>) -> Option<String> {
    if let Some(job) = result.jobs.iter().find(|job| !is_done(job)) {
        let (name, checkout) = (&job.test, &job.checkout);
        return Some(format!(
            "{name} on {checkout}: {}: {}",
            job.status, job.reason
        ));
    }
    let other = result.jobs.iter().find(|job| match boot_mode {
        Some(boot_mode) => job.boot_mode != Some(boot_mode),
        // The job's time includes a failed restore.
        None => job.boot_mode == Some(BootMode::ColdInstead),
    });
    if let Some(job) = other {
        return Some(format!(
            "the boot mode of {} on {} is `{}`, not `{}`",
            job.test,
            job.checkout,
            job.boot_mode.map_or("", BootMode::word),
            boot_mode.unwrap_or(BootMode::Restore),
        ));
    }
    let ran = result.jobs.len();
    (ran != jobs).then(|| format!("{ran} jobs ran, expected {jobs}"))
}

/// Returns whether a job ran to its end with the expected result. A skipped kselftest is an
/// expected result of a run, but it did no work.
fn is_done(job: &JobResult) -> bool {
    let is_good = match job.kselftest {
        true => job.status == Status::Pass,
        false => job.status != Status::Skip,
    };
    is_good && !job.needs_attention()
}

fn last_lines(output: &Output) -> String {
    let text = output.stdout_text() + &output.stderr_text();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(test: &str, checkout: &str, status: &str, expectation: &str) -> JobResult {
        let job = serde_json::json!({
            "test": test, "checkout": checkout, "config": "fast", "machine": "edu-pair",
            "arch": "x86_64", "repetition": 1, "status": status, "expectation": expectation,
            "expected": status == expectation || status == "skip", "xfail": expectation == "fail",
            "reason": format!("{status} for a reason"), "boot_ms": 1500, "boot_mode": "restore",
            "duration_ms": 2500, "accel": "tcg", "artifacts": "", "kselftest": test.contains(':'),
        });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn failure_reports_unexpected_skipped_and_missing_jobs() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let good = job("kexec", "series", "pass", "pass");
        assert_eq!(failure(&run(vec![good.clone()]), 1, None), None);
        let fewer = failure(&run(vec![good.clone()]), 2, None).unwrap();
        assert_eq!(fewer, "1 jobs ran, expected 2");
        let bad = job("kexec", "series", "hang", "pass");
        let wrong = failure(&run(vec![good, bad]), 2, None).unwrap();
        assert_eq!(wrong, "kexec on series: hang: hang for a reason");
        let skipped = job("kexec", "series", "skip", "pass");
        assert!(failure(&run(vec![skipped]), 1, None).is_some());
        let expected = job("kexec", "base", "fail", "fail");
        assert_eq!(failure(&run(vec![expected]), 1, None), None);
    }

    #[test]
    fn failure_reports_kselftests_that_did_not_pass() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let name = "liveupdate:luo_kexec_simple";
        let passed = job(name, "series", "pass", "pass");
        let skipped = job(name, "series", "skip", "pass");
        assert!(skipped.is_skipped());
        assert_eq!(failure(&run(vec![passed.clone()]), 1, None), None);
        let wrong = failure(&run(vec![passed.clone(), skipped]), 2, None).unwrap();
        assert_eq!(wrong, format!("{name} on series: skip: skip for a reason"));
        let mut failed = passed;
        failed.status = Status::Fail;
        assert!(failure(&run(vec![failed]), 1, None).is_some());
    }

    #[test]
    fn failure_reports_a_booted_guest_if_restore_is_required() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let restored = job("held", "series", "pass", "pass");
        let mut booted = restored.clone();
        booted.boot_mode = Some(BootMode::Cold);
        let jobs = vec![restored, booted];
        let wrong = failure(&run(jobs), 2, Some(BootMode::Restore)).unwrap();
        assert_eq!(
            wrong,
            "the boot mode of held on series is `cold`, not `restore`"
        );
    }

    #[test]
    fn failure_reports_a_guest_whose_restore_failed() {
        let mut instead = job("held", "series", "pass", "pass");
        instead.boot_mode = Some(BootMode::ColdInstead);
        let result = RunResult::new(String::new(), String::new(), Vec::new(), vec![instead]);
        for start in [None, Some(BootMode::Restore), Some(BootMode::Cold)] {
            let wrong = failure(&result, 1, start).unwrap();
            assert!(wrong.contains("is `cold-instead`, not"), "{wrong}");
        }
    }

    #[test]
    fn repeated_returns_a_duplicate_boot_id() {
        let ids = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(repeated(&ids).unwrap(), "a");
        assert_eq!(repeated(&ids[..2]), None);
    }
}
