// SPDX-License-Identifier: GPL-2.0-only
//! Logs that are made to make a parser fall over. The time for each must be linear in its
//! length.

use proptest::prelude::*;

use crate::klog::{Log, find, line};

/// Lines that mean something to the parser, and what is made of them when they are cut.
const WORDS: &[&str] = &[
    "------------[ cut here ]------------\n",
    "WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\n",
    "WARNING: prose\n",
    "BUG: KASAN: x in y+0x1/0x2\n",
    "BUG: perhaps\n",
    "BUG kmalloc-64 (Not tainted): Poison overwritten\n",
    "BUG: key 1 has not been registered!\n",
    "======================================\n",
    "---[ end trace 0 ]---\n",
    "[    0.000000] Linux version 1\n",
    "<5>[    0.000000][    T0] Linux version 1\n",
    "Kernel panic - not syncing: \n",
    "kernel BUG at \u{e9}:1!\n",
    "Oops: Oops: 0000 [#1]\n",
    "BUG: kernel NULL pointer dereference, address: 0\n",
    "RIP: 0010:f+0x1/0x2\n",
    "Call Trace:\n",
    " f+0x1/0x2\n",
    " </TASK>\n",
    "INFO: task a:1 blocked for more than 30 seconds.\n",
    "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n",
    "Sending NMI from CPU 0 to CPUs 1:\n",
    "NMI backtrace for cpu 1\n",
    "    # Subtest: kasan\n",
    "ok 1 kasan\n",
    "** 9 printk messages dropped **\n",
    "CPU: 0 UID: 0 PID: 7 Comm: kunit_try_catch x\n",
    "BUG: workqueue lockup - pool\n",
    " #0: x\n",
    "patchbed: boot 1 begins\n",
    "x\n",
    "\n",
    "\r",
    "\x1b[",
    "\x1b[32m",
];
const CALLERS: &[&str] = &[
    "",
    "<4>[    1.000000][    T1] ",
    "<4>[    1.000000][    T2] ",
    "<4>[    1.000000][    C0] ",
    "<4>[    1.000000][    C1] ",
    "<12>[    1.000000][    T1] ",
    "<4>[    1.0",
];

fn assert_sound(log: &Log) {
    for splat in &log.splats {
        assert!(!splat.lines.is_empty());
        assert!(splat.lines.is_sorted());
        assert!(splat.lines.iter().all(|index| *index < log.lines.len()));
        assert!(splat.title.len() < 2000 && splat.frames.len() <= 4);
        assert!(log.lines_of(splat).all(|line| !line.from_userspace));
        assert!(log.lines_of(splat).all(|line| line.boot == splat.boot));
    }
    assert!(log.splats.is_sorted_by_key(|splat| splat.lines[0]));
    let mut owned: Vec<usize> = log
        .splats
        .iter()
        .flat_map(|splat| splat.lines.clone())
        .collect();
    let all = owned.len();
    owned.sort_unstable();
    owned.dedup();
    assert_eq!(owned.len(), all, "a line is of one splat only");
}

const BANNER: &str = "<5>[    0.000000][    T0] Linux version 1\n";

/// Logs that are made to make the parser fall over, each of about so many bytes.
fn shapes(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let repeated = |unit: &str| {
        let unit = unit.replace('@', "<4>[    1.000000][    T1] ");
        let text = format!("{BANNER}{}", unit.repeat(bytes / unit.len()));
        text.into_bytes()
    };
    let by_many = |text: &str| {
        let mut all = BANNER.to_owned();
        let mut number = 0;
        while all.len() < bytes {
            number += 1;
            all += &format!("<4>[    1.000000][T{number:>6}] {text}\n");
        }
        all.into_bytes()
    };
    let warning = "@------------[ cut here ]------------\n@WARNING: a.c:1 at f+0x1/0x2\n";
    vec![
        ("ends of lines", repeated("\n")),
        ("returns", repeated("\r")),
        ("one line", repeated("x")),
        ("one line of signs", repeated("<")),
        ("one line of levels", repeated("<4>")),
        ("one line of stamps", repeated("<4>[    1.000000]")),
        ("one line of prefixes", repeated("@")),
        ("one line of blanks", repeated("@ ")),
        ("escapes", repeated("\u{1b}[1;")),
        ("bytes", vec![0xff; bytes]),
        ("lines", repeated("@x\n")),
        ("banners", repeated(BANNER)),
        (
            "marks",
            repeated("<12>[    1.000000][    T1] patchbed: boot 1 begins\n"),
        ),
        ("headings", repeated("@BUG: KASAN: x in y+0x1/0x2\n")),
        ("cuts", repeated("@------------[ cut here ]------------\n")),
        ("half warnings", repeated(warning)),
        (
            "whole warnings",
            repeated(&format!("{warning}@---[ end trace 0 ]---\n")),
        ),
        (
            "lines that perhaps begin a stack",
            repeated("@BUG: odd\n@x\n"),
        ),
        ("one endless splat", by_one(bytes, warning)),
        (
            "stacks",
            repeated("@Call Trace:\n@ <TASK>\n@ f+0x1/0x2\n@ </TASK>\n"),
        ),
        (
            "stalls",
            repeated("@rcu: INFO: rcu_preempt self-detected stall on CPU\n@ </TASK>\n@rcu: x\n"),
        ),
        (
            "questions and answers",
            repeated(
                "@BUG: soft lockup\n@ </TASK>\n@Sending NMI from CPU 0 to CPUs 1:\n@x\n@NMI backtrace for cpu 1\n",
            ),
        ),
        ("many writers of one line", by_many("x")),
        (
            "many writers of splats",
            by_many("BUG: KASAN: x in y+0x1/0x2"),
        ),
    ]
}

/// A splat that begins and has no end.
fn by_one(bytes: usize, begins: &str) -> Vec<u8> {
    let line = "<4>[    1.000000][    T1] f\n";
    let begins = begins.replace('@', "<4>[    1.000000][    T1] ");
    format!("{BANNER}{begins}{}", line.repeat(bytes / line.len())).into_bytes()
}

#[test]
fn hostile_logs_are_sound_and_each_line_is_looked_at_three_times_at_most() {
    for (name, serial) in shapes(300_000) {
        let (lines, _) = line::lines(&serial, line::LIMITS);
        let found = find::find(&lines);
        assert!(
            found.looks <= 3 * lines.len(),
            "{name}: {} looks",
            found.looks
        );
        let log = Log::parse(&serial);
        assert_sound(&log);
        let strays = log.stray_warnings(1).count() + log.stray_errors(1).count();
        assert!(strays <= log.lines.len(), "{name}");
    }
}

#[test]
fn hostile_logs_are_parsed_in_linear_time() {
    crate::cost::assert_linear(shapes, |serial| {
        let log = Log::parse(serial);
        let _ = log.stray_warnings(1).count() + log.stray_errors(1).count();
    });
}

proptest! {
    #[test]
    fn any_bytes_are_a_log(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        assert_sound(&Log::parse(&bytes));
    }

    #[test]
    fn torn_splats_are_a_log(
        cuts in (0usize..600, 0usize..4000),
        pieces in proptest::collection::vec((0..CALLERS.len(), 0..WORDS.len()), 0..120),
    ) {
        let text: String = pieces.iter().flat_map(|(caller, word)| [CALLERS[*caller], WORDS[*word]]).collect();
        let start = cuts.0.min(text.len());
        let end = cuts.1.clamp(start, text.len());
        assert_sound(&Log::parse(text.as_bytes()));
        assert_sound(&Log::parse(&text.as_bytes()[start..end]));
    }
}
