// SPDX-License-Identifier: GPL-2.0-only
//! From what a cell left behind to its result, now or from yesterday's run folder.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use selftests::evidence::Evidence;
use selftests::klog::Log;
use selftests::scenario::Scenario;
use selftests::timeline::timeline;
use selftests::{outcome, verdict};
use serde::{Deserialize, Serialize};
use vm_images::transcript::Transcript;

use crate::plan::CellPlan;
use crate::result::{CellResult, Verdict};
use crate::run_folder::RunFolder;
use crate::snapshot;

const FILE_NAME: &str = "record.json";

/// What is kept of a cell, beside its console log and its transcript, to judge it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) plan: CellPlan,
    /// Names of the series in the kernel.
    pub(crate) contains: BTreeSet<String>,
    pub(crate) binaries: Binaries,
}

/// What a cell ran, by path; in the cache, so that it may be gone later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binaries {
    /// The kernel's content id.
    pub(crate) kernel_id: String,
    pub(crate) image: Utf8PathBuf,
    /// The kernel with symbols.
    pub(crate) symbols: Utf8PathBuf,
    pub(crate) initramfs: Utf8PathBuf,
    /// The test program's path in the guest.
    pub(crate) program: String,
}

/// A judged cell.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) cell: CellResult,
    plan: CellPlan,
    timeline: String,
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
        let path = run.path().join(plan.folder()).join(FILE_NAME);
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Judges the cell and leaves its timeline in its folder.
    ///
    /// # Errors
    /// When the transcript cannot be read, or the timeline not be written.
    pub(crate) fn judge(&self, scenario: &Scenario, run: &RunFolder) -> anyhow::Result<Judged> {
        let folder = run.path().join(self.plan.folder());
        // A cell that never came to have a console has an empty one.
        let serial = fs::read(folder.join("serial.log")).unwrap_or_default();
        let log = Log::parse(&serial);
        let transcript = Transcript::load(&folder)?;
        let evidence = Evidence::of(&transcript, &serial);
        let timeline = timeline(&evidence, &log);
        fs::write(folder.join("timeline.txt"), &timeline)?;
        fs::write(folder.join("splats.txt"), splats_text(&log))?;
        let splats = log.splats.iter().map(|splat| splat.title.clone()).collect();
        let judgement = outcome::judge(scenario, &evidence, &log);
        let cell = self.result(scenario, &transcript, &judgement, splats);
        Ok(Judged {
            cell,
            plan: self.plan.clone(),
            timeline,
        })
    }

    fn result(
        &self,
        scenario: &Scenario,
        transcript: &Transcript,
        judgement: &outcome::Judgement,
        splats: Vec<String>,
    ) -> CellResult {
        let expected = verdict::expected(scenario, self.contains.iter().map(String::as_str));
        let surprise = verdict::surprise(scenario, expected, judgement);
        let boot_ms = transcript.stages.first().map_or(0, |stage| stage.boot_ms);
        CellResult {
            scenario: self.plan.scenario.clone(),
            stack: self.plan.stack.clone(),
            profile: self.plan.profile.clone(),
            machine: self.plan.machine.clone(),
            repetition: self.plan.repetition,
            outcome: judgement.outcome.to_string(),
            expected: match expected {
                verdict::Expected::Pass => "pass".to_owned(),
                verdict::Expected::Fail => "fail".to_owned(),
            },
            verdict: match surprise {
                None => Verdict::Ok,
                Some(_) => Verdict::Unexpected,
            },
            reason: surprise.unwrap_or_else(|| judgement.reason.clone()),
            boot_ms,
            duration_ms: transcript.wall_ms,
            accel: transcript.accelerator.qemu_name().to_owned(),
            artifacts: self.plan.folder(),
            snapshot_difference: None,
            splats,
        }
    }
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
        for line in &log.lines[splat.lines.clone()] {
            text += &format!("  {}\n", line.text);
        }
    }
    text
}

impl Judged {
    /// Holds the cell against what is recorded below `snapshots`. A cell of
    /// which the host made nothing has nothing to compare.
    pub(crate) fn compare(&mut self, snapshots: &Utf8Path) {
        if self.cell.outcome != "error" {
            self.cell.snapshot_difference =
                snapshot::difference(snapshots, &self.plan, &self.timeline);
        }
    }
}
