// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of the analyses of a run that are printed in reports: timelines, and kernel
//! reports with the source lines of their frames. All sizes are limited. No result depends
//! on them, so missing or damaged files are left out.

mod symbols;

use std::collections::BTreeMap;

use selftests::analysis::{KernelReport, ReportLine};
use selftests::scenario::Scenario;
use selftests::timeline;

use symbols::SourceLines;

use crate::engine::job::Job;
use crate::engine::judge::Analyses;
use crate::engine::run_folder::RunFolder;
use crate::result::{JobResult, RunResult};

/// At most this many bytes of a timeline are shown.
const TIMELINE_BYTES_MAX: usize = 16 * 1024;
/// At most this many splats of a job are shown.
const SPLATS_MAX: usize = 12;
/// At most this many lines of a splat are shown: a report of lockdep may have hundreds.
const LINES_MAX: usize = 160;
/// At most this many bytes of a line are shown.
const LINE_BYTES_MAX: usize = 400;

/// The text beside the result of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The run folder, as printed.
    pub run: String,
    /// Options beyond test, checkout and config that reproduce the run.
    pub options: String,
    /// Scenarios by name.
    pub stories: BTreeMap<String, Story>,
    /// Jobs by the name of their folder.
    pub jobs: BTreeMap<String, JobEvidence>,
}

/// Title and reason of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The tested property, one line.
    pub title: String,
    /// The reason for the test.
    pub why: String,
}

impl Story {
    /// Returns the stories of scenarios, by their names.
    pub fn of_all(scenarios: &[Scenario]) -> BTreeMap<String, Self> {
        let story = |scenario: &Scenario| Self {
            title: scenario.title.clone(),
            why: scenario.why.clone(),
        };
        scenarios
            .iter()
            .map(|scenario| (scenario.name.clone(), story(scenario)))
            .collect()
    }
}

/// The text that a job left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobEvidence {
    pub(crate) timeline: Excerpt,
    pub(crate) splats: Vec<SplatEvidence>,
    /// The number of splats that are left out.
    pub splats_left_out: usize,
}

/// The beginning of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    pub(crate) text: String,
    /// The number of bytes that are left out.
    pub left_out_bytes: usize,
}

impl Excerpt {
    /// Returns at most `bytes_max` bytes of a text, in whole lines if it has any.
    pub fn of(text: &str, bytes_max: usize) -> Self {
        if text.len() <= bytes_max {
            return Self {
                text: text.to_owned(),
                left_out_bytes: 0,
            };
        }
        let head = &text[..text.floor_char_boundary(bytes_max)];
        let head = head.rfind('\n').map_or(head, |end| &head[..=end]);
        Self {
            text: head.to_owned(),
            left_out_bytes: text.len() - head.len(),
        }
    }
}

impl Evidence {
    /// Reads the text that the jobs left in their folders.
    pub fn gather(
        result: &RunResult,
        folder: &RunFolder,
        analyses: &Analyses<'_>,
        run: &str,
        options: &str,
        scenarios: &[Scenario],
    ) -> Self {
        let stories = Story::of_all(scenarios);
        let mut symbols = SourceLines::default();
        let mut jobs = BTreeMap::new();
        for job in &result.jobs {
            let left = read_job(job, folder, analyses, &mut symbols);
            jobs.insert(job.artifacts.clone(), left);
        }
        Self {
            run: run.to_owned(),
            options: options.to_owned(),
            stories,
            jobs,
        }
    }
}

fn read_job(
    job: &JobResult,
    folder: &RunFolder,
    analyses: &Analyses<'_>,
    symbols: &mut SourceLines,
) -> JobEvidence {
    let Some(analysis) = analyses.of(job) else {
        return JobEvidence::default();
    };
    let record = match analysis.splats.is_empty() {
        true => None,
        false => Job::read(&job.plan(), folder).ok(),
    };
    let splats = analysis.splats.iter().take(SPLATS_MAX).map(|splat| {
        let kernel = record
            .as_ref()
            .and_then(|record| record.symbols_of(splat.boot));
        SplatEvidence::of(splat, |line| match (kernel, &line.frame) {
            (Some(kernel), Some(frame)) => symbols.places(frame, kernel),
            _ => Vec::new(),
        })
    });
    JobEvidence {
        timeline: Excerpt::of(&timeline::text(&analysis.timeline), TIMELINE_BYTES_MAX),
        splats: splats.collect(),
        splats_left_out: analysis.splats.len().saturating_sub(SPLATS_MAX),
    }
}

/// A kernel report as shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplatEvidence {
    /// `WARN`, `KASAN` and so on.
    pub(crate) class: String,
    /// The number of the boot in the job, from 1; 0 before the first kernel's banner.
    pub(crate) kernel: usize,
    pub(crate) title: String,
    pub(crate) lines: Vec<SplatLine>,
    /// The number of lines that are left out.
    pub(crate) lines_left_out: usize,
}

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplatLine {
    pub(crate) text: String,
    /// Source lines of its frame, `FILE:LINE`, with the functions that were inlined:
    /// innermost first. Empty if it has no frame or the lines are not known.
    pub(crate) places: Vec<String>,
}

impl SplatEvidence {
    fn of(splat: &KernelReport, mut places: impl FnMut(&ReportLine) -> Vec<String>) -> Self {
        let lines = splat.lines.iter().take(LINES_MAX).map(|line| SplatLine {
            text: shortened(&line.text),
            places: places(line),
        });
        Self {
            class: splat.class.word().to_owned(),
            kernel: splat.boot,
            title: splat.title.clone(),
            lines: lines.collect(),
            lines_left_out: splat.lines.len().saturating_sub(LINES_MAX),
        }
    }
}

fn shortened(line: &str) -> String {
    let end = line.floor_char_boundary(LINE_BYTES_MAX);
    let rest = if end < line.len() { " ..." } else { "" };
    format!("{}{rest}", &line[..end])
}

/// Beginnings of lines that hold registers or memory.
const STATE: [&str; 18] = [
    "Code: ", "RSP: ", "RAX: ", "RBX: ", "RCX: ", "RDX: ", "RSI: ", "RDI: ", "RBP: ", "R08: ",
    "R10: ", "R13: ", "FS: ", "CS: ", "CR2: ", "DR0: ", "DR3: ", "PKRU: ",
];

impl SplatLine {
    /// Returns whether the line holds registers; reports show it dimmed.
    pub(crate) fn is_state(&self) -> bool {
        let text = self.text.trim_start();
        STATE.iter().any(|begin| text.starts_with(begin))
    }
}

#[cfg(test)]
mod tests {
    use selftests::analysis::Analysis;
    use selftests::klog::{Phase, SplatClass};
    use selftests::status::Status;

    use super::*;
    use crate::engine::job::ANALYSIS;
    use crate::result::tests::job;

    #[test]
    fn excerpt_ends_at_a_line_or_character_and_counts_the_rest() {
        assert_eq!(Excerpt::of("a\nb\n", 10).left_out_bytes, 0);
        let cut = Excerpt::of("first\nsecond\n", 8);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("first\n", 7));
        let cut = Excerpt::of("äöü", 3);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("ä", 4));
    }

    #[test]
    fn is_state_accepts_registers_but_not_frames() {
        let is_state = |text: &str| {
            let text = text.to_owned();
            SplatLine {
                text,
                places: Vec::new(),
            }
            .is_state()
        };
        assert!(is_state("RAX: ffffffff8e103f2c RBX: ffff9286c123e1c0"));
        assert!(is_state("CS:  0010 DS: 0000") && is_state("Code: 4d 8b"));
        assert!(!is_state("RIP: 0010:f+0xee/0x140") && !is_state(" f+0x1/0x2"));
    }

    #[test]
    fn read_job_limits_splats_lines_and_bytes_and_counts_the_rest() {
        let line = |text: &str| ReportLine {
            number: 1,
            text: text.to_owned(),
            frame: None,
        };
        let mut lines = vec![line(&"ä".repeat(999))];
        lines.resize(LINES_MAX + 4, line("x"));
        let splat = KernelReport {
            class: SplatClass::Warn,
            title: "WARNING in f".to_owned(),
            message: String::new(),
            boot: 2,
            phase: Phase::During,
            is_complete: true,
            is_expected: false,
            decides: false,
            frames: Vec::new(),
            lines,
        };
        let analysis = Analysis {
            splats: vec![splat; SPLATS_MAX + 2],
            ..Analysis::not_started(Status::Crash, "")
        };
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::at(place.path().to_owned().try_into().unwrap());
        let job = job("a", "base", "crash", "pass");
        let folder = run.path().join(&job.artifacts);
        let analyses = Analyses::new(&run, BTreeMap::new());
        let read = || read_job(&job, &run, &analyses, &mut SourceLines::default());
        assert_eq!(read(), JobEvidence::default());
        fs_err::create_dir_all(&folder).unwrap();
        let json = serde_json::to_vec(&analysis).unwrap();
        fs_err::write(folder.join(ANALYSIS), json).unwrap();
        let left = read();
        assert_eq!((left.splats.len(), left.splats_left_out), (SPLATS_MAX, 2));
        let first = &left.splats[0];
        let shown = (first.class.as_str(), first.kernel, first.title.as_str());
        assert_eq!(shown, ("WARN", 2, "WARNING in f"));
        assert_eq!((first.lines.len(), first.lines_left_out), (LINES_MAX, 4));
        assert!(first.lines[0].text.len() <= LINE_BYTES_MAX + 4);
        assert_eq!(first.lines[1].text, "x");
    }
}
