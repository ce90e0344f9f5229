// SPDX-License-Identifier: GPL-2.0-only
//! Console logs of real kernels (`.log`) and outputs of real test programs
//! (`.ktap`), one a file, raw behind a header that says what must be found in
//! them. A parser's bug that is fixed adds a file.

use camino::{Utf8Path, Utf8PathBuf};
use selftests::klog::{Log, Phase};
use selftests::ktap::{Report, Test};

/// What a line of a header begins with that says what must be found.
const FOUND: &str = "# found ";
/// Files of the corpus, to detect that some got lost: `.log` and `.ktap`.
const LOGS_MIN: usize = 126;
const OUTPUTS_MIN: usize = 2;

/// What must be found in a log: boots, splats with their first frames, stray lines.
fn summary(log: &Log) -> Vec<String> {
    let mut found = vec![format!("boots: {}", log.boots())];
    for splat in &log.splats {
        let phase = match splat.phase {
            Phase::Before => "before",
            Phase::During => "during",
            Phase::After => "after",
        };
        let (boot, class, title) = (splat.boot, splat.class.word(), &splat.title);
        let torn = if splat.is_whole { "" } else { ", torn" };
        found.push(format!(
            "splat: boot {boot}, {phase} the boot, {class}: {title}{torn}"
        ));
        if !splat.frames.is_empty() {
            found.push(format!("  in {}", splat.frames.join(", ")));
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

/// The tests of all levels, two blanks a level, and the problems.
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
    let entries = folder
        .read_dir_utf8()
        .expect("the folder of logs is checked in");
    let paths = entries.map(|entry| entry.expect("a folder that can be read").into_path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension() == Some(extension))
        .collect();
    paths.sort();
    paths
}

/// What the header says, and the raw bytes behind it.
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

/// Says in a log's header what is found in it now, for somebody to look at.
fn write_header(path: &Utf8Path, bytes: &[u8], found: &[String]) {
    let raw = split(bytes).1;
    let header = String::from_utf8_lossy(&bytes[..bytes.len() - raw.len()]).into_owned();
    let kept = header
        .lines()
        .filter(|line| !line.starts_with(FOUND.trim_end()));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    let end = lines.pop().expect("a header that ends with `---`");
    lines.extend(found.iter().map(|line| format!("{FOUND}{line}")));
    lines.extend([end, String::new()]);
    let text = [lines.join("\n").as_bytes(), raw].concat();
    std::fs::write(path, text).expect("a folder that can be written");
}

/// With `UPDATE_LOGS=1`, the headers are written anew instead.
#[test]
fn what_the_header_says_is_found() {
    let (logs, outputs) = (files("log"), files("ktap"));
    assert!(
        logs.len() >= LOGS_MIN && outputs.len() >= OUTPUTS_MIN,
        "files are missing in the corpus: {} logs, {} outputs",
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
fn a_log_cut_anywhere_keeps_the_splats_before_the_cut() {
    let mut kept = 0;
    for path in files("log") {
        let bytes = std::fs::read(&path).unwrap();
        let raw = split(&bytes).1;
        let whole = Log::parse(raw).splats;
        for cut in (0..raw.len()).step_by(997) {
            let log = Log::parse(&raw[..cut]);
            // The cut may be in the middle of the last line.
            let end = log.lines.len().saturating_sub(1);
            for splat in whole
                .iter()
                .filter(|one| one.lines.iter().all(|line| *line < end))
            {
                assert!(
                    log.splats.contains(splat),
                    "{path} cut at {cut}: {splat:#?} is lost"
                );
                kept += 1;
            }
        }
    }
    assert!(kept > 0, "no splat was before a cut");
}

#[test]
fn an_output_cut_before_its_end_has_a_problem() {
    for path in files("ktap") {
        let bytes = std::fs::read(&path).unwrap();
        let raw = split(&bytes).1;
        let text = String::from_utf8_lossy(raw);
        let last = text
            .rfind("\nok ")
            .max(text.rfind("\nnot ok "))
            .expect("a result")
            + 1;
        let whole = last + text[last..].find('\n').expect("a line that ends");
        for cut in 0..=whole {
            let report = Report::parse(&raw[..cut]);
            assert!(
                !report.problems.is_empty(),
                "{path} cut at {cut} has no problem"
            );
        }
    }
}
