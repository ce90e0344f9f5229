// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile logs: the cost of parsing must be linear in their length.

use proptest::prelude::*;

use crate::klog::{Log, find, line};

/// Lines that the parser recognises, and fragments of lines.
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

fn assert_consistent(log: &Log) {
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
    assert_eq!(owned.len(), all, "a line belongs to one splat only");
}

const BANNER: &str = "<5>[    0.000000][    T0] Linux version 1\n";

/// Returns logs of about `bytes` bytes that would be slow in a parser with quadratic cost.
fn shapes(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let repeated = |unit: &str| {
        let unit = unit.replace('@', "<4>[    1.000000][    T1] ");
        let text = format!("{BANNER}{}", unit.repeat(bytes / unit.len()));
        text.into_bytes()
    };
    let many_writers = |text: &str| {
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
        ("newlines", repeated("\n")),
        ("carriage returns", repeated("\r")),
        ("one line", repeated("x")),
        ("one line of `<`", repeated("<")),
        ("one line of levels", repeated("<4>")),
        ("one line of stamps", repeated("<4>[    1.000000]")),
        ("one line of prefixes", repeated("@")),
        ("one line of prefixes and spaces", repeated("@ ")),
        ("escapes", repeated("\u{1b}[1;")),
        ("bytes", vec![0xff; bytes]),
        ("lines", repeated("@x\n")),
        ("banners", repeated(BANNER)),
        (
            "markers",
            repeated("<12>[    1.000000][    T1] patchbed: boot 1 begins\n"),
        ),
        ("headings", repeated("@BUG: KASAN: x in y+0x1/0x2\n")),
        (
            "cut here",
            repeated("@------------[ cut here ]------------\n"),
        ),
        ("incomplete warnings", repeated(warning)),
        (
            "complete warnings",
            repeated(&format!("{warning}@---[ end trace 0 ]---\n")),
        ),
        (
            "lines that a stack trace may follow",
            repeated("@BUG: odd\n@x\n"),
        ),
        ("one splat without an end", endless(bytes, warning)),
        (
            "stack traces",
            repeated("@Call Trace:\n@ <TASK>\n@ f+0x1/0x2\n@ </TASK>\n"),
        ),
        (
            "stalls",
            repeated("@rcu: INFO: rcu_preempt self-detected stall on CPU\n@ </TASK>\n@rcu: x\n"),
        ),
        (
            "requests for backtraces and backtraces",
            repeated(
                "@BUG: soft lockup\n@ </TASK>\n@Sending NMI from CPU 0 to CPUs 1:\n@x\n@NMI backtrace for cpu 1\n",
            ),
        ),
        ("many writers of one line", many_writers("x")),
        (
            "many writers of splats",
            many_writers("BUG: KASAN: x in y+0x1/0x2"),
        ),
    ]
}

/// Returns a log with a splat that has no end.
fn endless(bytes: usize, begins: &str) -> Vec<u8> {
    let line = "<4>[    1.000000][    T1] f\n";
    let begins = begins.replace('@', "<4>[    1.000000][    T1] ");
    format!("{BANNER}{begins}{}", line.repeat(bytes / line.len())).into_bytes()
}

#[test]
fn find_compares_each_line_of_hostile_logs_at_most_three_times() {
    for (name, serial) in shapes(300_000) {
        let (lines, _) = line::lines(&serial, line::LIMITS);
        let found = find::find(&lines);
        assert!(
            found.comparisons <= 3 * lines.len(),
            "{name}: {} comparisons",
            found.comparisons
        );
        let log = Log::parse(&serial);
        assert_consistent(&log);
        let strays = log.stray_warnings(1).count() + log.stray_errors(1).count();
        assert!(strays <= log.lines.len(), "{name}");
    }
}

#[test]
fn parse_takes_linear_time_for_hostile_logs() {
    crate::testing::assert_linear(shapes, |serial| {
        let log = Log::parse(serial);
        let _ = log.stray_warnings(1).count() + log.stray_errors(1).count();
    });
}

proptest! {
    #[test]
    fn parse_accepts_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        assert_consistent(&Log::parse(&bytes));
    }

    #[test]
    fn parse_accepts_fragments_of_splats(
        cuts in (0usize..600, 0usize..4000),
        pieces in proptest::collection::vec((0..CALLERS.len(), 0..WORDS.len()), 0..120),
    ) {
        let text: String = pieces.iter().flat_map(|(caller, word)| [CALLERS[*caller], WORDS[*word]]).collect();
        let start = cuts.0.min(text.len());
        let end = cuts.1.clamp(start, text.len());
        assert_consistent(&Log::parse(text.as_bytes()));
        assert_consistent(&Log::parse(&text.as_bytes()[start..end]));
    }
}
