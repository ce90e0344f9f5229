// SPDX-License-Identifier: MIT OR Apache-2.0
//! `watch` on real files, without building a kernel: wrong arguments end it, and errors in
//! files are printed until a save fixes them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long to wait for a line.
const LIMIT: Duration = Duration::from_secs(60);

/// A running `watch`, and the lines of its standard error.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(place: &Path, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_patchbed"))
            .arg("watch")
            .args(words)
            .current_dir(place)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("PATCHBED_CACHE", place.join("cache"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// Waits for a line that contains `text`, and returns all lines up to it.
    fn until(&self, text: &str) -> String {
        let mut output = String::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no `{text}` after:\n{output}"));
            output += &line;
            output.push('\n');
            if line.contains(text) {
                return output;
            }
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// Makes a folder that is accepted as a kernel tree and has a file to patch.
fn small_tree(tree: &Path) {
    for (file, text) in [
        ("Kbuild", ""),
        ("Kconfig", ""),
        ("Makefile", ""),
        ("scripts/kconfig/Makefile", ""),
        ("a.c", "one\n"),
    ] {
        let path = tree.join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
}

/// A patch that replaces the line `old` of `a.c` in the small tree.
fn patch(old: &str) -> String {
    format!(
        "Subject: [PATCH] a\n\n---\ndiff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n\
         @@ -1 +1 @@\n-{old}\n+two\n"
    )
}

const WAITING: &str = "no results; waiting for changes";

#[test]
#[ignore = "needs the programs that `cargo xtask doctor` checks"]
fn watch_prints_an_error_and_waits_for_the_next_save() {
    let place = tempfile::tempdir().unwrap();
    let (tree, series) = (place.path().join("tree"), place.path().join("mine"));
    small_tree(&tree);
    fs_err::create_dir(&series).unwrap();
    let words = [
        "--tree",
        "tree",
        "--series",
        "mine",
        "--prereq",
        "mine/below",
    ];
    // A prerequisite, so that the default prerequisites are not applied.
    fs_err::create_dir(series.join("below")).unwrap();
    let below = series.join("below/1.patch");
    fs_err::write(&below, patch("one").replace("a.c", "b.c")).unwrap();

    let watch = Watch::start(place.path(), &words);
    let text = watch.until(WAITING);
    assert!(text.contains("no `.patch` file has a diff"), "{text}");

    // As editors do: write a temporary file and rename it.
    fs_err::write(series.join(".1.patch.swp"), "").unwrap();
    fs_err::write(series.join("1.patch.new"), patch("three")).unwrap();
    fs_err::rename(series.join("1.patch.new"), series.join("1.patch")).unwrap();
    let text = watch.until(WAITING);
    assert!(text.contains("b.c"), "{text}");

    fs_err::write(tree.join("b.c"), "one\n").unwrap();
    let text = watch.until(WAITING);
    assert!(text.contains("1.patch") && text.contains("a.c"), "{text}");
    assert_eq!(watch.interrupt(), Some(130));
}

#[test]
fn watch_ends_with_code_2_for_arguments_that_no_save_can_fix() {
    let place = tempfile::tempdir().unwrap();
    for (words, error) in [
        (
            &["live-update-kexek"][..],
            "did you mean `live-update-kexec`?",
        ),
        (
            &["--series", "no-such.mbox"],
            "cannot open the series `no-such.mbox`",
        ),
        (&["--tree", "no-such"], "opening kernel tree `no-such`"),
        (&["--out", "runs"], "unexpected argument '--out' found"),
        (
            &["--no-self-check"],
            "unexpected argument '--no-self-check' found",
        ),
    ] {
        let mut watch = Watch::start(place.path(), words);
        watch.until(error);
        assert_eq!(watch.child.wait().unwrap().code(), Some(2), "{words:?}");
    }
}
