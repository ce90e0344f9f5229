// SPDX-License-Identifier: MIT OR Apache-2.0
//! Renders the events of a run (steps, failed checks, results, splats, the end) as
//! lines that are equal from run to run: without times, addresses, line numbers and task
//! numbers. The lines are compared with a recorded snapshot; results do not depend on
//! them.

use crate::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use crate::klog::{Log, Phase, Splat};
use crate::ktap::{Report, TestStatus};
use crate::scenario::ExpectedSplat;
use crate::status::{Subject, failed_check};

/// Returns the timeline of a run, one event per line. `log` is the parsed
/// `evidence.serial`.
#[must_use]
pub fn timeline<'a>(subject: impl Into<Subject<'a>>, evidence: &Evidence<'_>, log: &Log) -> String {
    let variable: Vec<&ExpectedSplat> = variable(subject.into());
    let mut lines = Vec::new();
    for (index, boot) in evidence.boots.iter().enumerate() {
        let number = index + 1;
        if number > 1 {
            lines.push("kexec".to_owned());
        }
        splats(log, number, Phase::Before, &variable, &mut lines);
        lines.push(format!("boot {number} begins"));
        program(boot, &mut lines);
        splats(log, number, Phase::During, &variable, &mut lines);
        for expected in variable.iter().filter(|splat| splat.boot == number) {
            let (class, text) = (expected.class.word(), &expected.text);
            lines.push(format!("  splat {class} \"{text}\": {}", expected.count));
        }
        for warning in log.stray_warnings(number) {
            lines.push(format!("  warning: {}", Log::normalised(warning)));
        }
        lines.push(format!("boot {number} ends: {}", exit(boot)));
        splats(log, number, Phase::After, &variable, &mut lines);
    }
    lines.push(ending(&evidence.ending).to_owned());
    lines.push(String::new());
    lines.join("\n")
}

/// Adds steps, failed checks and results in the order of the program's output.
fn program(boot: &BootEvidence<'_>, lines: &mut Vec<String>) {
    let report = Report::parse(boot.output);
    for test in report.leaves() {
        for diagnostic in &test.diagnostics {
            if let Some(step) = diagnostic.strip_prefix("# step ") {
                lines.push(format!("  step {step}"));
            } else if let Some(failed) = failed_check(diagnostic) {
                lines.push(format!("    {failed}"));
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
        lines.push(format!("  {} {status}", test.name));
    }
    lines.extend(
        report
            .problems
            .iter()
            .map(|problem| format!("  problem: {problem}")),
    );
}

/// Returns the expected splats whose count may differ from run to run.
fn variable(subject: Subject<'_>) -> Vec<&ExpectedSplat> {
    let all = subject.splats().iter();
    all.filter(|splat| splat.count.exactly().is_none())
        .collect()
}

fn splats(
    log: &Log,
    boot: usize,
    phase: Phase,
    variable: &[&ExpectedSplat],
    lines: &mut Vec<String>,
) {
    let of_phase: Vec<&Splat> = log
        .splats_of(boot)
        .filter(|splat| splat.phase == phase)
        .filter(|splat| !variable.iter().any(|expected| expected.covers(splat)))
        .collect();
    for same in of_phase.chunk_by(|a, b| (a.class, &a.title) == (b.class, &b.title)) {
        let times = if same.len() > 1 {
            format!(" ({} times)", same.len())
        } else {
            String::new()
        };
        lines.push(format!(
            "  splat {}: {}{times}",
            same[0].class.word(),
            same[0].title
        ));
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
        let output = "TAP version 13\n1..1\n#  RUN           a.boot_1 ...\n\
            # step 1: preserve dev in vm -> ok [pci_flb_preserve +1]\n\
            # step 2: close vm -> ok\n# a.c:77:boot_1:Expected 0 (0) == lu_calls(&self->lu, \"f\") (1)\n\
            # a.c:78:boot_1:step 2: f must not have been called yet\nnot ok 1 a.boot_1\n";
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
        insta::assert_snapshot!(timeline(&scenario, &evidence, &Log::parse(evidence.serial)), @r#"
        boot 1 begins
          step 1: preserve dev in vm -> ok [pci_flb_preserve +1]
          step 2: close vm -> ok
            Expected 0 (0) == lu_calls(&self->lu, "f") (1)
            step 2: f must not have been called yet
          a.boot_1 failed
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
