// SPDX-License-Identifier: GPL-2.0-only
//! From what a cell left behind to its result, now or from yesterday's run folder.

use camino::Utf8Path;
use fs_err as fs;
use selftests::evidence::Evidence;
use selftests::hang::Account;
use selftests::klog::Log;
use selftests::outcome::{self, Outcome, Subject};
use selftests::scenario::{Scenario, Stage};
use selftests::timeline::timeline;
use selftests::verdict::{self, Has};
use vm_images::transcript::{Start, Transcript, read_console};

use super::cells::Test;
use super::{hang, kselftest};
use crate::exit::bad_input;
use crate::plan::CellPlan;
use crate::program;
use crate::record::{InTree, Record};
use crate::result::{Blame, CellResult, Verdict};
use crate::run_folder::RunFolder;
use crate::snapshot::{self, Outlet};
use crate::stacks::{BASE, SERIES};

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
                format!("make the run anew with `{} test`", program::name()),
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
        let folder = run.path().join(self.plan.folder());
        // A cell that never came to have a console has an empty one, and that
        // is no pass.
        let serial = read_console(&folder).unwrap_or_default();
        let evidence = Evidence::of(transcript, &serial);
        let log = Log::parse(evidence.serial);
        let splats = log.splats.iter().map(|splat| splat.title.clone()).collect();
        let mut judgement = outcome::judge(subject, &evidence, &log);
        let hang = transcript.hang.as_ref().map(|hang| {
            // Where none has begun it is the first that did not.
            let number = log.boots().max(1);
            let symbols = self.binaries.symbols_of(number);
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

    /// Makes room for the first record of the cell's profile and stack: here, where the
    /// cell ran, and not wherever a run folder says.
    pub(crate) fn make_room(&self, snapshots: &Utf8Path) {
        if self.is_recorded() {
            // Where there is none, the comparison says so.
            let _ = fs::create_dir_all(snapshot::place(snapshots, &self.plan));
        }
    }

    fn is_recorded(&self) -> bool {
        let is_whole = [BASE, SERIES].contains(&self.plan.stack.as_str());
        is_whole && self.cell.outcome != "error" && !self.cell.kselftest
    }

    /// Compares the cell with the results recorded below `snapshots`. A cell of
    /// which the host made nothing has nothing to compare, and of the tree's own
    /// tests and of half a series nothing is recorded.
    ///
    /// # Errors
    /// When a result that differs cannot be written.
    pub(crate) fn compare(&mut self, snapshots: &Utf8Path, new: Outlet<'_>) -> anyhow::Result<()> {
        if self.is_recorded() {
            self.cell.snapshot_difference =
                snapshot::difference(snapshots, &self.plan, self.to_be_recorded(), new)?;
        }
        Ok(())
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
