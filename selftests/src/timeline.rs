// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of a run (steps, failed checks, results, splats, the end) as lines that are
//! equal from run to run: without times, addresses, line numbers and task numbers. The
//! lines are compared with a recorded snapshot; results do not depend on them.

use serde::{Deserialize, Serialize};

use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::klog::{Log, Phase, Splat};
use crate::ktap::{Report, TestStatus};
use crate::scenario::ExpectedSplat;
use crate::status::steps::{failed_checks, step_number};
use crate::subject::Subject;

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the boot, from 1.
    pub boot: usize,
    /// The step, if the event is a step or a failed check of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The kind of event.
    pub kind: EntryKind,
    /// The event in one line, without indentation.
    pub text: String,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The next kernel is started by a kexec.
    Kexec,
    /// The program of a boot starts.
    BootBegins,
    /// The program completed a step.
    Step,
    /// A check failed.
    FailedCheck,
    /// A test ended.
    TestResult,
    /// A test has no result: the program or the kernel died.
    NoResult,
    /// The output of the program is invalid.
    Problem,
    /// The kernel printed a report.
    Splat,
    /// The kernel printed a line at level warning or worse.
    Warning,
    /// The program of a boot ended.
    BootEnds,
    /// The run ended.
    RunEnds,
}

impl EntryKind {
    const fn indentation(self) -> &'static str {
        match self {
            Self::Kexec | Self::BootBegins | Self::BootEnds | Self::RunEnds => "",
            Self::FailedCheck => "    ",
            Self::Step
            | Self::TestResult
            | Self::NoResult
            | Self::Problem
            | Self::Splat
            | Self::Warning => "  ",
        }
    }
}

/// Returns the entries as text, one line for each.
#[must_use]
pub fn text(entries: &[Entry]) -> String {
    let line = |entry: &Entry| format!("{}{}\n", entry.kind.indentation(), entry.text);
    entries.iter().map(line).collect()
}

/// The entries of one boot.
struct Entries<'a> {
    all: &'a mut Vec<Entry>,
    boot: usize,
}

impl Entries<'_> {
    fn add(&mut self, kind: EntryKind, text: impl Into<String>) {
        self.add_step(kind, None, text);
    }

    fn add_step(&mut self, kind: EntryKind, step: Option<usize>, text: impl Into<String>) {
        self.all.push(Entry {
            boot: self.boot,
            step,
            kind,
            text: text.into(),
        });
    }
}

/// Returns the timeline of a run. `log` is the parsed `evidence.serial`, and `reports` has
/// the parsed output of each boot.
#[must_use]
pub fn timeline<'a>(
    subject: impl Into<Subject<'a>>,
    evidence: &Evidence<'_>,
    reports: &[Report],
    log: &Log,
) -> Vec<Entry> {
    let variable: Vec<&ExpectedSplat> = variable(subject.into());
    let mut all = Vec::new();
    for (index, (boot, report)) in evidence.boots.iter().zip(reports).enumerate() {
        let number = index + 1;
        let mut entries = Entries {
            all: &mut all,
            boot: number,
        };
        if number > 1 {
            entries.add(EntryKind::Kexec, "kexec");
        }
        splats(log, Phase::Before, &variable, &mut entries);
        entries.add(EntryKind::BootBegins, format!("boot {number} begins"));
        program(report, &mut entries);
        splats(log, Phase::During, &variable, &mut entries);
        for expected in variable.iter().filter(|splat| splat.boot == number) {
            let (class, text) = (expected.class.word(), &expected.text);
            let text = format!("splat {class} \"{text}\": {}", expected.count);
            entries.add(EntryKind::Splat, text);
        }
        for warning in log.stray_warnings(number) {
            let text = format!("warning: {}", Log::normalised(warning));
            entries.add(EntryKind::Warning, text);
        }
        let end = format!("boot {number} ends: {}", exit(boot));
        entries.add(EntryKind::BootEnds, end);
        splats(log, Phase::After, &variable, &mut entries);
    }
    let mut entries = Entries {
        boot: evidence.boots.len(),
        all: &mut all,
    };
    entries.add(EntryKind::RunEnds, ending(&evidence.ending));
    all
}

/// Adds steps, failed checks and results in the order of the program's output.
fn program(report: &Report, entries: &mut Entries<'_>) {
    for test in report.leaves() {
        let mut checks = failed_checks(&test.diagnostics).into_iter().peekable();
        for (at, diagnostic) in test.diagnostics.iter().enumerate() {
            if let Some(text) = diagnostic.strip_prefix("# step ") {
                let text = format!("step {text}");
                entries.add_step(EntryKind::Step, step_number(&text), text);
            } else if let Some(check) = checks.next_if(|check| check.at == at) {
                entries.add_step(EntryKind::FailedCheck, check.step, check.message());
            }
        }
        let status = match &test.status {
            TestStatus::Passed => "passed".to_owned(),
            TestStatus::Failed => "failed".to_owned(),
            TestStatus::Skipped(reason) => format!("skipped: {reason}"),
            TestStatus::ExpectedFailure(reason) => format!("failed as known: {reason}"),
            TestStatus::UnexpectedPass => "passed against expectation".to_owned(),
            TestStatus::TimedOut => "timed out".to_owned(),
            TestStatus::Crashed => "no result".to_owned(),
        };
        let kind = match test.status {
            TestStatus::Crashed => EntryKind::NoResult,
            _ => EntryKind::TestResult,
        };
        entries.add(kind, format!("{} {status}", test.name));
    }
    for problem in &report.problems {
        entries.add(EntryKind::Problem, format!("problem: {problem}"));
    }
}

/// Returns the expected splats whose count may differ from run to run.
fn variable(subject: Subject<'_>) -> Vec<&ExpectedSplat> {
    let all = subject.splats().iter();
    all.filter(|splat| splat.count.exactly().is_none())
        .collect()
}

fn splats(log: &Log, phase: Phase, variable: &[&ExpectedSplat], entries: &mut Entries<'_>) {
    let of_phase: Vec<&Splat> = log
        .splats_of(entries.boot)
        .filter(|splat| splat.phase == phase)
        .filter(|splat| !variable.iter().any(|expected| expected.covers(splat)))
        .collect();
    for same in of_phase.chunk_by(|a, b| (a.class, &a.title) == (b.class, &b.title)) {
        let times = if same.len() > 1 {
            format!(" ({} times)", same.len())
        } else {
            String::new()
        };
        let (class, title) = (same[0].class.word(), &same[0].title);
        entries.add(EntryKind::Splat, format!("splat {class}: {title}{times}"));
    }
}

fn exit(boot: &BootEvidence<'_>) -> String {
    match boot.exit {
        _ if !boot.started => "the program was not started".to_owned(),
        Some(ExitKind::Code(code)) => format!("exit code {code}"),
        Some(ExitKind::Signal(signal)) => format!("signal {signal}"),
        Some(ExitKind::TimedOut) => "out of time".to_owned(),
        None => "unknown".to_owned(),
    }
}

const fn ending(ending: &Ending) -> &str {
    match ending {
        Ending::Orderly => "powered off",
        Ending::GuestGone { .. } => "the guest went away",
        Ending::Hang { .. } => "out of time",
        Ending::Refused { .. } => "the guest refused",
        Ending::Error { .. } => "given up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeline_lists_two_boots_and_a_splat() {
        let output = "TAP version 13\n1..1\n#  RUN           liveupdate_pci.a ...\n\
            # step 1: preserve dev in vm -> ok [pci_flb_preserve +1]\n\
            # step 2: close vm -> ok\n# at step 2\n\
            # a.c:77:a:Expected 0 (0) == kt_calls(\"f\") (1)\nnot ok 1 liveupdate_pci.a\n";
        let serial = "Linux version 1\npatchbed: boot 1 begins\nBUG: KASAN: slab-use-after-free in f+0x1/0x2\n\
            Write of size 8\n===========================\npatchbed: boot 1 ends\nLinux version 1\n";
        let boot = BootEvidence {
            boot_id: "a",
            started: true,
            output: output.as_bytes(),
            output_cut: false,
            exit: Some(ExitKind::Code(1)),
        };
        let idle = BootEvidence {
            boot_id: "b",
            started: false,
            output: b"",
            output_cut: false,
            exit: None,
        };
        let evidence = Evidence {
            boots: vec![boot, idle],
            ending: Ending::Orderly,
            serial: serial.as_bytes(),
            hang: None,
            host_time: Default::default(),
        };
        let text = "name: a\ntitle: a\nwhy: a\nboots: [{steps: [{rescan: pci}]}]\n";
        let scenario = crate::scenario::Scenario::parse(text, "a.yaml").unwrap();
        let log = Log::parse(evidence.serial);
        let entries = timeline(&scenario, &evidence, &evidence.reports(), &log);
        let steps = entries.iter().filter_map(|entry| entry.step);
        assert_eq!(steps.collect::<Vec<_>>(), [1, 2, 2]);
        insta::assert_snapshot!(super::text(&entries), @r#"
        boot 1 begins
          step 1: preserve dev in vm -> ok [pci_flb_preserve +1]
          step 2: close vm -> ok
            step 2: Expected 0 (0) == kt_calls("f") (1)
          liveupdate_pci.a failed
          splat KASAN: KASAN: slab-use-after-free Write in f
        boot 1 ends: exit code 1
        kexec
        boot 2 begins
          problem: no TAP version line
        boot 2 ends: the program was not started
        powered off
        "#);
    }
}
