// SPDX-License-Identifier: GPL-2.0-only

use crate::klog::Log;

const BANNER: &str = "<5>[    0.000000][    T0] Linux version 7.3.4 (x)\n";
const ENDS: &str = "# kasan: pass:1 fail:0 skip:0 total:1\nok 1 kasan";
const RULE: &str = "==================================================================";
const LOSS: &str = "** 9 printk messages dropped **\n";

/// Lines of the kernel's, all by one caller.
fn said(level: u8, caller: &str, texts: &str) -> String {
    let lines = texts.lines();
    lines
        .map(|text| format!("<{level}>[    1.000000][{caller:>6}] {text}\n"))
        .collect()
}

/// What KUnit says of its own.
fn kunit(texts: &str) -> String {
    said(6, "T1", texts)
}

fn begins(suite: &str) -> String {
    kunit(&format!(
        "    KTAP version 1\n    # Subtest: {suite}\n    1..2"
    ))
}

/// A report by a caller about a task, with a function in its stack, and one in that of who
/// allocated the memory.
fn report(caller: &str, task: &str, frame: &str, owner: &str) -> String {
    let text = format!(
        "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\n\
         Write of size 1 at addr 1 by task {task}/7\n\n\
         CPU: 0 UID: 0 PID: 7 Comm: {task} Tainted: G    B\nCall Trace:\n <TASK>\n \
         {frame}+0x1/0x2\n </TASK>\n\nAllocated by task 7:\n {owner}+0x1/0x2\n{RULE}"
    );
    said(3, caller, &text)
}

fn of_test() -> String {
    report("T7", "kunit_try_catch", "kunit_try_run_case", "f")
}

fn of_other() -> String {
    report("T8", "test", "f", "f")
}

fn log(console: &str) -> Log {
    Log::parse(format!("{BANNER}{console}").as_bytes())
}

/// The numbers of splats, and of other lines at level error.
fn found(console: &str) -> (usize, usize) {
    let log = log(console);
    (log.splats.len(), log.stray_errors(1).count())
}

/// A run of a suite with this in it.
fn within(suite: &str, console: &str) -> String {
    let ends = kunit(&format!("ok 1 {suite}"));
    format!("{}{console}{ends}", begins(suite))
}

#[test]
fn what_a_suite_brings_about_is_no_splat() {
    let (test, ok) = (of_test(), kunit("    ok 1 f"));
    assert_eq!(
        found(&within("kasan", &format!("{test}{ok}{test}"))),
        (0, 0)
    );
    let failed = kunit("# kasan: pass:0 fail:1 skip:0 total:1\nnot ok 1 kasan");
    assert_eq!(found(&format!("{}{test}{failed}", begins("kasan"))), (0, 0));
    let kfence = test.replace("BUG: KASAN", "BUG: KFENCE");
    assert_eq!(found(&within("kasan", &kfence)), (0, 0));
    assert_eq!(found(&within("kfence", &kfence)), (0, 0));
}

#[test]
fn what_is_of_no_test_of_the_suite_counts() {
    let (test, other) = (of_test(), of_other());
    assert_eq!(found(&within("kasan", &format!("{other}{test}"))).0, 1);
    assert_eq!(found(&format!("{test}{}{test}", within("kasan", ""))).0, 2);
    assert_eq!(found(&within("kfence", &test)).0, 1, "it is KFENCE's suite");
    assert_eq!(found(&within("list-kunit-test", &test)).0, 1);
    let warning = test.replace("BUG: KASAN: ", "WARNING: ");
    assert_eq!(found(&within("kasan", &warning)).0, 1);
}

#[test]
fn a_suite_without_an_end_brings_nothing_about() {
    let test = format!("{}{}", begins("kasan"), of_test());
    assert_eq!(found(&test).0, 1);
    assert_eq!(found(&format!("{test}{BANNER}{}", kunit(ENDS))).0, 1);
    let others = within("list-kunit-test", &of_test());
    assert_eq!(found(&format!("{test}{others}{}", kunit(ENDS))).0, 2);
    let nested = kunit("        # Subtest: list-kunit-test\n    ok 1 kasan");
    assert_eq!(
        found(&format!("{test}{nested}{}{}", of_test(), kunit(ENDS))).0,
        0
    );
}

#[test]
fn what_a_program_says_is_not_the_suite_s() {
    let ran = within("kasan", &of_test());
    assert_eq!(found(&ran).0, 0);
    let forged = ran.replace("<6>", "<14>");
    assert_eq!(found(&forged).0, 1);
    let raw = ran.replace("<6>[    1.000000][    T1] ", "");
    assert_eq!(found(&raw).0, 1);
    let ends = kunit(ENDS).replace("<6>", "<14>");
    assert_eq!(
        found(&format!("{}{}{ends}", begins("kasan"), of_test())).0,
        1
    );
    // Without levels or callers, nobody can tell who says what.
    let without = |what: &[&str]| {
        let console = format!("{BANNER}{ran}");
        let console = what
            .iter()
            .fold(console, |text, part| text.replace(part, ""));
        Log::parse(console.as_bytes()).splats.len()
    };
    assert_eq!(without(&[]), 0);
    assert_eq!(without(&["<3>", "<5>", "<6>"]), 1);
    assert_eq!(without(&["[    T0]", "[    T1]", "[    T7]"]), 1);
}

#[test]
fn of_interrupts_it_counts_whose_memory_it_is_about() {
    let (test, idle) = ("kunit_try_catch", "swapper/1");
    let count = |report: String| found(&within("kasan", &report)).0;
    let run = "kunit_try_run_case";
    assert_eq!(count(report("C1", idle, "f", run)), 0);
    assert_eq!(
        count(report("C1", test, run, "f")),
        1,
        "it interrupted a test"
    );
    let torn = report("C1", idle, "f", run).replace(RULE, "");
    assert_eq!(count(torn), 1, "it may be made of two");
}

/// Lines of a report, from one to before another.
fn part(report: &str, lines: std::ops::Range<usize>) -> String {
    let all: Vec<&str> = report.split_inclusive('\n').collect();
    all[lines.start..lines.end.min(all.len())].concat()
}

#[test]
fn what_the_console_lost_of_a_report_is_not_missed() {
    let (test, other) = (of_test(), of_other());
    let count = |console: String| found(&within("kasan", &console)).0;
    assert_eq!(count(format!("{}{LOSS}", part(&test, 0..2))), 0);
    let nameless = format!("{}{}", part(&test, 0..1), part(&test, 6..9));
    let whole = format!("{LOSS}{nameless}{LOSS}");
    assert_eq!(count(whole), 0, "its stack shows it");
    let broken = format!("{}{LOSS}{}", part(&test, 0..1), part(&test, 6..9));
    assert_eq!(count(broken), 1, "it may be the stack of another");
    let late = report("C1", "swapper/1", "f", "kunit_try_run_case");
    assert_eq!(
        count(format!("{}{LOSS}{}", part(&late, 0..2), part(&late, 8..99))),
        1
    );
    assert_eq!(count(format!("{}{LOSS}{test}", part(&test, 0..1))), 0);
    assert_eq!(
        count(format!("{}{LOSS}", part(&test, 0..1))),
        1,
        "of nobody"
    );
    assert_eq!(count(format!("{}{LOSS}{test}", part(&other, 0..2))), 1);
}

#[test]
fn the_rest_of_a_lost_report_is_no_error() {
    let errors = |console: &str| found(&within("kasan", console)).1;
    let rest = part(&of_test(), 5..99).replace("kunit_try_run_case", "f");
    assert_eq!(errors(&format!("{LOSS}{rest}")), 0);
    let other = said(6, "T9", "pci 1: there");
    assert_eq!(errors(&format!("{LOSS}{other}{rest}")), 0);
    assert!(errors(&rest) > 0, "nothing was lost");
    assert!(found(&format!("{LOSS}{rest}")).1 > 0, "no suite runs");
    assert!(found(&format!("{LOSS}{}", within("kasan", &rest))).1 > 0);
    assert!(errors(&format!("{LOSS}{}", rest.replace(RULE, ""))) > 0);
    assert!(errors(&format!("{LOSS}{}", part(&of_other(), 3..99))) > 0);
    let (shown, unshown) = (part(&of_test(), 6..9), part(&of_test(), 4..6));
    assert_eq!(errors(&format!("{LOSS}{shown}{LOSS}{shown}")), 0);
    assert!(errors(&format!("{LOSS}{unshown}{LOSS}{rest}")) > 0);
    let error = said(3, "T9", &format!("pci 1: gone\n{RULE}"));
    assert_eq!(errors(&format!("{LOSS}{rest}{error}")), 1);
    let failed = said(3, "T7", "    # f: EXPECTATION FAILED at a.c:7");
    assert_eq!(errors(&format!("{LOSS}{failed}{rest}")), 1);
}
