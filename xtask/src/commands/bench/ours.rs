// SPDX-License-Identifier: GPL-2.0-only
//! A side that is one of our own commands, run as a person would: a child process,
//! measured from command to result, with the result looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use testbed_host::process::{Output, Tool};

use super::case::{Came, Sample, Side};
use super::cost::{MemoryWatch, disk_mib};
use crate::result::{RunResult, Verdict};
use crate::run_folder::{RESULT, RunFolder};
use crate::session::Session;

/// Builds are made beforehand; a thousand cells take a while.
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Of a command that failed, so many of the last lines are shown.
const LINES_SHOWN: usize = 30;

/// What of a run is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Wall time of the whole process, in seconds.
    Wall,
    /// The same divided by the number of cells.
    WallACell,
}

impl Figure {
    fn of(self, secs: f64, result: &RunResult) -> f64 {
        match self {
            Self::Wall => secs,
            Self::WallACell => secs / result.cells.len().max(1) as f64,
        }
    }
}

/// `cargo xtask test` with some arguments.
#[derive(Debug)]
pub(crate) struct Ours {
    name: String,
    words: Vec<String>,
    figure: Figure,
    /// The cells that the run must have had, so that nothing is fast for want of work.
    cells: usize,
    /// The accelerators that were seen.
    accelerators: RefCell<BTreeSet<String>>,
}

impl Ours {
    /// Returns a side that runs `cargo xtask test` with `words`, which must
    /// come to `cells` cells, all of them as expected.
    pub(crate) fn test(name: &str, words: &[&str], cells: usize, figure: Figure) -> Self {
        let words = std::iter::once(&"test").chain(words);
        Self {
            name: name.to_owned(),
            words: words.map(|word| (*word).to_owned()).collect(),
            figure,
            cells,
            accelerators: RefCell::default(),
        }
    }

    /// Through cargo, since that is what a person types and waits for.
    fn tool(&self, out: &Utf8Path, session: &Session) -> Tool {
        let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        // What `cargo run` tells us of ourselves would be news to a second
        // cargo, which then compiles this program anew.
        std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| is_of_the_package(&name.to_string_lossy()))
            .fold(cargo, |cargo, name| cargo.env_remove(name))
            .arg("xtask")
            .args(&self.words)
            .args(["--out", out.as_str()])
            .cwd(session.layout.root())
            .deadline("measured command", LIMIT)
    }
}

impl Side for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        let words = self
            .words
            .iter()
            .map(|word| testbed_host::process::quote(word));
        format!("cargo xtask {}", words.collect::<Vec<_>>().join(" "))
    }

    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came> {
        let out = place.join("run");
        let tool = self.tool(&out, session);
        let memory = MemoryWatch::start();
        let begun = Instant::now();
        let output = tool.run_unchecked(&session.cancel);
        let took = begun.elapsed();
        let memory_mib = memory.finish();
        let output = output?;
        match output.status.code() {
            Some(0) => {}
            Some(1) => return Ok(Came::Wrong(last_lines(&output))),
            _ => anyhow::bail!(
                "`{}` failed ({}); its last lines:\n{}",
                self.command(),
                output.status,
                last_lines(&output)
            ),
        }
        let result: RunResult = RunFolder::open(&out)?.read_json(RESULT)?;
        if let Some(why) = complaint(&result, self.cells) {
            return Ok(Came::Wrong(why));
        }
        let seen = result.cells.iter().map(|cell| cell.accel.clone());
        self.accelerators.borrow_mut().extend(seen);
        Ok(Came::Right(Sample {
            figure: self.figure.of(took.as_secs_f64(), &result),
            facts: BTreeMap::from([
                ("memory of our process, MiB".to_owned(), memory_mib),
                ("run folder on disk, MiB".to_owned(), disk_mib(&out)),
            ]),
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

/// Returns what is wrong with a result that should be `cells` cells as expected.
fn complaint(result: &RunResult, cells: usize) -> Option<String> {
    let bad = result
        .cells
        .iter()
        .find(|cell| cell.verdict == Verdict::Unexpected || cell.outcome == "skip");
    if let Some(cell) = bad {
        let (name, stack) = (&cell.scenario, &cell.stack);
        return Some(format!(
            "{name} on {stack}: {}: {}",
            cell.outcome, cell.reason
        ));
    }
    let ran = result.cells.len();
    (ran != cells).then(|| format!("{ran} cells ran where {cells} should have"))
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
        assert_eq!(complaint(&run(vec![good.clone()]), 1), None);
        let fewer = complaint(&run(vec![good.clone()]), 2).unwrap();
        assert_eq!(fewer, "1 cells ran where 2 should have");
        let bad = cell("kexec", "series", "hang", "pass");
        let wrong = complaint(&run(vec![good, bad]), 2).unwrap();
        assert_eq!(wrong, "kexec on series: hang: hang for a reason");
        let skipped = cell("kexec", "series", "skip", "skip");
        assert!(complaint(&run(vec![skipped]), 1).is_some());
    }
}
