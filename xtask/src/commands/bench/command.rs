// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the commands that a case compares: measures them, checks their results, and kills the
//! processes that they left.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::files::walk;
use patchbed_host::process::{Output, ProcessError, Tool, quote};
use rustix::process::{Pid, Signal};
use selftests::status::Status;
use serde::Deserialize;
use vm_images::accel::Accelerator;
use vm_images::transcript::Transcript;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::result::{BootMode, JobResult, RunResult};

use super::figures::spread;

/// Limit for a measured command: a run of 1000 jobs, or a first run that builds a kernel.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The number of last lines that are printed of a failed command.
const LINES_SHOWN: usize = 30;
/// Interval of the samples. The kernel records the peak of the memory, so only growth after
/// the last sample is missed.
const INTERVAL: Duration = Duration::from_millis(200);
/// The variable that marks the descendants of a command. Its process group is killed with it,
/// but a child may leave the group: timeout(1) does, and vmtest.sh runs QEMU below it.
const MARK: &str = "PATCHBED_BENCH_PLACE";
/// Limit of the passes; more than one is needed, because a process may start another while it
/// is being killed.
const SWEEPS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A command to measure.
pub(super) struct Side {
    pub(super) name: String,
    /// The command line to print.
    pub(super) command: String,
    pub(super) once: Box<Once>,
    /// In the order of the rounds.
    pub(super) samples: Vec<Sample>,
}

impl Side {
    pub(super) fn new(name: String, command: String, once: Box<Once>) -> Self {
        Self {
            name,
            command,
            once,
            samples: Vec::new(),
        }
    }
}

/// Runs a command once in a folder that is new and empty, and checks its result. An error means
/// that the command could not be run, or did not end with a result.
pub(super) type Once = dyn Fn(&Utf8Path, &Session) -> anyhow::Result<Outcome>;

/// The outcome of a run of a command.
#[derive(Clone, Debug)]
pub(super) enum Outcome<T = Sample> {
    Passed(T),
    /// Why the result is wrong: a finding, without a figure.
    Failed(String),
}

/// The measurements of a run with a right result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// The compared number, in the unit of the case; less is better.
    pub(super) figure: f64,
    /// Other numbers by name, with their unit.
    pub(super) facts: BTreeMap<&'static str, f64>,
    /// Notes that are known only after the run.
    pub(super) notes: BTreeSet<String>,
}

/// The measurements of a command that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) secs: f64,
    /// The largest values of all samples of the command's process.
    memory_mib: f64,
    files: usize,
    has_left_processes: bool,
}

/// Runs a command to its end, and kills the processes that it left. No other command may have
/// the same `mark`.
pub(super) fn run(
    tool: Tool,
    mark: &Utf8Path,
    session: &Session,
) -> (Result<Output, ProcessError>, Measured) {
    let tool = tool.env(MARK, mark).deadline("measured command", LIMIT);
    let (stop, stopped) = sync_channel::<()>(1);
    let sample_all = move || {
        let mut measured = Measured::default();
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            measured.sample_children();
        }
        measured
    };
    std::thread::scope(|scope| {
        let sampler = scope.spawn(sample_all);
        let begun = Instant::now();
        let output = tool.run_unchecked(&session.cancel);
        let secs = begun.elapsed().as_secs_f64();
        drop(stop);
        let measured = Measured {
            secs,
            has_left_processes: end_leftovers(mark.as_str()),
            ..sampler.join().unwrap_or_default()
        };
        (output, measured)
    })
}

impl Measured {
    /// Samples the direct children of this process.
    fn sample_children(&mut self) {
        let own = u64::from(std::process::id());
        for pid in processes() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if field(&status, "PPid:") == Some(own) {
                let memory_kib = field(&status, "VmHWM:").unwrap_or_default();
                let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
                self.memory_mib = self.memory_mib.max(memory_kib as f64 / 1024.0);
                self.files = self.files.max(files);
            }
        }
    }
}

/// Returns the ids of all processes.
fn processes() -> impl Iterator<Item = i32> {
    let folder = fs::read_dir("/proc").into_iter().flatten();
    folder.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
}

/// Reads a number from `/proc/PID/status`, proc_pid_status(5).
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Kills every process whose environment has `MARK` with this value. Returns
/// whether there were any.
fn end_leftovers(value: &str) -> bool {
    let entry = format!("{MARK}={value}");
    // The environment of a dead process or of another user's process cannot be read.
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|found| found == entry.as_bytes())
    };
    for sweep in 0..SWEEPS_MAX {
        let marked: Vec<i32> = processes().filter(is_marked).collect();
        if marked.is_empty() {
            return sweep > 0;
        }
        for pid in marked.into_iter().filter_map(Pid::from_raw) {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Returns a call of this program with these words, as printed.
pub(super) fn shown(words: &[String]) -> String {
    words.iter().fold(program::name().to_owned(), |text, word| {
        format!("{text} {}", quote(word))
    })
}

/// Runs this program with these words and with further ones that are not printed, as a user
/// calls it. It must exit with 0 and leave neither processes nor temporary files.
pub(super) fn run_own(
    words: &[String],
    further: &[&str],
    mark: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Outcome<(Output, Measured)>> {
    let program = match session.layout.own_checkout() {
        Some(root) => cargo_xtask().cwd(root),
        None => Tool::new(std::env::current_exe()?),
    };
    // Not below `mark`, because the length of the path of a socket is limited.
    let temporary = tempfile::tempdir()?;
    let program = program
        .args(session.layout.data_options())
        .args(words)
        .args(further)
        .env("TMPDIR", temporary.path());
    let (output, measured) = run(program, mark, session);
    let output = output?;
    let has_left_files = fs::read_dir(temporary.path())?.next().is_some();
    let why = match output.status.code() {
        Some(0) if measured.has_left_processes => "the run left processes running".to_owned(),
        Some(0) if has_left_files => "the run left temporary files".to_owned(),
        Some(0) => return Ok(Outcome::Passed((output, measured))),
        Some(1) => last_lines(&output),
        _ => anyhow::bail!(
            "`{}` failed ({}); its last lines:\n{}",
            shown(words),
            output.status,
            last_lines(&output)
        ),
    };
    Ok(Outcome::Failed(why))
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

/// Returns the last lines of both streams of a command.
pub(super) fn last_lines(output: &Output) -> String {
    let text = output.stdout_text() + &output.stderr_text();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// The number of a run that is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Figure {
    /// Wall time of the whole process, in seconds.
    #[default]
    Wall,
    /// Wall time of the whole process divided by the number of jobs, in seconds.
    WallAJob,
    /// The median of the jobs' times, in seconds.
    MedianJob,
}

impl Figure {
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Wall | Self::MedianJob => "s",
            Self::WallAJob => "s a job",
        }
    }

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

/// A run of `test`, which must have all planned jobs, with the expected results.
#[derive(Clone, Copy, Debug)]
pub(super) struct TestRun {
    pub(super) figure: Figure,
    /// The least number of jobs. A run with fewer jobs is not comparable.
    pub(super) jobs: usize,
    /// The required boot mode of all guests, if any.
    pub(super) boot_mode: Option<BootMode>,
}

impl TestRun {
    /// Runs it once with these words, in the folder `run` below `folder`.
    pub(super) fn once(
        &self,
        words: &[String],
        folder: &Utf8Path,
        session: &Session,
    ) -> anyhow::Result<Outcome> {
        let out = folder.join("run");
        let measured = match run_own(words, &["--out", out.as_str()], &out, session)? {
            Outcome::Passed((_, measured)) => measured,
            Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
        };
        let (_, result) = RunFolder::open(&out)?.read()?;
        let boots = boot_ids(&result, &out)?;
        let wrong = failure(&result, self.jobs, self.boot_mode)
            .or_else(|| repeated(&boots).map(|id| format!("two kernels have the boot id {id}")));
        if let Some(why) = wrong {
            return Ok(Outcome::Failed(why));
        }
        let accelerators = result.jobs.iter().filter_map(|job| job.accel);
        let accelerators: BTreeSet<&str> = accelerators.map(Accelerator::qemu_name).collect();
        let accelerators = Vec::from_iter(accelerators).join(", ");
        Ok(Outcome::Passed(Sample {
            figure: self.figure.of(measured.secs, &result),
            facts: BTreeMap::from([
                ("memory of patchbed, MiB", measured.memory_mib),
                ("open files of patchbed", measured.files as f64),
                ("run folder on disk, MiB", disk_mib(&out)),
                ("boots, each with its own id", boots.len() as f64),
                ("jobs", result.jobs.len() as f64),
            ]),
            notes: BTreeSet::from([format!("guests ran under {accelerators}")]),
        }))
    }
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

/// Returns why a result is not comparable: an unexpected result, a guest with another boot
/// mode, or too few jobs.
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
    (ran < jobs).then(|| format!("{ran} jobs ran, expected {jobs}"))
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

/// Returns the disk space of the regular files below a folder.
fn disk_mib(folder: &Utf8Path) -> f64 {
    let files = walk(folder).filter_map(|entry| entry.ok().filter(|(_, kind)| kind.is_file()));
    let blocks = files.filter_map(|(path, _)| Some(fs::metadata(folder.join(path)).ok()?.blocks()));
    blocks.sum::<u64>() as f64 * 512.0 / 1024.0 / 1024.0
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;

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

    #[test]
    fn field_returns_the_number_of_the_line_with_that_name() {
        let status = "Name:\tVmHWM: 9\nPPid:\t77\nVmHWM:\t  2048 kB\n";
        assert_eq!(field(status, "PPid:"), Some(77));
        assert_eq!(field(status, "VmHWM:"), Some(2048));
        assert_eq!(field("", "VmHWM:"), None);
    }

    #[test]
    fn disk_mib_counts_files_in_subfolders_and_ignores_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), vec![1; 8192]).unwrap();
        fs_err::os::unix::fs::symlink("/", root.join("a/everything")).unwrap();
        assert_eq!(disk_mib(root) * 1024.0, 8.0);
    }

    #[test]
    fn end_leftovers_kills_a_process_that_left_its_process_group() {
        let place = format!("test-{}", std::process::id());
        // As in the script: `timeout` makes its own process group.
        Tool::new("sh")
            .args(["-c", "timeout 60 sleep 60 >/dev/null 2>&1 & sleep 0.1"])
            .env(MARK, &place)
            .run(&Cancel::new())
            .unwrap();
        assert!(end_leftovers(&place), "the test's process was not found");
        assert!(!end_leftovers(&place));
    }

    #[test]
    fn end_leftovers_ignores_processes_without_the_mark() {
        assert!(!end_leftovers("value that no process has"));
    }
}
