// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses console logs of real kernels (`.log`) and outputs of real test programs
//! (`.ktap`) in the folder `logs`. Each file has a header with the expected splats, lines
//! and results, followed by the raw bytes. Every fixed parser bug adds a file.

use camino::{Utf8Path, Utf8PathBuf};
use selftests::analysis::Analysis;
use selftests::evidence::{BootEvidence, Ending, Evidence, ExitKind};
use selftests::frame::Frame;
use selftests::hang::Diagnosis;
use selftests::klog::{Log, Phase};
use selftests::kselftest::KselftestBoots;
use selftests::ktap::{Report, Test};
use selftests::status::Status;
use vm_images::transcript::{self, Hang, Processor, Sample};

/// Prefix of the header lines with the expected findings.
const FOUND: &str = "# found ";
/// Smallest number of `.log` and `.ktap` files, to detect missing files.
const LOGS_MIN: usize = 126;
const OUTPUTS_MIN: usize = 2;

/// Lists the boots, the splats with their first frames, and the stray lines of a log.
fn summary(log: &Log) -> Vec<String> {
    let mut found = vec![format!("boots: {}", log.boots())];
    for splat in &log.splats {
        let phase = match splat.phase {
            Phase::Before => "before",
            Phase::During => "during",
            Phase::After => "after",
        };
        let (boot, class, title) = (splat.boot, splat.class.word(), &splat.title);
        let incomplete = if splat.is_complete {
            ""
        } else {
            ", incomplete"
        };
        found.push(format!(
            "splat: boot {boot}, {phase} the program, {class}: {title}{incomplete}"
        ));
        if !splat.frames.is_empty() {
            found.push(format!("  in {}", splat.functions().join(", ")));
        }
    }
    for boot in 1..=log.boots() {
        found.extend(
            log.stray_warnings(boot)
                .map(|line| format!("warning: boot {boot}: {}", line.text)),
        );
        found.extend(
            log.stray_errors(boot)
                .map(|line| format!("error: boot {boot}: {}", line.text)),
        );
    }
    found
}

/// Lists the tests of all levels, indented by two spaces for each level.
fn tests(level: &[Test], indent: usize, found: &mut Vec<String>) {
    for test in level {
        found.push(format!(
            "{}{:?} {}",
            "  ".repeat(indent),
            test.status,
            test.name
        ));
        tests(&test.children, indent + 1, found);
    }
}

fn report(output: &[u8]) -> Vec<String> {
    let report = Report::parse(output);
    let mut found = Vec::new();
    tests(&report.tests, 0, &mut found);
    found.extend(
        report
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}")),
    );
    found
}

fn files(extension: &str) -> Vec<Utf8PathBuf> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("logs");
    let entries = folder.read_dir_utf8().expect("the folder `logs` exists");
    let paths = entries.map(|entry| entry.expect("the folder is readable").into_path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension() == Some(extension))
        .collect();
    paths.sort();
    paths
}

/// Returns the expected findings in the header, and the raw bytes after it.
fn split(bytes: &[u8]) -> (Vec<String>, &[u8]) {
    let end = bytes
        .windows(5)
        .position(|window| window == b"\n---\n")
        .expect("a header that ends with `---`");
    let header = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let found = header
        .lines()
        .filter_map(|line| line.strip_prefix(FOUND))
        .map(str::to_owned)
        .collect();
    (found, &bytes[end + 5..])
}

/// Replaces the expected findings in the header of a log by the current ones.
fn write_header(path: &Utf8Path, bytes: &[u8], found: &[String]) {
    let raw = split(bytes).1;
    let header = String::from_utf8_lossy(&bytes[..bytes.len() - raw.len()]).into_owned();
    let other = header
        .lines()
        .filter(|line| !line.starts_with(FOUND.trim_end()));
    let mut lines: Vec<String> = other.map(str::to_owned).collect();
    let end = lines.pop().expect("a header that ends with `---`");
    lines.extend(found.iter().map(|line| format!("{FOUND}{line}")));
    lines.extend([end, String::new()]);
    let text = [lines.join("\n").as_bytes(), raw].concat();
    std::fs::write(path, text).expect("the folder is writable");
}

/// With `UPDATE_LOGS=1`, the headers are updated instead.
#[test]
fn recorded_logs_parse_to_the_findings_in_their_headers() {
    let (logs, outputs) = (files("log"), files("ktap"));
    assert!(
        logs.len() >= LOGS_MIN && outputs.len() >= OUTPUTS_MIN,
        "files are missing in the folder `logs`: {} logs, {} outputs",
        logs.len(),
        outputs.len()
    );
    for path in logs {
        let bytes = std::fs::read(&path).unwrap();
        let (expected, raw) = split(&bytes);
        let found = summary(&Log::parse(raw));
        if std::env::var_os("UPDATE_LOGS").is_some() {
            write_header(&path, &bytes, &found);
        } else {
            assert_eq!(found, expected, "{path}");
        }
    }
    for path in outputs {
        let bytes = std::fs::read(&path).unwrap();
        let (expected, raw) = split(&bytes);
        assert_eq!(report(raw), expected, "{path}");
    }
}

#[test]
fn recorded_logs_keep_the_splats_before_a_cut() {
    let mut compared = 0;
    for path in files("log") {
        let bytes = std::fs::read(&path).unwrap();
        let raw = split(&bytes).1;
        let complete = Log::parse(raw).splats;
        for cut in (0..raw.len()).step_by(997) {
            let log = Log::parse(&raw[..cut]);
            // The cut may be in the middle of the last line.
            let end = log.lines.len().saturating_sub(1);
            for splat in complete
                .iter()
                .filter(|splat| splat.lines.iter().all(|line| *line < end))
            {
                assert!(
                    log.splats.contains(splat),
                    "{path} cut at {cut}: {splat:#?} is missing"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no splat is before a cut");
}

#[test]
fn recorded_outputs_have_a_problem_when_cut() {
    for path in files("ktap") {
        let bytes = std::fs::read(&path).unwrap();
        let raw = split(&bytes).1;
        let text = String::from_utf8_lossy(raw);
        let last = text
            .rfind("\nok ")
            .max(text.rfind("\nnot ok "))
            .expect("an output has a result line")
            + 1;
        let end = last
            + text[last..]
                .find('\n')
                .expect("the last result line is complete");
        for cut in 0..=end {
            let report = Report::parse(&raw[..cut]);
            assert!(
                !report.problems.is_empty(),
                "{path} cut at {cut} has no problem"
            );
        }
    }
}

/// Returns a hang diagnosis that was recorded during boot 1.
fn hang() -> Hang {
    let processor = Processor {
        number: 1,
        is_halted: false,
        takes_interrupts: true,
        in_program: false,
        frames: vec![u64::MAX],
    };
    Hang {
        during: transcript::Phase::Program(1),
        console_bytes: 0,
        divide_error: Some(u64::MAX),
        samples: vec![Sample {
            at_ms: 150,
            processors: vec![processor],
        }],
        answers: true,
        missing: vec!["a part: a reason".to_owned()],
        dump: Some("memory.dump".to_owned()),
    }
}

#[test]
fn analysis_of_recorded_logs_is_equal_after_a_round_trip() {
    let test = KselftestBoots {
        target: "a".to_owned(),
        name: "a".to_owned(),
        boots: Vec::new(),
        tolerates: Vec::new(),
    };
    let outputs = files("ktap").into_iter().cycle();
    let (mut deciding, mut frames) = (0, 0);
    for (path, output) in files("log").into_iter().zip(outputs) {
        let (log, output) = (std::fs::read(path).unwrap(), std::fs::read(output).unwrap());
        let hang = hang();
        let evidence = Evidence {
            boots: vec![BootEvidence {
                boot_id: "a",
                started: true,
                output: split(&output).1,
                output_cut: false,
                exit: Some(ExitKind::Code(1)),
            }],
            ending: Ending::Orderly,
            serial: split(&log).1,
            hang: Some(&hang),
            host_time: transcript::HostTime::default(),
        };
        let diagnose = |_| Some(Diagnosis::of(&hang, None, evidence.serial));
        let analysis = Analysis::of(&test, &evidence, diagnose);
        let mut json = serde_json::to_value(&analysis).unwrap();
        // Fields of later versions are ignored.
        json["later"] = "x".into();
        assert_eq!(serde_json::from_value::<Analysis>(json).unwrap(), analysis);
        let splats = analysis.splats.iter();
        let decides = splats.clone().filter(|splat| splat.decides).count();
        assert_eq!(decides == 1, analysis.judgement.status == Status::Crash);
        deciding += decides;
        let lines = splats.flat_map(|splat| &splat.lines);
        let mut found = lines.filter_map(|line| line.frame.as_ref());
        frames += usize::from(found.any(|frame: &Frame| frame.module.is_some()));
    }
    assert!(deciding > 50 && frames > 20, "{deciding}, {frames}");
}
