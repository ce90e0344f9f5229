// SPDX-License-Identifier: MIT OR Apache-2.0
//! The analysis of a job: all facts that are derived from its recorded facts, as typed
//! values. It is stored as `analysis.json`; texts for people are views of it that nothing
//! reads back.

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::frame::Frame;
use crate::hang::Diagnosis;
use crate::judgement::{Judgement, Status};
use crate::klog::{Log, Phase, Splat, SplatClass};
use crate::ktap::Report;
use crate::status;
use crate::subject::Subject;
use crate::timeline::{self, Entry};

/// The analysis of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// The status, its reason and its cause.
    pub judgement: Judgement,
    /// The results of the program of each boot that was started.
    pub boots: Vec<Report>,
    /// The kernel's reports, in the order of their first lines.
    pub splats: Vec<KernelReport>,
    /// The events of the run.
    pub timeline: Vec<Entry>,
    /// The hang diagnosis, if a time limit expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang: Option<Diagnosis>,
}

/// A kernel report with its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelReport {
    /// The class.
    pub class: SplatClass,
    /// The title, which is equal from run to run.
    pub title: String,
    /// The message of the report as logged; empty if it has none.
    pub message: String,
    /// The number of the boot, from 1; 0 before the banner of the first kernel.
    pub boot: usize,
    /// The part of the boot.
    pub phase: Phase,
    /// Whether it was logged to its end.
    pub is_complete: bool,
    /// Whether the scenario expects it.
    pub is_expected: bool,
    /// Whether it decides the status of the job.
    pub decides: bool,
    /// The first frames of the call stack after the functions that print reports, innermost
    /// first.
    pub frames: Vec<Frame>,
    /// Its lines. Lines of other writers may be in between.
    pub lines: Vec<ReportLine>,
}

/// A line of a kernel report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportLine {
    /// The number of the line in the console log, from 1.
    pub number: usize,
    /// The text without the prefix of printk.
    pub text: String,
    /// The first frame in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
}

impl Analysis {
    /// Analyses a job. `diagnose` is called if a time limit expired; it returns the hang
    /// diagnosis with the symbols of the kernel of the given boot (from 1).
    pub fn of<'a>(
        subject: impl Into<Subject<'a>>,
        evidence: &Evidence<'_>,
        diagnose: impl FnOnce(usize) -> Option<Diagnosis>,
    ) -> Self {
        let subject = subject.into();
        let log = Log::parse(evidence.serial);
        let boots = evidence.reports();
        let mut judgement = status::judge_reports(subject, evidence, &boots, &log);
        // Without a boot message in the log, the first boot hung.
        let hung = evidence.hang.map(|_| log.boots().max(1));
        let hang = hung.and_then(diagnose);
        if let Some(hang) = &hang {
            judgement.reason.extend(["; ", &hang.summary]);
        }
        let deciding = status::deciding_splat(subject, judgement.status, &log);
        let splats = log.splats.iter().map(|splat| KernelReport {
            is_expected: subject.expects(splat),
            decides: deciding == Some(splat),
            ..KernelReport::of(splat, &log)
        });
        Self {
            splats: splats.collect(),
            timeline: timeline::timeline(subject, evidence, &boots, &log),
            judgement,
            boots,
            hang,
        }
    }

    /// Returns the analysis of a job that started no VM.
    #[must_use]
    pub fn not_started(status: Status, reason: &str) -> Self {
        Self {
            judgement: Judgement::new(status, reason),
            boots: Vec::new(),
            splats: Vec::new(),
            timeline: Vec::new(),
            hang: None,
        }
    }

    /// Returns every kernel report with its title and its lines, as text for people.
    #[must_use]
    pub fn splats_text(&self) -> String {
        self.splats.iter().map(KernelReport::text).collect()
    }
}

impl KernelReport {
    fn of(splat: &Splat, log: &Log) -> Self {
        let lines = log.lines_of(splat).map(|line| ReportLine {
            number: line.number,
            text: line.text.clone(),
            frame: Frame::in_line(&line.text),
        });
        Self {
            class: splat.class,
            title: splat.title.clone(),
            message: splat.message.clone(),
            boot: splat.boot,
            phase: splat.phase,
            is_complete: splat.is_complete,
            is_expected: false,
            decides: false,
            frames: splat.frames.clone(),
            lines: lines.collect(),
        }
    }

    fn text(&self) -> String {
        let (class, boot, title) = (self.class.word(), self.boot, &self.title);
        let mut text = format!("{class} (kernel {boot}): {title}\n");
        for line in &self.lines {
            text += &format!("  {}\n", line.text);
        }
        text
    }
}
