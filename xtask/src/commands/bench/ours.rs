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
use crate::result::{CellResult, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Builds are made beforehand; a thousand cells take a while.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// How a guest started whose template failed.
const BOOT_INSTEAD: &str = "boot-instead";
/// Of a command that failed, so many of the last lines are shown.
const LINES_SHOWN: usize = 30;

/// What of a run is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Wall time of the whole process, in seconds.
    Wall,
    /// The same divided by the number of cells.
    WallACell,
    /// The median of the cells' own time, in seconds.
    MedianCell,
}

impl Figure {
    fn of(self, secs: f64, result: &RunResult) -> f64 {
        match self {
            Self::Wall => secs,
            Self::WallACell => secs / result.cells.len().max(1) as f64,
            Self::MedianCell => {
                let cells = result.cells.iter();
                let secs: Vec<f64> = cells.map(|cell| cell.duration_ms as f64 / 1e3).collect();
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
    /// The cells that the run must have had, so that nothing is fast for want of work.
    cells: usize,
    /// How every guest must have started, if that matters.
    start: Option<&'static str>,
    /// The accelerators that were seen.
    accelerators: RefCell<BTreeSet<String>>,
}

impl Ours {
    /// Returns a side that runs `test` with `words`, which must
    /// come to `cells` cells, all of them as expected.
    pub(crate) fn test(name: &str, words: &[&str], cells: usize, figure: Figure) -> Self {
        let words = std::iter::once(&"test").chain(words);
        Self {
            name: name.to_owned(),
            words: words.map(|word| (*word).to_owned()).collect(),
            figure,
            cells,
            start: None,
            accelerators: RefCell::default(),
        }
    }

    /// Returns the same side whose guests must all start that way: `template` or `boot`.
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
        let complaint = complaint(&result, self.cells, self.start)
            .or_else(|| repeated(&boots).map(|id| format!("two kernels say they are boot {id}")))
            .or_else(|| has_left_processes.then(|| "it left processes running".to_owned()))
            .or_else(|| is_filled(temp).then(|| "it left temporary files".to_owned()));
        if let Some(why) = complaint {
            return Ok(Came::Wrong(why));
        }
        let seen = result.cells.iter().map(|cell| cell.accel.clone());
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
    for cell in &result.cells {
        let folder = out.join(&cell.artifacts);
        let transcript = Transcript::load(&folder)
            .with_context(|| format!("reading the transcript in `{folder}`"))?;
        ids.extend(transcript.stages.into_iter().map(|stage| stage.boot_id));
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

/// Returns what is wrong with a result that should be `cells` cells as expected,
/// all started in the same way if that matters.
fn complaint(result: &RunResult, cells: usize, start: Option<&str>) -> Option<String> {
    if let Some(cell) = result.cells.iter().find(|cell| !is_done(cell)) {
        let (name, stack) = (&cell.scenario, &cell.stack);
        return Some(format!(
            "{name} on {stack}: {}: {}",
            cell.outcome, cell.reason
        ));
    }
    let other = result.cells.iter().find(|cell| match start {
        Some(start) => cell.start != start,
        // Two tries, of which the first failed: the time of neither.
        None => cell.start == BOOT_INSTEAD,
    });
    if let Some(cell) = other {
        return Some(format!(
            "the guest of {} on {} did not start by `{}` but by `{}`",
            cell.scenario,
            cell.stack,
            start.unwrap_or("template"),
            cell.start
        ));
    }
    let ran = result.cells.len();
    (ran != cells).then(|| format!("{ran} cells ran where {cells} should have"))
}

/// Returns whether a cell did its work, and it came out as it should. A test of the
/// tree's own may skip as far as a run is concerned, but then it did nothing.
fn is_done(cell: &CellResult) -> bool {
    let is_good = match cell.kselftest {
        true => cell.outcome == "pass",
        false => cell.outcome != "skip",
    };
    is_good && !cell.is_finding()
}

fn last_lines(output: &Output) -> String {
    let text = output.stdout_text() + &output.stderr_text();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    #[test]
    fn only_a_run_that_did_the_whole_job_counts() {
        let run = |cells| RunResult::new(String::new(), String::new(), Vec::new(), cells);
        let good = cell("kexec", "series", "pass", "pass");
        assert_eq!(complaint(&run(vec![good.clone()]), 1, None), None);
        let fewer = complaint(&run(vec![good.clone()]), 2, None).unwrap();
        assert_eq!(fewer, "1 cells ran where 2 should have");
        let bad = cell("kexec", "series", "hang", "pass");
        let wrong = complaint(&run(vec![good, bad]), 2, None).unwrap();
        assert_eq!(wrong, "kexec on series: hang: hang for a reason");
        let skipped = cell("kexec", "series", "skip", "skip");
        assert!(complaint(&run(vec![skipped]), 1, None).is_some());
        let shown = cell("kexec", "base", "fail", "fail");
        assert_eq!(complaint(&run(vec![shown]), 1, None), None);
    }

    #[test]
    fn a_test_of_the_trees_own_counts_only_if_it_passed() {
        let run = |cells| RunResult::new(String::new(), String::new(), Vec::new(), cells);
        let name = "liveupdate:luo_kexec_simple";
        let passed = cell(name, "series", "pass", "pass");
        let skipped = cell(name, "series", "skip", "pass");
        assert!(skipped.is_skipped(), "and the run has no finding");
        assert_eq!(complaint(&run(vec![passed.clone()]), 1, None), None);
        let wrong = complaint(&run(vec![passed.clone(), skipped]), 2, None).unwrap();
        assert_eq!(wrong, format!("{name} on series: skip: skip for a reason"));
        let mut failed = passed;
        failed.outcome = "fail".to_owned();
        assert!(complaint(&run(vec![failed]), 1, None).is_some());
    }

    #[test]
    fn a_guest_that_booted_is_no_figure_of_a_restored_one() {
        let run = |cells| RunResult::new(String::new(), String::new(), Vec::new(), cells);
        let restored = cell("held", "series", "pass", "pass");
        let mut booted = restored.clone();
        booted.start = "boot".to_owned();
        let cells = vec![restored, booted];
        let wrong = complaint(&run(cells), 2, Some("template")).unwrap();
        assert_eq!(
            wrong,
            "the guest of held on series did not start by `template` but by `boot`"
        );
    }

    #[test]
    fn a_guest_whose_template_failed_is_no_figure_of_anything() {
        let mut instead = cell("held", "series", "pass", "pass");
        instead.start = "boot-instead".to_owned();
        let result = RunResult::new(String::new(), String::new(), Vec::new(), vec![instead]);
        for start in [None, Some("template"), Some("boot")] {
            let wrong = complaint(&result, 1, start).unwrap();
            assert!(wrong.ends_with("but by `boot-instead`"), "{wrong}");
        }
    }

    #[test]
    fn a_boot_that_two_guests_claim_is_found() {
        let ids = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(repeated(&ids).unwrap(), "a");
        assert_eq!(repeated(&ids[..2]), None);
    }
}
