// SPDX-License-Identifier: GPL-2.0-only
//! `watch` on real files, as far as it goes without a kernel: what is wrong with
//! its arguments ends it, what is wrong with files is said and fixed by a save.

#![expect(clippy::unwrap_used, reason = "a test may fall over")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A line that does not come in this time does not come.
const LIMIT: Duration = Duration::from_secs(60);

/// A `watch` under way, and what it says on standard error.
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
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self { child, lines }
    }

    /// Waits for a line with `text` in it, and returns all lines until then.
    fn until(&self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no `{text}` after:\n{said}"));
            said += &line;
            said.push('\n');
            if line.contains(text) {
                return said;
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

/// Makes a folder that looks like a kernel tree with a file to patch.
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

/// A patch of `a.c` in the small tree, for what it finds there.
fn patch(found: &str) -> String {
    format!(
        "Subject: [PATCH] a\n\n---\ndiff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n\
         @@ -1 +1 @@\n-{found}\n+two\n"
    )
}

const WAITING: &str = "nothing judged; waiting for changes";

#[test]
#[ignore = "needs the programs that `cargo xtask doctor` checks"]
fn a_mistake_is_said_and_the_next_save_waited_for() {
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
    // A prerequisite of the same kind, so that nothing of ours is applied.
    fs_err::create_dir(series.join("below")).unwrap();
    let below = series.join("below/1.patch");
    fs_err::write(&below, patch("one").replace("a.c", "b.c")).unwrap();

    let watch = Watch::start(place.path(), &words);
    let said = watch.until(WAITING);
    assert!(
        said.contains("has no `.patch` file with a diff in it"),
        "{said}"
    );

    // As editors do: beside it, and then in its place.
    fs_err::write(series.join(".1.patch.swp"), "").unwrap();
    fs_err::write(series.join("1.patch.new"), patch("three")).unwrap();
    fs_err::rename(series.join("1.patch.new"), series.join("1.patch")).unwrap();
    let said = watch.until(WAITING);
    assert!(said.contains("b.c"), "{said}");

    fs_err::write(tree.join("b.c"), "one\n").unwrap();
    let said = watch.until(WAITING);
    assert!(said.contains("1.patch") && said.contains("a.c"), "{said}");
    assert_eq!(watch.interrupt(), Some(130));
}

#[test]
fn words_that_no_save_can_mend_end_it() {
    let place = tempfile::tempdir().unwrap();
    for (words, said) in [
        (
            &["live-update-kexek"][..],
            "did you mean `live-update-kexec`?",
        ),
        (
            &["--series", "no-such.mbox"],
            "there is no series `no-such.mbox`",
        ),
        (
            &["--tree", "no-such"],
            "there is no kernel tree at `no-such`",
        ),
        (&["--out", "runs"], "`watch` does not take `--out runs`"),
        (
            &["--no-self-check"],
            "`watch` does not take `--no-self-check`",
        ),
    ] {
        let mut watch = Watch::start(place.path(), words);
        watch.until(said);
        assert_eq!(watch.child.wait().unwrap().code(), Some(2), "{words:?}");
    }
}
