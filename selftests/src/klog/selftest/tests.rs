// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports in runs of KUnit suites of sanitizers.

use crate::klog::Log;

const BANNER: &str = "<5>[    0.000000][    T0] Linux version 7.3.4 (x)\n";
const ENDS: &str = "# kasan: pass:1 fail:0 skip:0 total:1\nok 1 kasan";
const RULE: &str = "==================================================================";
const LOSS: &str = "** 9 printk messages dropped **\n";

/// Returns lines of the kernel, all by one caller.
fn printed(level: u8, caller: &str, texts: &str) -> String {
    let lines = texts.lines();
    lines
        .map(|text| format!("<{level}>[    1.000000][{caller:>6}] {text}\n"))
        .collect()
}

/// Returns output of KUnit.
fn kunit(texts: &str) -> String {
    printed(6, "T1", texts)
}

fn begins(suite: &str) -> String {
    kunit(&format!(
        "    KTAP version 1\n    # Subtest: {suite}\n    1..2"
    ))
}

/// Returns a report by a caller about a task, with a function in its stack and a function
/// in the stack of the allocation.
fn report(caller: &str, task: &str, frame: &str, allocator: &str) -> String {
    let text = format!(
        "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\n\
         Write of size 1 at addr 1 by task {task}/7\n\n\
         CPU: 0 UID: 0 PID: 7 Comm: {task} Tainted: G    B\nCall Trace:\n <TASK>\n \
         {frame}+0x1/0x2\n </TASK>\n\nAllocated by task 7:\n {allocator}+0x1/0x2\n{RULE}"
    );
    printed(3, caller, &text)
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

/// Returns the number of splats, and the number of stray lines at level error.
fn found(console: &str) -> (usize, usize) {
    let log = log(console);
    (log.splats.len(), log.stray_errors(1).count())
}

/// Returns a run of a suite with these lines in it.
fn within(suite: &str, console: &str) -> String {
    let ends = kunit(&format!("ok 1 {suite}"));
    format!("{}{console}{ends}", begins(suite))
}

#[test]
fn parse_omits_reports_provoked_by_a_suite() {
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
fn parse_keeps_reports_that_no_test_of_the_suite_provoked() {
    let (test, other) = (of_test(), of_other());
    assert_eq!(found(&within("kasan", &format!("{other}{test}"))).0, 1);
    assert_eq!(found(&format!("{test}{}{test}", within("kasan", ""))).0, 2);
    assert_eq!(
        found(&within("kfence", &test)).0,
        1,
        "a KASAN report in KFENCE's suite"
    );
    assert_eq!(found(&within("list-kunit-test", &test)).0, 1);
    let warning = test.replace("BUG: KASAN: ", "WARNING: ");
    assert_eq!(found(&within("kasan", &warning)).0, 1);
}

#[test]
fn parse_keeps_reports_of_a_suite_without_a_result() {
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
fn parse_ignores_suite_output_of_programs() {
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
    // Without levels or callers, the writer of a line is unknown.
    let without = |parts: &[&str]| {
        let console = format!("{BANNER}{ran}");
        let console = parts
            .iter()
            .fold(console, |text, part| text.replace(part, ""));
        Log::parse(console.as_bytes()).splats.len()
    };
    assert_eq!(without(&[]), 0);
    assert_eq!(without(&["<3>", "<5>", "<6>"]), 1);
    assert_eq!(without(&["[    T0]", "[    T1]", "[    T7]"]), 1);
}

#[test]
fn parse_compares_the_allocation_history_of_reports_in_interrupts() {
    let (test, idle) = ("kunit_try_catch", "swapper/1");
    let count = |report: String| found(&within("kasan", &report)).0;
    let run = "kunit_try_run_case";
    assert_eq!(count(report("C1", idle, "f", run)), 0);
    assert_eq!(
        count(report("C1", test, run, "f")),
        1,
        "the interrupted task is a test"
    );
    let incomplete = report("C1", idle, "f", run).replace(RULE, "");
    assert_eq!(count(incomplete), 1, "may consist of two reports");
}

/// Returns a range of the lines of a report.
fn part(report: &str, lines: std::ops::Range<usize>) -> String {
    let all: Vec<&str> = report.split_inclusive('\n').collect();
    all[lines.start..lines.end.min(all.len())].concat()
}

#[test]
fn parse_omits_provoked_reports_with_lost_messages() {
    let (test, other) = (of_test(), of_other());
    let count = |console: String| found(&within("kasan", &console)).0;
    assert_eq!(count(format!("{}{LOSS}", part(&test, 0..2))), 0);
    let nameless = format!("{}{}", part(&test, 0..1), part(&test, 6..9));
    let whole = format!("{LOSS}{nameless}{LOSS}");
    assert_eq!(count(whole), 0, "the stack identifies the test");
    let broken = format!("{}{LOSS}{}", part(&test, 0..1), part(&test, 6..9));
    assert_eq!(count(broken), 1, "may be the stack of another report");
    let late = report("C1", "swapper/1", "f", "kunit_try_run_case");
    assert_eq!(
        count(format!("{}{LOSS}{}", part(&late, 0..2), part(&late, 8..99))),
        1
    );
    assert_eq!(count(format!("{}{LOSS}{test}", part(&test, 0..1))), 0);
    assert_eq!(
        count(format!("{}{LOSS}", part(&test, 0..1))),
        1,
        "no task and no stack"
    );
    assert_eq!(count(format!("{}{LOSS}{test}", part(&other, 0..2))), 1);
}

#[test]
fn parse_omits_the_rest_of_a_report_whose_first_lines_are_lost() {
    let errors = |console: &str| found(&within("kasan", console)).1;
    let rest = part(&of_test(), 5..99).replace("kunit_try_run_case", "f");
    assert_eq!(errors(&format!("{LOSS}{rest}")), 0);
    let other = printed(6, "T9", "pci 1: there");
    assert_eq!(errors(&format!("{LOSS}{other}{rest}")), 0);
    assert!(errors(&rest) > 0, "no messages were lost");
    assert!(found(&format!("{LOSS}{rest}")).1 > 0, "no suite runs");
    assert!(found(&format!("{LOSS}{}", within("kasan", &rest))).1 > 0);
    assert!(errors(&format!("{LOSS}{}", rest.replace(RULE, ""))) > 0);
    assert!(errors(&format!("{LOSS}{}", part(&of_other(), 3..99))) > 0);
    let (shown, unshown) = (part(&of_test(), 6..9), part(&of_test(), 4..6));
    assert_eq!(errors(&format!("{LOSS}{shown}{LOSS}{shown}")), 0);
    assert!(errors(&format!("{LOSS}{unshown}{LOSS}{rest}")) > 0);
    let error = printed(3, "T9", &format!("pci 1: gone\n{RULE}"));
    assert_eq!(errors(&format!("{LOSS}{rest}{error}")), 1);
    let failed = printed(3, "T7", "    # f: EXPECTATION FAILED at a.c:7");
    assert_eq!(errors(&format!("{LOSS}{failed}{rest}")), 1);
}
