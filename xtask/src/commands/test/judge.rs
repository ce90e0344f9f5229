// SPDX-License-Identifier: GPL-2.0-only
//! From what a cell left behind to its result, now or from yesterday's run folder.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use selftests::evidence::Evidence;
use selftests::hang::Account;
use selftests::klog::Log;
use selftests::outcome::{self, Outcome, Subject};
use selftests::scenario::{Scenario, Stage};
use selftests::timeline::timeline;
use selftests::verdict::{self, Has};
use serde::{Deserialize, Serialize};
use testbed_host::files::read_plain;
use vm_images::transcript::{Start, Transcript};

use super::cells::Test;
use super::hang;
use super::kselftest::{self, InTree};
use crate::exit::bad_input;
use crate::plan::CellPlan;
use crate::result::{Blame, CellResult, Kept, Verdict};
use crate::run_folder::RunFolder;
use crate::snapshot;
use crate::stacks::{BASE, SERIES};

/// The record's name in a cell's folder.
pub(crate) const FILE_NAME: &str = "record.json";
/// More than QEMU is allowed to write to a console, in bytes.
pub(crate) const CONSOLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is kept of a cell, beside its console log and its transcript, to judge it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) plan: CellPlan,
    /// Names of the series in the kernel.
    pub(crate) contains: BTreeSet<String>,
    /// Names of the series of which the kernel has some patches only.
    #[serde(default)]
    pub(crate) partly: BTreeSet<String>,
    pub(crate) binaries: Binaries,
    /// What is known of the test, if it is one of the tree's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_tree: Option<InTree>,
    /// The run that it was part of, when that is not the one of its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
}

/// What a cell ran, by path; in the cache, so that it may be gone later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binaries {
    /// The kernel's content id.
    pub(crate) kernel_id: String,
    pub(crate) image: Utf8PathBuf,
    /// The kernel with symbols.
    pub(crate) symbols: Utf8PathBuf,
    /// The same of each stage.
    #[serde(default)]
    pub(crate) stage_symbols: Vec<Utf8PathBuf>,
    pub(crate) initramfs: Utf8PathBuf,
    /// The test program's path in the guest.
    pub(crate) program: String,
}

impl Binaries {
    /// Returns the kernel with symbols that was the `number`-th to boot, from 1.
    pub(crate) fn symbols_of(&self, number: usize) -> Option<&Utf8PathBuf> {
        let of_stage = self.stage_symbols.get(number.checked_sub(1)?);
        // Older records tell of the first alone.
        of_stage.or((number == 1).then_some(&self.symbols))
    }
}

/// A judged cell.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) cell: CellResult,
    plan: CellPlan,
    timeline: String,
    splats: String,
    /// Where it hung, if it did.
    hang: Option<Account>,
    /// Stage and number of each step with teeth.
    teeth: Vec<(usize, usize)>,
}

impl Record {
    /// Writes the record into the cell's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&self, run: &RunFolder) -> anyhow::Result<()> {
        fs::create_dir_all(run.path().join(self.plan.folder()))?;
        run.write_json(&format!("{}/{FILE_NAME}", self.plan.folder()), self)
    }

    /// Reads the record of a cell.
    ///
    /// # Errors
    /// When there is none, or it is not one of ours.
    pub(crate) fn read(plan: &CellPlan, run: &RunFolder) -> anyhow::Result<Self> {
        run.read_json(&format!("{}/{FILE_NAME}", plan.folder()))
    }

    /// Judges what the cell left in its folder in an earlier run.
    ///
    /// # Errors
    /// When its scenario is no more, or its transcript is not there or damaged.
    pub(crate) fn judge_again(
        &self,
        scenarios: &[Scenario],
        run: &RunFolder,
    ) -> anyhow::Result<Judged> {
        let name = &self.plan.scenario;
        let test = match &self.in_tree {
            Some(in_tree) => Test::InTree(in_tree),
            None => match scenarios.iter().find(|scenario| scenario.name == *name) {
                Some(scenario) => Test::Scenario(scenario),
                None => {
                    return Err(bad_input(
                        format!("the run has a scenario `{name}` that is no more"),
                        "check out the revision that made the run",
                    ));
                }
            },
        };
        if test.subject().is_none() {
            return Ok(self.left_out());
        }
        let folder = run.path().join(self.plan.folder());
        let transcript = Transcript::load(&folder).map_err(|error| {
            bad_input(
                format!("the transcript in `{folder}` is damaged: {error}"),
                "make the run anew with `cargo xtask test`",
            )
        })?;
        Ok(self.judge(test, Some(&transcript), run))
    }

    /// Judges the cell by its transcript, if it was run, and its console.
    pub(crate) fn judge(
        &self,
        test: Test<'_>,
        transcript: Option<&Transcript>,
        run: &RunFolder,
    ) -> Judged {
        let (Some(subject), Some(transcript)) = (test.subject(), transcript) else {
            return self.left_out();
        };
        // A cell that never came to have a console has an empty one, and that
        // is no pass.
        let console = run.path().join(self.plan.folder()).join("serial.log");
        let serial = read_plain(&console, CONSOLE_BYTES_MAX).unwrap_or_default();
        let evidence = Evidence::of(transcript, &serial);
        let log = Log::parse(evidence.serial);
        let splats = log.splats.iter().map(|splat| splat.title.clone()).collect();
        let mut judgement = outcome::judge(subject, &evidence, &log);
        let hang = transcript.hang.as_ref().map(|hang| {
            // Where none has begun it is the first that did not.
            let number = log.boots().max(1);
            let symbols = self.binaries.symbols_of(number);
            let folder = run.path().join(self.plan.folder());
            hang::account(hang, symbols, &serial, &folder)
        });
        if let Some(hang) = &hang {
            judgement.reason.extend(["; ", &hang.summary]);
        }
        Judged {
            cell: self.result(subject, transcript, &judgement, splats),
            hang,
            plan: self.plan.clone(),
            timeline: timeline(subject, &evidence, &log),
            splats: splats_text(&log),
            teeth: teeth(test),
        }
    }

    /// Returns the result of a cell for which no guest was started.
    fn left_out(&self) -> Judged {
        let (outcome, verdict, reason) = match &self.in_tree {
            Some(InTree::Unfit { reason }) => (Outcome::Skip, Verdict::Ok, reason.as_str()),
            _ => (Outcome::Error, Verdict::Unexpected, "no guest was started"),
        };
        Judged {
            cell: CellResult {
                outcome: outcome.to_string(),
                verdict,
                reason: reason.to_owned(),
                blame: (outcome == Outcome::Error).then_some(Blame::Tool),
                ..self.blank()
            },
            plan: self.plan.clone(),
            timeline: String::new(),
            splats: String::new(),
            hang: None,
            teeth: Vec::new(),
        }
    }

    fn result(
        &self,
        subject: Subject<'_>,
        transcript: &Transcript,
        judgement: &outcome::Judgement,
        splats: Vec<String>,
    ) -> CellResult {
        let has = Has {
            whole: &self.contains,
            partly: &self.partly,
        };
        let expected = verdict::expected(subject, has);
        let surprise = match (subject, judgement.outcome) {
            // Nobody promised that a test of the tree's own can do its work here.
            (Subject::InTree(_), Outcome::Skip) => None,
            _ => verdict::surprise(subject, expected, judgement),
        };
        let verdict = match surprise {
            None => Verdict::Ok,
            Some(_) => Verdict::Unexpected,
        };
        let reason = surprise.unwrap_or_else(|| judgement.reason.clone());
        let boot_ms = transcript.stages.first().map_or(0, |stage| stage.boot_ms);
        CellResult {
            outcome: judgement.outcome.to_string(),
            expected: match expected {
                verdict::Expected::Pass => "pass".to_owned(),
                verdict::Expected::Fail => "fail".to_owned(),
                verdict::Expected::Either => "either".to_owned(),
            },
            verdict,
            reason: reason + &self.excuse(judgement.outcome),
            blame: judgement.blame.map(Blame::from),
            boot_ms,
            duration_ms: transcript.wall_ms,
            start: match transcript.start {
                Start::Template => "template".to_owned(),
                Start::Boot => "boot".to_owned(),
                Start::BootInstead { .. } => "boot-instead".to_owned(),
            },
            shared: transcript.shared,
            accel: transcript.accelerator.qemu_name().to_owned(),
            splats,
            ..self.blank()
        }
    }

    /// Returns what may be to blame that a test of the tree's own did not pass.
    fn excuse(&self, outcome: Outcome) -> String {
        match (&self.in_tree, outcome) {
            (Some(InTree::Fit { test, lacks }), Outcome::Fail | Outcome::Skip) => {
                kselftest::what_is_lacking(test, lacks)
            }
            _ => String::new(),
        }
    }

    /// Returns the result of a cell of which nothing is known but what it was to be.
    fn blank(&self) -> CellResult {
        CellResult {
            scenario: self.plan.scenario.clone(),
            kselftest: self.plan.kselftest().is_some(),
            stack: self.plan.stack.clone(),
            profile: self.plan.profile.clone(),
            machine: self.plan.machine.clone(),
            repetition: self.plan.repetition,
            outcome: Outcome::Error.to_string(),
            expected: "pass".to_owned(),
            verdict: Verdict::Unexpected,
            reason: String::new(),
            blame: None,
            boot_ms: 0,
            start: String::new(),
            shared: false,
            duration_ms: 0,
            accel: String::new(),
            artifacts: self.plan.folder(),
            snapshot_difference: None,
            splats: Vec::new(),
            kept: self.kept.clone(),
        }
    }
}

fn teeth(test: Test<'_>) -> Vec<(usize, usize)> {
    let Test::Scenario(scenario) = test else {
        return Vec::new();
    };
    let of_stage = |stage: &Stage| {
        let number = stage.number;
        let steps = stage.all_steps().filter(|step| step.teeth);
        steps.map(|step| (number, step.number)).collect::<Vec<_>>()
    };
    scenario.stages.iter().flat_map(of_stage).collect()
}

/// Returns every splat with its title and its lines, as logged.
fn splats_text(log: &Log) -> String {
    let mut text = String::new();
    for splat in &log.splats {
        text += &format!(
            "{} (kernel {}): {}\n",
            splat.class.word(),
            splat.boot,
            splat.title
        );
        for line in log.lines_of(splat) {
            text += &format!("  {}\n", line.text);
        }
    }
    text
}

impl Judged {
    /// Leaves timeline and splats in the cell's folder, and where it hung.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn leave(&self, run: &RunFolder) -> anyhow::Result<()> {
        let folder = run.path().join(self.plan.folder());
        fs::write(folder.join("timeline.txt"), &self.timeline)?;
        if let Some(hang) = &self.hang {
            fs::write(folder.join(hang::FILE_NAME), &hang.text)?;
        }
        Ok(fs::write(folder.join("splats.txt"), &self.splats)?)
    }

    /// Holds the cell against what is recorded below `snapshots`. A cell of
    /// which the host made nothing has nothing to compare, and of the tree's own
    /// tests and of half a series nothing is recorded.
    pub(crate) fn compare(&mut self, snapshots: &Utf8Path) {
        let is_recorded = [BASE, SERIES].contains(&self.plan.stack.as_str());
        if is_recorded && self.cell.outcome != "error" && !self.cell.kselftest {
            self.cell.snapshot_difference =
                snapshot::difference(snapshots, &self.plan, self.to_be_recorded());
        }
    }

    /// A kernel that failed as expected is broken from the step on that has teeth: what
    /// comes of it is chance, and its timeline is compared up to there.
    fn to_be_recorded(&self) -> &str {
        if self.cell.expected != "fail" || self.cell.verdict != Verdict::Ok {
            return &self.timeline;
        }
        let (mut stage, mut end) = (0, 0);
        for line in self.timeline.split_inclusive('\n') {
            stage += usize::from(line.starts_with("stage ") && line.ends_with(" begins\n"));
            let bites = |&(of, step): &(usize, usize)| {
                of == stage && line.starts_with(&format!("  step {step}: "))
            };
            // A step that is repeated has no line of its own, only what it found.
            let is_failure = line.starts_with("    step ") || line.starts_with("    Expected ");
            if is_failure || self.teeth.iter().any(bites) {
                break;
            }
            end += line.len();
        }
        &self.timeline[..end]
    }
}
