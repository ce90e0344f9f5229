// SPDX-License-Identifier: MIT OR Apache-2.0
//! A side that runs `test` of this program as a child process. The time is measured from the
//! start of the process to its end, and the result is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::process::{Output, Tool, quote};
use selftests::status::Status;
use vm_images::accel::Accelerator;
use vm_images::transcript::Transcript;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::result::{BootMode, JobResult, RunResult};

use super::case::{Outcome, Sample, Side};
use super::figures::spread;
use super::processes::{self, disk_bytes, sampled};
use crate::cli::BenchArgs;

/// Limit for a run of 1000 jobs. Kernels are built in the warm-up run.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The number of last lines that are printed of a failed command.
const LINES_SHOWN: usize = 30;

/// The number of a run that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
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

/// A call of `test` with some arguments. The run must have all jobs, with the expected results.
#[derive(Debug)]
pub(super) struct TestRun {
    name: String,
    words: Vec<String>,
    figure: Figure,
    /// The expected number of jobs. A run with fewer jobs is not comparable.
    jobs: usize,
    /// The required boot mode of all guests, if any.
    boot_mode: Option<BootMode>,
}

impl TestRun {
    /// Returns a call of `test` with `words`, which have no blanks in them.
    pub(super) fn new(
        name: &str,
        words: &str,
        jobs: usize,
        figure: Figure,
        args: &BenchArgs,
    ) -> Self {
        let tree = args.tree.iter().flat_map(|tree| ["--tree", tree]);
        let words = ["test"].into_iter().chain(words.split_whitespace());
        Self {
            name: name.to_owned(),
            words: words.chain(tree).map(str::to_owned).collect(),
            figure,
            jobs,
            boot_mode: None,
        }
    }

    /// Requires that all guests have this boot mode.
    pub(super) fn requiring(self, boot_mode: BootMode) -> Self {
        Self {
            boot_mode: Some(boot_mode),
            ..self
        }
    }

    /// Returns the side that runs it.
    pub(super) fn side(self) -> Side {
        Side {
            name: self.name.clone(),
            command: self.command(&[]),
            once: Box::new(move |folder, session| self.once(&[], folder, session)),
        }
    }

    /// Returns the call with further arguments, as printed.
    pub(super) fn command(&self, more: &[&str]) -> String {
        let words = self.words.iter().map(String::as_str);
        shown(words.chain(more.iter().copied()))
    }

    /// Runs it once with further arguments, in the folder `run` below `folder`.
    pub(super) fn once(
        &self,
        more: &[&str],
        folder: &Utf8Path,
        session: &Session,
    ) -> anyhow::Result<Outcome> {
        let out = folder.join("run");
        let temp = tempfile::tempdir()?;
        let temp = Utf8PathBuf::try_from(temp.path().to_owned())?;
        let tool = this_program(session)?
            .args(&self.words)
            .args(more)
            .args(["--out", out.as_str()])
            .env("TMPDIR", &temp)
            .env(processes::MARK, &out)
            .deadline("measured command", LIMIT);
        let ((output, secs), peak) = sampled(|| {
            let begun = Instant::now();
            let output = tool.run_unchecked(&session.cancel);
            (output, begun.elapsed().as_secs_f64())
        });
        let has_left_processes = processes::end_leftovers(out.as_str());
        let output = output?;
        match output.status.code() {
            Some(0) => {}
            Some(1) => return Ok(Outcome::Failed(last_lines(&output))),
            _ => anyhow::bail!(
                "`{}` failed ({}); its last lines:\n{}",
                self.command(more),
                output.status,
                last_lines(&output)
            ),
        }
        let result = RunFolder::open(&out)?.result()?;
        let boots = boot_ids(&result, &out)?;
        let failure = failure(&result, self.jobs, self.boot_mode)
            .or_else(|| repeated(&boots).map(|id| format!("two kernels have the boot id {id}")))
            .or_else(|| has_left_processes.then(|| "the run left processes running".to_owned()))
            .or_else(|| has_entries(&temp).then(|| "the run left temporary files".to_owned()));
        if let Some(why) = failure {
            return Ok(Outcome::Failed(why));
        }
        let disk_mib = disk_bytes(&out) as f64 / 1024.0 / 1024.0;
        Ok(Outcome::Passed(Sample {
            figure: self.figure.of(secs, &result),
            facts: BTreeMap::from([
                ("memory of patchbed, MiB", peak.memory_mib),
                ("open files of patchbed", peak.files as f64),
                ("run folder on disk, MiB", disk_mib),
                ("boots, each with its own id", boots.len() as f64),
            ]),
            notes: BTreeSet::from([accelerators(&self.name, &result)]),
        }))
    }
}

/// Returns a call of this program with these words, as printed.
pub(super) fn shown<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.fold(program::name().to_owned(), |text, word| {
        format!("{text} {}", quote(word))
    })
}

/// Returns a call of this program, as a user types it.
pub(super) fn this_program(session: &Session) -> anyhow::Result<Tool> {
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
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        })
        .fold(cargo, |cargo, name| cargo.env_remove(name))
        .arg("xtask")
}

fn accelerators(name: &str, result: &RunResult) -> String {
    let names = result.jobs.iter().filter_map(|job| job.accel);
    let names: BTreeSet<&str> = names.map(Accelerator::qemu_name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("{name}: guests ran under {}", names.join(", "))
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
            boot_mode.unwrap_or(BootMode::Restore).word(),
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
