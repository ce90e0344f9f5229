// SPDX-License-Identifier: GPL-2.0-only
//! From what a job left behind to its result, now or from yesterday's run folder.

use camino::Utf8Path;
use fs_err as fs;
use selftests::evidence::Evidence;
use selftests::expectation::{self, Has};
use selftests::hang::Account;
use selftests::klog::Log;
use selftests::scenario::{Boot, Scenario};
use selftests::status::{self, Status, Subject};
use selftests::timeline::timeline;
use vm_images::transcript::{BootMode, Transcript, read_console};

use super::jobs::Test;
use super::{hang, kselftest};
use crate::checkouts::{BASE, SERIES};
use crate::exit::bad_input;
use crate::plan::JobPlan;
use crate::program;
use crate::record::{Kselftest, Record};
use crate::result::{Cause, JobResult};
use crate::run_folder::RunFolder;
use crate::snapshot::{self, Outlet};

/// The only architecture so far, in the kernel's words.
const ARCH: &str = "x86_64";

/// A judged job.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) job: JobResult,
    plan: JobPlan,
    timeline: String,
    splats: String,
    /// Where it hung, if it did.
    hang: Option<Account>,
    /// Boot and number of each step with fails_without_series.
    fails_first: Vec<(usize, usize)>,
}

impl Record {
    /// Judges what the job left in its folder in an earlier run.
    ///
    /// # Errors
    /// When its scenario is no more, or its transcript is not there or damaged.
    pub(crate) fn judge_again(
        &self,
        scenarios: &[Scenario],
        run: &RunFolder,
    ) -> anyhow::Result<Judged> {
        let name = &self.plan.test;
        let test = match &self.kselftest {
            Some(kselftest) => Test::Kselftest(kselftest),
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

    /// Judges the job by its transcript, if it was run, and its console.
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
        // A job that never came to have a console has an empty one, and that
        // is no pass.
        let serial = read_console(&folder).unwrap_or_default();
        let evidence = Evidence::of(transcript, &serial);
        let log = Log::parse(evidence.serial);
        let splats = log.splats.iter().map(|splat| splat.title.clone()).collect();
        let mut judgement = status::judge(subject, &evidence, &log);
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
            job: self.result(subject, transcript, &judgement, splats),
            hang,
            plan: self.plan.clone(),
            timeline: timeline(subject, &evidence, &log),
            splats: splats_text(&log),
            fails_first: fails_first(test),
        }
    }

    /// Returns the result of a job for which no guest was started.
    fn left_out(&self) -> Judged {
        let (status, expected, reason) = match &self.kselftest {
            Some(Kselftest::Unfit { reason }) => (Status::Skip, true, reason.as_str()),
            _ => (Status::Error, false, "no guest was started"),
        };
        Judged {
            job: JobResult {
                status: status.to_string(),
                expected,
                reason: reason.to_owned(),
                cause: (status == Status::Error).then_some(Cause::Tool),
                ..self.blank()
            },
            plan: self.plan.clone(),
            timeline: String::new(),
            splats: String::new(),
            hang: None,
            fails_first: Vec::new(),
        }
    }

    fn result(
        &self,
        subject: Subject<'_>,
        transcript: &Transcript,
        judgement: &status::Judgement,
        splats: Vec<String>,
    ) -> JobResult {
        let has = Has {
            whole: &self.contains,
            partly: &self.partly,
        };
        let expectation = expectation::expected(subject, has);
        let surprise = match (subject, judgement.status) {
            // Nobody promised that a test of the tree's own can do its work here.
            (Subject::Kselftest(_), Status::Skip) => None,
            _ => expectation::surprise(subject, expectation, judgement),
        };
        let expected = surprise.is_none();
        let may_fail = expectation == expectation::Expected::Fail;
        let failed = matches!(judgement.status, Status::Fail | Status::Crash);
        let reason = surprise.unwrap_or_else(|| judgement.reason.clone());
        let boot_ms = transcript.boots.first().map_or(0, |boot| boot.boot_ms);
        JobResult {
            status: judgement.status.to_string(),
            expectation: match expectation {
                expectation::Expected::Pass => "pass".to_owned(),
                expectation::Expected::Fail => "fail".to_owned(),
                expectation::Expected::Either => "not-asserted".to_owned(),
            },
            expected,
            xfail: expected && may_fail && failed,
            reason: reason + &self.excuse(judgement.status),
            cause: judgement.cause,
            boot_ms,
            duration_ms: transcript.wall_ms,
            boot_mode: match transcript.start {
                BootMode::Restore => "restore".to_owned(),
                BootMode::Cold => "cold".to_owned(),
                BootMode::ColdInstead { .. } => "cold-instead".to_owned(),
            },
            shared: transcript.shared,
            accel: transcript.accelerator.qemu_name().to_owned(),
            splats,
            ..self.blank()
        }
    }

    /// Returns what may be to cause that a test of the tree's own did not pass.
    fn excuse(&self, status: Status) -> String {
        match (&self.kselftest, status) {
            (Some(Kselftest::Fit { test, lacks }), Status::Fail | Status::Skip) => {
                kselftest::what_is_lacking(test, lacks)
            }
            _ => String::new(),
        }
    }

    /// Returns the result of a job of which nothing is known but what it was to be.
    fn blank(&self) -> JobResult {
        JobResult {
            test: self.plan.test.clone(),
            kselftest: self.plan.kselftest().is_some(),
            checkout: self.plan.checkout.clone(),
            config: self.plan.config.clone(),
            machine: self.plan.machine.clone(),
            arch: ARCH.to_owned(),
            repetition: self.plan.repetition,
            status: Status::Error.to_string(),
            expectation: "pass".to_owned(),
            expected: false,
            xfail: false,
            reason: String::new(),
            cause: None,
            boot_ms: 0,
            boot_mode: String::new(),
            shared: false,
            duration_ms: 0,
            accel: String::new(),
            artifacts: self.plan.folder(),
            snapshot_difference: None,
            splats: Vec::new(),
            cached: self.cached.clone(),
        }
    }
}

fn fails_first(test: Test<'_>) -> Vec<(usize, usize)> {
    let Test::Scenario(scenario) = test else {
        return Vec::new();
    };
    let of_boot = |boot: &Boot| {
        let number = boot.number;
        let steps = boot.all_steps().filter(|step| step.fails_first);
        steps.map(|step| (number, step.number)).collect::<Vec<_>>()
    };
    scenario.boots.iter().flat_map(of_boot).collect()
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
    /// Leaves timeline and splats in the job's folder, and where it hung.
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

    /// Makes room for the first record of the job's config and checkout: here, where the
    /// job ran, and not wherever a run folder says.
    pub(crate) fn make_room(&self, snapshots: &Utf8Path) {
        if self.is_recorded() {
            // Where there is none, the comparison says so.
            let _ = fs::create_dir_all(snapshot::place(snapshots, &self.plan));
        }
    }

    fn is_recorded(&self) -> bool {
        let is_whole = [BASE, SERIES].contains(&self.plan.checkout.as_str());
        is_whole && self.job.status != "error" && !self.job.kselftest
    }

    /// Compares the job with the results recorded below `snapshots`. A job of
    /// which the host made nothing has nothing to compare, and of the tree's own
    /// tests and of half a series nothing is recorded.
    ///
    /// # Errors
    /// When a result that differs cannot be written.
    pub(crate) fn compare(&mut self, snapshots: &Utf8Path, new: Outlet<'_>) -> anyhow::Result<()> {
        if self.is_recorded() {
            self.job.snapshot_difference =
                snapshot::difference(snapshots, &self.plan, self.to_be_recorded(), new)?;
        }
        Ok(())
    }

    /// A kernel that failed as expected is broken from the step on that has fails_without_series: what
    /// comes of it is pass_rate, and its timeline is compared up to there.
    fn to_be_recorded(&self) -> &str {
        if self.job.expectation != "fail" || !self.job.expected {
            return &self.timeline;
        }
        let (mut boot, mut end) = (0, 0);
        for line in self.timeline.split_inclusive('\n') {
            boot += usize::from(line.starts_with("boot ") && line.ends_with(" begins\n"));
            let is_first = |&(of, step): &(usize, usize)| {
                of == boot && line.starts_with(&format!("  step {step}: "))
            };
            // A step that is repeated has no line of its own, only what it found.
            let is_failure = line.starts_with("    step ") || line.starts_with("    Expected ");
            if is_failure || self.fails_first.iter().any(is_first) {
                break;
            }
            end += line.len();
        }
        &self.timeline[..end]
    }
}
