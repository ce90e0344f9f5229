// SPDX-License-Identifier: GPL-2.0-only
//! A side that is one of our own commands, run as a person would: a child process,
//! measured from command to result, with the result looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use camino::Utf8Path;
use patchbed_host::process::{Output, Tool, quote};
use vm_images::transcript::Transcript;

use super::case::{Came, Sample, Side};
use super::cost::{Peak, Watch, disk_mib};
use super::leftovers;
use super::stats::spread;
use crate::program;
use crate::result::{JobResult, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Builds are made beforehand; a thousand jobs take a while.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// How a guest started whose checkpoint failed.
const COLD_INSTEAD: &str = "cold-instead";
/// Of a command that failed, so many of the last lines are shown.
const LINES_SHOWN: usize = 30;

/// What of a run is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Wall time of the whole process, in seconds.
    Wall,
    /// The same divided by the number of jobs.
    WallAJob,
    /// The median of the jobs' own time, in seconds.
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

/// `test` with some arguments.
#[derive(Debug)]
pub(crate) struct Ours {
    name: String,
    words: Vec<String>,
    figure: Figure,
    /// The jobs that the run must have had, so that nothing is fast for want of work.
    jobs: usize,
    /// How every guest must have started, if that matters.
    start: Option<&'static str>,
    /// The accelerators that were seen.
    accelerators: RefCell<BTreeSet<String>>,
}

impl Ours {
    /// Returns a side that runs `test` with `words`, which must
    /// come to `jobs` jobs, all of them as expected.
    pub(crate) fn test(name: &str, words: &[&str], jobs: usize, figure: Figure) -> Self {
        let words = std::iter::once(&"test").chain(words);
        Self {
            name: name.to_owned(),
            words: words.map(|word| (*word).to_owned()).collect(),
            figure,
            jobs,
            start: None,
            accelerators: RefCell::default(),
        }
    }

    /// Returns the same side whose guests must all start that way: `checkpoint` or `boot`.
    pub(crate) fn starting(self, start: &'static str) -> Self {
        Self {
            start: Some(start),
            ..self
        }
    }

    /// Returns what a run that ended with a finding said.
    ///
    /// # Errors
    /// When it ended in another way than with a result.
    fn wrong_end(&self, output: &Output) -> anyhow::Result<Option<String>> {
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
        Ok(ourselves(session)?
            .args(&self.words)
            .args(["--out", out.as_str()])
            .env("TMPDIR", temp)
            .env(leftovers::MARK, out)
            .deadline("measured command", LIMIT))
    }
}

/// Returns a call of this program, as a person types it and waits for it.
///
/// # Errors
/// When the program's own file is not known.
pub(crate) fn ourselves(session: &Session) -> anyhow::Result<Tool> {
    let tool = match session.layout.own_checkout() {
        Some(root) => cargo_xtask().cwd(root),
        None => Tool::new(std::env::current_exe()?),
    };
    Ok(tool.args(session.layout.data_options()))
}

fn cargo_xtask() -> Tool {
    let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // What `cargo run` tells us of ourselves would be news to a second
    // cargo, which then compiles this program anew.
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_of_the_package(&name.to_string_lossy()))
        .fold(cargo, |cargo, name| cargo.env_remove(name))
        .arg("xtask")
}

impl Side for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        let words = self.words.iter().map(|word| quote(word));
        let words: Vec<_> = words.collect();
        format!("{} {}", program::name(), words.join(" "))
    }

    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came> {
        let out = place.join("run");
        let temp = tempfile::tempdir()?;
        let temp = Utf8Path::from_path(temp.path()).context("the folder for temporary files")?;
        let tool = self.tool(&out, temp, session)?;
        let watch = Watch::start();
        let begun = Instant::now();
        let output = tool.run_unchecked(&session.cancel);
        let took = begun.elapsed().as_secs_f64();
        let peak = watch.finish();
        let has_left_processes = leftovers::end(out.as_str());
        let output = output?;
        if let Some(wrong) = self.wrong_end(&output)? {
            return Ok(Came::Wrong(wrong));
        }
        let result = RunFolder::open(&out)?.result()?;
        let boots = boot_ids(&result, &out)?;
        let report = report(&result, self.jobs, self.start)
            .or_else(|| repeated(&boots).map(|id| format!("two kernels say they are boot {id}")))
            .or_else(|| has_left_processes.then(|| "it left processes running".to_owned()))
            .or_else(|| is_filled(temp).then(|| "it left temporary files".to_owned()));
        if let Some(why) = report {
            return Ok(Came::Wrong(why));
        }
        let seen = result.jobs.iter().map(|job| job.accel.clone());
        self.accelerators.borrow_mut().extend(seen);
        Ok(Came::Right(Sample {
            figure: self.figure.of(took, &result),
            facts: facts(&peak, &boots, &out),
        }))
    }

    fn notes(&self) -> Vec<String> {
        let seen: Vec<String> = self.accelerators.borrow().iter().cloned().collect();
        vec![format!(
            "{}: guests ran under {}",
            self.name,
            seen.join(", ")
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
        ("memory of our process, MiB".to_owned(), peak.memory_mib),
        ("files our process had open".to_owned(), peak.files as f64),
        ("run folder on disk, MiB".to_owned(), disk_mib(out)),
        ("boots, each with its own id".to_owned(), boots.len() as f64),
    ])
}

/// Returns the boots that the guests of a run say they are.
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
    let mut seen = BTreeSet::new();
    ids.iter().find(|id| !seen.insert(*id))
}

fn is_filled(folder: &Utf8Path) -> bool {
    folder
        .read_dir_utf8()
        .is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns what is wrong with a result that should be `jobs` jobs as expected,
/// all started in the same way if that matters.
fn report(result: &RunResult, jobs: usize, start: Option<&str>) -> Option<String> {
    if let Some(job) = result.jobs.iter().find(|job| !is_done(job)) {
        let (name, checkout) = (&job.test, &job.checkout);
        return Some(format!(
            "{name} on {checkout}: {}: {}",
            job.status, job.reason
        ));
    }
    let other = result.jobs.iter().find(|job| match start {
        Some(start) => job.boot_mode != start,
        // Two tries, of which the first failed: the time of neither.
        None => job.boot_mode == COLD_INSTEAD,
    });
    if let Some(job) = other {
        return Some(format!(
            "the guest of {} on {} did not start by `{}` but by `{}`",
            job.test,
            job.checkout,
            start.unwrap_or("restore"),
            job.boot_mode
        ));
    }
    let ran = result.jobs.len();
    (ran != jobs).then(|| format!("{ran} jobs ran where {jobs} should have"))
}

/// Returns whether a job did its work, and it came out as it should. A test of the
/// tree's own may skip as far as a run is concerned, but then it did nothing.
fn is_done(job: &JobResult) -> bool {
    let is_good = match job.kselftest {
        true => job.status == "pass",
        false => job.status != "skip",
    };
    is_good && !job.is_finding()
}

fn last_lines(output: &Output) -> String {
    let text = output.stdout_text() + &output.stderr_text();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::job;

    #[test]
    fn only_a_run_that_did_the_whole_job_counts() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let good = job("kexec", "series", "pass", "pass");
        assert_eq!(report(&run(vec![good.clone()]), 1, None), None);
        let fewer = report(&run(vec![good.clone()]), 2, None).unwrap();
        assert_eq!(fewer, "1 jobs ran where 2 should have");
        let bad = job("kexec", "series", "hang", "pass");
        let wrong = report(&run(vec![good, bad]), 2, None).unwrap();
        assert_eq!(wrong, "kexec on series: hang: hang for a reason");
        let skipped = job("kexec", "series", "skip", "skip");
        assert!(report(&run(vec![skipped]), 1, None).is_some());
        let shown = job("kexec", "base", "fail", "fail");
        assert_eq!(report(&run(vec![shown]), 1, None), None);
    }

    #[test]
    fn a_test_of_the_trees_own_counts_only_if_it_passed() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let name = "liveupdate:luo_kexec_simple";
        let passed = job(name, "series", "pass", "pass");
        let skipped = job(name, "series", "skip", "pass");
        assert!(skipped.is_skipped(), "and the run has no finding");
        assert_eq!(report(&run(vec![passed.clone()]), 1, None), None);
        let wrong = report(&run(vec![passed.clone(), skipped]), 2, None).unwrap();
        assert_eq!(wrong, format!("{name} on series: skip: skip for a reason"));
        let mut failed = passed;
        failed.status = "fail".to_owned();
        assert!(report(&run(vec![failed]), 1, None).is_some());
    }

    #[test]
    fn a_guest_that_booted_is_no_figure_of_a_restored_one() {
        let run = |jobs| RunResult::new(String::new(), String::new(), Vec::new(), jobs);
        let restored = job("held", "series", "pass", "pass");
        let mut booted = restored.clone();
        booted.boot_mode = "cold".to_owned();
        let jobs = vec![restored, booted];
        let wrong = report(&run(jobs), 2, Some("restore")).unwrap();
        assert_eq!(
            wrong,
            "the guest of held on series did not start by `restore` but by `cold`"
        );
    }

    #[test]
    fn a_guest_whose_checkpoint_failed_is_no_figure_of_anything() {
        let mut instead = job("held", "series", "pass", "pass");
        instead.boot_mode = "cold-instead".to_owned();
        let result = RunResult::new(String::new(), String::new(), Vec::new(), vec![instead]);
        for start in [None, Some("restore"), Some("cold")] {
            let wrong = report(&result, 1, start).unwrap();
            assert!(wrong.ends_with("but by `cold-instead`"), "{wrong}");
        }
    }

    #[test]
    fn a_boot_that_two_guests_claim_is_found() {
        let ids = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(repeated(&ids).unwrap(), "a");
        assert_eq!(repeated(&ids[..2]), None);
    }
}
