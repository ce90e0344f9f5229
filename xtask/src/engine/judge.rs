// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a job by its transcript and console, in the current run or from an earlier run
//! folder.

use std::borrow::Cow;
use std::collections::BTreeMap;

use camino::Utf8Path;
use fs_err as fs;
use selftests::analysis::Analysis;
use selftests::evidence::Evidence;
use selftests::expectation::{self, Expected};
use selftests::scenario::{Boot, Scenario};
use selftests::status::{Judgement, Status, Subject};
use selftests::timeline::{self, Entry, EntryKind};
use vm_images::transcript::{Transcript, read_console};

use crate::engine::hang;
use crate::engine::job::{ANALYSIS, Job, Kselftest, TestCase, read_analysis};
use crate::engine::kselftest;
use crate::engine::layout::Layout;
use crate::engine::program;
use crate::engine::run_folder::RunFolder;
use crate::engine::snapshot::{self, Outlet};
use crate::exit::bad_input;
use crate::job_plan::{BASE, JobPlan, SERIES};
use crate::result::{Cause, JobResult};

/// The only supported architecture, as named in `arch/`.
const ARCH: &str = "x86_64";

/// A judged job.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its result.
    pub job: JobResult,
    plan: JobPlan,
    /// The facts that the result rests on.
    pub analysis: Analysis,
    /// Boot number and step number of each step with `fails_first`.
    fails_first: Vec<(usize, usize)>,
}

/// The analyses of the jobs of a run.
#[derive(Debug)]
pub struct Analyses<'a> {
    run: &'a RunFolder,
    /// The analyses of jobs that were judged again, by the folders of the jobs.
    again: BTreeMap<String, Analysis>,
}

impl<'a> Analyses<'a> {
    /// Returns the analyses in the folder of a run, except those in `again`.
    pub fn new(run: &'a RunFolder, again: BTreeMap<String, Analysis>) -> Self {
        Self { run, again }
    }

    /// Returns the analysis of a job, if its file can be read.
    pub fn of(&self, job: &JobResult) -> Option<Cow<'_, Analysis>> {
        let again = self.again.get(&job.artifacts).map(Cow::Borrowed);
        let read = || read_analysis(&self.run.path().join(&job.artifacts)).map(Cow::Owned);
        again.or_else(read)
    }
}

/// Judges the jobs of a run, when they end or from the files of a finished run.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The scenarios that the jobs may run.
    pub scenarios: &'a [Scenario],
    /// Whether results are compared with snapshots.
    pub check_snapshots: bool,
    /// The folder of the run.
    pub folder: &'a RunFolder,
    /// The folders of data.
    pub layout: &'a Layout,
}

impl Judge<'_> {
    /// Judges a job that has ended, and writes its files. `transcript` is `None` if no VM was
    /// started. If the files cannot be written, only this job gets status `error`.
    pub(crate) fn ended(&self, job: &Job, transcript: Option<&Transcript>) -> JobResult {
        let test = job.test(self.scenarios);
        let mut judged = job.judge(test, transcript, self.folder);
        let written = job
            .write(self.folder)
            .and_then(|()| judged.write(self.folder));
        let compare = |judged: &mut Judged| {
            if !self.check_snapshots {
                return Ok(());
            }
            let snapshots = self.layout.snapshots();
            if self.layout.owns_catalogue() {
                judged.create_snapshot_folder(&snapshots);
                return judged.compare(&snapshots, Outlet::Beside);
            }
            let folder = self.folder.path().join(job.plan.folder());
            judged.compare(&snapshots, Outlet::Folder(&folder))
        };
        if let Err(error) = written.and_then(|()| compare(&mut judged)) {
            judged.job.make_inconclusive(&error);
        }
        judged.job
    }

    /// Judges a job by the files of a finished run, which may belong to another user.
    ///
    /// # Errors
    /// When the scenario no longer exists, or a file is missing or damaged.
    pub fn again(&self, plan: &JobPlan) -> anyhow::Result<Judged> {
        let job = Job::read(plan, self.folder)?;
        let Some(test) = job.test(self.scenarios) else {
            let name = &plan.test;
            return Err(bad_input(
                format!("the run refers to scenario `{name}`, which no longer exists"),
                "check out the revision that made the run",
            ));
        };
        let transcript = match job.starts_vm() {
            true => Some(self.transcript(plan)?),
            false => None,
        };
        let mut judged = job.judge(Some(test), transcript.as_ref(), self.folder);
        if !job.is_of(test) {
            judged.job.make_outdated();
            return Ok(judged);
        }
        if self.check_snapshots {
            let outlet = match self.layout.owns_catalogue() {
                true => Outlet::Beside,
                false => Outlet::None,
            };
            judged.compare(&self.layout.snapshots(), outlet)?;
        }
        Ok(judged)
    }

    /// Returns whether a job of a finished run can be judged again: its scenario exists and has
    /// the same steps and expectations.
    pub fn can_judge(&self, plan: &JobPlan) -> bool {
        let job = Job::read(plan, self.folder);
        job.is_ok_and(|job| job.test(self.scenarios).is_some_and(|test| job.is_of(test)))
    }

    fn transcript(&self, plan: &JobPlan) -> anyhow::Result<Transcript> {
        let folder = self.folder.path().join(plan.folder());
        Transcript::load(&folder).map_err(|error| {
            bad_input(
                format!("cannot read the transcript in `{folder}`: {error}"),
                format!("repeat the run with `{} test`", program::name()),
            )
        })
    }
}

impl Job {
    /// Judges the job by its transcript and console; `transcript` is `None` if the job was not
    /// started.
    fn judge(
        &self,
        test: Option<TestCase<'_>>,
        transcript: Option<&Transcript>,
        run: &RunFolder,
    ) -> Judged {
        let subject = test.and_then(TestCase::subject);
        let (Some(subject), Some(transcript)) = (subject, transcript) else {
            return self.not_started();
        };
        let folder = run.path().join(self.plan.folder());
        // A missing console counts as an empty console, which is never judged as a pass.
        let serial = read_console(&folder).unwrap_or_default();
        let evidence = Evidence::of(transcript, &serial);
        let diagnose = |boot| {
            let hang = transcript.hang.as_ref()?;
            let symbols = self.symbols_of(boot);
            Some(hang::diagnosis(hang, symbols, &serial, &folder))
        };
        let analysis = Analysis::of(subject, &evidence, diagnose);
        Judged {
            job: self.result(subject, transcript, &analysis),
            plan: self.plan.clone(),
            analysis,
            fails_first: test.map(fails_first).unwrap_or_default(),
        }
    }

    /// Returns the result of a job that did not start a VM.
    fn not_started(&self) -> Judged {
        let (status, expected, reason) = match &self.kselftest {
            Some(Kselftest::Unfit { reason }) => (Status::Skip, true, reason.as_str()),
            _ => (Status::Error, false, "no VM was started"),
        };
        Judged {
            job: JobResult {
                status,
                expected,
                reason: reason.to_owned(),
                cause: (status == Status::Error).then_some(Cause::Tool),
                ..self.blank()
            },
            analysis: Analysis::not_started(status, reason),
            plan: self.plan.clone(),
            fails_first: Vec::new(),
        }
    }

    fn result(
        &self,
        subject: Subject<'_>,
        transcript: &Transcript,
        analysis: &Analysis,
    ) -> JobResult {
        let judgement: &Judgement = &analysis.judgement;
        let titles = analysis.splats.iter().map(|splat| splat.title.clone());
        let expectation = expectation::expected(subject, self.has());
        let surprise = match (subject, judgement.status) {
            // A kselftest may skip because the VM lacks its hardware or options.
            (Subject::Kselftest(_), Status::Skip) => None,
            _ => expectation::surprise(subject, expectation, judgement),
        };
        let expected = surprise.is_none();
        let may_fail = expectation == Expected::Fail;
        let failed = matches!(judgement.status, Status::Fail | Status::Crash);
        let reason = surprise.unwrap_or_else(|| judgement.reason.clone());
        let boot_ms = transcript.boots.first().map_or(0, |boot| boot.boot_ms);
        JobResult {
            status: judgement.status,
            expectation,
            expected,
            xfail: expected && may_fail && failed,
            reason: reason + &self.missing_options(judgement.status),
            cause: judgement.cause,
            boot_ms,
            duration_ms: transcript.wall_ms,
            boot_mode: Some(transcript.boot_mode),
            shared: transcript.shared,
            accel: Some(transcript.accelerator),
            splats: titles.collect(),
            ..self.blank()
        }
    }

    /// Returns the missing config options that may explain a failed or skipped kselftest.
    fn missing_options(&self, status: Status) -> String {
        match (&self.kselftest, status) {
            (Some(Kselftest::Fit { test, lacks }), Status::Fail | Status::Skip) => {
                kselftest::missing_options(test, lacks)
            }
            _ => String::new(),
        }
    }

    /// Returns a result with the fields of the plan, and status `error`.
    fn blank(&self) -> JobResult {
        JobResult {
            test: self.plan.test.clone(),
            kselftest: self.plan.kselftest().is_some(),
            checkout: self.plan.checkout.clone(),
            config: self.plan.config.clone(),
            machine: self.plan.machine.clone(),
            arch: ARCH.to_owned(),
            repetition: self.plan.repetition,
            status: Status::Error,
            expectation: Expected::Pass,
            expected: false,
            xfail: false,
            reason: String::new(),
            cause: None,
            boot_ms: 0,
            boot_mode: None,
            shared: false,
            duration_ms: 0,
            accel: None,
            artifacts: self.plan.folder(),
            snapshot_difference: None,
            splats: Vec::new(),
            cached: self.cached.clone(),
        }
    }
}

fn fails_first(test: TestCase<'_>) -> Vec<(usize, usize)> {
    let TestCase::Scenario(scenario) = test else {
        return Vec::new();
    };
    let of_boot = |boot: &Boot| {
        let number = boot.number;
        let steps = boot.all_steps().filter(|step| step.fails_first);
        steps.map(|step| (number, step.number)).collect::<Vec<_>>()
    };
    scenario.boots.iter().flat_map(of_boot).collect()
}

impl Judged {
    /// Writes the analysis to the job's folder, and its timeline, splats and hang diagnosis
    /// as texts for people.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, run: &RunFolder) -> anyhow::Result<()> {
        let folder = run.path().join(self.plan.folder());
        let Analysis { timeline, hang, .. } = &self.analysis;
        let name = format!("{}/{}", self.plan.folder(), ANALYSIS);
        run.write_json(&name, &self.analysis)?;
        fs::write(folder.join("timeline.txt"), timeline::text(timeline))?;
        if let Some(hang) = hang {
            fs::write(folder.join("hang.txt"), hang.text())?;
        }
        let splats = self.analysis.splats_text();
        Ok(fs::write(folder.join("splats.txt"), splats)?)
    }

    /// Creates the folder for the first snapshot of the job's config and checkout. Only the
    /// run itself does so; `report` must not create folders named by a run folder.
    pub fn create_snapshot_folder(&self, snapshots: &Utf8Path) {
        if self.is_recorded() {
            // On an error, the comparison reports the missing folder.
            let _ = fs::create_dir_all(snapshot::place(snapshots, &self.plan));
        }
    }

    /// Returns whether the job has a snapshot: kselftests, jobs with status `error` and
    /// checkouts with a part of the series have none.
    fn is_recorded(&self) -> bool {
        let is_recorded_checkout = [BASE, SERIES].contains(&self.plan.checkout.as_str());
        is_recorded_checkout && !self.job.is_inconclusive() && !self.job.kselftest
    }

    /// Compares the job with the snapshot below `snapshots`, if it has one.
    ///
    /// # Errors
    /// When a result that differs cannot be written.
    pub fn compare(&mut self, snapshots: &Utf8Path, new: Outlet<'_>) -> anyhow::Result<()> {
        if self.is_recorded() {
            let text = timeline::text(self.compared());
            self.job.snapshot_difference = snapshot::difference(snapshots, &self.plan, &text, new)?;
        }
        Ok(())
    }

    /// Returns the part of the timeline that is compared. For an expected failure it ends
    /// before the first step with `fails_first`: the kernel is broken from there on,
    /// and the rest of the timeline varies between runs.
    fn compared(&self) -> &[Entry] {
        let timeline = &self.analysis.timeline;
        if self.job.expectation != Expected::Fail || !self.job.expected {
            return timeline;
        }
        let is_broken = |entry: &Entry| match (entry.kind, entry.step) {
            (EntryKind::Step, Some(step)) => self.fails_first.contains(&(entry.boot, step)),
            // A repeated step has no entry of its own, only the failed check.
            (EntryKind::FailedCheck, _) => true,
            // The kernel may die before the label of the step reaches the host.
            (EntryKind::NoResult, _) => true,
            _ => false,
        };
        let end = timeline.iter().position(is_broken);
        &timeline[..end.unwrap_or(timeline.len())]
    }
}
