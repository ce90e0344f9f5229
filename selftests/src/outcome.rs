// SPDX-License-Identifier: GPL-2.0-only
//! Evidence and a scenario to an outcome with its reason. What is not a pass for
//! sure is none: every doubt falls to the worse side. Knows nothing of stacks, and
//! so does not know whether the outcome is welcome.

mod bite;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::{Ending, Evidence, ExitKind, StageEvidence};
use crate::klog::{Log, Phase, Splat};
use crate::ktap::{Report, Status, Test};
use crate::scenario::{ExpectedSplat, Scenario};

/// What a cell came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All was seen that had to be, and nothing else.
    Pass,
    /// A test, or something that had to be seen, failed.
    Fail,
    /// The kernel complained, or went away.
    Crash,
    /// A deadline for the guest expired.
    Hang,
    /// The test could not do its work there, and says why.
    Skip,
    /// We or the host are to blame.
    Error,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Skip => "skip",
            Self::Error => "error",
        })
    }
}

/// An outcome and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// One sentence.
    pub reason: String,
    /// Whether what is wrong happened while the scenario's program was at work:
    /// only then can it be what the scenario is about.
    pub in_time: bool,
    /// Whether it began at a step that has teeth.
    pub at_teeth: bool,
}

impl Judgement {
    fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: reason.into(),
            in_time: false,
            at_teeth: false,
        }
    }

    const fn in_time(mut self, in_time: bool) -> Self {
        self.in_time = in_time;
        self
    }
}

/// Judges one run of a scenario. `log` is the parsed `evidence.serial`.
#[must_use]
pub fn judge(scenario: &Scenario, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    let mut judgement = worst(scenario, evidence, log);
    judgement.at_teeth = bite::is_at_teeth(scenario, evidence);
    judgement
}

/// The worst first; each looks at one kind of trouble.
fn worst(scenario: &Scenario, evidence: &Evidence<'_>, log: &Log) -> Judgement {
    None.or_else(|| ours(evidence))
        .or_else(|| hang(evidence, log))
        .or_else(|| crash(scenario, evidence, log))
        .or_else(|| no_log(evidence, log))
        .or_else(|| failed_stage(scenario, evidence))
        .or_else(|| refused(evidence))
        .or_else(|| skipped_stage(evidence))
        .or_else(|| missing_splat(scenario, log))
        .or_else(|| stray_warning(scenario, log))
        .unwrap_or_else(|| {
            Judgement::new(
                Outcome::Pass,
                "all was seen that had to be, and nothing else",
            )
            .in_time(true)
        })
}

fn ours(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Ours { what } => Some(Judgement::new(Outcome::Error, what)),
        _ => None,
    }
}

fn hang(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    let stuck = evidence
        .stages
        .iter()
        .position(|stage| stage.exit == Some(ExitKind::TimedOut));
    let mut what = match (&evidence.ending, stuck) {
        (Ending::Hang { what }, _) => what.clone(),
        (_, Some(index)) => format!("the program of stage {} did not end in its time", index + 1),
        _ => return None,
    };
    if let Some(splat) = log.splats.last() {
        what.extend(["; the last complaint was `", &splat.title, "`"]);
    }
    Some(Judgement::new(Outcome::Hang, what))
}

fn crash(scenario: &Scenario, evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    let unexpected: Vec<&Splat> = log
        .splats
        .iter()
        .filter(|splat| {
            !scenario
                .splats
                .iter()
                .any(|expected| expected.covers(splat))
        })
        .collect();
    if let Some(first) = unexpected.first() {
        let more = match unexpected.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let reason = format!(
            "{} {}: {}{more}",
            first.class.word(),
            when(first),
            first.title
        );
        let in_time = first.phase == Phase::During && started(evidence, first.boot);
        return Some(Judgement::new(Outcome::Crash, reason).in_time(in_time));
    }
    match &evidence.ending {
        Ending::GuestGone { what, stage } => {
            let in_time = stage.is_some_and(|stage| started(evidence, stage));
            Some(Judgement::new(Outcome::Crash, what).in_time(in_time))
        }
        _ => None,
    }
}

fn when(splat: &Splat) -> String {
    match splat.phase {
        Phase::During => format!("during stage {}", splat.boot),
        Phase::Before => format!("before stage {} began", splat.boot.max(1)),
        Phase::After => format!("after stage {} ended", splat.boot),
    }
}

fn started(evidence: &Evidence<'_>, stage: usize) -> bool {
    stage
        .checked_sub(1)
        .and_then(|index| evidence.stages.get(index))
        .is_some_and(|stage| stage.started)
}

/// Without the kernels' own words, nobody knows what they complained about.
fn no_log(evidence: &Evidence<'_>, log: &Log) -> Option<Judgement> {
    if log.is_cut {
        return Some(Judgement::new(
            Outcome::Fail,
            "the console has more lines than are read",
        ));
    }
    let (boots, stages) = (log.boots(), evidence.stages.len());
    (boots != stages).then(|| {
        let reason = format!("the console shows {boots} kernels where {stages} stages began");
        Judgement::new(Outcome::Error, reason)
    })
}

fn failed_stage(scenario: &Scenario, evidence: &Evidence<'_>) -> Option<Judgement> {
    for (index, stage) in evidence.stages.iter().enumerate() {
        let number = index + 1;
        let report = Report::parse(stage.output);
        if let Some((outcome, what)) = stage_trouble(stage, &report) {
            let in_time = stage.started && !report.leaves().is_empty();
            return Some(
                Judgement::new(outcome, format!("stage {number}: {what}")).in_time(in_time),
            );
        }
        if is_skip(stage, &report) {
            // The later stages have nothing to work on.
            return None;
        }
    }
    let (ran, all) = (evidence.stages.len(), scenario.stages.len());
    (ran != all && !matches!(evidence.ending, Ending::Refused { .. }))
        .then(|| Judgement::new(Outcome::Fail, format!("{ran} of {all} stages ran")))
}

fn stage_trouble(stage: &StageEvidence<'_>, report: &Report) -> Option<(Outcome, String)> {
    if !stage.started {
        return Some((Outcome::Error, "the program was not started".to_owned()));
    }
    let leaves = report.leaves();
    if let Some(test) = leaves
        .iter()
        .find(|test| !matches!(test.status, Status::Passed | Status::Skipped(_)))
    {
        return Some((Outcome::Fail, failure(test)));
    }
    if stage.output_cut {
        return Some((
            Outcome::Fail,
            "the program wrote more than is kept".to_owned(),
        ));
    }
    if let Some(problem) = report.problems.first() {
        return Some((
            Outcome::Fail,
            format!("the results are not whole: {problem}"),
        ));
    }
    match stage.exit {
        Some(ExitKind::Code(0)) if leaves.is_empty() && report.skip_all.is_none() => {
            Some((Outcome::Error, "the program ran no test".to_owned()))
        }
        Some(ExitKind::Code(0)) => None,
        Some(ExitKind::Code(4)) if is_skip(stage, report) => None,
        Some(ExitKind::Code(code)) => Some((
            Outcome::Fail,
            format!("the program exited with code {code}"),
        )),
        Some(ExitKind::Signal(signal)) => {
            Some((Outcome::Fail, format!("signal {signal} ended the program")))
        }
        Some(ExitKind::TimedOut) | None => Some((
            Outcome::Error,
            "nothing is known of the program's end".to_owned(),
        )),
    }
}

/// The first thing that a test says was wrong.
fn failure(test: &Test) -> String {
    let fallback = match test.status {
        Status::Crashed => "has no result",
        Status::TimedOut => "timed out",
        _ => "failed",
    };
    first_complaint(&test.diagnostics).unwrap_or_else(|| format!("`{}` {fallback}", test.name))
}

/// The text of the first check that failed: the harness prints what was compared,
/// and the test then says what it wanted.
fn first_complaint(diagnostics: &[String]) -> Option<String> {
    let mut failed = diagnostics.iter().filter_map(|line| failed_check(line));
    let compared = failed.next()?;
    match failed.next() {
        Some(wanted) if wanted.starts_with("step ") => Some(format!("{wanted} ({compared})")),
        _ => Some(compared.to_owned()),
    }
}

/// The text after `# file.c:line:test:`, as TH_LOG prints it.
pub(crate) fn failed_check(line: &str) -> Option<&str> {
    let mut parts = line.strip_prefix("# ")?.splitn(4, ':');
    let (file, number, _test, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (file.ends_with(".c") && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn refused(evidence: &Evidence<'_>) -> Option<Judgement> {
    match &evidence.ending {
        Ending::Refused { what } => Some(Judgement::new(Outcome::Fail, what)),
        _ => None,
    }
}

fn is_skip(stage: &StageEvidence<'_>, report: &Report) -> bool {
    stage.started
        && (report.skip_all.is_some()
            || report
                .leaves()
                .iter()
                .any(|test| matches!(test.status, Status::Skipped(_))))
}

fn skipped_stage(evidence: &Evidence<'_>) -> Option<Judgement> {
    evidence
        .stages
        .iter()
        .enumerate()
        .find_map(|(index, stage)| {
            let report = Report::parse(stage.output);
            is_skip(stage, &report).then(|| {
                let reason = report
                    .leaves()
                    .iter()
                    .find_map(|test| match &test.status {
                        Status::Skipped(reason) => Some(reason.clone()),
                        _ => None,
                    })
                    .or(report.skip_all)
                    .unwrap_or_default();
                Judgement::new(Outcome::Skip, format!("stage {}: {reason}", index + 1))
            })
        })
}

fn missing_splat(scenario: &Scenario, log: &Log) -> Option<Judgement> {
    scenario.splats.iter().find_map(|expected| {
        let seen = log
            .splats
            .iter()
            .filter(|splat| expected.covers(splat))
            .count() as u64;
        (seen != expected.count).then(|| {
            let ExpectedSplat {
                class,
                text,
                count,
                stage,
                ..
            } = expected;
            let word = class.word();
            let reason = format!(
                "stage {stage}: {word} \"{text}\" was expected {count} times and seen {seen} times"
            );
            Judgement::new(Outcome::Fail, reason).in_time(true)
        })
    })
}

fn stray_warning(scenario: &Scenario, log: &Log) -> Option<Judgement> {
    (1..=scenario.stages.len()).find_map(|stage| {
        let line = log.stray_warnings(stage).next()?;
        let reason = format!("stage {stage}: the kernel warned \"{}\"", line.text);
        Some(Judgement::new(Outcome::Fail, reason).in_time(true))
    })
}

impl ExpectedSplat {
    /// Returns whether this splat is the one that is expected.
    #[must_use]
    pub fn covers(&self, splat: &Splat) -> bool {
        splat.class == self.class
            && splat.boot == self.stage
            && splat.phase == Phase::During
            && splat.says(&self.text)
    }
}

#[cfg(test)]
mod tests;
