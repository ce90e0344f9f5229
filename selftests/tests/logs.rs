// SPDX-License-Identifier: GPL-2.0-only
//! Console logs of real kernels, one a file, raw behind a header that says what
//! must be found in them. A parser's bug that is mended adds a file.

use camino::{Utf8Path, Utf8PathBuf};
use selftests::klog::{Log, Phase};

/// What the header of a log says, and what is in it.
fn summary(log: &Log) -> Vec<String> {
    let mut found = vec![format!("boots: {}", log.boots())];
    for splat in &log.splats {
        let phase = match splat.phase {
            Phase::Before => "before",
            Phase::During => "during",
            Phase::After => "after",
        };
        let (boot, class, title) = (splat.boot, splat.class.word(), &splat.title);
        found.push(format!(
            "splat: boot {boot}, {phase} the stage, {class}: {title}"
        ));
    }
    for boot in 1..=log.boots() {
        found.extend(
            log.stray_warnings(boot)
                .map(|line| format!("warning: boot {boot}: {}", line.text)),
        );
    }
    found
}

fn logs() -> Vec<Utf8PathBuf> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("logs");
    let entries = folder
        .read_dir_utf8()
        .expect("the folder of logs is checked in")
        .map(|entry| entry.expect("a folder that can be read").into_path());
    let mut logs: Vec<_> = entries
        .filter(|path| path.extension() == Some("log"))
        .collect();
    logs.sort();
    logs
}

#[test]
fn what_the_header_says_is_found() {
    let logs = logs();
    assert!(logs.len() >= 5, "the corpus is gone");
    for path in logs {
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes
            .windows(5)
            .position(|window| window == b"\n---\n")
            .expect("a header that ends with `---`");
        let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let expected: Vec<_> = header
            .lines()
            .filter_map(|line| line.strip_prefix("# found "))
            .map(str::to_owned)
            .collect();
        assert_eq!(summary(&Log::parse(&bytes[end + 5..])), expected, "{path}");
    }
}

#[test]
fn a_log_that_is_cut_anywhere_is_a_log() {
    for path in logs() {
        let bytes = std::fs::read(&path).unwrap();
        for cut in (0..bytes.len()).step_by(997) {
            let log = Log::parse(&bytes[..cut]);
            assert!(
                log.splats
                    .iter()
                    .all(|splat| splat.lines.end <= log.lines.len()),
                "{path} cut at {cut}"
            );
        }
    }
}
